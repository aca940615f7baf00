// The bar on top: where one can go, how it stands, and who is looking.
import { computed } from "./vendor/signals.js";
import { session, logOut } from "./api.js";
import { LinkState } from "./banner.js";
import { html } from "./html.js";
import { choose, language, languages, nameOf, t } from "./i18n.js";
import { openHelp } from "./keys.js";
import { isAlarm, isBlind } from "./level.js";
import { showError } from "./notice.js";
import { route, toEpisodes, toMap, toWall } from "./route.js";
import { allCards, openEpisodes, unacknowledged } from "./store.js";
import { cycleTheme, theme } from "./theme-switch.js";

const counts = computed(() => {
  const cards = allCards();
  return {
    cameras: cards.length,
    alarms: cards.filter(isAlarm).length,
    blind: cards.filter(isBlind).length,
  };
});

const VIEWS = [["wall", toWall], ["map", toMap], ["episodes", toEpisodes]];

function Nav() {
  const { view } = route.value;
  return html`<nav aria-label=${t("nav")}>${VIEWS.map(([name, address]) => html`
    <a href=${address} aria-current=${view === name ? "page" : undefined}>${t(`nav.${name}`)}
      ${name === "episodes" && openEpisodes.value.length > 0 && html`
        <span class=${`count ${unacknowledged.value ? "alarm" : ""}`} aria-hidden="true">${
          openEpisodes.value.length}</span>
        <span class="hidden-text"> ${t("nav.open", { count: openEpisodes.value.length })}</span>`}</a>`)}</nav>`;
}

function Counts() {
  const { cameras, alarms, blind } = counts.value;
  return html`<p class="counts">
    <span>${t("counts.cameras", { count: cameras })}</span>
    <span class=${alarms ? "alarm" : ""}>${t("counts.alarms", { count: alarms })}</span>
    <span>${t("counts.blind", { count: blind })}</span></p>`;
}

function Person() {
  const { user, role, auth_required: isAsked } = session.value;
  if (!isAsked) return null;
  return html`<span class="person">${user} · ${t(`role.${role}`)}</span>
    <button onClick=${() => logOut().catch(showError)}>${t("logout")}</button>`;
}

export function Header() {
  return html`<header class="top">
    <a class="site" href=${toWall}>${session.value.site}</a>
    <${Nav} /><${Counts} /><${LinkState} />
    <div class="tools">
      <label><span class="hidden-text">${t("language")}</span>
        <select value=${language.value} onChange=${(event) => choose(event.target.value)}>
          ${languages.map((tag) => html`<option value=${tag} lang=${tag}>${nameOf(tag)}</option>`)}
        </select></label>
      <button onClick=${cycleTheme} title=${t("theme")}
        aria-label=${t("theme.now", { theme: t(`theme.${theme.value}`) })}>
        <span aria-hidden="true">◐</span> ${t(`theme.${theme.value}`)}</button>
      <button onClick=${openHelp} aria-label=${t("help")} title=${t("help")}>?</button>
      <${Person} />
    </div></header>`;
}
