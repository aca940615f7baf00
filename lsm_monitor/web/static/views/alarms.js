// The floods that are open now, beside the wall: those that nobody has acknowledged first.
import { may } from "../api.js";
import { html } from "../html.js";
import { ageOf, t } from "../i18n.js";
import { LevelBadge, levelOf } from "../level.js";
import { toCamera, toEpisodes } from "../route.js";
import { nowMs, openEpisodes, titleOf } from "../store.js";
import { AcknowledgeButton, Acknowledged, peakOf } from "./episode.js";

const SHOWN = 12;

function Alarm({ episode }) {
  const age = ageOf((nowMs.value - Date.parse(episode.opened_at)) / 1000);
  const level = levelOf(episode);
  return html`<li class=${`alarm-line level-${level}`}><${LevelBadge} level=${level} />
    <a href=${toCamera(episode.camera)}>${titleOf(episode.camera)}</a>
    <p>${episode.zone} · ${peakOf(episode)} · ${age}
      ${episode.status === "stale" && html` · <strong>${t("episode.stale")}</strong>`}</p>
    ${episode.acknowledged ? html`<${Acknowledged} by=${episode.acknowledged} />`
      : may("operator") && html`<${AcknowledgeButton} episode=${episode} />`}
  </li>`;
}

export function Alarms() {
  const open = openEpisodes.value;
  return html`<aside class="alarms" aria-labelledby="alarms-title">
    <h2 id="alarms-title">${t("alarms.title")} <span class="number">${open.length}</span></h2>
    ${open.length === 0 ? html`<p class="quiet">${t("alarms.none")}</p>` : html`
      <ul>${open.slice(0, SHOWN).map((episode) => html`
        <${Alarm} key=${episode.event_id} episode=${episode} />`)}</ul>`}
    <p><a href=${toEpisodes}>${t("alarms.all")}</a></p>
  </aside>`;
}
