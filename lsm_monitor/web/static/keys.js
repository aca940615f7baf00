// Single keys, for people who watch all day; they can be switched off in the help.
import { signal } from "./vendor/signals.js";
import { isLoggedIn } from "./api.js";
import { go, route, toEpisodes, toMap, toWall } from "./route.js";
import { cycleTheme } from "./theme-switch.js";

export const areOn = signal(localStorage.getItem("lsm.keys") !== "off");

export function switchKeys(isOn) {
  areOn.value = isOn;
  localStorage.setItem("lsm.keys", isOn ? "on" : "off");
}

/** What stands in the help; the texts are `keys.<name>`. */
export const KEYS = [
  ["w", "wall"], ["m", "map"], ["e", "episodes"], ["/", "search"], ["j k", "cards"],
  ["Enter", "enter"], ["a", "acknowledge"], ["1 2 3", "picture"], ["Esc", "back"],
  ["t", "theme"], ["?", "help"],
];

export function openHelp() {
  document.getElementById("help")?.showModal();
}

function focusSearch() {
  const search = document.getElementById("search");
  if (search) {
    search.focus();
    return;
  }
  go(toWall);
  addEventListener("hashchange", () => {
    requestAnimationFrame(() => document.getElementById("search")?.focus());
  }, { once: true });
}

function focusCard(step) {
  const links = [...document.querySelectorAll("[data-walk]")];
  const here = links.indexOf(document.activeElement);
  links[Math.min(links.length - 1, Math.max(0, here + step))]?.focus();
}

function focusAcknowledge() {
  document.querySelector("[data-acknowledge]")?.focus();
}

function choosePicture(number) {
  document.querySelectorAll("[data-picture-kind]")[number - 1]?.click();
}

const ACTIONS = {
  w: () => go(toWall),
  m: () => go(toMap),
  e: () => go(toEpisodes),
  "/": focusSearch,
  j: () => focusCard(1),
  k: () => focusCard(-1),
  a: focusAcknowledge,
  t: cycleTheme,
  "?": openHelp,
  1: () => choosePicture(1),
  2: () => choosePicture(2),
  3: () => choosePicture(3),
};

function isTyping(target) {
  return target.closest("input:not([type=radio]):not([type=checkbox]), textarea, select, dialog");
}

function onKey(event) {
  if (!isLoggedIn() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (route.value.part === "edit") return; // the editor has keys of its own
  if (event.key === "Escape" && !event.target.closest("dialog")) {
    if (isTyping(event.target)) event.target.blur();
    else if (route.value.view === "camera") go(toWall);
    return;
  }
  const action = areOn.value && !isTyping(event.target) && ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

export function listenToKeys() {
  addEventListener("keydown", onKey);
}
