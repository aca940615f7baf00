// Above everything while the page is not live: a stale wall must never look like a quiet one.
import { effect } from "./vendor/signals.js";
import { html } from "./html.js";
import { ageOf, t, timeOf } from "./i18n.js";
import { heardMs, link, refusal } from "./stream.js";
import { nowMs } from "./store.js";

effect(() => { document.documentElement.dataset.link = link.value; });

export function Banner() {
  const isLost = link.value === "lost";
  return html`<div role="alert">${isLost && html`<p class="banner">
    <strong>${t("lost.title")}</strong> ${" "}<span>${whyLost()}</span></p>`}</div>`;
}

function whyLost() {
  const said = [];
  if (refusal.value) said.push(t("lost.refused", { why: refusal.value }));
  if (heardMs.value) said.push(t("lost.since", { time: timeOf(heardMs.value, Date.now()) }));
  return said.join(" ") || t("lost.never");
}

/** How old what is shown is, in the header. */
export function LinkState() {
  const seconds = (nowMs.value, (Date.now() - heardMs.value) / 1000);
  if (link.value === "up") return html`<span class="link up">${t("link.up")}</span>`;
  if (link.value === "starting") return html`<span class="link">${t("link.starting")}</span>`;
  return html`<span class="link lost">
    ${heardMs.value ? t("link.lost", { age: ageOf(seconds) }) : t("link.starting")}</span>`;
}
