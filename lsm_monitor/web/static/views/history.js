// The timeline of a camera: reads a range once, and goes on with what the stream brings.
import { useEffect, useState } from "../vendor/hooks.js";
import { useComputed } from "../vendor/signals.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { t } from "../i18n.js";
import { showError } from "../notice.js";
import { nowMs } from "../store.js";
import { Timeline } from "./timeline.js";

const RANGES_H = [1, 6, 24, 168];
const POINTS = 480;
const MOST_LIVE = 5000; // a page may stay open for weeks

function useReadings(id, hours) {
  const [zones, setZones] = useState(null);
  useEffect(() => {
    setZones(null);
    let isGone = false;
    const start = new Date(nowMs.peek() - hours * 3600_000).toISOString();
    const query = new URLSearchParams({ start, points: POINTS });
    api.get(`api/cameras/${encodeURIComponent(id)}/readings?${query}`).then(
      (answer) => { if (!isGone) setZones(answer.zones); },
      (error) => { if (!isGone) { setZones({}); showError(error); } },
    );
    return () => { isGone = true; };
  }, [id, hours]);
  return zones;
}

/** What was read, and behind it what came since. */
function useLive(card, zoneId, zones) {
  const [live, setLive] = useState([]);
  const zone = card.zones[zoneId];
  useEffect(() => { setLive([]); }, [zoneId, zones]);
  useEffect(() => {
    if (!zone?.observed_at) return;
    const point = {
      ms: Date.parse(zone.observed_at), fraction: zone.water_fraction, level: zone.level,
      fraction_max: zone.water_fraction, depth_cm: null,
    };
    setLive((old) => (old.at(-1)?.ms >= point.ms ? old : [...old, point].slice(-MOST_LIVE)));
  }, [zone?.observed_at, zones]);
  const read = (zones?.[zoneId] ?? []).map((one) => ({ ...one, ms: Date.parse(one.at) }));
  const last = read.length ? read[read.length - 1].ms : 0;
  return [...read, ...live.filter((one) => one.ms > last)];
}

export function History({ card }) {
  const names = Object.keys(card.zones);
  const [hours, setHours] = useState(24);
  const [chosen, setChosen] = useState("");
  const zoneId = names.includes(chosen) ? chosen : names[0];
  const zones = useReadings(card.id, hours);
  const points = useLive(card, zoneId, zones);
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
