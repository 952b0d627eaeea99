// The view of cutouts: uploads photographs, polls their progress, shows and saves the results.

import { call, onKey, Problem, upload } from "./api.js";
import { comparison } from "./compare.js";
import { announce, byId, confirmed, count, h, isolated, notice, prose, save, setText } from "./dom.js";
import { dropped, pasted, picked } from "./files.js";
import { preview, release } from "./preview.js";
import { limiter, pause, Poller } from "./queue.js";
import { archives, cutoutName, distinct, zip } from "./zip.js";

const MAX_UPLOADS = 4; // at a time
const OLDEST = 2; // cutouts that are polled in every round, see `round`
const MAX_ATTEMPTS = 3; // of an upload or a download
const CARDS_AT_A_TIME = 20;
const LABELS = {
  waiting: "Waiting", sending: "Uploading", queued: "Queued", working: "Cutting out",
  fetching: "Downloading", done: "Done", failed: "Failed",
};

const cards = new Set();
const polling = limiter(4);
const downloading = limiter(4);
const deleting = limiter(4);
const poller = new Poller(round);
let sending = 0;
let heldUntil = 0; // no upload starts before this time
let locked = false; // an API key is missing
let cursor = 0;
let view = 50;

const newIdempotencyKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// The form's fields besides the photograph, as chosen now.
const chosenOptions = () => ({ model: byId("model").value, rendition: byId("rendition").value });

// True if the product is at another position in the result than in the photograph.
function movesProduct({ rendition }) {
  const { crop, scale, position } = JSON.parse(rendition);
  return Boolean(crop || scale || position);
}

const groupOf = (state) => (state === "done" || state === "failed" ? state : "active");

class Card {
  state = "waiting";
  share = 0;
  id = null;
  failure = null;
  result = null;
  cutout = null;
  saved = false;
  before = null;
  after = null;
  attempts = 0;
  options = chosenOptions();
  key = newIdempotencyKey();
  abort = new AbortController();

  constructor({ file, name }) {
    this.file = file;
    this.name = name;
    this.compare = comparison(name);
    this.status = h("span", { class: "state" });
    this.meter = h("progress", { max: 1, "aria-label": `Progress of ${name}` });
    this.text = h("div", { class: "words" });
    this.buttons = h("div", { class: "buttons" });
    const title = h("h3", { class: "name", title: name }, isolated(name));
    this.media = h("div", { class: "media" }, this.compare.element, this.meter);
    this.body = h("div", { class: "body" }, h("div", { class: "line" }, title, this.status), this.buttons);
    this.element = h("li", { class: "card" }, this.media, this.body);
    this.render();
    this.showPhotograph();
  }

  get removed() {
    return !cards.has(this);
  }

  async showPhotograph() {
    const before = await preview(this.file);
    if (this.removed) release(before);
    else this.before = before;
    this.draw();
  }

  to(state, changes = {}) {
    Object.assign(this, changes);
    const changed = state !== this.state;
    this.state = state;
    this.render();
    if (!changed || this.removed) return;
    tally();
    if (state === "done") announce("cut out.", this.name);
    if (state === "failed") announce(`failed. ${this.failure.sentence}`, this.name);
  }

  fail(problem) {
    this.to("failed", { failure: problem });
  }

  // True if photograph and result can be shown on top of each other.
  get comparable() {
    return Boolean(this.before && this.after && !movesProduct(this.options));
  }

  draw() {
    this.compare.fill({
      beforeUrl: this.after && !this.comparable ? null : this.before?.url, afterUrl: this.after?.url,
      width: (this.after ?? this.before)?.width, height: (this.after ?? this.before)?.height,
    });
    const empty = !this.before && !this.after;
    this.compare.element.hidden = empty;
    // without an image, the error takes its place
    if (empty && this.state === "failed") this.media.append(this.text);
    else this.body.insertBefore(this.text, this.buttons);
  }

  render() {
    const { state } = this;
    this.element.dataset.status = state;
    this.element.dataset.group = groupOf(state);
    const percent = state === "sending" && this.share < 1 ? ` ${Math.floor(this.share * 100)} %` : "";
    setText(this.status, LABELS[state] + percent);
    this.meter.hidden = groupOf(state) !== "active";
    if (state === "sending" && this.share < 1) this.meter.value = this.share;
    else if (state === "waiting") this.meter.value = 0;
    else this.meter.removeAttribute("value");
    if (state === this.rendered && state !== "failed") return;
    this.rendered = state;
    this.text.replaceChildren(...this.sentences());
    const focused = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...this.actions());
    if (focused) this.buttons.querySelector("button")?.focus();
    this.draw();
  }

  sentences() {
    if (this.state === "failed") {
      return [
        h("p", {}, h("code", {}, this.failure.code), " ", ...prose(this.failure.message)),
        this.failure.nextStep ? h("p", { class: "next" }, ...prose(this.failure.nextStep)) : null,
      ].filter(Boolean);
    }
    if (this.state !== "done") return [];
    const { width, height, model, milliseconds, foreground } = this.cutout;
    const seconds = Object.values(milliseconds ?? {}).reduce((sum, stage) => sum + stage, 0) / 1000;
    const facts = [
      width && height ? `${width} × ${height}` : "", seconds ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s` : "", model,
    ].filter(Boolean).join(" · ");
    const lines = [h("p", { class: "facts" }, facts)];
    if (typeof foreground === "number" && foreground < 0.005) {
      lines.push(h("p", { class: "next" }, "Almost everything was removed. Check that the product is there."));
    } else if (typeof foreground === "number" && foreground > 0.995) {
      lines.push(h("p", { class: "next" }, "Almost nothing was removed. Check that the background is gone."));
    }
    return lines;
  }

  actions() {
    const button = (text, handler, style = "") =>
      h("button", { type: "button", class: style, "aria-label": `${text} ${this.name}`, click: handler }, text);
    const remove = button("Remove", () => this.remove(), "quiet");
    if (this.state === "done") {
      return [button("Download", () => this.save(), "strong"), button("Enlarge", () => enlarge(this), "quiet"), remove];
    }
    if (this.state === "failed") return [button("Retry", () => this.retry(), "strong"), remove];
    return [remove];
  }

  save() {
    this.saved = true;
    save(this.result, cutoutName(this.name, this.result).split("/").at(-1));
  }

  retry() {
    this.discard();
    release(this.after);
    this.to("waiting", {
      id: null, failure: null, share: 0, attempts: 0, after: null, options: chosenOptions(), key: newIdempotencyKey(),
      abort: new AbortController(),
    });
    startUploads();
  }

  // Deletes the cutout on the server. If that fails, the server forgets it after 7 days.
  discard() {
    this.abort.abort();
    const { id } = this;
    if (id) deleting(() => call(path(id), { method: "DELETE" })).catch(() => {});
  }

  remove() {
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    const focused = this.element.contains(document.activeElement);
    dropCards([this]);
    if (focused) (next?.querySelector(".buttons button") ?? byId("choose")).focus();
  }
}

const path = (id) => `cutouts/${encodeURIComponent(id)}`;

function dropCards(list) {
  for (const card of list) {
    cards.delete(card);
    card.discard();
    release(card.before);
    release(card.after);
    card.element.remove();
  }
  tally();
}

// ---------------------------------------------------------------- uploads

function startUploads() {
  if (locked || Date.now() < heldUntil) return;
  for (const card of cards) {
    if (sending >= MAX_UPLOADS) return;
    if (card.state === "waiting") uploadCard(card);
  }
}

async function uploadCard(card) {
  sending += 1;
  const { signal } = card.abort;
  card.to("sending", { share: 0 });
  try {
    const cutout = await upload(card.file, card.name, card.options, card.key, {
      signal,
      progress: (share) => card.to(card.state, { share }),
    });
    notice("busy", "");
    if (signal.aborted || card.removed) {
      deleting(() => call(path(cutout.id), { method: "DELETE" })).catch(() => {});
    } else {
      card.id = cutout.id;
      showCutout(card, cutout);
      poller.wake();
    }
  } catch (error) {
    if (!signal.aborted && !card.removed) uploadFailed(card, error);
  } finally {
    sending -= 1;
    startUploads();
  }
}

function uploadFailed(card, error) {
  const problem = error instanceof Problem ? error : new Problem(0, { detail: String(error) });
  if (problem.status !== 0) card.key = newIdempotencyKey(); // the server answered: it created no cutout
  if (problem.status === 401) {
    locked = true;
    card.to("waiting");
  } else if (problem.status === 429 || problem.status === 503) {
    hold(problem.retryAfter ?? 2, problem.message);
    card.to("waiting");
  } else if (problem.temporary && card.attempts + 1 < MAX_ATTEMPTS) {
    card.attempts += 1;
    hold(2 ** card.attempts, problem.message);
    card.to("waiting");
  } else {
    notice("busy", "");
    card.fail(problem);
  }
}

function hold(seconds, reason) {
  heldUntil = Math.max(heldUntil, Date.now() + seconds * 1000);
  notice("busy", `${reason} Uploads will continue automatically.`);
  setTimeout(() => {
    if (Date.now() < heldUntil) return;
    if (![...cards].some((card) => card.state === "waiting")) notice("busy", "");
    startUploads();
  }, seconds * 1000 + 20);
}

// ---------------------------------------------------------------- polling

const polled = () => [...cards].filter((card) => card.state === "queued" || card.state === "working");

// Polls the two oldest cutouts, which probably end first, and one of the others in turn. Once both
// have ended, polls the next ones at once. Polling all would exceed the server's rate limit.
async function round() {
  const alreadyPolled = new Set();
  let changed = false;
  for (;;) {
    const active = polled().filter((card) => !alreadyPolled.has(card));
    if (!active.length || locked) break;
    const oldest = active.slice(0, OLDEST);
    const others = active.slice(OLDEST);
    const selected = others.length ? [...oldest, others[cursor++ % others.length]] : oldest;
    selected.forEach((card) => alreadyPolled.add(card));
    const answers = await Promise.allSettled(selected.map((card) => polling(() => poll(card))));
    const error = answers.find((answer) => answer.status === "rejected")?.reason;
    notice("away", error ? `${error.message} The page keeps trying.` : "");
    if (error) return Math.max(3000, (error.retryAfter ?? 0) * 1000);
    changed ||= answers.some((answer) => answer.value);
    if (polled().some((card) => oldest.includes(card))) break;
  }
  if (locked || !polled().length) return "idle";
  return changed ? "changed" : "same";
}

async function poll(card) {
  if (card.removed || document.hidden) return false;
  const { id, state } = card;
  try {
    const cutout = await call(path(id), { seconds: 30 });
    if (card.removed || card.id !== id) return false;
    showCutout(card, cutout);
  } catch (error) {
    if (error.status === 401) locked = true;
    else if (error.temporary || error.status >= 500) throw error;
    else if (!card.removed && card.id === id) card.fail(error);
  }
  return card.state !== state;
}

function showCutout(card, cutout) {
  if (cutout.status === "done") {
    card.to("fetching", { cutout });
    downloading(() => download(card)).catch(() => {});
  } else if (cutout.status === "failed") {
    const { code, message, next_step } = cutout;
    card.fail(new Problem(200, { code, detail: message, next_step }));
  } else {
    card.to(cutout.status === "working" ? "working" : "queued");
  }
}

async function download(card) {
  const { id } = card;
  const outdated = () => card.removed || card.id !== id;
  for (let attempt = 1; !outdated(); attempt += 1) {
    try {
      const result = await call(`${path(id)}/image`, { as: "blob", seconds: 300 });
      const after = await preview(result);
      if (outdated()) release(after);
      else {
        card.compare.set(view);
        card.to("done", { result, after });
      }
      return;
    } catch (error) {
      if (outdated()) return;
      if (error.status === 401) locked = true;
      const busy = error.status === 429 || error.status === 503;
      if (!busy && (!error.temporary || attempt >= MAX_ATTEMPTS)) {
        card.fail(error);
        return;
      }
      await pause(1000 * (error.retryAfter ?? 2 ** Math.min(attempt, MAX_ATTEMPTS)));
    }
  }
}

// ---------------------------------------------------------------- all of them

let tallying = false;

function tally() {
  if (tallying) return;
  tallying = true;
  requestAnimationFrame(showCounts);
}

function showCounts() {
  tallying = false;
  const counts = { all: cards.size, active: 0, done: 0, failed: 0 };
  for (const card of cards) counts[groupOf(card.state)] += 1;
  for (const element of document.querySelectorAll("[data-count]")) {
    setText(element, count(counts[element.dataset.count]));
  }
  const any = cards.size > 0;
  byId("work").hidden = !any;
  byId("cutouts").classList.toggle("busy", any);
  byId("zip").disabled = !counts.done || packing;
  if (!packing) setText(byId("zip"), counts.done > 1 ? `Download all ${count(counts.done)}` : "Download all");
  byId("retry-all").hidden = counts.failed < 2;
  byId("none-shown").hidden = !any || counts[byId("cards").dataset.filter] !== 0;
  document.title = counts.active ? `${count(counts.active)} in progress · cutout` : "cutout";
}

async function add(files) {
  if (!files.length) return;
  if (byId("cutouts").hidden) location.hash = "#cutouts";
  for (let start = 0; start < files.length; start += CARDS_AT_A_TIME) {
    const added = files.slice(start, start + CARDS_AT_A_TIME).map((file) => new Card(file));
    added.forEach((card) => cards.add(card));
    byId("cards").append(...added.map((card) => card.element));
    tally();
    startUploads();
    await pause(0);
  }
  announce(files.length > 1 ? `${files.length} photographs added.` : "1 photograph added.");
}

let packing = false;

async function downloadAll() {
  const done = [...cards].filter((card) => card.state === "done");
  const names = distinct(done.map((card) => cutoutName(card.name, card.result)));
  const parts = archives(done.map((card, index) => ({ name: names[index], blob: card.result })));
  packing = true;
  byId("zip").disabled = true;
  let packed = 0;
  try {
    for (const [index, entries] of parts.entries()) {
      const archive = await zip(entries, () => {
        packed += 1;
        setText(byId("zip"), `Packing ${count(packed)} of ${count(done.length)}`);
      });
      save(archive, parts.length > 1 ? `cut-outs-${index + 1}.zip` : "cut-outs.zip");
    }
    done.forEach((card) => { card.saved = true; });
    announce("The archive is ready.");
  } finally {
    packing = false;
    tally();
  }
}

async function clear() {
  const unsaved = [...cards].filter((card) => card.state !== "failed" && !card.saved).length;
  const text = unsaved === 1 ? "One photograph has not been downloaded. The server will delete it."
    : `${count(unsaved)} photographs have not been downloaded. The server will delete them.`;
  if (unsaved && !(await confirmed("Clear the list?", text,
    "Clear", "Keep"))) return;
  dropCards([...cards]);
  byId("choose").focus();
}

function enlarge(card) {
  const dialog = byId("look-dialog");
  const large = comparison(card.name, false);
  const urls = [card.file, card.result].map((blob) => URL.createObjectURL(blob));
  byId("look-title").replaceChildren(isolated(card.name));
  byId("look-content").replaceChildren(large.element);
  large.set(view);
  large.fill({
    beforeUrl: card.comparable ? urls[0] : null, afterUrl: urls[1],
    width: card.after?.width ?? card.cutout.width, height: card.after?.height ?? card.cutout.height,
  });
  dialog.addEventListener("close", () => {
    urls.forEach((url) => URL.revokeObjectURL(url));
    byId("look-content").replaceChildren();
  }, { once: true });
  dialog.showModal();
}

function setBackdrop() {
  const backdrop = document.querySelector("[name=backdrop]:checked").value;
  document.documentElement.dataset.backdrop = backdrop;
  document.documentElement.style.setProperty("--chosen", byId("colour").value);
}

function acceptDrops() {
  let depth = 0; // dragenter and dragleave come in pairs for every element that is crossed
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const setDepth = (value) => {
    depth = Math.max(0, value);
    document.body.classList.toggle("dragging", depth > 0);
  };
  addEventListener("dragenter", (event) => hasFiles(event) && setDepth(depth + 1));
  addEventListener("dragleave", (event) => hasFiles(event) && setDepth(depth - 1));
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    setDepth(0);
    await add(await dropped(event.dataTransfer));
  });
}

export function start() {
  byId("choose").addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", async () => {
    const files = picked(byId("files").files);
    byId("files").value = "";
    await add(files);
  });
  addEventListener("paste", async (event) => {
    const files = pasted(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    await add(files);
  });
  acceptDrops();
  byId("cards").dataset.filter = "all";
  byId("filter").addEventListener("change", (event) => {
    byId("cards").dataset.filter = event.target.value;
    tally();
  });
  byId("view").addEventListener("change", (event) => {
    view = Number(event.target.value);
    cards.forEach((card) => card.state === "done" && card.compare.set(view));
  });
  byId("backdrop").addEventListener("change", setBackdrop);
  for (const type of ["click", "input"]) {
    byId("colour").addEventListener(type, () => {
      document.querySelector("[name=backdrop][value=colour]").checked = true;
      setBackdrop();
    });
  }
  setBackdrop();
  byId("zip").addEventListener("click", downloadAll);
  byId("clear").addEventListener("click", clear);
  byId("retry-all").addEventListener("click", () => {
    [...cards].filter((card) => card.state === "failed").forEach((card) => card.retry());
  });
  byId("look-close").addEventListener("click", () => byId("look-dialog").close());
  onKey(() => {
    locked = false;
    startUploads();
    poller.wake();
  });
  addEventListener("beforeunload", (event) => {
    if ([...cards].some((card) => groupOf(card.state) === "active")) event.preventDefault();
  });
}
