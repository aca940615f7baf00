// All floods: the open ones live, the closed ones page by page.
import { useEffect, useState } from "../vendor/hooks.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { t } from "../i18n.js";
import { showError } from "../notice.js";
import { episodes, openEpisodes } from "../store.js";
import { EpisodeItem } from "./episode.js";

const PAGE = 20;

/** Closed episodes, newest first, kept current by the stream. */
export function useClosed(camera) {
  const [read, setRead] = useState(null);
  const [before, setBefore] = useState(null);
  const more = async () => {
    const query = new URLSearchParams({ state: "closed", limit: PAGE });
    if (camera) query.set("camera", camera);
    if (before) query.set("before", before);
    const { episodes: page, next } = await api.get(`api/episodes?${query}`);
    setRead((old) => [...(old ?? []), ...page]);
    setBefore(next);
  };
  useEffect(() => { more().catch(showError); }, [camera]);
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
