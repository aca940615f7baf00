// What the editor holds: the drawing with its steps, what this tab remembers, and what the daemon
// says about it.
import { useEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import { t } from "./i18n.js";
import { problemsOf } from "./editor_checks.js";
import { drawingOf, geometryOf, isSame, newHistory, step } from "./editor_drawing.js";

const PREVIEW_AFTER_MS = 300;

/** An unsaved drawing of a camera, kept in this tab: nothing where the browser keeps nothing. */
function memoryOf(id) {
  const key = `lsm.editor.${id}`;
  const attempt = (action) => {
    try {
      return action();
    } catch {
      return null; // forbidden, full, or not ours
    }
  };
  return {
    read: () => attempt(() => JSON.parse(sessionStorage.getItem(key))),
    write: (value) => attempt(() => sessionStorage.setItem(key, JSON.stringify(value))),
    clear: () => attempt(() => sessionStorage.removeItem(key)),
  };
}

/**
 * The drawing of a camera: `base` as it was saved last, `now` after all steps, `shown` while
 * something is dragged, and how it got there.
 */
export function useDrawing(camera) {
  const memory = useMemo(() => memoryOf(camera.id), [camera.id]);
  const kept = useMemo(() => memory.read(), [memory]);
  const [base, setBase] = useState(kept?.base ?? camera.geometry);
  const [history, setHistory] = useState(() => {
    const saved = newHistory(drawingOf(base));
    return kept ? step(saved, kept.drawing) : saved;
  });
  const [dragged, setDragged] = useState(null);
  const [told, tell] = useState(kept ? t("editor.restored") : "");
  const isChanged = !isSame(history.now, drawingOf(base));
  useEffect(() => {
    if (isChanged) memory.write({ base, drawing: history.now });
    else memory.clear();
  }, [history.now, base]);
  useListener("beforeunload", (event) => { if (isChanged) event.preventDefault(); });
  return {
    base, history, told, tell, isChanged, now: history.now, shown: dragged ?? history.now,
    /** Show `next`; with `isLast` it becomes a step, unless it is null: back to what was. */
    change(next, isLast, what = "") {
      setDragged(isLast ? null : next);
      if (!isLast || next === null) return;
      tell("");
      setHistory((before) => step(before, next, what));
    },
    travel(move) {
      tell("");
      setHistory(move);
    },
    saved() {
      const geometry = geometryOf(history.now);
      setBase(geometry);
      setHistory(newHistory(drawingOf(geometry)));
    },
    /** Somebody else's geometry takes the place of the drawing, as one more step of it. */
    yieldTo(geometry) {
      setBase(geometry);
      setHistory((before) => step(before, drawingOf(geometry)));
    },
  };
}

export function useListener(name, listener) {
  const newest = useRef(listener);
  newest.current = listener;
  useEffect(() => {
    const listen = (event) => newest.current(event);
    addEventListener(name, listen);
    return () => removeEventListener(name, listen);
  }, []);
}

/** What the newest picture says about the drawing, and what the daemon finds wrong with it. */
export function usePreview(address, api, drawing, figures, picture) {
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
