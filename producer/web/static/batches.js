// Whole catalogues: how far they are, what failed, and what a person may do about it.

import { call, onKey } from "./api.js";
import {
  announce, asked, byId, confirmed, count, duration, h, named, notice, prose, save, setText, spoken, svg,
} from "./dom.js";
import { forget, preview } from "./preview.js";
import { limiter, Poller } from "./queue.js";

const MOVING = new Set(["registering", "open", "cancelling"]);
const LABELS = {
  registering: "Listing", open: "Running", paused: "Paused", cancelling: "Cancelling", closed: "Closed",
};
const NEVER_RETRIED = new Set(["unsafe_key", "duplicate_destination"]);
const KEPT_SECONDS = 300;
const NOW_SECONDS = 10;
const POINTS = 60;
const SHOWN_AT_FIRST = 30;
const FAILURES = 50;
const QUIET = 5000;
const LARGEST_THUMBNAIL = 32 * 2 ** 20;

const rows = new Map();
const fetching = limiter(4);
const poller = new Poller(round);
let most = SHOWN_AT_FIRST;
let open = false;
let seen = "";

const path = (id, rest = "") => `batches/${encodeURIComponent(id)}${rest}`;
const settled = (batch) => batch.done + batch.skipped + batch.failed;

// ---------------------------------------------------------------- throughput

// How many a second, sampled while the page is open.
class Throughput {
  samples = [];

  add(total, now = performance.now() / 1000) {
    const last = this.samples.at(-1);
    if (last && total < last.total) this.samples = []; // a retry opened some again
    if (last && now - last.at < 0.4) return;
    this.samples.push({ at: now, total });
    while (this.samples[0].at < now - KEPT_SECONDS) this.samples.shift();
  }

  get span() {
    return this.samples.length ? this.samples.at(-1).at - this.samples[0].at : 0;
  }

  get now() {
    return this.span ? this.#rate(this.samples.at(-1).at, NOW_SECONDS) : 0;
  }

  #total(at) {
    const after = this.samples.findIndex((sample) => sample.at >= at);
    if (after <= 0) return this.samples[after === 0 ? 0 : this.samples.length - 1].total;
    const [a, b] = [this.samples[after - 1], this.samples[after]];
    return a.total + ((b.total - a.total) * (at - a.at)) / (b.at - a.at);
  }

  #rate(at, seconds) {
    const from = Math.max(this.samples[0].at, at - seconds);
    return at > from ? (this.#total(at) - this.#total(from)) / (at - from) : 0;
  }

  curve() {
    const first = this.samples[0].at;
    const smooth = Math.max(3, this.span / 20);
    const start = Math.min(1.5, this.span / 4);
    return Array.from({ length: POINTS }, (_, at) =>
      this.#rate(first + start + ((this.span - start) * at) / (POINTS - 1), smooth));
  }
}

const rounded = (rate) => (rate >= 100 ? count(Math.round(rate)) : rate.toFixed(rate >= 10 ? 0 : 1));

function drawing() {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line" });
  const title = svg("title", {});
  const element = svg("svg", {
    class: "curve", viewBox: "0 0 240 48", preserveAspectRatio: "none", role: "img",
  }, title, area, line);
  return {
    element,
    draw(throughput) {
      const rates = throughput.curve();
      const top = Math.max(...rates, 0.1) * 1.08;
      const points = rates.map((rate, at) =>
        `${((240 * at) / (POINTS - 1)).toFixed(1)},${(47 - (46 * rate) / top).toFixed(1)}`);
      line.setAttribute("d", `M${points.join("L")}`);
      area.setAttribute("d", `M0,48L${points.join("L")}L240,48Z`);
      setText(title, `Throughput of the last ${duration(throughput.span)}: `
        + `now ${rounded(throughput.now)} images a second, at most ${rounded(Math.max(...rates))}`);
    },
  };
}

// ---------------------------------------------------------------- one batch

class Row {
  throughput = new Throughput();
  curve = drawing();
  busy = false;
  listed = null;

  constructor(batch) {
    this.id = batch.id;
    this.state = h("span", { class: "state" });
    this.percent = h("span", { class: "percent" });
    this.parts = Object.fromEntries(["done", "skipped", "failed"].map((kind) => [kind, h("span", { class: kind })]));
    this.bar = h("div", {
      class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-label": `Progress of batch ${this.id}`,
    }, ...Object.values(this.parts));
    this.legend = h("p", { class: "legend" });
    this.trouble = h("p", { class: "trouble", hidden: true });
    this.pace = h("p", { class: "pace" });
    this.flow = h("div", { class: "flow", hidden: true }, this.curve.element, this.pace);
    this.facts = h("p", { class: "facts" });
    this.buttons = h("div", { class: "buttons" });
    this.error = h("p", { class: "error", role: "alert" });
    this.groups = h("div", { class: "groups" });
    this.summary = h("summary", {});
    this.failures = h("details", { class: "failures", hidden: true, toggle: () => this.list() }, this.summary, this.groups);
    this.element = h("article", { class: "batch", "aria-label": `Batch ${this.id}` },
      h("header", {}, h("h2", {}, named(this.id)), this.state, this.percent),
      h("dl", { class: "places" },
        h("dt", {}, "From"), h("dd", {}, named(batch.source)),
        h("dt", {}, "To"), h("dd", {}, named(batch.destination))),
      this.bar, this.legend, this.trouble, this.flow, this.facts, this.buttons, this.error, this.failures);
  }

  update(batch) {
    const before = this.batch;
    this.batch = batch;
    this.element.dataset.state = batch.state;
    const ended = settled(batch);
    const total = Math.max(batch.total, ended);
    setText(this.state, LABELS[batch.state] ?? batch.state);
    setText(this.percent, total ? `${Math.floor((100 * ended) / total)} %` : "");
    this.bar.setAttribute("aria-valuemax", Math.max(1, total));
    this.bar.setAttribute("aria-valuenow", ended);
    this.bar.setAttribute("aria-valuetext", `${count(ended)} of ${count(total)} images`);
    for (const [kind, part] of Object.entries(this.parts)) {
      part.style.setProperty("--share", total ? batch[kind] / total : 0);
    }
    this.legend.replaceChildren(...["done", "skipped", "failed"].flatMap((kind) =>
      batch[kind] || kind === "done" ? [h("span", { class: `key ${kind}` }, `${count(batch[kind])} ${kind}`), " "] : []),
    h("span", { class: "key" }, `of ${count(batch.total)}`));
    if (batch.stalled_reason !== before?.stalled_reason) this.trouble.replaceChildren(...prose(batch.stalled_reason ?? ""));
    this.trouble.hidden = !batch.stalled_reason;
    this.paced(batch, total - ended);
    const facts = [
      batch.model, `started ${when(batch.created)}`, batch.closed ? `closed ${when(batch.closed)}` : "",
      batch.ignored ? `${count(batch.ignored)} ${batch.ignored === 1 ? "file" : "files"} ignored` : "",
      batch.issued && batch.state !== "closed" ? `${count(batch.issued)} handed out` : "",
    ];
    setText(this.facts, facts.filter(Boolean).join(" · "));
    this.act(before);
    this.failures.hidden = !batch.failed;
    setText(this.summary, batch.failed === 1 ? "1 failure" : `${count(batch.failed)} failures`);
    if (before && before.state !== batch.state) {
      announce(`Batch ${this.id} is ${(LABELS[batch.state] ?? batch.state).toLowerCase()}. ${spoken(batch.stalled_reason ?? "")}`);
    }
    if (before && before.failed !== batch.failed) this.list();
  }

  paced(batch, left) {
    if (batch.state === "open") this.throughput.add(settled(batch));
    const { now, span } = this.throughput;
    this.flow.hidden = span < 2 || batch.state === "closed";
    if (this.flow.hidden) return;
    this.curve.draw(this.throughput);
    const running = batch.state === "open";
    setText(this.pace, !running ? "Standing still"
      : `${rounded(now)} images/s now${now > 0 && left > 0 ? `, about ${duration(left / now)} left` : ""}`);
  }

  // Only what its state allows is offered.
  act(before) {
    const { state, failed } = this.batch;
    if (before && before.state === state && Boolean(before.failed) === Boolean(failed)) return;
    const button = (text, what, kind = "") =>
      h("button", { type: "button", class: kind, "aria-label": `${text}: batch ${this.id}`, click: what }, text);
    const made = [];
    if (state === "open") made.push(button("Pause", () => this.post("pause", "paused")));
    if (state === "paused") made.push(button("Resume", () => this.post("resume", "resumed"), "strong"));
    if (state === "open" || state === "paused") made.push(button("Cancel", () => this.cancel()));
    if (failed && state !== "cancelling") made.push(button("Retry failures", () => this.retry()));
    if (state === "closed") {
      made.push(button("Report, CSV", () => this.report("csv"), "quiet"));
      made.push(button("Report, JSONL", () => this.report("jsonl"), "quiet"));
    }
    const focused = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...made);
    if (focused) this.buttons.querySelector("button")?.focus();
  }

  async doing(work) {
    if (this.busy) return;
    this.busy = true;
    this.element.setAttribute("aria-busy", "true");
    this.error.textContent = "";
    try {
      await work();
    } catch (error) {
      this.error.textContent = error.sentence ?? String(error);
    } finally {
      this.busy = false;
      this.element.removeAttribute("aria-busy");
      poller.wake();
    }
  }

  post(verb) {
    return this.doing(async () => this.update(await call(path(this.id, `/${verb}`), { method: "POST" })));
  }

  async cancel() {
    const left = this.batch.total - settled(this.batch);
    const text = `${count(left)} images that are not cut out yet are given up. Cut-outs that are there stay.`;
    if (await confirmed(`Cancel batch ${this.id}?`, text, "Cancel the batch", "Go on with it")) {
      await this.post("cancel");
    }
  }

  retry(code) {
    return this.doing(async () => {
      const json = code ? { code } : {};
      const { opened } = await call(path(this.id, "/retry"), { method: "POST", json, seconds: 300 });
      const what = opened === 1 ? "1 image is" : `${count(opened)} images are`;
      announce(`${what} tried again.`);
      this.error.textContent = opened ? "" : "None of them can be tried again.";
    });
  }

  report(format) {
    return this.doing(async () => {
      const blob = await call(path(this.id, `/report?format=${format}`), { as: "blob", seconds: 600 });
      save(blob, `${this.id}.${format}`);
    });
  }

  async list() {
    if (!this.failures.open || this.listing) return;
    if (this.listed === this.batch.failed) return;
    this.listing = true;
    try {
      this.listed = this.batch.failed;
      const { failures } = await call(path(this.id, `/failures?limit=${FAILURES}`));
      this.show(failures);
    } catch (error) {
      this.listed = null;
      this.groups.replaceChildren(h("p", { class: "error" }, error.sentence ?? String(error)));
    } finally {
      this.listing = false;
    }
  }

  show(failures) {
    const byCode = Map.groupBy
      ? Map.groupBy(failures, (one) => one.code ?? "")
      : failures.reduce((map, one) => map.set(one.code ?? "", [...(map.get(one.code ?? "") ?? []), one]), new Map());
    const groups = [...byCode].map(([code, some]) =>
      h("section", { class: "group" },
        h("div", { class: "group-head" },
          h("h3", {}, h("code", {}, code || "unknown")),
          h("p", { class: "next" }, ...prose(some[0].next_step ?? "")),
          code && !NEVER_RETRIED.has(code) ? h("button", {
            type: "button", class: "quiet", "aria-label": `Retry these: ${code}, batch ${this.id}`,
            click: () => this.retry(code),
          }, "Retry these") : null),
        h("ul", {}, ...some.map((one) => this.failure(one)))));
    const rest = this.batch.failed - failures.length;
    if (rest > 0) groups.push(h("p", { class: "hint" }, `${count(rest)} more are in the report.`));
    this.forget();
    this.groups.replaceChildren(...groups);
  }

  failure({ line, key, message }) {
    const place = h("span", { class: "thumb", data: { line } });
    thumbnails.observe(place);
    place.fetch = async () => {
      const address = path(this.id, `/photographs/${encodeURIComponent(line)}`);
      const blob = await call(address, { as: "blob", most: LARGEST_THUMBNAIL });
      const picture = await preview(blob);
      if (!picture || !place.isConnected) {
        forget(picture);
        return;
      }
      this.pictures = [...(this.pictures ?? []), picture];
      place.append(h("img", { src: picture.url, alt: "", loading: "lazy" }));
    };
    return h("li", { class: "failure" }, place,
      h("div", {}, h("p", { class: "name" }, named(key)), h("p", { class: "message" }, named(message))));
  }

  forget() {
    this.pictures?.forEach(forget);
    this.pictures = [];
  }

  remove() {
    this.forget();
    this.element.remove();
    rows.delete(this.id);
  }
}

const thumbnails = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    thumbnails.unobserve(target);
    fetching(() => target.fetch()).catch(() => {}).finally(() => target.classList.add("looked"));
  }
}, { rootMargin: "200px" });

function when(seconds) {
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit" };
  return today ? date.toLocaleTimeString([], time)
    : date.toLocaleString([], { year: "numeric", month: "short", day: "numeric", ...time });
}

// ---------------------------------------------------------------- all of them

async function round() {
  if (!open) return "idle";
  let batches;
  try {
    ({ batches } = await call("batches", { seconds: 30 }));
  } catch (error) {
    if (error.status === 401) return "idle";
    notice("batches", error.sentence ?? String(error));
    return 3000;
  }
  notice("batches", "");
  show(batches);
  const now = JSON.stringify(batches);
  const changed = now !== seen;
  seen = now;
  if (!batches.some((batch) => MOVING.has(batch.state))) return QUIET;
  return changed ? "changed" : "same";
}

function show(batches) {
  const newest = [...batches].sort((a, b) => b.created - a.created);
  const shown = newest.slice(0, most);
  const known = new Set(shown.map((batch) => batch.id));
  for (const row of [...rows.values()]) if (!known.has(row.id)) row.remove();
  let place = byId("batch-list").firstElementChild;
  for (const batch of shown) {
    let row = rows.get(batch.id);
    if (!row) {
      row = new Row(batch);
      rows.set(batch.id, row);
      byId("batch-list").insertBefore(row.element, place);
    } else if (row.element === place) {
      place = place.nextElementSibling;
    }
    row.update(batch);
  }
  byId("no-batches").hidden = batches.length > 0;
  byId("older").hidden = newest.length <= most;
}

async function submit() {
  const button = byId("batch-submit");
  const error = byId("batch-error");
  error.textContent = "";
  if (![byId("source"), byId("destination")].every((place) => /^s3:\/\/[^/]/.test(place.value.trim()))) {
    error.textContent = "A place is s3://bucket, or a folder in it: s3://bucket/folder.";
    return undefined;
  }
  button.disabled = true;
  button.textContent = "Listing the photographs…";
  try {
    const json = {
      source: byId("source").value.trim(), destination: byId("destination").value.trim(),
      model: byId("batch-model").value || null, force: byId("force").checked,
    };
    return await call("batches", { method: "POST", json, seconds: 600 });
  } catch (problem) {
    error.textContent = problem.sentence ?? String(problem);
    return undefined;
  } finally {
    button.disabled = false;
    button.textContent = "Start the batch";
  }
}

async function fresh() {
  byId("batch-error").textContent = "";
  const made = await asked(byId("batch-dialog"), byId("batch-cancel"), submit, null);
  if (!made) return;
  byId("force").checked = false;
  announce(`Batch ${made.id} of ${count(made.total)} images has started.`);
  poller.wake();
}

// The view is open: only then is anything asked.
export function visible(yes) {
  open = yes;
  if (yes) poller.wake();
  else poller.stop();
}

export function start() {
  byId("new-batch").addEventListener("click", fresh);
  byId("older").addEventListener("click", () => {
    most += 100;
    poller.wake();
  });
  onKey(() => open && poller.wake());
}
