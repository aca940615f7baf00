// Water of one zone over time: its share as a line, its level as a band below. Plain SVG: its
// colours follow the theme, and there is nothing to draw again when that changes.
import { useMemo, useState } from "../vendor/hooks.js";
import { html } from "../html.js";
import { dayOf, fine, hourOf, momentOf, percent, t } from "../i18n.js";
import { useWidth } from "./width.js";

const HEIGHT = 190;
const EDGE = { left: 44, right: 10, top: 8, bottom: 44 };
const BAND = 10;
const FULL = [0, 0.25, 0.5, 0.75, 1];
const SMALL = [0, 0.1, 0.2, 0.3];
const TICKS_S = [300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400];
const GAP = { times: 4, leastMs: 90_000 };

/** Pieces without a gap: a camera that was blind was not dry. */
export function pieces(points) {
  const steps = points.slice(1).map((point, i) => point.ms - points[i].ms).sort((a, b) => a - b);
  const usual = steps[Math.floor(steps.length / 2)] ?? 0;
  const gapMs = Math.max(GAP.leastMs, GAP.times * usual);
  const found = [];
  let last = null;
  for (const point of points) {
    if (point.fraction === null) {
      last = null;
      continue;
    }
    if (last && point.ms - last.ms <= gapMs) found[found.length - 1].push(point);
    else found.push([point]);
    last = point;
  }
  return found;
}

function ticks(startMs, endMs, width) {
  const wanted = Math.max(2, Math.floor(width / 90));
  const stepS = TICKS_S.find((one) => (endMs - startMs) / 1000 / one <= wanted) ?? 86400;
  // Full hours of the watcher's clock, also where that is half an hour off.
  const offsetS = new Date(startMs).getTimezoneOffset() * 60;
  const first = Math.ceil((startMs / 1000 - offsetS) / stepS) * stepS + offsetS;
  const found = [];
  for (let atS = first; atS * 1000 < endMs; atS += stepS) found.push(atS * 1000);
  return { at: found, label: stepS >= 86400 ? dayOf : hourOf };
}

function Axes({ x, y, levels, time, width }) {
  return html`<g class="axes">
    ${levels.map((one) => html`<g key=${one}><line x1=${EDGE.left} x2=${width - EDGE.right} y1=${y(one)} y2=${y(one)} />
      <text x=${EDGE.left - 6} y=${y(one) + 4} text-anchor="end">${percent(one)}</text></g>`)}
    ${time.at.map((ms) => html`<g key=${ms}><line class="down" x1=${x(ms)} x2=${x(ms)} y1=${EDGE.top} y2=${HEIGHT - EDGE.bottom} />
      <text x=${x(ms)} y=${HEIGHT - 6} text-anchor="middle">${time.label(ms)}</text></g>`)}</g>`;
}

function Curves({ parts, x, y }) {
  const spot = (point, value) => `${x(point.ms).toFixed(1)} ${y(value).toFixed(1)}`;
  const line = (part) => `M${part.map((point) => spot(point, point.fraction)).join("L")}`;
  const peak = (part) => part.map((point) => spot(point, point.fraction_max ?? point.fraction));
  const area = (part) => `${line(part)}L${peak(part).reverse().join("L")}z`;
  const under = (part) => `M${x(part[0].ms)} ${y(0)}L${line(part).slice(1)}L${x(part[part.length - 1].ms)} ${y(0)}z`;
  return html`<path class="under" d=${parts.map(under).join("")} />
    <path class="peak" d=${parts.map(area).join("")} />
    <path class="line" d=${parts.map(line).join("")} />`;
}

/** One bar per run of the same level. */
function Band({ points, x, endMs }) {
  const top = HEIGHT - EDGE.bottom + 8;
  const runs = [];
  points.forEach((point, i) => {
    const until = points[i + 1]?.ms ?? endMs;
    const run = runs[runs.length - 1];
    if (run?.level === point.level) run.until = until;
    else runs.push({ level: point.level, from: point.ms, until });
  });
  return html`<g class="band">${runs.map((run) => html`<rect key=${run.from} class=${`level-${run.level}`}
    x=${x(run.from)} width=${Math.max(1.5, x(run.until) - x(run.from))} y=${top} height=${BAND} />`)}</g>`;
}

function summary(points) {
  const seen = points.filter((point) => point.fraction !== null);
  if (!seen.length) return t("timeline.none");
  const highest = seen.reduce((a, b) => ((b.fraction_max ?? b.fraction) > (a.fraction_max ?? a.fraction) ? b : a));
  return t("timeline.summary", {
    share: percent(highest.fraction_max ?? highest.fraction), when: momentOf(highest.ms),
    level: t(`level.${highest.level}`),
  });
}

function Readout({ point }) {
  if (!point) return html`<p class="readout quiet">${t("timeline.point")}</p>`;
  const depth = point.depth_cm === null ? "" : t("depth.about", { cm: fine(point.depth_cm) });
  const share = point.fraction === null ? "–" : percent(point.fraction);
  return html`<p class="readout"><strong>${momentOf(point.ms)}</strong> · ${share} · ${
    t(`level.${point.level}`)}${depth && ` · ${depth}`}</p>`;
}

/** points: [{ms, fraction|null, fraction_max, level, depth_cm|null}], oldest first. */
export function Timeline({ points, startMs, endMs }) {
  const [box, width] = useWidth();
  const [at, setAt] = useState(null);
  const parts = useMemo(() => pieces(points), [points]);
  const highest = Math.max(0, ...points.map((point) => point.fraction_max ?? point.fraction ?? 0));
  const levels = highest > SMALL[SMALL.length - 1] ? FULL : SMALL;
  const top = levels[levels.length - 1];
  const span = width - EDGE.left - EDGE.right;
  const x = (ms) => EDGE.left + span * Math.min(1, Math.max(0, (ms - startMs) / (endMs - startMs)));
  const y = (share) => EDGE.top + (HEIGHT - EDGE.top - EDGE.bottom) * (1 - Math.min(1, share / top));
  const chosen = at === null ? null : points[Math.min(at, points.length - 1)];
  const point = (event) => {
    const left = event.currentTarget.getBoundingClientRect().left;
    const ms = startMs + (endMs - startMs) * ((event.clientX - left - EDGE.left) / span);
    const later = points.findIndex((one) => one.ms >= ms);
    setAt(later < 0 ? points.length - 1 : later);
  };
  return html`<figure class="timeline" ref=${box}>
    <svg viewBox=${`0 0 ${width} ${HEIGHT}`} height=${HEIGHT} role="img" aria-label=${summary(points)}
      onPointerMove=${points.length ? point : undefined}>
      <${Axes} x=${x} y=${y} levels=${levels} time=${ticks(startMs, endMs, span)} width=${width} />
      <${Curves} parts=${parts} x=${x} y=${y} />
      <${Band} points=${points} x=${x} endMs=${endMs} />
      ${chosen && html`<line class="cursor" x1=${x(chosen.ms)} x2=${x(chosen.ms)} y1=${EDGE.top}
        y2=${HEIGHT - EDGE.bottom + BAND + 8} />`}
    </svg>
    ${points.length > 1 && html`<input type="range" min="0" max=${points.length - 1}
      value=${at ?? points.length - 1} aria-label=${t("timeline.scrub")}
      aria-valuetext=${chosen ? `${momentOf(chosen.ms)}, ${chosen.fraction === null ? "–" : percent(chosen.fraction)}, ${t(`level.${chosen.level}`)}` : undefined}
      onInput=${(event) => setAt(Number(event.target.value))} />`}
    <figcaption><${Readout} point=${chosen} /><p class="quiet">${summary(points)}</p></figcaption>
  </figure>`;
}
