// The page: what is where, and which view is shown.
import { render } from "./vendor/preact.js";
import { effect } from "./vendor/signals.js";
import { isLoggedIn, loadSession, session } from "./api.js";
import { Banner } from "./banner.js";
import { Header } from "./header.js";
import { html } from "./html.js";
import { speak, t } from "./i18n.js";
import { listenToKeys } from "./keys.js";
import { severityOf } from "./level.js";
import { announce, Notices } from "./notice.js";
import { route } from "./route.js";
import { episodes, forget, isLoaded, titleOf, unacknowledged } from "./store.js";
import { follow } from "./stream.js";
import { CameraView } from "./views/camera.js";
import { EditView } from "./views/edit.js";
import { EpisodesView } from "./views/episodes.js";
import { Help } from "./views/help.js";
import { LoginView } from "./views/login.js";
import { MapView } from "./views/map.js";
import { WallView } from "./views/wall.js";

const RETRY_MS = 2000;

function View() {
  const { view, id, part } = route.value;
  if (!isLoaded.value) return html`<p class="loading">${t("loading")}</p>`;
  if (view === "camera" && part === "edit") return html`<${EditView} key=${id} id=${id} />`;
  if (view === "camera") return html`<${CameraView} key=${id} id=${id} />`;
  if (view === "map") return html`<${MapView} />`;
  if (view === "episodes") return html`<${EpisodesView} />`;
  return html`<${WallView} />`;
}

function App() {
  if (!isLoggedIn()) return html`<${LoginView} /><${Notices} />`;
  return html`
    <a class="skip" href="#main" onClick=${skip}>${t("skip")}</a>
    <${Header} />
    <${Banner} />
    <main id="main" tabindex="-1"><${View} /></main>
    <${Help} />
    <${Notices} />`;
}

function skip(event) {
  event.preventDefault(); // the address says which view is shown
  document.getElementById("main").focus();
}

/** Say what is worse than what was known: new floods, and higher levels of others. */
function tell(changed) {
  const worse = changed.filter((episode) => {
    const known = episodes.value.get(episode.event_id);
    return episode.status === "open" && severityOf(episode) > (known ? severityOf(known) : -1);
  });
  if (!worse.length) return;
  // As one text: a second one would take the first one's place before it is heard.
  announce(worse.map((episode) => t("announce.flood", {
    level: t(`level.${episode.level}`), camera: titleOf(episode.camera), zone: episode.zone,
  })).join("; "));
}

/** Another view begins at its top, for eyes and for screen readers; the wall where it was left. */
function followViews() {
  let { view } = route.value;
  let wallY = 0;
  history.scrollRestoration = "manual";
  addEventListener("hashchange", () => {
    if (view === "wall") wallY = scrollY;
    ({ view } = route.value);
    // At once: after the view is drawn, the next key may already have moved the focus on.
    document.getElementById("main")?.focus({ preventScroll: true });
    requestAnimationFrame(() => scrollTo(0, view === "wall" ? wallY : 0));
  });
}

function followWhileLoggedIn() {
  let stop = null;
  effect(() => {
    const isIn = isLoggedIn();
    if (isIn && !stop) {
      stop = new AbortController();
      follow(stop.signal, tell);
    } else if (!isIn && stop) {
      stop.abort();
      stop = null;
      queueMicrotask(forget);
    }
  });
}

async function start() {
  const known = speak();
  while (session.value === null) {
    try {
      await loadSession();
    } catch {
      await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
    }
  }
  await known;
  effect(() => {
    const count = unacknowledged.value;
    const site = session.value.site ?? "lsm_monitor";
    document.title = count ? `(${count}) ${site}` : site;
  });
  followWhileLoggedIn();
  listenToKeys();
  followViews();
  const place = document.getElementById("page");
  place.replaceChildren();
  render(html`<${App} />`, place);
}

start();
