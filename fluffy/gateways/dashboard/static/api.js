// Talking to the node that served this page, by the cookie of the session; changes bring the CSRF token.

let csrf = "";

export function setCsrf(value) { csrf = value ?? ""; }
export function csrfHeaders() { return { "Fluffy-Csrf": csrf }; }

/** What the server refused, with its code and its sentence. */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.message ?? `the server answered ${status}`);
    this.status = status;
    this.code = error?.code ?? "Unknown";
    this.facts = error ?? {};
  }
}

/** The node does not answer. */
export class Away extends Error {
  constructor() { super("this node does not answer; it may be restarting"); this.code = "Away"; }
}

/** A path of files in an address: every segment encoded. */
export function encodePath(path) {
  return path.split("/").filter((part) => part !== "").map(encodeURIComponent).join("/");
}

export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

export function requestId() { return crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(16).slice(2)}`; }

const MAY_REPEAT = new Set(["later", "same-id"]);
const PATIENCE_MS = 9000;

/**
 * The JSON of an answer. Raises Refused or Away. A change keeps its request id, so it is tried again while the cluster
 * chooses a leader, and still happens once.
 */
export async function api(method, url, body, options = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") Object.assign(headers, csrfHeaders(), { "Fluffy-Request-Id": requestId() });
  if (body !== undefined && !(body instanceof Blob)) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(body);
  }
  Object.assign(headers, options.headers);
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await once(method, url, body, headers, options.signal);
    } catch (error) {
      const again = error instanceof Refused && error.status === 503 && MAY_REPEAT.has(error.facts.retry);
      if (!again || Date.now() > until) throw error;
      await new Promise((done) => setTimeout(done, 700));
    }
  }
}

/** Something was refused for want of a credential: is it ours that has ended? */
async function askAgain() {
  const session = await once("GET", "/v1/session", undefined, {}).catch(() => null);
  if (session && !session.user) dispatchEvent(new Event("fluffy:logged-out"));
}

async function once(method, url, body, headers, signal) {
  let answer;
  try {
    answer = await fetch(url, { method, body, headers, signal, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away();
  }
  const text = await answer.text();
  let value = null;
  try { value = text ? JSON.parse(text) : null; } catch { value = null; }
  if (!answer.ok) {
    if (answer.status === 401 && !url.startsWith("/v1/session")) askAgain();
    throw new Refused(answer.status, value?.error);
  }
  return value;
}

export const get = (url, options) => api("GET", url, undefined, options);
export const post = (url, body = {}, options) => api("POST", url, body, options);
export const put = (url, body = {}, options) => api("PUT", url, body, options);
export const patch = (url, body = {}, options) => api("PATCH", url, body, options);
export const del = (url, options) => api("DELETE", url, undefined, options);

/** Where the dashboard of a node is. */
export function addressOf(node) {
  const host = ["127.0.0.1", "0.0.0.0", "localhost", "::"].includes(node.host) ? location.hostname : node.host;
  return `${location.protocol}//${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${node.http}/`;
}
