// The picture with what is drawn on it: corners to drag, to move by keys, to add and to take out.
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { html } from "./html.js";
import { percent, t } from "./i18n.js";
import { idOf, inserted, mayRemove, middle, moved, removed } from "./editor_drawing.js";

const KEY_STEP = 0.0025;
const LARGE_STEPS = 10;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param picture {src, alt} of the picture, src null before the first.
 * @param figures what is drawn; see editor_drawing.js.
 * @param selected id of the selected figure.
 * @param wrong ids of figures that have a problem.
 * @param fractions share of water by the zone's name.
 * @param sketch corners of a zone that is being drawn; null: none is.
 * @param act {select, change(drawing, isLast, {isNew, what}), sketch(points), finish()}.
 */
export function Canvas({ picture, drawing, figures, selected, wrong, fractions, sketch, act }) {
  const svg = useRef(null);
  const [size, setSize] = useState([960, 540]);
  const [shown, setShown] = useState(1);
  useEffect(() => {
    const watch = new ResizeObserver(() => setShown(svg.current.clientWidth / size[0] || 1));
    watch.observe(svg.current);
    return () => watch.disconnect();
  }, [size]);
  const place = (event) => {
    const box = svg.current.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const onClick = (event) => {
    if (sketch) act.sketch([...sketch, place(event)]);
  };
  const px = ([x, y]) => [x * size[0], y * size[1]];
  const sized = { drawing, px, place, act, unit: 1 / shown };
  return html`<div class="ed-canvas" data-sketching=${sketch ? "" : null}>
    ${picture.src
    ? html`<img src=${picture.src} alt=${picture.alt} draggable=${false}
        onLoad=${({ target }) => setSize([target.naturalWidth, target.naturalHeight])} />`
    : html`<p class="ed-blank">${t("editor.picture.none")}</p>`}
    <svg ref=${svg} viewBox=${`0 0 ${size[0]} ${size[1]}`} preserveAspectRatio="none" role="group"
      aria-label=${t("editor.canvas")} onClick=${onClick}>
      ${figures.map((figure) => html`<${Figure} key=${idOf(figure)} figure=${figure}
        isSelected=${idOf(figure) === selected} isWrong=${wrong.has(idOf(figure))}
        fraction=${figure.kind === "zone" ? fractions[figure.name] : undefined}
        isQuiet=${sketch !== null} ...${sized} />`)}
      ${sketch && html`<${Sketch} points=${sketch} ...${sized} />`}
    </svg></div>`;
}

function Sketch({ points, px, unit, act }) {
  const close = (event) => {
    event.stopPropagation();
    act.finish();
  };
  return html`<g class="ed-sketch"><polyline points=${points.map(px).join(" ")} />
    ${points.map((point, i) => html`<circle key=${i} cx=${px(point)[0]} cy=${px(point)[1]}
      r=${(i === 0 ? 9 : 5) * unit} onClick=${i === 0 && points.length > 2 ? close : null} />`)}</g>`;
}

function Figure({ figure, isSelected, isWrong, fraction, isQuiet, ...sized }) {
  const { px, unit, act } = sized;
  const corners = figure.points.map(px);
  const Tag = figure.isClosed ? "polygon" : "polyline";
  const select = (event) => {
    if (isQuiet) return;
    event.stopPropagation();
    act.select(idOf(figure));
  };
  const names = ["ed-figure", figure.kind, isSelected && "selected", isWrong && "wrong"];
  return html`<g class=${names.filter(Boolean).join(" ")} data-figure=${idOf(figure)}>
    <${Tag} class="outline" points=${corners.join(" ")} onClick=${select} />
    <${Label} figure=${figure} corners=${corners} unit=${unit} isWrong=${isWrong} fraction=${fraction} />
    ${isSelected && !isQuiet && figure.list && edgesOf(figure).map((index) => html`
      <${Edge} key=${`edge${index}`} figure=${figure} index=${index} ...${sized} />`)}
    ${!isQuiet && figure.points.map((_, index) => html`
      <${Corner} key=${index} figure=${figure} index=${index} ...${sized} />`)}</g>`;
}

function edgesOf(figure) {
  if (figure.kind === "spots" || figure.kind === "ground") return [];
  const count = figure.isClosed ? figure.points.length : figure.points.length - 1;
  return [...Array(count).keys()];
}

function Label({ figure, corners, unit, isWrong, fraction }) {
  // At the highest corner: zones lie in each other, but seldom begin at the same place.
  const [x, y] = corners.reduce((top, one) => (one[1] < top[1] ? one : top));
  const share = fraction === undefined ? "" : ` ${percent(fraction)}`;
  const height = figure.heightCm === undefined ? "" : ` ${figure.heightCm} cm`;
  const name = figure.kind === "ground" ? t("editor.ground") : figure.name;
  return html`<text x=${x + 8 * unit} y=${Math.max(y - 9 * unit, 14 * unit)} font-size=${14 * unit}
    stroke-width=${3 * unit} aria-hidden="true">${
    isWrong ? "⚠ " : ""}${name}${height}${share}</text>`;
}

/** The middle of an edge: pulling at it makes a corner. */
function Edge({ figure, index, drawing, px, place, act, unit }) {
  const next = figure.points[(index + 1) % figure.points.length];
  const [x, y] = px(middle(figure.points[index], next));
  const pull = useDrag(place, act, (where) => inserted(drawing, figure, index, where));
  const r = 5 * unit;
  return html`<g class="ed-edge" ...${pull}><circle class="reach" cx=${x} cy=${y} r=${14 * unit} />
    <path d=${`M${x - r} ${y}L${x} ${y - r}L${x + r} ${y}L${x} ${y + r}Z`} /></g>`;
}

function Corner({ figure, index, drawing, px, place, act, unit }) {
  const [x, y] = figure.points[index];
  const path = figure.paths[index];
  const drag = useDrag(place, act, (where) => moved(drawing, path, where));
  const onKeyDown = (event) => {
    const arrow = ARROWS[event.key];
    const many = event.shiftKey ? LARGE_STEPS : 1;
    let next = null;
    if (arrow) {
      next = moved(drawing, path, [x + arrow[0] * KEY_STEP * many, y + arrow[1] * KEY_STEP * many]);
    } else if (["Delete", "Backspace"].includes(event.key) && mayRemove(figure)) {
      next = removed(drawing, figure, index);
    } else if (["Insert", "+"].includes(event.key) && figure.least !== null) {
      next = inserted(drawing, figure, index);
    }
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    act.change(next, true, arrow && { what: path.join(".") });
  };
  const label = t(`editor.corner.${figure.kind}`, {
    number: index + 1, name: figure.name, x: percent(x), y: percent(y),
  });
  const [left, top] = px([x, y]);
  return html`<g class="ed-corner" tabindex="0" role="button" aria-label=${label}
    data-corner=${path.join(".")} ...${drag} onKeyDown=${onKeyDown}
    onFocus=${() => act.select(idOf(figure))} onClick=${(event) => event.stopPropagation()}>
    <circle class="reach" cx=${left} cy=${top} r=${16 * unit} />
    <circle class="dot" cx=${left} cy=${top} r=${6 * unit} />
    ${["staff", "ground"].includes(figure.kind) && html`<text class="number" x=${left + 9 * unit}
      y=${top + 14 * unit} font-size=${12 * unit} stroke-width=${3 * unit} aria-hidden="true">${
      figure.kind === "ground" ? index + 1 : t(`editor.staff.${index ? "top" : "bottom"}`)}</text>`}</g>`;
}

/** Handlers of something that is dragged: `make` gives the drawing for a place. */
function useDrag(place, act, make) {
  const held = useRef(null);
  const begin = (event) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    held.current = { make, hasMoved: false };
  };
  const go = (event) => {
    if (!held.current) return;
    held.current.hasMoved = true;
    act.change(held.current.make(place(event)), false);
  };
  const end = (event) => {
    const { current } = held;
    held.current = null;
    if (current?.hasMoved) act.change(current.make(place(event)), true);
  };
  const cancel = () => {
    if (held.current) act.change(null, true);
    held.current = null;
  };
  return { onPointerDown: begin, onPointerMove: go, onPointerUp: end, onPointerCancel: cancel };
}
