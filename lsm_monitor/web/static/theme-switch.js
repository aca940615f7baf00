// Light, dark, or as the system has it. theme.js applies the choice before the first paint.
import { signal } from "./vendor/signals.js";

const THEMES = ["auto", "light", "dark"];
export const theme = signal(document.documentElement.dataset.theme);

export function cycleTheme() {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
  document.documentElement.dataset.theme = theme.value;
  localStorage.setItem("lsm.theme", theme.value);
}
