// The editor: draw zones, gauges and ground on a camera's picture, review, save.
//
//   const close = await openEditor(element, { cameraId, api });
//
// What is drawn and not saved is kept in this tab, so that neither an expired session, nor a
// conflict, nor a lost connection costs any of it.
import { useState } from "./vendor/hooks.js";
import { render } from "./vendor/preact.js";
import { html } from "./html.js";
import { t } from "./i18n.js";
import { announce } from "./notice.js";
import { Canvas } from "./editor_canvas.js";
import { problemsOf } from "./editor_checks.js";
import { drawingOf, figuresOf, geometryOf, idOf, redo, renamesOf, undo, withZone } from "./editor_drawing.js";
import { Panel } from "./editor_panel.js";
import { Review } from "./editor_review.js";
import { useDrawing, useListener, usePreview } from "./editor_state.js";
import { cardOf } from "./store.js";

const CLOSE_TO_FIRST = 0.015;

export async function openEditor(root, { cameraId, api }) {
  wear();
  const address = `api/cameras/${encodeURIComponent(cameraId)}`;
  const camera = await api.get(address);
  render(html`<${Editor} camera=${camera} address=${address} api=${api} />`, root);
  return () => render(null, root);
}

/** The style sheet comes with the editor, not with the page. */
function wear() {
  const href = new URL("editor.css", import.meta.url).href;
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return;
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href }));
}

function Editor({ camera, address, api }) {
  const drawn = useDrawing(camera);
  const { shown: drawing, told } = drawn;
  const [selected, select] = useState("");
  const [sketch, setSketch] = useState(null);
  const [isReviewing, setReviewing] = useState(false);
  const [kind, setKind] = useState("raw");
  const version = cardOf(camera.id)?.picture ?? camera.picture;
  const figures = figuresOf(drawing);
  const { preview, refused } = usePreview(address, api, drawing, figures, version);
  const problems = [...problemsOf(drawing, figures), ...refused];
  const wrong = new Set(problems.flatMap(({ id }) => figures.map(idOf).filter((one) => (
    one === id || one.startsWith(`${id}.`)))));

  const change = (next, isLast, { isNew = false, what = "" } = {}) => {
    drawn.change(next, isLast, what);
    if (isNew) focusOn(figuresOf(next).findLast((one) => !figures.some((old) => idOf(old) === idOf(one))), select);
  };
  const act = { select, change, ...sketching(drawing, sketch, setSketch, change) };
  const travel = (move) => {
    setSketch(null);
    drawn.travel(move);
  };
  useShortcuts({ sketch, act, travel });

  return html`<div class="editor">
    <${Toolbar} ...${{ drawn, travel, problems, kind, setKind }} onReview=${() => setReviewing(true)} />
    <p class="ed-told" role="status">${told}
      ${told && drawn.isChanged && html` <button type="button"
        onClick=${() => change(drawingOf(drawn.base), true)}>${t("editor.discard")}</button>`}</p>
    ${sketch && html`<${Sketching} count=${sketch.length} act=${act} />`}
    ${problems.filter(({ id }) => !id).map((one) => html`<p class="problem" role="alert" key=${one.text}>⚠ ${
      one.said ?? t(`editor.problem.${one.text}`, one.values)}</p>`)}
    <div class="ed-columns">
      <div><${Canvas} picture=${{ src: pictureOf(address, version, kind), alt: camera.title }}
        ...${{ drawing, figures, selected, wrong, sketch, act }}
        fractions=${Object.fromEntries(Object.entries(preview ?? {}).map(([name, one]) => [name, one.water_fraction]))} />
        <p class="quiet">${t("editor.help")}</p></div>
      <${Panel} ...${{ drawing, selected, problems, preview, act }} /></div>
    ${isReviewing && html`<${Saving} ...${{ drawn, address, api }} onClose=${() => setReviewing(false)} />`}</div>`;
}

/** The zone that is being drawn, corner by corner; null while none is. */
function sketching(drawing, sketch, setSketch, change) {
  const finish = (points) => {
    setSketch(null);
    if (points.length > 2) change(withZone(drawing, points), true, { isNew: true });
  };
  return {
    finish: () => finish(sketch),
    cancel: () => setSketch(null),
    sketch(points) {
      const [first, last] = [points[0], points.at(-1)];
      const isBack = Math.hypot(first[0] - last[0], first[1] - last[1]) < CLOSE_TO_FIRST;
      if (points.length > 3 && isBack) finish(points.slice(0, -1));
      else setSketch(points);
    },
    // By keyboard there is nothing to click at: a zone to be moved into its place.
    startSketch(isByKey) {
      if (isByKey) {
        change(withZone(drawing), true, { isNew: true });
        return;
      }
      setSketch([]);
      document.querySelector(".ed-canvas").scrollIntoView({ block: "nearest" });
    },
  };
}

function useShortcuts({ sketch, act, travel }) {
  useListener("keydown", (event) => {
    if (event.target.closest("dialog")) return;
    const key = event.key.toLowerCase();
    if (sketch && key === "escape") act.cancel();
    // On a button or in a field Enter means that one.
    if (sketch && key === "enter" && !event.target.closest("button, input, select, a")) {
      event.preventDefault();
      act.finish();
    }
    if (!(event.ctrlKey || event.metaKey) || event.target.matches("input")) return;
    const isRedo = key === "y" || (key === "z" && event.shiftKey);
    if (!isRedo && key !== "z") return;
    event.preventDefault();
    travel(isRedo ? redo : undo);
  });
}

function Toolbar({ drawn, travel, problems, kind, setKind, onReview }) {
  const { past, future } = drawn.history;
  return html`<div class="ed-bar" role="toolbar" aria-label=${t("editor.tools")}>
    <button type="button" data-undo disabled=${!past.length} onClick=${() => travel(undo)}>↶ ${t("editor.undo")}</button>
    <button type="button" data-redo disabled=${!future.length} onClick=${() => travel(redo)}>↷ ${t("editor.redo")}</button>
    <label><input type="checkbox" checked=${kind === "overlay"}
      onChange=${(event) => setKind(event.target.checked ? "overlay" : "raw")} /> ${t("editor.overlay")}</label>
    ${problems.length > 0 && html`<button type="button" class="ed-mend" onClick=${() => goTo(problems[0].id)}>⚠ ${
      t("editor.mend", { count: problems.length })}</button>`}
    <button type="button" class="primary" data-review disabled=${!drawn.isChanged || problems.length > 0}
      onClick=${onReview}>${t("editor.review")}</button></div>`;
}

function Sketching({ count, act }) {
  return html`<p class="ed-told ed-sketching" role="status">${t("editor.sketch", { count })}
    <button type="button" data-done disabled=${count < 3} onClick=${act.finish}>${t("editor.sketch.done")}</button>
    <button type="button" onClick=${act.cancel}>${t("editor.sketch.cancel")}</button></p>`;
}

function Saving({ drawn, address, api, onClose }) {
  const ask = (isAnyBase) => {
    const wanted = geometryOf(drawn.now);
    const renamed = renamesOf(drawn.now);
    return api.post(`${address}/diff`, { ...wanted, renamed, base: isAnyBase ? null : drawn.base });
  };
  const onSaved = ({ changes }) => {
    drawn.saved();
    onClose();
    drawn.tell(t("editor.saved", { changes }));
    announce(t("editor.saved", { changes }));
  };
  const takeTheirs = async () => {
    const { geometry } = await api.get(address);
    onClose();
    drawn.yieldTo(geometry);
    drawn.tell(t("editor.theirs"));
  };
  const names = new Set(drawn.now.zones.map(({ name }) => name));
  return html`<${Review} ask=${ask} save=${(token) => api.post(`${address}/save`, { token })}
    onSaved=${onSaved} onClose=${onClose} onTheirs=${takeTheirs}
    gone=${Object.keys(drawn.base.zones).filter((name) => !names.has(name))} />`;
}

function focusOn(figure, select) {
  if (!figure) return;
  select(idOf(figure));
  const corner = `[data-corner="${figure.paths[0].join(".")}"]`;
  setTimeout(() => document.querySelector(corner)?.focus());
}

/** Show what is wrong with something in the list beside the picture. */
function goTo(id) {
  const item = document.querySelector(`[data-item="${id}"]`);
  item?.scrollIntoView({ block: "nearest" });
  item?.querySelector("input, select")?.focus();
}

function pictureOf(address, version, kind) {
  return version && `${address}/picture.jpg?kind=${kind}&v=${encodeURIComponent(version)}`;
}
