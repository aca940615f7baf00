// What is wrong with a drawing, said where it is while it is drawn. The daemon checks it again.
import { idOf } from "./editor_drawing.js";

const NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const MAX_CORNERS = 500;
const MAX_SHAPES = 64;
const LEAST_AREA = 1e-8;
const IN_LINE = 0.005;

/** Problems as {id, text, values}: `id` of a figure, "zones.0" or "gauges.1", or "". */
export function problemsOf(drawing, figures) {
  const problems = [];
  const add = (id, text, values = {}) => problems.push({ id, text, values });
  checkNames(drawing.zones, "zones", add);
  checkNames(drawing.gauges, "gauges", add);
  for (const figure of figures) {
    const { kind, points } = figure;
    if (kind === "zone") checkZone(points, (text, values) => add(idOf(figure), text, values));
    if (kind === "ground" && isAnyThreeInLine(points)) add("ground", "ground.line");
  }
  drawing.gauges.forEach((gauge, i) => checkGauge(gauge, drawing.zones, `gauges.${i}`, add));
  if (drawing.ground) checkGround(drawing.ground, add);
  return problems;
}

function checkNames(things, key, add) {
  if (things.length > MAX_SHAPES) add("", "shapes", { max: MAX_SHAPES });
  things.forEach(({ name }, i) => {
    if (!NAME.test(name)) add(`${key}.${i}`, "name");
    else if (things.findIndex((other) => other.name === name) < i) add(`${key}.${i}`, "twice");
  });
}

function checkZone(points, add) {
  if (points.length < 3) add("corners.few");
  else if (points.length > MAX_CORNERS) add("corners.many", { max: MAX_CORNERS });
  else if (isFlat(points)) add("flat");
  else if (isCrossing(points.filter((one, i) => gap(one, points.at(i - 1)) > 0))) add("crosses");
}

function checkGauge({ zone, marks, staff }, zones, id, add) {
  const names = zones.length ? zones.map(({ name }) => name) : ["full"];
  if (zone === undefined ? names.length > 1 : !names.includes(zone)) add(id, "gauge.zone");
  const isHeight = (cm) => Number.isFinite(cm) && cm >= 0 && cm <= 1000;
  if ((marks ?? []).some(({ preset, depth_cm: cm }) => !preset && !isHeight(cm))) add(id, "height");
  if (!staff) return;
  const bottom = staff.bottom_cm ?? 0;
  if (!isHeight(bottom) || !isHeight(staff.top_cm)) add(id, "height");
  else if (staff.top_cm <= bottom || String(staff.top) === String(staff.bottom)) add(id, "staff");
}

function checkGround({ metres, sides_m: sides, diagonal_m: diagonal }, add) {
  if (metres) {
    if (!metres.flat().every(Number.isFinite)) add("ground", "metres");
    else if (isAnyThreeInLine(metres)) add("ground", "ground.line");
    return;
  }
  const isLength = (m) => Number.isFinite(m) && m > 0;
  if (![...sides, diagonal].every(isLength)) add("ground", "metres");
  else if (![[0, 1], [2, 3]].every(([i, j]) => meet(sides[i], sides[j], diagonal))) {
    add("ground", "sides");
  }
}

const meet = (one, other, base) => Math.abs(one - other) < base && base < one + other;

const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);

function isFlat(points) {
  const [first] = points;
  const far = points.reduce((best, point) => (gap(first, point) > gap(first, best) ? point : best));
  return points.every((point) => Math.abs(turn(first, far, point)) < LEAST_AREA);
}

const gap = (one, other) => Math.hypot(one[0] - other[0], one[1] - other[1]);

function isAnyThreeInLine(points) {
  for (let left = 0; left < points.length; left += 1) {
    const [a, b, c] = points.filter((_, i) => i !== left);
    const longest = Math.max(gap(a, b), gap(b, c), gap(a, c));
    if (Math.abs(turn(a, b, c)) <= IN_LINE * longest ** 2) return true;
  }
  return false;
}

/** Whether two edges of a closed outline cross or touch elsewhere than at a common corner. */
function isCrossing(points) {
  const { length } = points;
  for (let i = 0; i < length; i += 1) {
    for (let j = i + 2; j < length; j += 1) {
      if ((j + 1) % length === i) continue;
      if (meets(points[i], points[i + 1], points[j], points[(j + 1) % length])) return true;
    }
  }
  return points.some((one, i) => isBack(points.at(i - 1), one, points[(i + 1) % length]));
}

/** Whether the outline turns round at `b` and runs back over itself. */
function isBack(a, b, c) {
  return turn(a, b, c) === 0 && (a[0] - b[0]) * (c[0] - b[0]) + (a[1] - b[1]) * (c[1] - b[1]) > 0;
}

function meets(a, b, c, d) {
  const [one, two] = [turn(a, b, c), turn(a, b, d)];
  const [three, four] = [turn(c, d, a), turn(c, d, b)];
  if (Math.sign(one) !== Math.sign(two) && Math.sign(three) !== Math.sign(four)) return true;
  return [[a, b, c, one], [a, b, d, two], [c, d, a, three], [c, d, b, four]].some(
    ([from, to, point, side]) => side === 0 && isBetween(from, to, point),
  );
}

function isBetween(from, to, [x, y]) {
  return x >= Math.min(from[0], to[0]) && x <= Math.max(from[0], to[0])
    && y >= Math.min(from[1], to[1]) && y <= Math.max(from[1], to[1]);
}
