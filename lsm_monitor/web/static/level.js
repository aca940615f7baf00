// Levels for people: a word, a shape and a colour each, so that none of them is needed alone.
import { html } from "./html.js";
import { t } from "./i18n.js";

export const LEVELS = ["severe", "flooded", "ponding", "wet", "dry", "unknown"];
const RANK = { severe: 6, flooded: 5, ponding: 4, unknown: 2, wet: 1, dry: 0 };

/** Where a camera stands on the wall: floods, blind during a flood, blind, wet, dry, off. */
export function rankOf(card) {
  if (!card.enabled) return -1;
  if (card.level === "unknown" && card.events.length) return 3;
  return RANK[card.level] ?? 2;
}

/** The level an episode is shown at: its worst, once it is over or its camera is blind. */
export const levelOf = (episode) => (episode.status === "open" ? episode.level : episode.worst_level);
export const severityOf = (episode) => RANK[levelOf(episode)];

export const isAlarm = (card) => card.enabled && (rankOf(card) >= 4 || card.events.length > 0);
export const isBlind = (card) => card.enabled && card.level === "unknown";

// 16 x 16, drawn with the text's colour.
const SHAPES = {
  dry: "M3 8.5l3.2 3.2L13 4.8",
  wet: "M8 2.2c2.4 3 3.8 5 3.8 7a3.8 3.8 0 0 1-7.6 0c0-2 1.4-4 3.8-7z",
  ponding: "M1.5 10q1.6-2 3.25 0t3.25 0 3.25 0 3.25 0",
  flooded: "M1.5 6.5q1.6-2 3.25 0t3.25 0 3.25 0 3.25 0M1.5 11.5q1.6-2 3.25 0t3.25 0 3.25 0 3.25 0",
  severe: "M8 1.8L14.8 14H1.2zM8 6v4M8 11.6v.6",
  unknown: "M5.4 5.6a2.6 2.6 0 1 1 3.9 2.3C8.3 8.5 8 9 8 10M8 12.6v.6",
  off: "M4.5 4.5l7 7M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 1 0 8 1.8",
};

export function LevelIcon({ level }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
    <path d=${SHAPES[level] ?? SHAPES.unknown} /></svg>`;
}

export function shapeOf(level) {
  return SHAPES[level] ?? SHAPES.unknown;
}

export function LevelBadge({ level }) {
  return html`<span class=${`badge level-${level}`}>
    <${LevelIcon} level=${level} />${t(`level.${level}`)}</span>`;
}

const ARROWS = { rising: "↗", steady: "→", falling: "↘" };

export function Trend({ trend }) {
  if (!trend?.direction) return null;
  const rate = Math.abs(trend.pp_per_min ?? 0);
  const text = trend.direction === "steady" ? t("trend.steady")
    : t(`trend.${trend.direction}`, { rate: rate < 10 ? rate.toFixed(1) : rate.toFixed(0) });
  return html`<span class=${`trend ${trend.direction}`} title=${t("trend.unit")}>
    <span aria-hidden="true">${ARROWS[trend.direction]} </span>${text}</span>`;
}

const HEALTH = { starting: "…", usable: "●", unusable: "◐", offline: "○" };

export function Health({ health }) {
  const codes = health.codes ?? [];
  return html`<span class=${`health ${health.state}`} title=${health.detail || undefined}>
    <span aria-hidden="true">${HEALTH[health.state] ?? "?"} </span>
    ${t(`health.${health.state}`)}${codes.length ? ` · ${codes.join(", ")}` : ""}</span>`;
}
