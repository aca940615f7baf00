// Words and numbers of the chosen language. A new language is one more file in i18n/.
import { computed, signal } from "./vendor/signals.js";

const FALLBACK = "en";
/** One per file in i18n/; the daemon writes their names into the page. */
export const languages = document.documentElement.dataset.languages.split(" ");
export const language = signal(FALLBACK);
const words = signal({});

/** The text of `key`, with {name} replaced from `values`; the key itself where it is missing. */
export function t(key, values = {}) {
  const text = words.value[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

export function hasText(key) {
  return key in words.value;
}

function preferred() {
  const wanted = [localStorage.getItem("lsm.language"), ...navigator.languages];
  for (const tag of wanted) {
    const known = languages.find((one) => one === tag)
      ?? languages.find((one) => tag && one.split("-")[0] === tag.split("-")[0]);
    if (known) return known;
  }
  return FALLBACK;
}

async function read(tag) {
  const response = await fetch(new URL(`i18n/${tag}.json`, import.meta.url));
  return response.ok ? response.json() : {};
}

export async function speak(tag = preferred()) {
  const [fallback, chosen] = await Promise.all([read(FALLBACK), tag === FALLBACK ? {} : read(tag)]);
  words.value = { ...fallback, ...chosen };
  language.value = tag;
  document.documentElement.lang = tag;
}

export function choose(tag) {
  localStorage.setItem("lsm.language", tag);
  return speak(tag);
}

export function nameOf(tag) {
  return new Intl.DisplayNames([tag], { type: "language" }).of(tag) ?? tag;
}

/** Dates as in the watcher's own country, where the browser knows one for this language. */
function regionOf(tag) {
  const base = tag.split("-")[0];
  return navigator.languages.find((one) => one.split("-")[0] === base) ?? tag;
}

const format = computed(() => {
  const tag = regionOf(language.value);
  return {
    age: new Intl.RelativeTimeFormat(tag, { style: "narrow", numeric: "always" }),
    time: new Intl.DateTimeFormat(tag, { timeStyle: "medium" }),
    hour: new Intl.DateTimeFormat(tag, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
    day: new Intl.DateTimeFormat(tag, { month: "short", day: "numeric" }),
    moment: new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "medium" }),
    seconds: new Intl.NumberFormat(tag, { style: "unit", unit: "second", maximumFractionDigits: 0 }),
    minutes: new Intl.NumberFormat(tag, { style: "unit", unit: "minute", maximumFractionDigits: 0 }),
    percent: new Intl.NumberFormat(tag, { style: "percent", maximumFractionDigits: 0 }),
    fine: new Intl.NumberFormat(tag, { maximumFractionDigits: 1 }),
    whole: new Intl.NumberFormat(tag, { maximumFractionDigits: 0 }),
  };
});

export const percent = (fraction) => format.value.percent.format(fraction);
export const fine = (number) => format.value.fine.format(number);
export const whole = (number) => format.value.whole.format(number);
export const hourOf = (ms) => format.value.hour.format(ms);
export const dayOf = (ms) => format.value.day.format(ms);
export const momentOf = (at) => (at ? format.value.moment.format(new Date(at)) : "");

/** "12:03:05" today, with the date on other days. */
export function timeOf(at, nowMs) {
  if (!at) return "";
  const then = new Date(at);
  const isToday = then.toDateString() === new Date(nowMs).toDateString();
  return isToday ? format.value.time.format(then) : format.value.moment.format(then);
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** "12s ago", "3h ago"; never in the future: clocks differ a little. */
export function ageOf(seconds) {
  const age = Math.max(0, Math.round(seconds));
  const [unit, length] = UNITS.find(([, one]) => age >= one) ?? UNITS[3];
  return format.value.age.format(-Math.floor(age / length), unit);
}

/** "40 sec", "12 min". */
export function durationOf(seconds) {
  return seconds < 120 ? format.value.seconds.format(seconds) : format.value.minutes.format(seconds / 60);
}

/** "15-25 cm" of {min_cm, max_cm}; max_cm null: deeper than every mark. */
export function depthOf(depth) {
  if (!depth) return "";
  if (depth.max_cm === null) return t("depth.over", { cm: fine(depth.min_cm) });
  return t("depth.between", { min: fine(depth.min_cm), max: fine(depth.max_cm) });
}
