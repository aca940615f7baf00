// News from the daemon. Read with fetch and not with EventSource, which hides two things that
// matter here: that a session has expired (401), and the server's comments, whose absence is the
// only sign of a connection that is dead but not closed.
import { signal } from "./vendor/signals.js";
import { createParser } from "./vendor/eventsource-parser.js";
import { api, isLoggedIn, loadSession, session } from "./api.js";
import { loadAll, take } from "./store.js";

const SILENCE_MS = 40_000; // the daemon says something every 15 s
const WAIT_MS = { first: 1000, most: 30_000 };
const HIDDEN_MS = 1000;

/** "starting", "up", "lost"; and when something was last heard, by this machine's clock. */
export const link = signal("starting");
export const heardMs = signal(0);
/** Why the daemon does not let us listen, in its own words; "" where it does, or says nothing. */
export const refusal = signal("");

let waiting = empty();
let isScheduled = false;
let tellNews = () => {};

function empty() {
  return { cameras: new Map(), episodes: new Map(), gone: new Set(), ended: new Set() };
}

// However fast news comes, the page is redrawn at most once per frame, and only the newest of
// each camera is kept; a hidden page has no frames, and is brought up to date once a second.
function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(flush);
  setTimeout(flush, HIDDEN_MS);
}

function flush() {
  if (!isScheduled) return;
  isScheduled = false;
  const { cameras, episodes, gone, ended } = waiting;
  waiting = empty();
  const changed = [...episodes.values()];
  tellNews(changed);
  take({ cameras: [...cameras.values()], gone: [...gone], changed, ended });
}

function onEvent({ event, data }) {
  const value = JSON.parse(data);
  if (event === "camera") {
    waiting.gone.delete(value.id);
    waiting.cameras.set(value.id, value);
  } else if (event === "gone") {
    waiting.cameras.delete(value.id);
    waiting.gone.add(value.id);
  } else if (event === "episode") {
    waiting.ended.delete(value.event_id);
    waiting.episodes.set(value.event_id, value);
  } else if (event === "episode_gone") {
    waiting.episodes.delete(value.event_id);
    waiting.ended.add(value.event_id);
  } else {
    return;
  }
  schedule();
}

async function listen(stop) {
  const quiet = new AbortController();
  let timer = 0;
  const expectMore = () => {
    clearTimeout(timer);
    timer = setTimeout(() => quiet.abort(), SILENCE_MS);
  };
  expectMore();
  try {
    const body = await api.open("api/stream", AbortSignal.any([stop, quiet.signal]));
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let isGreeted = false;
    let isCurrent = false;
    const parser = createParser({
      onEvent(news) {
        isGreeted ||= news.event === "hello";
        onEvent(news);
      },
    });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heardMs.value = Date.now();
      expectMore();
      parser.feed(value);
      if (isGreeted && !isCurrent) {
        // Whatever changes after the greeting is told: now read how things are.
        await loadAll(tellNews);
        isCurrent = true;
        refusal.value = "";
        link.value = "up";
      }
    }
  } finally {
    clearTimeout(timer);
    quiet.abort();
  }
}

/** Wait; less when the network comes back or nobody listens any more. */
function pause(ms, stop) {
  return new Promise((resolve) => {
    const over = new AbortController();
    const end = () => {
      over.abort();
      resolve();
    };
    const timer = setTimeout(end, ms);
    over.signal.addEventListener("abort", () => clearTimeout(timer));
    stop.addEventListener("abort", end, { signal: over.signal });
    addEventListener("online", end, { signal: over.signal });
  });
}

/** Listen until `stop` is aborted, again and again; `onNews` gets changed episodes first. */
export async function follow(stop, onNews) {
  tellNews = onNews;
  const version = session.value?.version;
  link.value = "starting";
  refusal.value = "";
  for (let failures = 0; !stop.aborted; failures += 1) {
    let leastMs = 0;
    try {
      if (failures && (await loadSession()).version !== version) location.reload();
      if (!isLoggedIn()) return;
      await listen(stop);
      refusal.value = "";
    } catch (error) {
      // Without users a stranger gets 401, too, and there is no login to wait for.
      if (stop.aborted || (error.status === 401 && !isLoggedIn())) return;
      console.warn("lsm_monitor: the stream ended:", error.message);
      refusal.value = error.detail ?? "";
      leastMs = (error.retryAfterS ?? 0) * 1000;
    }
    if (stop.aborted) return;
    if (link.value === "up") failures = 0;
    link.value = "lost";
    const most = Math.min(WAIT_MS.most, WAIT_MS.first * 2 ** failures);
    await pause(Math.max(leastMs, most * (0.5 + Math.random() / 2)), stop);
  }
}
