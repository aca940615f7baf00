// A camera's newest picture. A new one takes the old one's place when it is there, not before.
import { useState } from "../vendor/hooks.js";
import { html } from "../html.js";
import { t } from "../i18n.js";

export const KINDS = ["overlay", "raw", "mask"];

export function pictureOf(card, kind) {
  const version = encodeURIComponent(card.picture);
  return `api/cameras/${encodeURIComponent(card.id)}/picture.jpg?kind=${kind}&v=${version}`;
}

export function Picture({ card, kind = "overlay", alt = "", lazy = true }) {
  const [failed, setFailed] = useState(null);
  const source = card.picture === null ? null : pictureOf(card, kind);
  if (source === null || failed === source) {
    return html`<div class="picture none"><span>${
      t(card.enabled ? "picture.none" : "picture.off")}</span></div>`;
  }
  return html`<div class="picture"><img src=${source} alt=${alt} decoding="async"
    loading=${lazy ? "lazy" : "eager"} onError=${() => setFailed(source)} /></div>`;
}
