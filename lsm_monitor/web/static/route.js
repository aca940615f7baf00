// Which view is shown: the part of the address after '#', so that a reload, a bookmark and an
// expired session come back to where one was.
import { signal } from "./vendor/signals.js";

function parse() {
  const [view = "", id = "", part = ""] = location.hash.replace(/^#\/?/, "").split("/");
  let name = "";
  try {
    name = decodeURIComponent(id);
  } catch {
    return { view: "wall", id: "", part: "" };
  }
  return { view: view || "wall", id: name, part };
}

export const route = signal(parse());
addEventListener("hashchange", () => { route.value = parse(); });

export const toWall = "#/";
export const toMap = "#/map";
export const toEpisodes = "#/episodes";
export const toCamera = (id, part = "") => `#/camera/${encodeURIComponent(id)}${part && `/${part}`}`;

export function go(address) {
  location.hash = address;
}
