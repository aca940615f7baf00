// Who are you? Shown in place of the page, whose address stays: after it one is where one was.
import { useState } from "../vendor/hooks.js";
import { logIn, session } from "../api.js";
import { html } from "../html.js";
import { choose, language, languages, nameOf, t } from "../i18n.js";
import { wordsOf } from "../notice.js";

function reason(error) {
  if (error.status === 401) return t("login.wrong");
  if (error.status === 429) return t("login.wait", { seconds: error.retryAfterS ?? 60 });
  return wordsOf(error);
}

export function LoginView() {
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const onSubmit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setBusy(true);
    setProblem("");
    await logIn(form.get("user"), form.get("password")).catch((error) => setProblem(reason(error)));
    setBusy(false);
  };
  return html`<main class="login"><form onSubmit=${onSubmit}>
    <h1>${session.value?.site ?? "lsm_monitor"}</h1>
    <label>${t("login.user")}<input name="user" autocomplete="username" required autofocus
      autocapitalize="none" spellcheck=${false} /></label>
    <label>${t("login.password")}<input name="password" type="password" required
      autocomplete="current-password" /></label>
    <p role="alert" class="problem">${problem}</p>
    <button class="primary" disabled=${isBusy}>${t("login")}</button>
    <p class="quiet">${t("login.help")}</p>
    <select aria-label=${t("language")} value=${language.value}
      onChange=${(event) => choose(event.target.value)}>${languages.map((tag) => html`
        <option value=${tag} lang=${tag}>${nameOf(tag)}</option>`)}</select>
  </form></main>`;
}
