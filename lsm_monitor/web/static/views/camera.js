// One camera: what it sees now, what it saw, and its floods.
import { useState } from "../vendor/hooks.js";
import { may } from "../api.js";
import { html } from "../html.js";
import { depthOf, durationOf, hasText, momentOf, percent, t, whole } from "../i18n.js";
import { Health, LevelBadge, Trend } from "../level.js";
import { toCamera, toWall } from "../route.js";
import { cardOf, nowMs, openEpisodes } from "../store.js";
import { EpisodeList, useClosed } from "./episodes.js";
import { History } from "./history.js";
import { KINDS, Picture } from "./picture.js";
import { ageText, isOld } from "./wall.js";

function Live({ card }) {
  const [kind, setKind] = useState("overlay");
  const old = isOld(card, nowMs.value);
  const level = t(`level.${card.enabled ? card.level : "off"}`);
  return html`<section class=${`live ${old ? "old" : ""}`} aria-label=${t("camera.picture")}>
    <div class="view"><${Picture} card=${card} kind=${kind} lazy=${false}
      alt=${t("camera.alt", { camera: card.title, kind: t(`picture.${kind}`), level })} />
      <${LevelBadge} level=${card.enabled ? card.level : "off"} />
      ${old && html`<span class="old-tag">${t("picture.old")}</span>`}</div>
    <div class="under-picture"><div class="chips" role="group" aria-label=${t("camera.kind")}>
      ${KINDS.map((one) => html`<button class="chip" data-picture-kind=${one}
        aria-pressed=${one === kind ? "true" : "false"} onClick=${() => setKind(one)}>${
          t(`picture.${one}`)}</button>`)}</div>
      <p class="age">${t("camera.taken", { age: ageText(card, nowMs.value) })}
        ${card.observed_at && html` <span class="quiet">${momentOf(card.observed_at)}</span>`}</p></div>
  </section>`;
}

function Zone({ id, zone }) {
  const rows = [
    ["share", zone.water_fraction === null ? "–" : percent(zone.water_fraction)],
    ["depth", depthOf(zone.depth)],
    ["area", zone.area_m2 === null || zone.area_m2 === undefined ? "" : `${whole(zone.area_m2)} m²`],
    ["trend", zone.trend && html`<${Trend} trend=${zone.trend} />`],
    ["next", nextOf(zone.trend?.next_level)],
    ["confidence", zone.confidence === null || zone.confidence === undefined ? "" : percent(zone.confidence)],
    ["since", momentOf(zone.since)],
  ];
  return html`<article class="zone"><h3>${id} <${LevelBadge} level=${zone.level} /></h3>
    <dl>${rows.filter(([, value]) => value).map(([name, value]) => html`
      <div key=${name}><dt>${t(`zone.${name}`)}</dt><dd>${value}</dd></div>`)}</dl></article>`;
}

function nextOf(next) {
  if (!next) return "";
  const values = { level: t(`level.${next.level}`), soonest: durationOf(next.eta_s_min) };
  if (next.eta_s_max === null) return t("zone.next.from", values);
  return t("zone.next.between", { ...values, latest: durationOf(next.eta_s_max) });
}

function HealthSection({ health }) {
  const codes = (health.codes ?? []).filter((code) => hasText(`code.${code}`));
  return html`<section class="health-of" aria-labelledby="health-title"><h2 id="health-title">${
    t("camera.health")}</h2><p><${Health} health=${health} /></p>
    ${codes.map((code) => html`<p key=${code}>${t(`code.${code}`)}</p>`)}
    ${health.detail && html`<p class="quiet">${health.detail}</p>`}</section>`;
}

function Gone() {
  return html`<div class="empty"><h1>${t("camera.gone")}</h1><a href=${toWall}>${t("nav.wall")}</a></div>`;
}

function Episodes({ id }) {
  const { isRead, closed, next } = useClosed(id);
  const open = openEpisodes.value.filter((episode) => episode.camera === id);
  return html`<section aria-labelledby="episodes-title"><h2 id="episodes-title">${t("camera.episodes")}</h2>
    <${EpisodeList} list=${[...open, ...closed]} withCamera=${false}
      empty=${t(isRead ? "camera.episodes.none" : "loading")} />
    ${next && html`<button onClick=${next}>${t("episodes.older")}</button>`}</section>`;
}

export function CameraView({ id }) {
  const card = cardOf(id);
  if (!card) return html`<${Gone} />`;
  return html`<div class="page camera">
    <div class="title"><a href=${toWall} class="back">← ${t("nav.wall")}</a>
      <h1>${card.title}</h1><span class="quiet">${card.id}${card.group && ` · ${card.group}`}</span>
      ${may("admin") && html`<a class="button" href=${toCamera(id, "edit")}>${t("edit")}</a>`}</div>
    <div class="camera-columns"><${Live} card=${card} />
      <div class="facts">
        <section aria-labelledby="zones-title"><h2 id="zones-title">${t("camera.zones")}</h2>
          ${Object.entries(card.zones).map(([name, zone]) => html`<${Zone} key=${name} id=${name} zone=${zone} />`)}
        </section><${HealthSection} health=${card.health} /></div></div>
    <${History} card=${card} />
    <${Episodes} id=${id} />
  </div>`;
}
