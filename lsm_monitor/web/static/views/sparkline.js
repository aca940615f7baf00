// The last hour of a camera's water as a line of a hundred pixels; the numbers stand beside it.
import { html } from "../html.js";

const WIDTH = 100;
const HEIGHT = 24;
const HOUR_S = 3600;
const LEAST_TOP = 0.3; // a puddle must not look like a flood

export function Sparkline({ points, nowS }) {
  if (!points || points.length < 2) return html`<span class="spark"></span>`;
  const top = Math.max(LEAST_TOP, ...points.map(([, fraction]) => fraction));
  const xOf = (atS) => WIDTH * (1 - (nowS - atS) / HOUR_S);
  const spots = points.filter(([atS]) => nowS - atS <= HOUR_S)
    .map(([atS, fraction]) => `${xOf(atS).toFixed(1)} ${(HEIGHT - 1 - (HEIGHT - 3) * (fraction / top)).toFixed(1)}`);
  if (spots.length < 2) return html`<span class="spark"></span>`;
  const first = spots[0].split(" ")[0];
  const last = spots[spots.length - 1].split(" ")[0];
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none"
    aria-hidden="true">
    <path class="fill" d=${`M${first} ${HEIGHT}L${spots.join("L")}L${last} ${HEIGHT}z`} />
    <path class="line" d=${`M${spots.join("L")}`} /></svg>`;
}
