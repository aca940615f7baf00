// The daemon's JSON API. Addresses are relative, so that a proxy may put the page anywhere.
import { signal } from "./vendor/signals.js";

/** A browser with many tabs open lets requests wait for a free connection, without a word. */
const LATE_MS = 20_000;

/** Answer of /api/session; null until it is known. */
export const session = signal(null);
/** How far this machine's clock is ahead of the daemon's: ages are told by the daemon's. */
let aheadMs = 0;

export function daemonNowMs() {
  return Date.now() - aheadMs;
}

/** What the daemon answered instead of what was asked for (RFC 9457), or why nothing came. */
export class ApiError extends Error {
  constructor(status, title, detail = "", retryAfterS = null) {
    super(detail || title);
    Object.assign(this, { status, title, detail, retryAfterS });
  }
}

/** Why nothing came, or not all of it. */
function lost(error) {
  if (error.name === "AbortError") throw error;
  throw new ApiError(0, error.name === "TimeoutError" ? "late" : "offline");
}

async function request(method, path, { body, signal: abort, accept = "application/json" } = {}) {
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && session.value?.csrf) headers["X-CSRF-Token"] = session.value.csrf;
  const response = await fetch(path, {
    method, headers, credentials: "same-origin", cache: "no-store",
    signal: abort ?? AbortSignal.timeout(LATE_MS),
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(lost);
  if (response.ok) return response;
  // An expired session: the login comes up over whatever is shown, and goes back to it.
  if (response.status === 401 && path !== "api/login") await loadSession();
  const problem = await response.json().catch(() => ({}));
  const retryAfterS = Number(response.headers.get("Retry-After")) || null;
  throw new ApiError(
    response.status, problem.title ?? response.statusText, problem.detail ?? "", retryAfterS,
  );
}

async function json(method, path, body) {
  const response = await request(method, path, { body });
  return response.status === 204 ? null : response.json().catch(lost);
}

/** get/post/put/delete(path[, body]) give the answer's JSON or throw an ApiError. */
export const api = {
  get: (path) => json("GET", path),
  post: (path, body = {}) => json("POST", path, body),
  put: (path, body = {}) => json("PUT", path, body),
  delete: (path) => json("DELETE", path),
  /** The body of an endless answer, as a stream of bytes. */
  async open(path, abort) {
    return (await request("GET", path, { signal: abort, accept: "text/event-stream" })).body;
  },
};

export async function loadSession() {
  const response = await fetch("api/session", {
    cache: "no-store", signal: AbortSignal.timeout(LATE_MS),
  }).catch(lost);
  if (!response.ok) throw new ApiError(response.status, "offline");
  const sent = Date.parse(response.headers.get("Date") ?? "");
  // The header has whole seconds, so a difference below two means nothing.
  if (sent && Math.abs(Date.now() - sent) > 2000) aheadMs = Date.now() - sent;
  else aheadMs = 0;
  session.value = await response.json().catch(lost);
  return session.value;
}

export async function logIn(user, password) {
  await api.post("api/login", { user, password });
  await loadSession();
}

export async function logOut() {
  await api.post("api/logout").catch((error) => {
    if (error.status !== 401) throw error;
  });
  await loadSession();
}

const ROLES = ["viewer", "operator", "admin"];

/** Whether who is logged in may do what `role` may; reads a signal. */
export function may(role) {
  return ROLES.indexOf(session.value?.role) >= ROLES.indexOf(role);
}

export function isLoggedIn() {
  return session.value !== null && (!session.value.auth_required || session.value.user !== null);
}
