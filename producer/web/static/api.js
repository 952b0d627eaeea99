// Calls the API under /v1, asks for an API key if it is needed, and turns errors into Problems.

import { byId, notice, openDialog, withButtons } from "./dom.js";

const STORAGE_KEY = "cutout.key";
let key = storedKey();
let keyDialog = null; // the promise of the open dialog
let declined = false; // the user closed the dialog without a key
const listeners = new Set();

function storedKey() {
  try {
    return sessionStorage.getItem(STORAGE_KEY) ?? "";
  } catch {
    return "";
  }
}

function storeKey(value) {
  key = value;
  try {
    if (value) sessionStorage.setItem(STORAGE_KEY, value);
    else sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // without storage, the page asks for the key again after a reload
  }
  byId("key-button").hidden = !value;
}

// True if requests are in vain until the user enters a key.
export const isLocked = () => declined;

// Registers a function to call each time the user enters a key.
export const onKey = (listener) => listeners.add(listener);

// An error of the API (application/problem+json), or a missing answer (status 0).
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = null) {
    const text = (value) => (typeof value === "string" ? withButtons(value) : "");
    super(text(body.detail) || text(body.title) || `The server answered ${status}.`);
    this.status = status;
    this.code = text(body.code) || `http_${status}`;
    this.nextStep = status === 401 ? "Enter an API key of this server." : text(body.next_step);
    this.retryAfter = retryAfter;
  }

  get sentence() {
    return [this.message, this.nextStep].filter(Boolean).join(" ");
  }

  // The request was valid: the same request may succeed later.
  get temporary() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }
}

export const noAnswer = () =>
  new Problem(0, {
    code: "no_answer",
    detail: "The server did not answer.",
    next_step: "Check that it is running and that you are connected, then retry.",
  });

function problem(status, header, text) {
  let body = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    // not JSON, such as a proxy's error page: only the status is known
  }
  const retryAfter = header("Retry-After"); // seconds, or a date
  const seconds = Number(retryAfter) || (Date.parse(retryAfter) - Date.now()) / 1000;
  return new Problem(status, body, seconds > 0 ? Math.min(seconds, 300) : null);
}

// Sends a request with the key. On a 401 asks for a key and sends the request again.
async function withKey(send) {
  for (;;) {
    const sentKey = key;
    const answer = await send(sentKey ? { Authorization: `Bearer ${sentKey}` } : {});
    if (answer.status !== 401) return answer;
    if (sentKey !== key) continue;
    if (declined || !(await askForKey(Boolean(sentKey)))) return answer;
  }
}

export function askForKey(refused = false) {
  keyDialog ??= openKeyDialog(refused).finally(() => {
    keyDialog = null;
  });
  return keyDialog;
}

async function openKeyDialog(refused) {
  const input = byId("key");
  const error = byId("key-error");
  input.value = "";
  error.textContent = refused ? "The server did not accept that key." : "";
  byId("key-forget").hidden = !key;
  const entered = await openDialog(byId("key-dialog"), byId("key-cancel"), () => {
    const value = input.value.trim();
    if (/^[\x21-\x7e]+$/.test(value)) return value;
    error.textContent = "A key consists of ASCII letters, digits and signs, without spaces.";
    return undefined;
  }, "");
  input.value = "";
  if (entered) storeKey(entered);
  declined = !entered && (refused || !key);
  showLocked(declined);
  if (entered) listeners.forEach((listener) => listener());
  return Boolean(entered);
}

function showLocked(locked) {
  notice("key", locked ? "This server requires an API key." : "", ["Enter the key", () => askForKey()]);
}

export function start() {
  storeKey(key);
  byId("key-button").addEventListener("click", () => askForKey());
  byId("key-forget").addEventListener("click", () => {
    storeKey("");
    byId("key-dialog").close();
  });
}

export const cutoutPath = (id) => `cutouts/${encodeURIComponent(id)}`;
export const batchPath = (id, rest = "") => `batches/${encodeURIComponent(id)}${rest}`;

const apiUrl = (path) => new URL(`v1/${path}`, document.baseURI);

// Returns the answer's JSON, or its Blob with `as: "blob"`. Throws Problem. `seconds`: the time limit.
export async function call(path, { method = "GET", json, as = "json", seconds = 60, maxBytes } = {}) {
  const answer = await withKey(async (headers) => {
    const body = json === undefined ? undefined : JSON.stringify(json);
    if (body) headers["Content-Type"] = "application/json";
    try {
      const signal = AbortSignal.timeout(seconds * 1000);
      return await fetch(apiUrl(path), { method, headers, body, signal, cache: "no-store" });
    } catch {
      throw noAnswer();
    }
  });
  try {
    if (!answer.ok) {
      throw problem(answer.status, (name) => answer.headers.get(name), await answer.text());
    }
    if (maxBytes && Number(answer.headers.get("Content-Length")) > maxBytes) {
      await answer.body.cancel();
      throw new Problem(413, { code: "too_large", title: "The file is too large to show." });
    }
    if (answer.status === 204) return null;
    return await (as === "blob" ? answer.blob() : answer.json());
  } catch (error) {
    throw error instanceof Problem ? error : noAnswer();
  }
}

// Uploads a photograph with the form's other fields; returns the cutout. `progress` is called with the
// share that was sent, 0 to 1. Uses XMLHttpRequest, because fetch reports no upload progress.
export async function upload(file, name, fields, idempotencyKey, { progress, signal }) {
  const answer = await withKey((headers) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("image", file, name);
    for (const [field, text] of Object.entries(fields)) if (text) form.append(field, text);
    request.open("POST", apiUrl("cutouts"));
    request.setRequestHeader("Idempotency-Key", idempotencyKey);
    for (const [header, value] of Object.entries(headers)) request.setRequestHeader(header, value);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) progress(event.loaded / event.total);
    });
    request.addEventListener("load", () => resolve(request));
    request.addEventListener("error", () => reject(noAnswer()));
    request.addEventListener("abort", () => reject(noAnswer()));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  }));
  if (answer.status < 200 || answer.status > 299) {
    throw problem(answer.status, (header) => answer.getResponseHeader(header), answer.responseText);
  }
  try {
    return JSON.parse(answer.responseText);
  } catch {
    throw noAnswer();
  }
}
