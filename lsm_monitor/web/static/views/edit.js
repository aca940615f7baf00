// Loads the editor when it is wanted, and not before: the wall needs none of it.
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { api, may } from "../api.js";
import { html } from "../html.js";
import { t } from "../i18n.js";
import { wordsOf } from "../notice.js";
import { toCamera } from "../route.js";
import { titleOf } from "../store.js";

export function EditView({ id }) {
  const root = useRef(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (!may("admin")) return undefined;
    let close = null;
    let isGone = false;
    const open = async () => {
      const { openEditor } = await import("../editor.js");
      const done = isGone ? null : await openEditor(root.current, { cameraId: id, api, t });
      if (typeof done === "function") close = done;
      if (isGone) close?.();
    };
    open().catch((error) => {
      setProblem(error.status === undefined ? error.message : wordsOf(error));
    });
    return () => { isGone = true; close?.(); };
  }, [id]);
  return html`<div class="page">
    <p><a href=${toCamera(id)}>← ${titleOf(id)}</a></p>
    <h1>${t("edit.title", { camera: titleOf(id) })}</h1>
    ${!may("admin") && html`<p>${t("edit.role")}</p>`}
    ${problem && html`<p role="alert" class="problem">${t("edit.failed")} ${problem}</p>`}
    <div ref=${root}></div></div>`;
}
