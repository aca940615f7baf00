// All cameras, the worst first, and the floods that wait for somebody.
import { useLayoutEffect, useRef } from "../vendor/hooks.js";
import { computed, signal, useComputed } from "../vendor/signals.js";
import { html } from "../html.js";
import { ageOf, depthOf, percent, t } from "../i18n.js";
import { Health, isAlarm, isBlind, LevelBadge, Trend } from "../level.js";
import { toCamera } from "../route.js";
import { allCards, cardOf, nowMs, steady, wallOrder } from "../store.js";
import { Alarms } from "./alarms.js";
import { Picture } from "./picture.js";
import { Sparkline } from "./sparkline.js";

const OLD = { intervals: 3, leastS: 30 };
const FILTERS = {
  all: () => true,
  alarm: isAlarm,
  blind: isBlind,
  wet: (card) => card.enabled && card.level === "wet",
  dry: (card) => card.enabled && card.level === "dry",
};
const search = signal("");
const filter = signal("all");
const group = signal("");

const groups = steady(() => [...new Set(allCards().map((card) => card.group).filter(Boolean))].sort());

function isMeant(card, text) {
  return [card.title, card.id, card.group ?? "", ...Object.keys(card.zones)]
    .some((word) => word.toLowerCase().includes(text));
}

const shown = steady(() => {
  const text = search.value.trim().toLowerCase();
  return wallOrder.value.filter((id) => {
    const card = cardOf(id);
    return FILTERS[filter.value](card) && (!group.value || card.group === group.value)
      && (!text || isMeant(card, text));
  });
});

const counts = computed(() => {
  const cards = allCards();
  return Object.fromEntries(
    Object.entries(FILTERS).map(([name, fits]) => [name, cards.filter(fits).length]),
  );
});

export function isOld(card, atMs) {
  if (!card.enabled || !card.observed_at) return false;
  const limitS = Math.max(OLD.leastS, OLD.intervals * card.interval_s);
  return atMs - Date.parse(card.observed_at) > 1000 * limitS;
}

export function ageText(card, atMs) {
  return card.observed_at ? ageOf((atMs - Date.parse(card.observed_at)) / 1000) : t("age.never");
}

function Filters() {
  return html`<div class="filters" role="search" aria-label=${t("wall.find")}>
    <input id="search" type="search" value=${search.value} placeholder=${t("wall.search")}
      aria-label=${t("wall.search")} onInput=${(event) => { search.value = event.target.value; }} />
    <div class="chips" role="group" aria-label=${t("wall.levels")}>
      ${Object.keys(FILTERS).map((name) => html`<button class=${`chip ${name}`}
        aria-pressed=${filter.value === name ? "true" : "false"}
        onClick=${() => { filter.value = name; }}>${t(`filter.${name}`)}${" "}
        <span class="number">${counts.value[name]}</span></button>`)}</div>
    ${groups.value.length > 1 && html`<select value=${group.value} aria-label=${t("wall.group")}
      onChange=${(event) => { group.value = event.target.value; }}>
      <option value="">${t("wall.groups")}</option>
      ${groups.value.map((name) => html`<option value=${name}>${name}</option>`)}</select>`}
  </div>`;
}

function Card({ id }) {
  const card = cardOf(id);
  const old = useComputed(() => isOld(cardOf(id) ?? card, nowMs.value));
  const age = useComputed(() => ageText(cardOf(id) ?? card, nowMs.value));
  if (!card) return null;
  const level = card.enabled ? card.level : "off";
  const depth = depthOf(card.depth);
  return html`<li class=${`card level-${level} ${isAlarm(card) ? "alarm" : ""} ${old.value ? "old" : ""}`}
    data-camera=${id}>
    <div class="view"><${Picture} card=${card} /><${LevelBadge} level=${level} />
      ${old.value && html`<span class="old-tag">${t("picture.old")}</span>`}</div>
    <h3><a href=${toCamera(id)} data-walk>${card.title}</a></h3>
    <p class="numbers"><strong>${card.water_fraction === null ? "–" : percent(card.water_fraction)}</strong>
      ${depth && html`<span>${depth}</span>`}<${Trend} trend=${card.trend} /></p>
    <${Sparkline} points=${card.spark} nowS=${Date.parse(card.observed_at ?? 0) / 1000} />
    <p class="foot"><${Health} health=${card.health} /><span class="age">${age}</span></p>
  </li>`;
}

function Empty() {
  if (wallOrder.value.length === 0) {
    return html`<div class="empty"><h2>${t("wall.empty")}</h2><p>${t("wall.empty.do")}</p>
      <pre>lsm-monitor cameras add ID URL --config monitor.yaml</pre></div>`;
  }
  const reset = () => { search.value = ""; filter.value = "all"; group.value = ""; };
  return html`<div class="empty"><h2>${t("wall.nothing")}</h2>
    <button onClick=${reset}>${t("wall.reset")}</button></div>`;
}

/** Moving a focused card takes the focus from it; give it back. */
function useFocusThatStays(ids) {
  const list = useRef(null);
  const focused = useRef(null);
  useLayoutEffect(() => {
    const link = focused.current;
    if (link?.isConnected && document.activeElement === document.body) link.focus({ preventScroll: true });
  }, [ids]);
  const remember = (event) => { focused.current = event.target; };
  const forget = (event) => { if (event.relatedTarget) focused.current = null; };
  return { ref: list, onFocusIn: remember, onFocusOut: forget };
}

function Cards() {
  const ids = shown.value;
  const focus = useFocusThatStays(ids);
  if (ids.length === 0) return html`<${Empty} />`;
  return html`<ul class="cards" ...${focus}>${ids.map((id) => html`<${Card} key=${id} id=${id} />`)}</ul>`;
}

export function WallView() {
  return html`<div class="wall">
    <h1 class="hidden-text">${t("nav.wall")}</h1>
    <${Alarms} />
    <section class="cameras" aria-labelledby="cameras-title">
      <h2 id="cameras-title" class="hidden-text">${t("wall.cameras")}</h2>
      <${Filters} /><${Cards} /></section>
  </div>`;
}
