// The API under /v1, the key it may ask for, and its errors.

import { asked, byId, notice, spoken } from "./dom.js";

const KEPT = "cutout.key";
let key = kept();
let asking = null;
let declined = false;
const listeners = new Set();

function kept() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

function keep(value) {
  key = value;
  try {
    if (value) sessionStorage.setItem(KEPT, value);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // a browser that stores nothing asks again after a reload
  }
  byId("key-button").hidden = !value;
}

// Is told whenever a person has given a key.
export const onKey = (listener) => listeners.add(listener);

// What the server said went wrong (problem+json), or that it said nothing.
export class Problem extends Error {
  constructor(status, said = {}, retryAfter = null) {
    const text = (value) => (typeof value === "string" ? spoken(value) : "");
    super(text(said.detail) || text(said.title) || `The server answered ${status}.`);
    this.status = status;
    this.code = text(said.code) || `http_${status}`;
    this.nextStep = status === 401 ? "Enter a key of this server." : text(said.next_step);
    this.retryAfter = retryAfter;
  }

  get sentence() {
    return [this.message, this.nextStep].filter(Boolean).join(" ");
  }

  // The request was fine and may be sent again.
  get passing() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }
}

export const noAnswer = () =>
  new Problem(0, {
    code: "no_answer",
    detail: "The server did not answer.",
    next_step: "Check that it runs and that you are connected, then retry.",
  });

function problem(status, header, text) {
  let said = {};
  try {
    said = JSON.parse(text) ?? {};
  } catch {
    // a proxy's page, say: the status has to do
  }
  const after = header("Retry-After");
  const seconds = Number(after) || (Date.parse(after) - Date.now()) / 1000;
  return new Problem(status, said, seconds > 0 ? Math.min(seconds, 300) : null);
}

// Sends with the key, and once more after each key that a person enters on a 401.
async function withKey(send) {
  for (;;) {
    const used = key;
    const answer = await send(used ? { Authorization: `Bearer ${used}` } : {});
    if (answer.status !== 401) return answer;
    if (used !== key) continue;
    if (declined || !(await askForKey(Boolean(used)))) return answer;
  }
}

export function askForKey(refused = false) {
  asking ??= dialog(refused).finally(() => {
    asking = null;
  });
  return asking;
}

async function dialog(refused) {
  const input = byId("key");
  const error = byId("key-error");
  input.value = "";
  error.textContent = refused ? "The server did not accept that key." : "";
  byId("key-forget").hidden = !key;
  const given = await asked(byId("key-dialog"), byId("key-cancel"), () => {
    const value = input.value.trim();
    if (/^[\x21-\x7e]+$/.test(value)) return value;
    error.textContent = "A key has no spaces and only plain letters, digits and signs.";
    return undefined;
  }, "");
  input.value = "";
  if (given) keep(given);
  declined = !given && (refused || !key);
  locked(declined);
  if (given) listeners.forEach((listener) => listener());
  return Boolean(given);
}

function locked(yes) {
  notice("key", yes ? "This server asks for an API key." : "", ["Enter the key", () => askForKey()]);
}

export function start() {
  keep(key);
  byId("key-button").addEventListener("click", () => askForKey());
  byId("key-forget").addEventListener("click", () => {
    keep("");
    byId("key-dialog").close();
  });
}

const within = (path) => new URL(`v1/${path}`, document.baseURI);

// Returns the answer's JSON, or its Blob with `as: "blob"`; raises Problem.
export async function call(path, { method = "GET", json, as = "json", seconds = 60, most } = {}) {
  const answer = await withKey(async (headers) => {
    const body = json === undefined ? undefined : JSON.stringify(json);
    if (body) headers["Content-Type"] = "application/json";
    try {
      const signal = AbortSignal.timeout(seconds * 1000);
      return await fetch(within(path), { method, headers, body, signal, cache: "no-store" });
    } catch {
      throw noAnswer();
    }
  });
  try {
    if (!answer.ok) {
      throw problem(answer.status, (name) => answer.headers.get(name), await answer.text());
    }
    if (most && Number(answer.headers.get("Content-Length")) > most) {
      await answer.body.cancel();
      throw new Problem(413, { code: "too_large", title: "It is too large to be shown." });
    }
    if (answer.status === 204) return null;
    return await (as === "blob" ? answer.blob() : answer.json());
  } catch (error) {
    throw error instanceof Problem ? error : noAnswer();
  }
}

// Sends a photograph, with the form's other fields (XMLHttpRequest: fetch does not tell how far an
// upload is).
export async function upload(file, name, fields, identity, { progress, signal }) {
  const answer = await withKey((headers) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("image", file, name);
    for (const [field, text] of Object.entries(fields)) if (text) form.append(field, text);
    request.open("POST", within("cutouts"));
    request.setRequestHeader("Idempotency-Key", identity);
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
