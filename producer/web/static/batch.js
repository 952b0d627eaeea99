// One batch in the list: its progress, its buttons and its failures.

import { batchPath, call } from "./api.js";
import { announce, confirmed, count, duration, h, isolated, prose, save, setText, withButtons } from "./dom.js";
import { Failures } from "./failures.js";
import { rounded, Throughput, throughputCurve } from "./throughput.js";

const LABELS = {
  registering: "Listing", open: "Running", paused: "Paused", cancelling: "Cancelling", closed: "Closed",
  failed: "Not listed",
};

const settled = (batch) => batch.done + batch.skipped + batch.failed;

function when(seconds) {
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit" };
  return today ? date.toLocaleTimeString([], time)
    : date.toLocaleString([], { year: "numeric", month: "short", day: "numeric", ...time });
}

function deadline({ schedule, closed, late }) {
  if (!schedule?.deadline) return "";
  const time = when(Date.parse(schedule.deadline) / 1000);
  return !late ? `due ${time}` : closed ? `was due ${time}` : `due ${time}, will be late`;
}

// `wake`: called after each action, to poll at once.
export class BatchRow {
  throughput = new Throughput();
  curve = throughputCurve();
  busy = false;

  constructor(batch, wake) {
    this.id = batch.id;
    this.wake = wake;
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
    this.failures = new Failures(this.id, (code) => this.retry(code));
    this.element = h("article", { class: "batch", "aria-label": `Batch ${this.id}` },
      h("header", {}, h("h2", {}, isolated(this.id)), this.state, this.percent),
      h("dl", { class: "locations" },
        h("dt", {}, "From"), h("dd", {}, isolated(batch.source)),
        h("dt", {}, "To"), h("dd", {}, isolated(batch.destination))),
      this.bar, this.legend, this.stalledReason, this.flow, this.facts, this.buttons, this.error, this.failures.element);
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
    h("span", { class: "key" }, batch.state === "registering" ? `of ${count(batch.total)} listed so far` : `of ${count(batch.total)}`));
    if (batch.stalled_reason !== before?.stalled_reason) this.stalledReason.replaceChildren(...prose(batch.stalled_reason ?? ""));
    this.stalledReason.hidden = !batch.stalled_reason;
    this.showPace(batch, total - done);
    const facts = [
      batch.model, `started ${when(batch.created)}`, batch.closed ? `closed ${when(batch.closed)}` : "",
      deadline(batch),
      batch.ignored ? `${count(batch.ignored)} ${batch.ignored === 1 ? "file" : "files"} ignored` : "",
      batch.issued && batch.state !== "closed" ? `${count(batch.issued)} in the queue` : "",
    ];
    setText(this.facts, facts.filter(Boolean).join(" · "));
    this.showButtons(before);
    this.failures.update(batch);
    if (before && before.state !== batch.state) {
      announce(`Batch ${this.id} is ${(LABELS[batch.state] ?? batch.state).toLowerCase()}. ${withButtons(batch.stalled_reason ?? "")}`);
    }
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
    if (["registering", "open", "paused"].includes(state)) buttons.push(button("Cancel", () => this.cancel()));
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
      this.wake();
    }
  }

  post(verb) {
    return this.act(async () => this.update(await call(batchPath(this.id, `/${verb}`), { method: "POST" })));
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
      const { reopened } = await call(batchPath(this.id, "/retry"), { method: "POST", json, seconds: 300 });
      announce(reopened === 1 ? "Retrying 1 image." : `Retrying ${count(reopened)} images.`);
      this.error.textContent = reopened ? "" : "None of these images can be retried.";
    });
  }

  report(format) {
    return this.act(async () => {
      const blob = await call(batchPath(this.id, `/report?format=${format}`), { as: "blob", seconds: 600 });
      save(blob, `${this.id}.${format}`);
    });
  }

  remove() {
    this.failures.releaseImages();
    this.element.remove();
  }
}
