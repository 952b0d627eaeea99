// The view of batches: their progress, their failures and their buttons.

import { call, onKey } from "./api.js";
import {
  announce, byId, confirmed, count, duration, h, isolated, notice, openDialog, prose, save, setText, svg,
  withButtons,
} from "./dom.js";
import { preview, release } from "./preview.js";
import { limiter, Poller } from "./queue.js";

const ACTIVE_STATES = new Set(["registering", "open", "cancelling"]);
const LABELS = {
  registering: "Listing", open: "Running", paused: "Paused", cancelling: "Cancelling", closed: "Closed",
};
const NEVER_RETRIED = new Set(["unsafe_key", "duplicate_destination"]);
const CURVE_SECONDS = 300; // span of the throughput curve
const CURRENT_SECONDS = 10; // span over which the current throughput is averaged
const CURVE_POINTS = 60;
const SHOWN_AT_FIRST = 30; // batches
const SHOWN_MORE = 100;
const FAILURES = 50; // listed per batch
const IDLE_DELAY = 5000; // milliseconds between polls while no batch is active
const RETRY_DELAY = 3000; // milliseconds until the next poll after an error
const MAX_THUMBNAIL_BYTES = 32 * 2 ** 20;

const rows = new Map();
const fetching = limiter(4);
const poller = new Poller(round);
let limit = SHOWN_AT_FIRST;
let visible = false;
let lastAnswer = "";

const path = (id, rest = "") => `batches/${encodeURIComponent(id)}${rest}`;
const settled = (batch) => batch.done + batch.skipped + batch.failed;

// ---------------------------------------------------------------- throughput

// Images per second, sampled while the page is open.
class Throughput {
  samples = [];

  add(total, now = performance.now() / 1000) {
    const last = this.samples.at(-1);
    if (last && total < last.total) this.samples = []; // a retry reopened images
    if (last && now - last.at < 0.4) return;
    this.samples.push({ at: now, total });
    while (this.samples[0].at < now - CURVE_SECONDS) this.samples.shift();
  }

  get span() {
    return this.samples.length ? this.samples.at(-1).at - this.samples[0].at : 0;
  }

  get current() {
    return this.span ? this.#rate(this.samples.at(-1).at, CURRENT_SECONDS) : 0;
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
    return Array.from({ length: CURVE_POINTS }, (_, index) =>
      this.#rate(first + start + ((this.span - start) * index) / (CURVE_POINTS - 1), smooth));
  }
}

const rounded = (rate) => (rate >= 100 ? count(Math.round(rate)) : rate.toFixed(rate >= 10 ? 0 : 1));

function throughputCurve() {
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
      const points = rates.map((rate, index) =>
        `${((240 * index) / (CURVE_POINTS - 1)).toFixed(1)},${(47 - (46 * rate) / top).toFixed(1)}`);
      line.setAttribute("d", `M${points.join("L")}`);
      area.setAttribute("d", `M0,48L${points.join("L")}L240,48Z`);
      setText(title, `Throughput of the last ${duration(throughput.span)}: `
        + `now ${rounded(throughput.current)} images/s, highest ${rounded(Math.max(...rates))} images/s`);
    },
  };
}

// ---------------------------------------------------------------- one batch

class Row {
  throughput = new Throughput();
  curve = throughputCurve();
  busy = false;
  listed = null;

  constructor(batch) {
    this.id = batch.id;
    this.state = h("span", { class: "state" });
    this.percent = h("span", { class: "percent" });
    this.parts = Object.fromEntries(["done", "skipped", "failed"].map((result) => [result, h("span", { class: result })]));
    this.bar = h("div", {
      class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-label": `Progress of batch ${this.id}`,
    }, ...Object.values(this.parts));
    this.legend = h("p", { class: "legend" });
    this.stalledReason = h("p", { class: "stalled-reason", hidden: true });
    this.pace = h("p", { class: "pace" });
    this.flow = h("div", { class: "flow", hidden: true }, this.curve.element, this.pace);
    this.facts = h("p", { class: "facts" });
    this.buttons = h("div", { class: "buttons" });
    this.error = h("p", { class: "error", role: "alert" });
    this.groups = h("div", { class: "groups" });
    this.summary = h("summary", {});
    this.failures = h("details", { class: "failures", hidden: true, toggle: () => this.list() }, this.summary, this.groups);
    this.element = h("article", { class: "batch", "aria-label": `Batch ${this.id}` },
      h("header", {}, h("h2", {}, isolated(this.id)), this.state, this.percent),
      h("dl", { class: "locations" },
        h("dt", {}, "From"), h("dd", {}, isolated(batch.source)),
        h("dt", {}, "To"), h("dd", {}, isolated(batch.destination))),
      this.bar, this.legend, this.stalledReason, this.flow, this.facts, this.buttons, this.error, this.failures);
  }

  update(batch) {
    const before = this.batch;
    this.batch = batch;
    this.element.dataset.state = batch.state;
    const done = settled(batch);
    const total = Math.max(batch.total, done);
    setText(this.state, LABELS[batch.state] ?? batch.state);
    setText(this.percent, total ? `${Math.floor((100 * done) / total)} %` : "");
    this.bar.setAttribute("aria-valuemax", Math.max(1, total));
    this.bar.setAttribute("aria-valuenow", done);
    this.bar.setAttribute("aria-valuetext", `${count(done)} of ${count(total)} images`);
    for (const [result, part] of Object.entries(this.parts)) {
      part.style.setProperty("--share", total ? batch[result] / total : 0);
    }
    this.legend.replaceChildren(...["done", "skipped", "failed"].flatMap((result) =>
      batch[result] || result === "done" ? [h("span", { class: `key ${result}` }, `${count(batch[result])} ${result}`), " "] : []),
    h("span", { class: "key" }, `of ${count(batch.total)}`));
    if (batch.stalled_reason !== before?.stalled_reason) this.stalledReason.replaceChildren(...prose(batch.stalled_reason ?? ""));
    this.stalledReason.hidden = !batch.stalled_reason;
    this.showPace(batch, total - done);
    const facts = [
      batch.model, `started ${when(batch.created)}`, batch.closed ? `closed ${when(batch.closed)}` : "",
      batch.ignored ? `${count(batch.ignored)} ${batch.ignored === 1 ? "file" : "files"} ignored` : "",
      batch.issued && batch.state !== "closed" ? `${count(batch.issued)} in the queue` : "",
    ];
    setText(this.facts, facts.filter(Boolean).join(" · "));
    this.showButtons(before);
    this.failures.hidden = !batch.failed;
    setText(this.summary, batch.failed === 1 ? "1 failure" : `${count(batch.failed)} failures`);
    if (before && before.state !== batch.state) {
      announce(`Batch ${this.id} is ${(LABELS[batch.state] ?? batch.state).toLowerCase()}. ${withButtons(batch.stalled_reason ?? "")}`);
    }
    if (before && before.failed !== batch.failed) this.list();
  }

  showPace(batch, remaining) {
    if (batch.state === "open") this.throughput.add(settled(batch));
    const { current, span } = this.throughput;
    this.flow.hidden = span < 2 || batch.state === "closed";
    if (this.flow.hidden) return;
    this.curve.draw(this.throughput);
    const running = batch.state === "open";
    setText(this.pace, !running ? "Not running"
      : `${rounded(current)} images/s now${current > 0 && remaining > 0 ? `, about ${duration(remaining / current)} left` : ""}`);
  }

  // Shows the buttons that the batch's state permits.
  showButtons(before) {
    const { state, failed } = this.batch;
    if (before && before.state === state && Boolean(before.failed) === Boolean(failed)) return;
    const button = (text, handler, style = "") =>
      h("button", { type: "button", class: style, "aria-label": `${text}: batch ${this.id}`, click: handler }, text);
    const buttons = [];
    if (state === "open") buttons.push(button("Pause", () => this.post("pause")));
    if (state === "paused") buttons.push(button("Resume", () => this.post("resume"), "strong"));
    if (state === "open" || state === "paused") buttons.push(button("Cancel", () => this.cancel()));
    if (failed && state !== "cancelling") buttons.push(button("Retry failures", () => this.retry()));
    if (state === "closed") {
      buttons.push(button("Report, CSV", () => this.report("csv"), "quiet"));
      buttons.push(button("Report, JSONL", () => this.report("jsonl"), "quiet"));
    }
    const focused = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...buttons);
    if (focused) this.buttons.querySelector("button")?.focus();
  }

  // Runs one action at a time; shows its error, if any.
  async act(action) {
    if (this.busy) return;
    this.busy = true;
    this.element.setAttribute("aria-busy", "true");
    this.error.textContent = "";
    try {
      await action();
    } catch (error) {
      this.error.textContent = error.sentence ?? String(error);
    } finally {
      this.busy = false;
      this.element.removeAttribute("aria-busy");
      poller.wake();
    }
  }

  post(verb) {
    return this.act(async () => this.update(await call(path(this.id, `/${verb}`), { method: "POST" })));
  }

  async cancel() {
    const remaining = count(this.batch.total - settled(this.batch));
    const text = `${remaining} images will not be processed. Cut-outs that are finished are kept.`;
    if (await confirmed(`Cancel batch ${this.id}?`, text, "Cancel the batch", "Keep it running")) {
      await this.post("cancel");
    }
  }

  retry(code) {
    return this.act(async () => {
      const json = code ? { code } : {};
      const { reopened } = await call(path(this.id, "/retry"), { method: "POST", json, seconds: 300 });
      announce(reopened === 1 ? "Retrying 1 image." : `Retrying ${count(reopened)} images.`);
      this.error.textContent = reopened ? "" : "None of these images can be retried.";
    });
  }

  report(format) {
    return this.act(async () => {
      const blob = await call(path(this.id, `/report?format=${format}`), { as: "blob", seconds: 600 });
      save(blob, `${this.id}.${format}`);
    });
  }

  async list() {
    if (!this.failures.open || this.listing) return;
    if (this.listed === this.batch.failed) return; // nothing failed since
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
      ? Map.groupBy(failures, (failure) => failure.code ?? "")
      : failures.reduce((map, one) => map.set(one.code ?? "", [...(map.get(one.code ?? "") ?? []), one]), new Map()); // browsers of before 2024
    const groups = [...byCode].map(([code, group]) =>
      h("section", { class: "group" },
        h("div", { class: "group-head" },
          h("h3", {}, h("code", {}, code || "unknown")),
          h("p", { class: "next" }, ...prose(group[0].next_step ?? "")),
          code && !NEVER_RETRIED.has(code) ? h("button", {
            type: "button", class: "quiet", "aria-label": `Retry these: ${code}, batch ${this.id}`,
            click: () => this.retry(code),
          }, "Retry these") : null),
        h("ul", {}, ...group.map((failure) => this.failureItem(failure)))));
    const rest = this.batch.failed - failures.length;
    if (rest > 0) groups.push(h("p", { class: "hint" }, `${count(rest)} more in the report.`));
    this.releaseImages();
    this.groups.replaceChildren(...groups);
  }

  failureItem({ line, key, message }) {
    const thumbnail = h("span", { class: "thumb", data: { line } });
    thumbnails.observe(thumbnail);
    thumbnail.load = async () => {
      const address = path(this.id, `/photographs/${encodeURIComponent(line)}`);
      const blob = await call(address, { as: "blob", maxBytes: MAX_THUMBNAIL_BYTES });
      const image = await preview(blob);
      if (!image || !thumbnail.isConnected) {
        release(image);
        return;
      }
      this.images = [...(this.images ?? []), image];
      thumbnail.append(h("img", { src: image.url, alt: "", loading: "lazy" }));
    };
    return h("li", { class: "failure" }, thumbnail,
      h("div", {}, h("p", { class: "name" }, isolated(key)), h("p", { class: "message" }, isolated(message))));
  }

  releaseImages() {
    this.images?.forEach(release);
    this.images = [];
  }

  remove() {
    this.releaseImages();
    this.element.remove();
    rows.delete(this.id);
  }
}

const thumbnails = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    thumbnails.unobserve(target);
    fetching(() => target.load()).catch(() => {}).finally(() => target.classList.add("loaded"));
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
  if (!visible) return "idle";
  let batches;
  try {
    ({ batches } = await call("batches", { seconds: 30 }));
  } catch (error) {
    if (error.status === 401) return "idle";
    notice("batches", error.sentence ?? String(error));
    return RETRY_DELAY;
  }
  notice("batches", "");
  show(batches);
  const answer = JSON.stringify(batches);
  const changed = answer !== lastAnswer;
  lastAnswer = answer;
  if (!batches.some((batch) => ACTIVE_STATES.has(batch.state))) return IDLE_DELAY;
  return changed ? "changed" : "same";
}

function show(batches) {
  const newest = [...batches].sort((a, b) => b.created - a.created);
  const shown = newest.slice(0, limit);
  const shownIds = new Set(shown.map((batch) => batch.id));
  for (const row of [...rows.values()]) if (!shownIds.has(row.id)) row.remove();
  let next = byId("batch-list").firstElementChild;
  for (const batch of shown) {
    let row = rows.get(batch.id);
    if (!row) {
      row = new Row(batch);
      rows.set(batch.id, row);
      byId("batch-list").insertBefore(row.element, next);
    } else if (row.element === next) {
      next = next.nextElementSibling;
    }
    row.update(batch);
  }
  byId("no-batches").hidden = batches.length > 0;
  byId("older").hidden = newest.length <= limit;
}

async function submit() {
  const button = byId("batch-submit");
  const error = byId("batch-error");
  error.textContent = "";
  if (![byId("source"), byId("destination")].every((input) => /^s3:\/\/[^/]/.test(input.value.trim()))) {
    error.textContent = "Write locations as s3://bucket or s3://bucket/folder.";
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

async function createBatch() {
  byId("batch-error").textContent = "";
  const batch = await openDialog(byId("batch-dialog"), byId("batch-cancel"), submit, null);
  if (!batch) return;
  byId("force").checked = false;
  announce(`Batch ${batch.id} with ${count(batch.total)} images has started.`);
  poller.wake();
}

// Shows or hides the view. The server is polled only while it is visible.
export function setVisible(shown) {
  visible = shown;
  if (shown) poller.wake();
  else poller.stop();
}

export function start() {
  byId("new-batch").addEventListener("click", createBatch);
  byId("older").addEventListener("click", () => {
    limit += SHOWN_MORE;
    poller.wake();
  });
  onKey(() => visible && poller.wake());
}
