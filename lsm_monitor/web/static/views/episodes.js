// All floods: the open ones live, the closed ones page by page.
import { useEffect, useState } from "../vendor/hooks.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { t } from "../i18n.js";
import { showError } from "../notice.js";
import { episodes, loads, openEpisodes } from "../store.js";
import { EpisodeItem } from "./episode.js";

const PAGE = 20;
const MOST = 200; // that the daemon tells at once

/** Closed episodes, newest first, kept current by the stream. */
export function useClosed(camera) {
  const [read, setRead] = useState(null);
  const [before, setBefore] = useState(null);
  const ask = (limit, last) => {
    const query = new URLSearchParams({ state: "closed", limit });
    if (camera) query.set("camera", camera);
    if (last) query.set("before", last);
    return api.get(`api/episodes?${query}`);
  };
  const more = async () => {
    const { episodes: page, next } = await ask(PAGE, before);
    setRead((old) => [...(old ?? []), ...page]);
    setBefore(next);
  };
  useEffect(() => {
    let isGone = false;
    const readAnew = async () => {
      // As many as are shown: what closed meanwhile may be among the older ones.
      const limit = Math.min(MOST, Math.max(PAGE, read?.length ?? 0));
      const { episodes: page, next } = await ask(limit, null);
      if (isGone) return;
      setRead(page);
      setBefore(next);
    };
    readAnew().catch(showError);
    return () => { isGone = true; };
  }, [camera, loads.value]);
  const current = new Map((read ?? []).map((one) => [one.event_id, one]));
  for (const one of episodes.value.values()) {
    if (one.status === "closed" && (!camera || one.camera === camera)) current.set(one.event_id, one);
  }
  const list = [...current.values()].sort((a, b) => b.opened_at.localeCompare(a.opened_at));
  return { isRead: read !== null, closed: list, next: before && (() => more().catch(showError)) };
}

export function EpisodeList({ list, empty, withCamera }) {
  if (!list.length) return html`<p class="quiet">${empty}</p>`;
  return html`<div class="episode-list">${list.map((episode) => html`
    <${EpisodeItem} key=${episode.event_id} episode=${episode} withCamera=${withCamera} />`)}</div>`;
}

export function EpisodesView() {
  const { isRead, closed, next } = useClosed("");
  return html`<div class="page">
    <h1>${t("nav.episodes")}</h1>
    <section aria-labelledby="open-title"><h2 id="open-title">${t("episodes.open")}</h2>
      <${EpisodeList} list=${openEpisodes.value} empty=${t("alarms.none")} /></section>
    <section aria-labelledby="closed-title"><h2 id="closed-title">${t("episodes.closed")}</h2>
      <${EpisodeList} list=${closed} empty=${t(isRead ? "episodes.none" : "loading")} />
      ${next && html`<button onClick=${next}>${t("episodes.older")}</button>`}</section>
  </div>`;
}
