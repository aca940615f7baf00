// What saving would change, shown before it is saved; and what stands in the way of it.
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { html } from "./html.js";
import { t } from "./i18n.js";
import { wordsOf } from "./notice.js";

/**
 * @param ask (isAnyBase) the daemon's answer to what would change.
 * @param save (token) saves it; its answer.
 * @param onSaved told that answer.
 * @param onClose back to drawing; nothing is lost.
 * @param onTheirs takes over what is in the file now, as one more step of the drawing.
 * @param gone names of zones that the file has and the drawing has not.
 */
export function Review({ ask, save, onSaved, onClose, onTheirs, gone }) {
  const dialog = useRef(null);
  const [review, setReview] = useState(null);
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(true);

  const attempt = async (action) => {
    setBusy(true);
    setProblem(null);
    try {
      await action();
    } catch (error) {
      if (error.status === undefined) throw error;
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  const look = (isAnyBase) => attempt(async () => setReview(await ask(isAnyBase)));
  const confirm = () => attempt(async () => onSaved(await save(review.token)));
  useEffect(() => {
    dialog.current.showModal();
    look(false);
  }, []);

  // Nothing is drawn while it is being saved: what is shown then is what was saved.
  const onCancel = (event) => { if (isBusy) event.preventDefault(); };
  const onDialogClose = () => {
    if (isBusy) dialog.current.showModal(); // browsers do not let every Escape be prevented
    else onClose();
  };

  const isOurs = !problem && review?.token && review.writable;
  return html`<dialog ref=${dialog} class="ed-review" aria-labelledby="ed-review-title"
    onCancel=${onCancel} onClose=${onDialogClose}>
    <h2 id="ed-review-title">${t("editor.review.title")}</h2>
    ${isBusy && html`<p role="status">${t("editor.review.wait")}</p>`}
    ${problem && html`<${Obstacle} problem=${problem} again=${() => look(true)} theirs=${() => attempt(onTheirs)}
      isBusy=${isBusy} />`}
    ${review && !review.diff && html`<p>${t("editor.review.same")}</p>`}
    ${review?.diff && html`<p>${t("editor.review.file", { file: review.file })}</p>
      ${gone.length > 0 && html`<p class="ed-warning">⚠ ${t("editor.review.gone", { zones: gone.join(", ") })}</p>`}
      <${Difference} text=${review.diff} />
      ${!review.writable && html`<p class="problem">${t("editor.review.readonly", { file: review.file })}</p>`}`}
    <div class="ed-buttons">
      ${review?.diff && html`<${Download} text=${review.diff} />`}
      <button type="button" disabled=${isBusy} onClick=${() => dialog.current.close()}>${
        t("editor.review.back")}</button>
      <button type="button" class="primary" data-save disabled=${isBusy || !isOurs}
        onClick=${confirm}>${t("editor.save")}</button></div></dialog>`;
}

function Obstacle({ problem, again, theirs, isBusy }) {
  return html`<div role="alert"><p class="problem"><strong>${t("editor.review.failed")}</strong></p>
    <pre class="ed-said">${wordsOf(problem)}</pre>
    ${[409, 410].includes(problem.status) && html`<div class="ed-buttons">
      ${problem.status === 409 && html`<button type="button" disabled=${isBusy} onClick=${theirs}>${
        t("editor.review.theirs")}</button>`}
      <button type="button" data-again disabled=${isBusy} onClick=${again}>${t("editor.review.again")}</button></div>`}
    ${problem.status === 0 && html`<button type="button" disabled=${isBusy} onClick=${again}>${
      t("editor.review.retry")}</button>`}</div>`;
}

const KINDS = { "+": "added", "-": "taken", "@": "place" };

function Difference({ text }) {
  const lines = text.trimEnd().split("\n").slice(2);
  return html`<pre class="ed-diff" tabindex="0" aria-label=${t("editor.review.difference")}>${
    lines.map((line, i) => html`<span key=${i} class=${KINDS[line[0]] ?? ""}>${`${line}\n`}</span>`)}</pre>`;
}

function Download({ text }) {
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/x-diff" }));
    link.download = "zones.diff";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return html`<button type="button" onClick=${save}>${t("editor.review.download")}</button>`;
}
