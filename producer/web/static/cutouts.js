// Single photographs: sent, followed, shown, saved.

import { call, onKey, Problem, upload } from "./api.js";
import { comparison } from "./compare.js";
import { announce, byId, confirmed, count, h, named, notice, prose, save, setText } from "./dom.js";
import { dropped, pasted, picked } from "./files.js";
import { forget, preview } from "./preview.js";
import { limiter, pause, Poller } from "./queue.js";
import { archives, cutName, distinct, zip } from "./zip.js";

const MOST_UPLOADS = 4;
const OLDEST = 2;
const TRIES = 3;
const LABELS = {
  waiting: "Waiting", sending: "Sending", queued: "Queued", working: "Cutting out",
  fetching: "Fetching", done: "Done", failed: "Failed",
};

const cards = new Set();
const asking = limiter(4);
const fetching = limiter(4);
const deleting = limiter(4);
const poller = new Poller(round);
let sending = 0;
let heldUntil = 0;
let locked = false;
let cursor = 0;
let view = 50;

const identity = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// What the form asks of the server, besides the photograph itself.
const wishes = () => ({ model: byId("model").value, rendition: byId("rendition").value });

// Where the product comes to lie elsewhere, the photograph is nothing to lay above it.
function moved({ rendition }) {
  const { crop, scale, position } = JSON.parse(rendition);
  return Boolean(crop || scale || position);
}

const grouped = (state) => (state === "done" || state === "failed" ? state : "active");

class Card {
  state = "waiting";
  share = 0;
  id = null;
  failure = null;
  result = null;
  facts = null;
  saved = false;
  before = null;
  after = null;
  tries = 0;
  wishes = wishes();
  key = identity();
  abort = new AbortController();

  constructor({ file, name }) {
    this.file = file;
    this.name = name;
    this.compare = comparison(name);
    this.status = h("span", { class: "state" });
    this.meter = h("progress", { max: 1, "aria-label": `Progress of ${name}` });
    this.text = h("div", { class: "words" });
    this.buttons = h("div", { class: "buttons" });
    const title = h("h3", { class: "name", title: name }, named(name));
    this.media = h("div", { class: "media" }, this.compare.element, this.meter);
    this.body = h("div", { class: "body" }, h("div", { class: "line" }, title, this.status), this.buttons);
    this.element = h("li", { class: "card" }, this.media, this.body);
    this.render();
    this.picture();
  }

  get gone() {
    return !cards.has(this);
  }

  async picture() {
    const before = await preview(this.file);
    if (this.gone) forget(before);
    else this.before = before;
    this.draw();
  }

  to(state, more = {}) {
    Object.assign(this, more);
    const other = state !== this.state;
    this.state = state;
    this.render();
    if (!other || this.gone) return;
    tally();
    if (state === "done") announce("cut out.", this.name);
    if (state === "failed") announce(`failed. ${this.failure.sentence}`, this.name);
  }

  fail(problem) {
    this.to("failed", { failure: problem });
  }

  // Whether the photograph and what became of it lie one above the other.
  get comparable() {
    return Boolean(this.before && this.after && !moved(this.wishes));
  }

  draw() {
    this.compare.fill({
      beforeUrl: this.after && !this.comparable ? null : this.before?.url, afterUrl: this.after?.url,
      width: (this.after ?? this.before)?.width, height: (this.after ?? this.before)?.height,
    });
    const none = !this.before && !this.after;
    this.compare.element.hidden = none;
    // what went wrong stands where the picture would
    if (none && this.state === "failed") this.media.append(this.text);
    else this.body.insertBefore(this.text, this.buttons);
  }

  render() {
    const { state } = this;
    this.element.dataset.status = state;
    this.element.dataset.group = grouped(state);
    const percent = state === "sending" && this.share < 1 ? ` ${Math.floor(this.share * 100)} %` : "";
    setText(this.status, LABELS[state] + percent);
    this.meter.hidden = grouped(state) !== "active";
    if (state === "sending" && this.share < 1) this.meter.value = this.share;
    else if (state === "waiting") this.meter.value = 0;
    else this.meter.removeAttribute("value");
    if (state === this.rendered && state !== "failed") return;
    this.rendered = state;
    this.text.replaceChildren(...this.sentences());
    const held = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...this.actions());
    if (held) this.buttons.querySelector("button")?.focus();
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
    const { width, height, model, milliseconds, foreground } = this.facts;
    const taken = Object.values(milliseconds ?? {}).reduce((sum, stage) => sum + stage, 0) / 1000;
    const facts = [
      width && height ? `${width} × ${height}` : "", taken ? `${taken.toFixed(taken < 10 ? 1 : 0)} s` : "", model,
    ].filter(Boolean).join(" · ");
    const lines = [h("p", { class: "facts" }, facts)];
    if (typeof foreground === "number" && foreground < 0.005) {
      lines.push(h("p", { class: "next" }, "Hardly anything was kept: was the product found?"));
    } else if (typeof foreground === "number" && foreground > 0.995) {
      lines.push(h("p", { class: "next" }, "Nearly everything was kept: was a background found?"));
    }
    return lines;
  }

  actions() {
    const button = (text, what, kind = "") =>
      h("button", { type: "button", class: kind, "aria-label": `${text} ${this.name}`, click: what }, text);
    const remove = button("Remove", () => this.remove(), "quiet");
    if (this.state === "done") {
      return [button("Download", () => this.save(), "strong"), button("Enlarge", () => look(this), "quiet"), remove];
    }
    if (this.state === "failed") return [button("Retry", () => this.retry(), "strong"), remove];
    return [remove];
  }

  save() {
    this.saved = true;
    save(this.result, cutName(this.name, this.result).split("/").at(-1));
  }

  retry() {
    this.discard();
    forget(this.after);
    this.to("waiting", {
      id: null, failure: null, share: 0, tries: 0, after: null, wishes: wishes(), key: identity(),
      abort: new AbortController(),
    });
    pump();
  }

  // The server may forget it. Where that fails, it forgets it by itself later.
  discard() {
    this.abort.abort();
    const { id } = this;
    if (id) deleting(() => call(path(id), { method: "DELETE" })).catch(() => {});
  }

  remove() {
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    const focused = this.element.contains(document.activeElement);
    drop([this]);
    if (focused) (next?.querySelector(".buttons button") ?? byId("choose")).focus();
  }
}

const path = (id) => `cutouts/${encodeURIComponent(id)}`;

function drop(some) {
  for (const card of some) {
    cards.delete(card);
    card.discard();
    forget(card.before);
    forget(card.after);
    card.element.remove();
  }
  tally();
}

// ---------------------------------------------------------------- sending

function pump() {
  if (locked || Date.now() < heldUntil) return;
  for (const card of cards) {
    if (sending >= MOST_UPLOADS) return;
    if (card.state === "waiting") send(card);
  }
}

async function send(card) {
  sending += 1;
  const { signal } = card.abort;
  card.to("sending", { share: 0 });
  try {
    const made = await upload(card.file, card.name, card.wishes, card.key, {
      signal,
      progress: (share) => card.to(card.state, { share }),
    });
    notice("busy", "");
    if (signal.aborted || card.gone) {
      deleting(() => call(path(made.id), { method: "DELETE" })).catch(() => {});
    } else {
      card.id = made.id;
      settle(card, made);
      poller.wake();
    }
  } catch (error) {
    if (!signal.aborted && !card.gone) refused(card, error);
  } finally {
    sending -= 1;
    pump();
  }
}

function refused(card, error) {
  const problem = error instanceof Problem ? error : new Problem(0, { detail: String(error) });
  if (problem.status !== 0) card.key = identity(); // it was answered: nothing of it was taken
  if (problem.status === 401) {
    locked = true;
    card.to("waiting");
  } else if (problem.status === 429 || problem.status === 503) {
    hold(problem.retryAfter ?? 2, problem.message);
    card.to("waiting");
  } else if (problem.passing && card.tries + 1 < TRIES) {
    card.tries += 1;
    hold(2 ** card.tries, problem.message);
    card.to("waiting");
  } else {
    notice("busy", "");
    card.fail(problem);
  }
}

function hold(seconds, why) {
  heldUntil = Math.max(heldUntil, Date.now() + seconds * 1000);
  notice("busy", `${why} Sending goes on by itself.`);
  setTimeout(() => {
    if (Date.now() < heldUntil) return;
    if (![...cards].some((card) => card.state === "waiting")) notice("busy", "");
    pump();
  }, seconds * 1000 + 20);
}

// ---------------------------------------------------------------- following

const followed = () => [...cards].filter((card) => card.state === "queued" || card.state === "working");

// The oldest end first: two are asked, and one of the others in turn. Only where both have ended
// the next are asked at once: a server answers a key so many requests a minute.
async function round() {
  const asked = new Set();
  let changed = false;
  for (;;) {
    const active = followed().filter((card) => !asked.has(card));
    if (!active.length || locked) break;
    const oldest = active.slice(0, OLDEST);
    const others = active.slice(OLDEST);
    const some = others.length ? [...oldest, others[cursor++ % others.length]] : oldest;
    some.forEach((card) => asked.add(card));
    const answers = await Promise.allSettled(some.map((card) => asking(() => follow(card))));
    const away = answers.find((answer) => answer.status === "rejected")?.reason;
    notice("away", away ? `${away.message} The page keeps asking.` : "");
    if (away) return Math.max(3000, (away.retryAfter ?? 0) * 1000);
    changed ||= answers.some((answer) => answer.value);
    if (followed().some((card) => oldest.includes(card))) break;
  }
  if (locked || !followed().length) return "idle";
  return changed ? "changed" : "same";
}

async function follow(card) {
  if (card.gone || document.hidden) return false;
  const { id, state } = card;
  try {
    const now = await call(path(id), { seconds: 30 });
    if (card.gone || card.id !== id) return false;
    settle(card, now);
  } catch (error) {
    if (error.status === 401) locked = true;
    else if (error.passing || error.status >= 500) throw error;
    else if (!card.gone && card.id === id) card.fail(error);
  }
  return card.state !== state;
}

function settle(card, now) {
  if (now.status === "done") {
    card.to("fetching", { facts: now });
    fetching(() => bring(card)).catch(() => {});
  } else if (now.status === "failed") {
    const { code, message, next_step } = now;
    card.fail(new Problem(200, { code, detail: message, next_step }));
  } else {
    card.to(now.status === "working" ? "working" : "queued");
  }
}

async function bring(card) {
  const { id } = card;
  const other = () => card.gone || card.id !== id;
  for (let attempt = 1; !other(); attempt += 1) {
    try {
      const result = await call(`${path(id)}/image`, { as: "blob", seconds: 300 });
      const after = await preview(result);
      if (other()) forget(after);
      else {
        card.compare.set(view);
        card.to("done", { result, after });
      }
      return;
    } catch (error) {
      if (other()) return;
      if (error.status === 401) locked = true;
      const busy = error.status === 429 || error.status === 503;
      if (!busy && (!error.passing || attempt >= TRIES)) {
        card.fail(error);
        return;
      }
      await pause(1000 * (error.retryAfter ?? 2 ** Math.min(attempt, TRIES)));
    }
  }
}

// ---------------------------------------------------------------- all of them

let tallying = false;

function tally() {
  if (tallying) return;
  tallying = true;
  requestAnimationFrame(counted);
}

function counted() {
  tallying = false;
  const counts = { all: cards.size, active: 0, done: 0, failed: 0 };
  for (const card of cards) counts[grouped(card.state)] += 1;
  for (const place of document.querySelectorAll("[data-count]")) {
    setText(place, count(counts[place.dataset.count]));
  }
  const some = cards.size > 0;
  byId("work").hidden = !some;
  byId("cutouts").classList.toggle("busy", some);
  byId("zip").disabled = !counts.done || packing;
  if (!packing) setText(byId("zip"), counts.done > 1 ? `Download all ${count(counts.done)}` : "Download all");
  byId("retry-all").hidden = counts.failed < 2;
  byId("none-shown").hidden = !some || counts[byId("cards").dataset.filter] !== 0;
  document.title = counts.active ? `${count(counts.active)} in work · cutout` : "cutout";
}

async function add(found) {
  if (!found.length) return;
  if (byId("cutouts").hidden) location.hash = "#cutouts";
  for (let at = 0; at < found.length; at += 20) {
    const some = found.slice(at, at + 20).map((one) => new Card(one));
    some.forEach((card) => cards.add(card));
    byId("cards").append(...some.map((card) => card.element));
    tally();
    pump();
    await pause(0);
  }
  announce(found.length > 1 ? `${found.length} photographs added.` : "1 photograph added.");
}

let packing = false;

async function packed() {
  const done = [...cards].filter((card) => card.state === "done");
  const names = distinct(done.map((card) => cutName(card.name, card.result)));
  const parts = archives(done.map((card, at) => ({ name: names[at], blob: card.result })));
  packing = true;
  byId("zip").disabled = true;
  let ready = 0;
  try {
    for (const [at, entries] of parts.entries()) {
      const archive = await zip(entries, () => {
        ready += 1;
        setText(byId("zip"), `Packing ${count(ready)} of ${count(done.length)}`);
      });
      save(archive, parts.length > 1 ? `cut-outs-${at + 1}.zip` : "cut-outs.zip");
    }
    done.forEach((card) => { card.saved = true; });
    announce("The archive is ready.");
  } finally {
    packing = false;
    tally();
  }
}

async function clear() {
  const lost = [...cards].filter((card) => card.state !== "failed" && !card.saved).length;
  const what = lost === 1 ? "One photograph is" : `${count(lost)} photographs are`;
  if (lost && !(await confirmed("Clear the list?", `${what} not downloaded yet. The server forgets them.`,
    "Clear", "Keep"))) return;
  drop([...cards]);
  byId("choose").focus();
}

function look(card) {
  const dialog = byId("look-dialog");
  const large = comparison(card.name, false);
  const urls = [card.file, card.result].map((blob) => URL.createObjectURL(blob));
  byId("look-title").replaceChildren(named(card.name));
  byId("look-place").replaceChildren(large.element);
  large.set(view);
  large.fill({
    beforeUrl: card.comparable ? urls[0] : null, afterUrl: urls[1],
    width: card.after?.width ?? card.facts.width, height: card.after?.height ?? card.facts.height,
  });
  dialog.addEventListener("close", () => {
    urls.forEach((url) => URL.revokeObjectURL(url));
    byId("look-place").replaceChildren();
  }, { once: true });
  dialog.showModal();
}

function backdrop() {
  const kind = document.querySelector("[name=backdrop]:checked").value;
  document.documentElement.dataset.backdrop = kind;
  document.documentElement.style.setProperty("--chosen", byId("colour").value);
}

function dragging() {
  let depth = 0; // enter and leave come in pairs for every element on the way
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (change) => {
    depth = Math.max(0, change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  addEventListener("dragenter", (event) => carries(event) && mark(depth + 1));
  addEventListener("dragleave", (event) => carries(event) && mark(depth - 1));
  addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("drop", async (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    mark(0);
    await add(await dropped(event.dataTransfer));
  });
}

export function start() {
  byId("choose").addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", async () => {
    const found = picked(byId("files").files);
    byId("files").value = "";
    await add(found);
  });
  addEventListener("paste", async (event) => {
    const found = pasted(event.clipboardData);
    if (!found.length) return;
    event.preventDefault();
    await add(found);
  });
  dragging();
  byId("cards").dataset.filter = "all";
  byId("filter").addEventListener("change", (event) => {
    byId("cards").dataset.filter = event.target.value;
    tally();
  });
  byId("view").addEventListener("change", (event) => {
    view = Number(event.target.value);
    cards.forEach((card) => card.state === "done" && card.compare.set(view));
  });
  byId("backdrop").addEventListener("change", backdrop);
  for (const kind of ["click", "input"]) {
    byId("colour").addEventListener(kind, () => {
      document.querySelector("[name=backdrop][value=colour]").checked = true;
      backdrop();
    });
  }
  backdrop();
  byId("zip").addEventListener("click", packed);
  byId("clear").addEventListener("click", clear);
  byId("retry-all").addEventListener("click", () => {
    [...cards].filter((card) => card.state === "failed").forEach((card) => card.retry());
  });
  byId("look-close").addEventListener("click", () => byId("look-dialog").close());
  onKey(() => {
    locked = false;
    pump();
    poller.wake();
  });
  addEventListener("beforeunload", (event) => {
    if ([...cards].some((card) => grouped(card.state) === "active")) event.preventDefault();
  });
}
