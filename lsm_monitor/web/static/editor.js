// The editor: draw zones, gauges and ground on a camera's picture, review, save.
//
//   const close = await openEditor(element, { cameraId, api, t });
//
// What is drawn and not saved is kept in this tab, so that neither an expired session, nor a
// conflict, nor a lost connection costs any of it.
import { useEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import { render } from "./vendor/preact.js";
import { html } from "./html.js";
import { t } from "./i18n.js";
import { announce } from "./notice.js";
import { Canvas } from "./editor_canvas.js";
import { problemsOf } from "./editor_checks.js";
import {
  drawingOf, figuresOf, geometryOf, idOf, isSame, newHistory, redo, step, undo, withZone,
} from "./editor_drawing.js";
import { Panel } from "./editor_panel.js";
import { Review } from "./editor_review.js";
import { cardOf } from "./store.js";

const PREVIEW_AFTER_MS = 300;
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

/** What this tab remembers of a camera's unsaved drawing. */
function memoryOf(id) {
  const key = `lsm.editor.${id}`;
  return {
    read: () => JSON.parse(sessionStorage.getItem(key) ?? "null"),
    write: (value) => sessionStorage.setItem(key, JSON.stringify(value)),
    clear: () => sessionStorage.removeItem(key),
  };
}

function Editor({ camera, address, api }) {
  const memory = useMemo(() => memoryOf(camera.id), [camera.id]);
  const kept = useMemo(() => memory.read(), [memory]);
  const [base, setBase] = useState(kept?.base ?? camera.geometry);
  const [history, setHistory] = useState(() => {
    const saved = newHistory(drawingOf(base));
    return kept ? step(saved, kept.drawing) : saved;
  });
  const [dragged, setDragged] = useState(null);
  const [selected, select] = useState("");
  const [sketch, setSketch] = useState(null);
  const [isReviewing, setReviewing] = useState(false);
  const [told, tell] = useState(kept ? t("editor.restored") : "");
  const [kind, setKind] = useState("raw");

  const picture = cardOf(camera.id)?.picture ?? camera.picture;
  const drawing = dragged ?? history.now;
  const figures = figuresOf(drawing);
  const isChanged = !isSame(history.now, drawingOf(base));
  const { preview, refused } = usePreview(address, api, drawing, figures, picture);
  const problems = [...problemsOf(drawing, figures), ...refused];
  const wrong = new Set(problems.flatMap(({ id }) => figures.map(idOf).filter((one) => (
    one === id || one.startsWith(`${id}.`)))));

  useEffect(() => {
    if (isChanged) memory.write({ base, drawing: history.now });
    else memory.clear();
  }, [history.now, base]);
  useEffect(() => {
    const warn = (event) => { if (isChanged) event.preventDefault(); };
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [isChanged]);

  const change = (next, isLast, { isNew = false, what = "" } = {}) => {
    setDragged(isLast ? null : next);
    if (!isLast || next === null) return;
    tell("");
    setHistory((before) => step(before, next, what));
    if (isNew) focusOn(figuresOf(next).findLast((one) => !figures.some((old) => idOf(old) === idOf(one))));
  };
  const focusOn = (figure) => {
    if (!figure) return;
    select(idOf(figure));
    const corner = `[data-corner="${figure.paths[0].join(".")}"]`;
    setTimeout(() => document.querySelector(corner)?.focus());
  };
  const finish = (points = sketch) => {
    setSketch(null);
    if (points?.length > 2) change(withZone(drawing, points), true, { isNew: true });
  };
  const act = {
    select, change, finish: () => finish(),
    sketch: (points) => {
      const [first, last] = [points[0], points.at(-1)];
      const isBack = Math.hypot(first[0] - last[0], first[1] - last[1]) < CLOSE_TO_FIRST;
      if (points.length > 3 && isBack) finish(points.slice(0, -1));
      else setSketch(points);
    },
    // By keyboard there is nothing to click at: a zone to be moved into its place.
    startSketch: (isByKey) => {
      if (isByKey) { change(withZone(drawing), true, { isNew: true }); return; }
      setSketch([]);
      document.querySelector(".ed-canvas").scrollIntoView({ block: "nearest" });
    },
  };
  const travel = (move) => {
    setSketch(null);
    tell("");
    setHistory(move);
  };
  const onKeyDown = (event) => {
    if (event.target.closest("dialog")) return;
    if (sketch && event.key === "Escape") setSketch(null);
    if (sketch && event.key === "Enter") { event.preventDefault(); finish(); }
    if (!(event.ctrlKey || event.metaKey) || event.target.matches("input")) return;
    const key = event.key.toLowerCase();
    const move = key === "y" || (key === "z" && event.shiftKey) ? redo : key === "z" ? undo : null;
    if (!move) return;
    event.preventDefault();
    travel(move);
  };
  useListener("keydown", onKeyDown);

  const review = (isAnyBase) => {
    const wanted = geometryOf(history.now);
    return api.post(`${address}/diff`, isAnyBase ? wanted : { ...wanted, base });
  };
  const onSaved = ({ changes }) => {
    setBase(geometryOf(history.now));
    setHistory(newHistory(history.now));
    setReviewing(false);
    tell(t("editor.saved", { changes }));
    announce(t("editor.saved", { changes }));
  };
  const takeTheirs = async () => {
    const { geometry } = await api.get(address);
    setReviewing(false);
    setBase(geometry);
    change(drawingOf(geometry), true);
    tell(t("editor.theirs"));
  };
  const names = new Set(history.now.zones.map(({ name }) => name));
  return html`<div class="editor">
    <div class="ed-bar" role="toolbar" aria-label=${t("editor.tools")}>
      <button type="button" data-undo disabled=${!history.past.length} onClick=${() => travel(undo)}>↶ ${t("editor.undo")}</button>
      <button type="button" data-redo disabled=${!history.future.length} onClick=${() => travel(redo)}>↷ ${t("editor.redo")}</button>
      <label><input type="checkbox" checked=${kind === "overlay"}
        onChange=${(event) => setKind(event.target.checked ? "overlay" : "raw")} /> ${t("editor.overlay")}</label>
      ${problems.length > 0 && html`<button type="button" class="ed-mend" onClick=${() => goTo(problems[0].id)}>⚠ ${
        t("editor.mend", { count: problems.length })}</button>`}
      <button type="button" class="primary" data-review disabled=${!isChanged || problems.length > 0}
        onClick=${() => setReviewing(true)}>${t("editor.review")}</button></div>
    <p class="ed-told" role="status">${told}
      ${told && isChanged && html` <button type="button" onClick=${() => change(drawingOf(base), true)}>${
        t("editor.discard")}</button>`}</p>
    ${sketch && html`<p class="ed-told ed-sketching" role="status">${t("editor.sketch", { count: sketch.length })}
      <button type="button" data-done disabled=${sketch.length < 3} onClick=${() => finish()}>${t("editor.sketch.done")}</button>
      <button type="button" onClick=${() => setSketch(null)}>${t("editor.sketch.cancel")}</button></p>`}
    ${problems.filter(({ id }) => !id).map((one) => html`<p class="problem" role="alert" key=${one.text}>⚠ ${
      one.said ?? t(`editor.problem.${one.text}`, one.values)}</p>`)}
    <div class="ed-columns">
      <div><${Canvas} picture=${{ src: pictureOf(address, picture, kind), alt: camera.title }}
        ...${{ drawing, figures, selected, wrong, sketch, act }}
        fractions=${Object.fromEntries(Object.entries(preview ?? {}).map(([name, one]) => [name, one.water_fraction]))} />
        <p class="quiet">${t("editor.help")}</p></div>
      <${Panel} ...${{ drawing, selected, problems, preview, act }} /></div>
    ${isReviewing && html`<${Review} ask=${review} save=${(token) => api.post(`${address}/save`, { token })}
      onSaved=${onSaved} onClose=${() => setReviewing(false)} onTheirs=${takeTheirs}
      gone=${Object.keys(base.zones).filter((name) => !names.has(name))} />`}</div>`;
}

/** Show what is wrong with something in the list beside the picture. */
function goTo(id) {
  const item = document.querySelector(`[data-item="${id}"]`);
  item?.scrollIntoView({ block: "nearest" });
  item?.querySelector("input, select")?.focus();
}

function useListener(name, listener) {
  const newest = useRef(listener);
  newest.current = listener;
  useEffect(() => {
    const listen = (event) => newest.current(event);
    addEventListener(name, listen);
    return () => removeEventListener(name, listen);
  }, []);
}

function pictureOf(address, version, kind) {
  return version && `${address}/picture.jpg?kind=${kind}&v=${encodeURIComponent(version)}`;
}

/** What the newest picture says about the drawing, and what the daemon finds wrong with it. */
function usePreview(address, api, drawing, figures, picture) {
  const [answer, setAnswer] = useState({ preview: null, refused: [] });
  const isAskable = problemsOf(drawing, figures).length === 0;
  useEffect(() => {
    if (!isAskable) return undefined;
    let isOld = false;
    const ask = async () => {
      try {
        const { zones } = await api.post(`${address}/preview`, geometryOf(drawing));
        if (!isOld) setAnswer({ preview: zones, refused: [] });
      } catch (error) {
        if (error.status === undefined) throw error;
        if (!isOld) setAnswer({ preview: null, refused: error.status === 422 ? refusedOf(error, drawing) : [] });
      }
    };
    const timer = setTimeout(ask, PREVIEW_AFTER_MS);
    return () => {
      isOld = true;
      clearTimeout(timer);
    };
  }, [address, isAskable, picture, JSON.stringify(drawing)]);
  return isAskable ? answer : { preview: answer.preview, refused: [] };
}

/** The daemon's lines ("zones.lane-1.points: ..."), each at the thing it is about. */
function refusedOf({ detail }, drawing) {
  return detail.split("\n").map((said) => {
    const [, key, name] = said.match(/^(zones|gauges)\.([^.:]+)/) ?? [];
    const index = key ? drawing[key].findIndex((one) => one.name === name) : -1;
    const id = index >= 0 ? `${key}.${index}` : said.startsWith("ground") ? "ground" : "";
    return { id, text: said, said };
  });
}
