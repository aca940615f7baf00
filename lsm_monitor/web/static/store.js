// What the page knows: one signal per camera, so that a change redraws one card.
import { batch, computed, signal } from "./vendor/signals.js";
import { api, daemonNowMs } from "./api.js";
import { rankOf, severityOf } from "./level.js";

/** id -> signal of its Card */
const cards = new Map();
/** Grows when a camera comes or goes. */
const fleet = signal(0);
/** Whether the cameras were read at least once. */
export const isLoaded = signal(false);
/** Grows when everything was read anew: what happened before that was not told by the stream. */
export const loads = signal(0);
/** event_id -> Episode, of the open ones and of closed ones that were seen to close. */
export const episodes = signal(new Map());
/** One tick per second, by the daemon's clock. */
export const nowMs = signal(daemonNowMs());
setInterval(() => { nowMs.value = daemonNowMs(); }, 1000);

export function cardOf(id) {
  fleet.value;
  return cards.get(id)?.value ?? null;
}

export function allCards() {
  fleet.value;
  return [...cards.values()].map((card) => card.value);
}

const byUrgency = (a, b) => rankOf(b) - rankOf(a)
  // Within a rank the newest change first; not the newest picture, or the wall would never rest.
  || Date.parse(b.since ?? 0) - Date.parse(a.since ?? 0)
  || a.title.localeCompare(b.title) || a.id.localeCompare(b.id);

/** Returns a computed that keeps its array while its members stay the same. */
export function steady(list) {
  let before = [];
  return computed(() => {
    const now = list();
    const isSame = now.length === before.length && now.every((one, i) => one === before[i]);
    if (!isSame) before = now;
    return before;
  });
}

export const wallOrder = steady(() => allCards().sort(byUrgency).map((card) => card.id));

export const openEpisodes = computed(() => [...episodes.value.values()]
  .filter((episode) => episode.status !== "closed")
  .sort((a, b) => Number(Boolean(a.acknowledged)) - Number(Boolean(b.acknowledged))
    || severityOf(b) - severityOf(a) || b.opened_at.localeCompare(a.opened_at)));

export const unacknowledged = computed(
  () => openEpisodes.value.filter((episode) => !episode.acknowledged).length,
);

function putCamera(card) {
  const known = cards.get(card.id);
  if (known) {
    known.value = card;
  } else {
    cards.set(card.id, signal(card));
    fleet.value += 1;
  }
}

function dropCamera(id) {
  if (cards.delete(id)) fleet.value += 1;
}

export function putEpisodes(list) {
  const next = new Map(episodes.value);
  for (const episode of list) next.set(episode.event_id, episode);
  // Closed ones are only kept while they are news.
  const closed = [...next.values()].filter((episode) => episode.status === "closed");
  closed.sort((a, b) => a.closed_at.localeCompare(b.closed_at));
  for (const old of closed.slice(0, -50)) next.delete(old.event_id);
  episodes.value = next;
}

/** Forget episodes that are neither open nor kept any more. */
function dropEpisodes(ids) {
  episodes.value = new Map([...episodes.value].filter(([id]) => !ids.has(id)));
}

async function readOpenEpisodes() {
  const found = [];
  let before = "";
  do {
    const page = await api.get(`api/episodes?state=open&limit=200${before && `&before=${before}`}`);
    found.push(...page.episodes);
    before = page.next ?? "";
  } while (before);
  return found;
}

/**
 * Read everything anew: at the start, and after the stream was away. Then `onNews` gets the open
 * episodes before they take the place of those that were known.
 */
export async function loadAll(onNews) {
  const [{ cameras }, open] = await Promise.all([api.get("api/cameras"), readOpenEpisodes()]);
  batch(() => {
    const present = new Set(cameras.map((card) => card.id));
    for (const id of [...cards.keys()]) if (!present.has(id)) dropCamera(id);
    cameras.forEach(putCamera);
    if (isLoaded.value) onNews(open);
    episodes.value = new Map(open.map((episode) => [episode.event_id, episode]));
    isLoaded.value = true;
    loads.value += 1;
  });
}

/** Take what the stream has brought: newest per camera and per episode. */
export function take({ cameras, gone, changed, ended }) {
  batch(() => {
    gone.forEach(dropCamera);
    cameras.forEach(putCamera);
    if (changed.length) putEpisodes(changed);
    if (ended.size) dropEpisodes(ended);
  });
}

/** Forget everything: somebody else may log in. */
export function forget() {
  batch(() => {
    cards.clear();
    fleet.value += 1;
    episodes.value = new Map();
    isLoaded.value = false;
  });
}

export function titleOf(id) {
  return cardOf(id)?.title || id;
}
