// The timeline of a camera: reads a range once, and goes on with what the stream brings.
import { useEffect, useState } from "../vendor/hooks.js";
import { useComputed } from "../vendor/signals.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { t } from "../i18n.js";
import { showError } from "../notice.js";
import { loads, nowMs } from "../store.js";
import { Timeline } from "./timeline.js";

const RANGES_H = [1, 6, 24, 168];
const POINTS = 480;
const MOST_LIVE = 5000; // a page may stay open for weeks

/** What is recorded of the last hours; null before it is known. Read again as `round` grows. */
function useReadings(id, hours, round) {
  const range = `${hours} ${id}`;
  const [answer, setAnswer] = useState({ range: "", zones: null });
  useEffect(() => {
    let isGone = false;
    const start = new Date(nowMs.peek() - hours * 3600_000).toISOString();
    const query = new URLSearchParams({ start, points: POINTS });
    api.get(`api/cameras/${encodeURIComponent(id)}/readings?${query}`).then(
      ({ zones }) => { if (!isGone) setAnswer({ range, zones }); },
      (error) => {
        if (isGone) return;
        setAnswer((old) => (old.range === range ? old : { range, zones: {} }));
        showError(error);
      },
    );
    return () => { isGone = true; };
  }, [range, round, loads.value]);
  return answer.range === range ? answer.zones : null;
}

/** A point of what the zone is at now; null before it was ever looked at. */
function pointOf(zone) {
  const seenMs = zone.observed_at ? Date.parse(zone.observed_at) : 0;
  const isBlind = zone.level === "unknown"; // and so observes nothing any more
  if (!seenMs && !isBlind) return null;
  return {
    ms: isBlind ? Math.max(Date.parse(zone.since), seenMs + 1) : seenMs,
    fraction: zone.water_fraction, level: zone.level, fraction_max: zone.water_fraction,
    depth_cm: null,
  };
}

/** What was read, and behind it what came since; `readAgain` when that is a lot. */
function useLive(card, zoneId, zones, readAgain) {
  const [live, setLive] = useState([]);
  const zone = card.zones[zoneId];
  const read = (zones?.[zoneId] ?? []).map((one) => ({ ...one, ms: Date.parse(one.at) }));
  const isLater = (one) => one.ms > (read.at(-1)?.ms ?? 0);
  useEffect(() => { setLive([]); }, [zoneId]);
  // The daemon may not have written the last seconds yet.
  useEffect(() => { setLive((old) => old.filter(isLater).slice(-MOST_LIVE)); }, [zones]);
  useEffect(() => {
    const point = zone && pointOf(zone);
    if (point) setLive((old) => (old.at(-1)?.ms >= point.ms ? old : [...old, point]));
  }, [zoneId, zone?.observed_at, zone?.level, zone?.since]);
  useEffect(() => {
    if (live.length && live.length % MOST_LIVE === 0) readAgain();
  }, [live.length]);
  return [...read, ...live.filter(isLater)];
}

export function History({ card }) {
  const names = Object.keys(card.zones);
  const [hours, setHours] = useState(24);
  const [chosen, setChosen] = useState("");
  const zoneId = names.includes(chosen) ? chosen : names[0];
  const [round, setRound] = useState(0);
  const zones = useReadings(card.id, hours, round);
  const points = useLive(card, zoneId, zones, () => setRound((old) => old + 1));
  // The right edge moves once per minute: a curve that creeps every second is hard to read.
  const minute = useComputed(() => Math.ceil(nowMs.value / 60_000) * 60_000);
  const endMs = Math.max(minute.value, points.at(-1)?.ms ?? 0);
  const startMs = endMs - hours * 3600_000;
  return html`<section class="history" aria-labelledby="history-title">
    <header><h2 id="history-title">${t("timeline.title")}</h2>
      ${names.length > 1 && html`<select aria-label=${t("camera.zone")} value=${zoneId}
        onChange=${(event) => setChosen(event.target.value)}>${names.map((name) => html`
          <option value=${name}>${name}</option>`)}</select>`}
      <div class="chips" role="group" aria-label=${t("timeline.range")}>${RANGES_H.map((one) => html`
        <button class="chip" aria-pressed=${one === hours ? "true" : "false"}
          onClick=${() => setHours(one)}>${one < 48 ? t("timeline.hours", { hours: one })
            : t("timeline.days", { days: one / 24 })}</button>`)}</div></header>
    ${zones === null ? html`<p class="quiet">${t("loading")}</p>` : html`
      <${Timeline} points=${points.filter((one) => one.ms >= startMs)} startMs=${startMs} endMs=${endMs} />`}
  </section>`;
}
