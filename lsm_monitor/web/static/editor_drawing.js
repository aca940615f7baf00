// A drawing: zones, gauges and ground as lists that can be edited, and nothing about the page.
// Every function returns a new drawing; coordinates run from 0 to 1.

export const PRESETS_CM = { lane_mark: 0, kerb: 15, bollard: 60 };
const NEW_ZONE = [[0.35, 0.6], [0.65, 0.6], [0.65, 0.8], [0.35, 0.8]];
const NEW_GROUND = [[0.3, 0.9], [0.7, 0.9], [0.6, 0.6], [0.4, 0.6]];

const rounded = (number) => Math.round(number * 10_000) / 10_000;
const inside = (number) => rounded(Math.min(1, Math.max(0, number)));
const copy = (value) => structuredClone(value);

/** The drawing of a camera's geometry, as the daemon tells it. */
export function drawingOf({ zones, gauges, ground }) {
  return copy({
    zones: Object.entries(zones).map(([name, points]) => ({ name, was: name, points })),
    gauges: Object.entries(gauges).map(([name, gauge]) => ({ name, ...gauge })),
    ground: ground ?? null,
  });
}

/** What the daemon is asked to make of a drawing. */
export function geometryOf({ zones, gauges, ground }) {
  const named = gauges.map(({ name, ...gauge }) => [name, gauge]);
  return copy({
    zones: Object.fromEntries(zones.map(({ name, points }) => [name, points])),
    gauges: Object.fromEntries(named),
    ground,
  });
}

/** New names of zones, and those that they have in the file. */
export function renamesOf({ zones }) {
  const others = zones.filter(({ name, was }) => was !== undefined && was !== name);
  return Object.fromEntries(others.map(({ name, was }) => [name, was]));
}

export const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

export function at(drawing, path) {
  return path.reduce((value, key) => value?.[key], drawing);
}

/** The drawing with `value` at `path`; undefined takes out what is there. */
export function put(drawing, path, value) {
  const result = copy(drawing);
  const last = path.at(-1);
  const around = at(result, path.slice(0, -1));
  if (value !== undefined) around[last] = value;
  else if (Array.isArray(around)) around.splice(last, 1);
  else delete around[last];
  return result;
}

/**
 * Everything that is drawn, as outlines with the paths of their points.
 * `least` is the number of points that must stay; null: their number is fixed.
 */
export function figuresOf(drawing) {
  const figures = drawing.zones.map((zone, i) => ({
    kind: "zone", path: ["zones", i], name: zone.name, isClosed: true, least: 3,
    ...listed(["zones", i, "points"], zone.points),
  }));
  drawing.gauges.forEach((gauge, i) => {
    (gauge.marks ?? []).forEach((mark, j) => {
      const key = mark.line ? "line" : "points";
      figures.push({
        kind: key === "line" ? "line" : "spots", path: ["gauges", i, "marks", j], name: gauge.name,
        isClosed: false, least: key === "line" ? 2 : 1, heightCm: heightCm(mark),
        ...listed(["gauges", i, "marks", j, key], mark[key]),
      });
    });
    if (gauge.staff) {
      const ends = ["bottom", "top"];
      figures.push({
        kind: "staff", path: ["gauges", i, "staff"], name: gauge.name, isClosed: false, least: null,
        points: ends.map((end) => gauge.staff[end]),
        paths: ends.map((end) => ["gauges", i, "staff", end]),
        list: null,
      });
    }
  });
  if (drawing.ground) {
    figures.push({
      kind: "ground", path: ["ground"], name: "", isClosed: true, least: null,
      ...listed(["ground", "points"], drawing.ground.points),
    });
  }
  return figures;
}

function listed(list, points) {
  return { list, points, paths: points.map((_, index) => [...list, index]) };
}

export function heightCm(mark) {
  return mark.preset ? PRESETS_CM[mark.preset] : mark.depth_cm;
}

export const idOf = (figure) => figure.path.join(".");

export function moved(drawing, path, [x, y]) {
  return put(drawing, path, [inside(x), inside(y)]);
}

/** A point more behind the one at `index`, in the middle of the edge unless it is said where. */
export function inserted(drawing, figure, index, where = null) {
  const points = copy(figure.points);
  const next = points[index + 1] ?? (figure.isClosed ? points[0] : null);
  const [x, y] = where ?? (next ? middle(points[index], next) : beside(points[index]));
  points.splice(index + 1, 0, [inside(x), inside(y)]);
  return put(drawing, figure.list, points);
}

export const middle = (one, other) => [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];

const beside = ([x, y]) => [x > 0.9 ? x - 0.05 : x + 0.05, y];

export function mayRemove(figure) {
  return figure.least !== null && figure.points.length > figure.least;
}

export function removed(drawing, figure, index) {
  return put(drawing, figure.list, figure.points.filter((_, i) => i !== index));
}

function freeName(things, stem) {
  const names = new Set(things.map(({ name }) => name));
  let number = 1;
  while (names.has(`${stem}-${number}`)) number += 1;
  return `${stem}-${number}`;
}

/** A zone more. Beside a single one a gauge need not say whose depth it tells; from now on it does. */
export function withZone(drawing, points = NEW_ZONE) {
  const corners = points.map(([x, y]) => [inside(x), inside(y)]);
  const zones = [...drawing.zones, { name: freeName(drawing.zones, "zone"), points: corners }];
  const meant = zones[0].name;
  const gauges = zones.length === 2
    ? drawing.gauges.map((gauge) => (gauge.zone === undefined ? { ...gauge, zone: meant } : gauge))
    : drawing.gauges;
  return { ...drawing, zones, gauges };
}

const NEW_MARKS = {
  line: { line: [[0.4, 0.7], [0.6, 0.7]], preset: "kerb" },
  spots: { points: [[0.5, 0.5]], preset: "bollard" },
};
const NEW_STAFF = { bottom: [0.5, 0.7], top: [0.5, 0.4], bottom_cm: 0, top_cm: 100 };

/** A gauge more: "line", "spots" or "staff". */
export function withGauge(drawing, kind) {
  const gauge = { name: freeName(drawing.gauges, "gauge") };
  if (drawing.zones.length > 1) gauge.zone = drawing.zones[0].name;
  if (kind === "staff") gauge.staff = copy(NEW_STAFF);
  else gauge.marks = [copy(NEW_MARKS[kind])];
  return { ...drawing, gauges: [...drawing.gauges, gauge] };
}

export function withMark(drawing, index, kind) {
  const { marks } = drawing.gauges[index];
  return put(drawing, ["gauges", index, "marks"], [...marks, copy(NEW_MARKS[kind])]);
}

export function withGround(drawing) {
  const ground = { points: copy(NEW_GROUND), sides_m: [3, 10, 3, 10], diagonal_m: 10.4 };
  return { ...drawing, ground };
}

/** The drawing without the figure; a gauge goes with its last mark. */
export function without(drawing, path) {
  if (path[0] === "gauges" && path.length > 2) {
    const { marks } = drawing.gauges[path[1]];
    if (!marks || marks.length === 1) return put(drawing, path.slice(0, 2), undefined);
  }
  if (path[0] === "ground") return { ...drawing, ground: null };
  return put(drawing, path, undefined);
}

/** Another name for a zone; gauges that tell its depth go with it. */
export function renamed(drawing, index, name) {
  const before = drawing.zones[index].name;
  const isOnly = drawing.zones.filter((zone) => zone.name === before).length === 1;
  const result = put(drawing, ["zones", index, "name"], name);
  for (const gauge of result.gauges) {
    if (isOnly && gauge.zone === before) gauge.zone = name;
  }
  return result;
}

export const newHistory = (now) => ({ past: [], now, future: [], what: "" });
const MAX_STEPS = 200;

/** One more step; those that say the same `what` (a name that is typed) are one. */
export function step({ past, now, future, what: before }, next, what = "") {
  if (isSame(now, next)) return { past, now, future, what: before };
  const isSameStep = what !== "" && what === before;
  return { past: isSameStep ? past : [...past, now].slice(-MAX_STEPS), now: next, future: [], what };
}

export function undo(history) {
  const { past, now, future } = history;
  if (!past.length) return history;
  return { past: past.slice(0, -1), now: past.at(-1), future: [now, ...future], what: "" };
}

export function redo(history) {
  const { past, now, future } = history;
  if (!future.length) return history;
  return { past: [...past, now], now: future[0], future: future.slice(1), what: "" };
}
