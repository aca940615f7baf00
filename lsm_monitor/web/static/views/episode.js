// One flood: what it was, what proves it, who has seen it, and what an operator says it was.
import { useState } from "../vendor/hooks.js";
import { api, may } from "../api.js";
import { html } from "../html.js";
import { momentOf, percent, t, whole } from "../i18n.js";
import { LevelBadge, levelOf } from "../level.js";
import { show, showError } from "../notice.js";
import { toCamera } from "../route.js";
import { putEpisodes, titleOf } from "../store.js";

const VERDICTS = ["true_positive", "wet_only", "reflection", "shadow", "other"];
const NOTE_MAX = 500;
const KINDS = ["snapshot", "raw", "mask", "main", "clip", "sidecar"];
const PICTURES = KINDS.slice(0, 4);

async function say(episode, what, body) {
  const path = `api/episodes/${encodeURIComponent(episode.event_id)}`;
  const answer = await api.post(`${path}/${what}`, body);
  putEpisodes([answer?.event_id ? answer : await api.get(path)]);
}

export function AcknowledgeButton({ episode }) {
  const [isBusy, setBusy] = useState(false);
  const onClick = async () => {
    setBusy(true);
    await say(episode, "acknowledge", {}).then(() => {
      show(t("acknowledge.done", { camera: titleOf(episode.camera) }));
      // This button goes. Not to the next one: who presses twice means the same flood.
      document.getElementById("main")?.focus({ preventScroll: true });
    }, showError);
    setBusy(false);
  };
  return html`<button class="primary" data-acknowledge disabled=${isBusy} onClick=${onClick}
    aria-label=${t("acknowledge.of", { camera: titleOf(episode.camera), zone: episode.zone })}>
    ${t("acknowledge")}</button>`;
}

export function Acknowledged({ by }) {
  return html`<p class="acknowledged"><span aria-hidden="true">✓ </span>${
    t("acknowledged", { who: by.by || t("somebody"), when: momentOf(by.at) })}</p>`;
}

function Feedback({ episode }) {
  const [verdict, setVerdict] = useState("");
  const [note, setNote] = useState("");
  const [isBusy, setBusy] = useState(false);
  const onSubmit = async (event) => {
    event.preventDefault();
    setBusy(true);
    await say(episode, "feedback", { verdict, note }).then(() => {
      show(t("feedback.done"));
      setVerdict("");
      setNote("");
    }, showError);
    setBusy(false);
  };
  return html`<details class="feedback"><summary>${t("feedback")}</summary>
    <form onSubmit=${onSubmit}><fieldset><legend>${t("feedback.what")}</legend>
      ${VERDICTS.map((one) => html`<label><input type="radio" value=${one} required
        name=${`verdict-${episode.event_id}`} checked=${verdict === one}
        onChange=${() => setVerdict(one)} /> ${t(`verdict.${one}`)}</label>`)}</fieldset>
      <label>${t("feedback.note")}<textarea rows="2" maxlength=${NOTE_MAX} value=${note}
        onInput=${(event) => setNote(event.target.value)}></textarea></label>
      <button class="primary" disabled=${isBusy || !verdict}>${t("feedback.save")}</button>
    </form></details>`;
}

function Verdicts({ list }) {
  if (!list.length) return null;
  return html`<ul class="verdicts">${list.map((one) => html`<li>
    <strong>${t(`verdict.${one.verdict}`)}</strong>${one.note && ` – ${one.note}`}
    <span class="quiet"> ${one.by || t("somebody")}, ${momentOf(one.at)}</span></li>`)}</ul>`;
}

export function peakOf({ peak_fraction: peak }) {
  return t("episode.peak", { share: peak === null ? "–" : percent(peak) });
}

/** Relative, as all addresses of the page: a proxy may put it below a path. */
const addressOf = (file) => file.url.replace(/^\//, "");

function sizeOf(bytes) {
  return bytes < 1e6 ? `${whole(bytes / 1e3)} kB` : `${whole(bytes / 1e6)} MB`;
}

function Evidence({ episode }) {
  if (!episode.evidence.length) return html`<p class="quiet">${t("evidence.none")}</p>`;
  const bySeq = Map.groupBy(episode.evidence, (file) => file.seq);
  const open = { target: "_blank", rel: "noopener" };
  return html`<ul class="evidence">${[...bySeq].map(([seq, files]) => {
    files.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind));
    const picture = files.find((file) => PICTURES.includes(file.kind));
    return html`<li key=${seq}>
      ${picture && html`<a href=${addressOf(picture)} ...${open}><img src=${addressOf(picture)} loading="lazy"
        alt=${t("evidence.picture", { camera: titleOf(episode.camera), seq })} /></a>`}
      <p>${t("evidence.seq", { seq })}: ${files.map((file) => html`<a href=${addressOf(file)} ...${open}
        title=${`${file.name}, ${sizeOf(file.bytes)}`}>${t(`evidence.${file.kind}`)}</a> `)}</p></li>`;
  })}</ul>`;
}

export function EpisodeItem({ episode, withCamera = true }) {
  const { status, opened_at: opened, closed_at: closed } = episode;
  const level = levelOf(episode);
  return html`<article class=${`episode ${status} level-${level}`} data-episode=${episode.event_id}>
    <header><${LevelBadge} level=${level} />
      <h3>${withCamera && html`<a href=${toCamera(episode.camera)} data-walk>${
        titleOf(episode.camera)}</a> · `}${episode.zone}</h3>
      <span class=${`status ${status}`}>${t(`status.${status}`)}</span></header>
    <p>${t("episode.opened", { when: momentOf(opened) })}
      ${closed && html` · ${t("episode.closed", { when: momentOf(closed) })}`}
      ${" · "}${peakOf(episode)}</p>
    ${episode.acknowledged ? html`<${Acknowledged} by=${episode.acknowledged} />`
      : may("operator") ? html`<${AcknowledgeButton} episode=${episode} />`
        : html`<p class="quiet">${t("acknowledge.role")}</p>`}
    <${Evidence} episode=${episode} />
    <${Verdicts} list=${episode.feedback} />
    ${may("operator") && html`<${Feedback} episode=${episode} />`}
  </article>`;
}
