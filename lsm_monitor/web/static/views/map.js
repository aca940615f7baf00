// Where the cameras stand: their coordinates on a plain grid, north up. No tiles: this page is
// for places without internet, and nobody outside shall know what is being looked at.
import { useState } from "../vendor/hooks.js";
import { html } from "../html.js";
import { t, whole } from "../i18n.js";
import { isAlarm, rankOf, shapeOf } from "../level.js";
import { toCamera } from "../route.js";
import { allCards } from "../store.js";
import { useWidth } from "./width.js";

const EDGE = 56;
const HEIGHT = { share: 0.6, least: 300, aroundPx: 190 };
const METRES_PER_DEGREE = 111_320;
const LEAST_SPAN_M = 400;
const ZOOM = { step: 1.5, most: 60, wheel: 1.2 };
const NAMED = { most: 20, zoom: 4 };
const EXAMPLE = "location: {lat: 30.2741, lon: 120.1551}";

/** Metres east and north of the middle; a city is small enough for a flat earth. */
function project(cards) {
  const lats = cards.map((card) => card.location.lat);
  const lons = cards.map((card) => card.location.lon);
  const lat0 = (Math.min(...lats) + Math.max(...lats)) / 2;
  const lon0 = (Math.min(...lons) + Math.max(...lons)) / 2;
  const eastM = Math.cos(lat0 * Math.PI / 180) * METRES_PER_DEGREE;
  return cards.map((card) => ({
    card,
    eastM: (card.location.lon - lon0) * eastM,
    northM: (card.location.lat - lat0) * METRES_PER_DEGREE,
  }));
}

/** Pixels per metre at which all of them fit. */
function scaleOf(spots, width, height) {
  const span = (far) => Math.max(LEAST_SPAN_M, 2 * Math.max(...spots.map(far)));
  return Math.min(
    (width - 2 * EDGE) / span((spot) => Math.abs(spot.eastM)),
    (height - 2 * EDGE) / span((spot) => Math.abs(spot.northM)),
  );
}

function roundLengthM(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map((one) => one * power).find((one) => one <= most);
}

function Grid({ frame, width, height }) {
  const step = roundLengthM(width / 5 / frame.scale) * frame.scale;
  const from = (middle) => ((middle % step) + step) % step;
  const lines = [];
  for (let x = from(frame.x); x < width; x += step) lines.push(`M${x} 0V${height}`);
  for (let y = from(frame.y); y < height; y += step) lines.push(`M0 ${y}H${width}`);
  return html`<path class="grid" d=${lines.join("")} />`;
}

function Scale({ scale, width, height }) {
  const metres = roundLengthM(width / 5 / scale);
  const label = metres >= 1000 ? `${whole(metres / 1000)} km` : `${whole(metres)} m`;
  const length = metres * scale;
  return html`<g class="scale" transform=${`translate(16 ${height - 12})`}>
    <path d=${`M0 -6V0H${length}V-6`} /><text x=${length / 2} y="-8" text-anchor="middle">${label}</text></g>
    <g class="north" transform=${`translate(${width - 24} 30)`}><path d="M0 -20L6 4L0 0L-6 4z" />
      <text y="19" text-anchor="middle">${t("map.north")}</text></g>`;
}

function Spot({ card, x, y, isNamed, isLeft }) {
  const level = card.enabled ? card.level : "off";
  const classes = ["spot", `level-${level}`, isAlarm(card) && "alarm", isNamed && "named"];
  return html`<a href=${toCamera(card.id)} class=${classes.filter(Boolean).join(" ")} data-walk
    transform=${`translate(${x.toFixed(1)} ${y.toFixed(1)})`} data-camera=${card.id}
    aria-label=${`${card.title}: ${t(`level.${level}`)}`}>
    <circle r="17" class="reach" /><circle r="11" class="dot" />
    <path transform="translate(-6.4 -6.4) scale(0.8)" d=${shapeOf(level)} />
    <text x=${isLeft ? -20 : 20} y="5" text-anchor=${isLeft ? "end" : "start"}>${card.title}</text></a>`;
}

const ALL = { zoom: 1, x: 0, y: 0 };

/** What part is shown: moved by hand, wheel and buttons. */
function useView(width, height) {
  const [view, setView] = useState(ALL);
  const [grip, setGrip] = useState(null);
  const zoomBy = (factor, x = 0, y = 0) => setView((old) => {
    const zoom = Math.min(ZOOM.most, Math.max(1, old.zoom * factor));
    if (zoom === 1) return ALL;
    const by = zoom / old.zoom;
    return { zoom, x: x - (x - old.x) * by, y: y - (y - old.y) * by };
  });
  const fromMiddle = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    return [event.clientX - box.left - width / 2, event.clientY - box.top - height / 2];
  };
  const hands = {
    onWheel: (event) => {
      if (view.zoom === 1 && event.deltaY > 0) return; // nothing left to show: the page scrolls
      event.preventDefault();
      zoomBy(event.deltaY < 0 ? ZOOM.wheel : 1 / ZOOM.wheel, ...fromMiddle(event));
    },
    onPointerDown: (event) => {
      const [x, y] = fromMiddle(event);
      setGrip({ x: view.x - x, y: view.y - y });
    },
    onPointerMove: (event) => {
      if (!grip || !(event.buttons & 1)) return;
      const [x, y] = fromMiddle(event);
      setView((old) => ({ ...old, x: x + grip.x, y: y + grip.y }));
    },
    onPointerUp: () => setGrip(null),
  };
  return { view, zoomBy, showAll: () => setView(ALL), hands };
}

function Buttons({ zoomBy, showAll }) {
  return html`<div class="chips" role="group" aria-label=${t("map.zoom")}>
    <button class="chip" onClick=${() => zoomBy(ZOOM.step)} aria-label=${t("map.in")}>+</button>
    <button class="chip" onClick=${() => zoomBy(1 / ZOOM.step)} aria-label=${t("map.out")}>−</button>
    <button class="chip" onClick=${showAll}>${t("map.all")}</button></div>`;
}

function Plan({ cards }) {
  const [box, width] = useWidth();
  const height = Math.max(HEIGHT.least, Math.min(innerHeight - HEIGHT.aroundPx, width * HEIGHT.share));
  const { view, zoomBy, showAll, hands } = useView(width, height);
  // What is drawn last lies on top: the worst.
  const spots = project(cards).sort((a, b) => rankOf(a.card) - rankOf(b.card));
  const frame = {
    scale: scaleOf(spots, width, height) * view.zoom, x: width / 2 + view.x, y: height / 2 + view.y,
  };
  const areAllNamed = spots.length <= NAMED.most || view.zoom >= NAMED.zoom;
  return html`<div class="map"><${Buttons} zoomBy=${zoomBy} showAll=${showAll} />
    <div ref=${box}><svg viewBox=${`0 0 ${width} ${height}`} height=${height} role="group"
      aria-label=${t("nav.map")} ...${hands}>
      <${Grid} frame=${frame} width=${width} height=${height} />
      ${spots.map(({ card, eastM, northM }) => {
        const x = frame.x + eastM * frame.scale;
        return html`<${Spot} key=${card.id} card=${card} isNamed=${areAllNamed || isAlarm(card)}
          x=${x} y=${frame.y - northM * frame.scale} isLeft=${x > width * 0.7} />`;
      })}
      <${Scale} scale=${frame.scale} width=${width} height=${height} /></svg></div></div>`;
}

export function MapView() {
  const cards = allCards();
  const placed = cards.filter((card) => card.location);
  const rest = cards.filter((card) => !card.location);
  return html`<div class="page"><h1>${t("nav.map")}</h1>
    ${placed.length > 0 && html`<${Plan} cards=${placed} />`}
    ${rest.length > 0 && html`<section><h2>${t("map.unplaced")}</h2>
      <p class="quiet">${t("map.unplaced.do")}</p><pre>${EXAMPLE}</pre>
      <ul class="unplaced">${rest.map((card) => html`<li key=${card.id}>
        <a href=${toCamera(card.id)}>${card.title}</a></li>`)}</ul></section>`}
  </div>`;
}
