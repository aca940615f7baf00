// What a screen reader is told, and what an action that failed says.
import { signal } from "./vendor/signals.js";
import { html } from "./html.js";
import { t } from "./i18n.js";

const SHOWN_MS = 8000;
const spoken = signal("");
const notice = signal(null);
let timer = 0;

/** Have screen readers say `text` at once; a text that does not change they would not say. */
export function announce(text) {
  spoken.value = text === spoken.peek() ? `${text}\u00a0` : text;
}

export function show(text, kind = "done") {
  clearTimeout(timer);
  notice.value = { text, kind };
  timer = setTimeout(() => { notice.value = null; }, SHOWN_MS);
}

/** What an ApiError says to a person. */
export function wordsOf(error) {
  if (error.status !== 0) return error.message;
  return t(error.title === "late" ? "error.late" : "error.offline");
}

/** Show why an action failed; an expired session shows itself. */
export function showError(error) {
  if (error.status === 401) return;
  if (error.status === undefined) throw error;
  show(wordsOf(error), "failed");
}

export function Notices() {
  return html`
    <div class="hidden-text" aria-live="assertive" id="announcer">${spoken}</div>
    <div class="notices" role="status">
      ${notice.value && html`<p class=${`notice ${notice.value.kind}`}>${notice.value.text}
        <button class="plain" aria-label=${t("close")}
          onClick=${() => { notice.value = null; }}>✕</button></p>`}
    </div>`;
}
