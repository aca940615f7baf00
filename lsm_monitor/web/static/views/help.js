// What everything means, and the keys.
import { html } from "../html.js";
import { t } from "../i18n.js";
import { LevelBadge, LEVELS } from "../level.js";
import { areOn, KEYS, switchKeys } from "../keys.js";

export function Help() {
  return html`<dialog id="help" aria-labelledby="help-title">
    <header><h2 id="help-title">${t("help")}</h2>
      <button aria-label=${t("close")} onClick=${(event) => event.target.closest("dialog").close()}>✕</button></header>
    <p>${t("help.page")}</p>
    <h3>${t("help.levels")}</h3>
    <dl class="legend">${LEVELS.map((level) => html`<div><dt><${LevelBadge} level=${level} /></dt>
      <dd>${t(`level.${level}.means`)}</dd></div>`)}</dl>
    <h3>${t("help.keys")}</h3>
    <label><input type="checkbox" checked=${areOn.value}
      onChange=${(event) => switchKeys(event.target.checked)} /> ${t("keys.on")}</label>
    <dl class="keys">${KEYS.map(([key, name]) => html`<div><dt>${
      key.split(" ").map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${t(`keys.${name}`)}</dd></div>`)}</dl>
  </dialog>`;
}
