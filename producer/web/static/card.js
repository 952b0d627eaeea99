// The card of one photograph: its state, and what is shown of it.

import { comparison, enlarge } from "./compare.js";
import { announce, byId, h, isolated, prose, save, setText } from "./dom.js";
import { preview, release } from "./preview.js";
import { cutoutName } from "./zip.js";

const LABELS = {
  waiting: "Waiting", sending: "Uploading", queued: "Queued", working: "Cutting out",
  fetching: "Downloading", done: "Done", failed: "Failed",
};

// What is said of a result that may be wrong.
const DOUBTS = {
  no_subject: "No product was found. Check that this is the right photograph.",
  ambiguous_subject: "The product or its outline is uncertain. Check the result.",
  subject_cut_by_frame: "The product goes on outside of the photograph.",
};

// All cards of the page, oldest first.
export const cards = new Set();

export const newIdempotencyKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// The form's fields besides the photograph, as chosen now: a rendition, or a preset by its name.
function chosenOptions() {
  const model = byId("model").value;
  const rendition = byId("rendition").value;
  const { recipe } = JSON.parse(rendition);
  return recipe ? { model, recipe } : { model, rendition };
}

// The share of the original in every preview, in percent, as chosen now.
const chosenView = () => Number(document.querySelector("[name=view]:checked").value);

// True if the product is at another position in the result than in the photograph.
function movesProduct({ recipe, rendition }) {
  if (recipe) return true; // the presets on offer centre it
  const { crop, scale, position } = JSON.parse(rendition);
  return Boolean(crop || scale || position);
}

export const groupOf = (state) => (state === "done" || state === "failed" ? state : "active");

// `actions`: functions of the view. `changed` is called after each change of state; `retry` and `remove`
// are called with the card whose button was pressed.
export class Card {
  state = "waiting";
  share = 0;
  id = null;
  failure = null;
  result = null;
  cutout = null;
  saved = false;
  removed = false;
  before = null;
  after = null;
  attempts = 0;
  options = chosenOptions();
  key = newIdempotencyKey();
  abort = new AbortController();

  constructor({ file, name }, actions) {
    this.file = file;
    this.name = name;
    this.actions = actions;
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
    this.actions.changed();
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
    this.buttons.replaceChildren(...this.stateButtons());
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
    const { width, height, model, milliseconds, foreground, doubts, outputs } = this.cutout;
    const seconds = Object.values(milliseconds ?? {}).reduce((sum, stage) => sum + stage, 0) / 1000;
    const facts = [
      width && height ? `${width} × ${height}` : "", seconds ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s` : "", model,
    ].filter(Boolean).join(" · ");
    const lines = [h("p", { class: "facts" }, facts)];
    for (const { preset } of outputs ?? []) {
      if (preset) lines.push(h("p", { class: "facts" }, `Fulfils every requirement of ${preset}.`));
    }
    if (typeof foreground === "number" && foreground < 0.005) {
      lines.push(h("p", { class: "next" }, "Almost everything was removed. Check that the product is there."));
    } else if (typeof foreground === "number" && foreground > 0.995) {
      lines.push(h("p", { class: "next" }, "Almost nothing was removed. Check that the background is gone."));
    }
    for (const doubt of doubts ?? []) {
      if (DOUBTS[doubt]) lines.push(h("p", { class: "next" }, DOUBTS[doubt]));
    }
    return lines;
  }

  stateButtons() {
    const button = (text, handler, style = "") =>
      h("button", { type: "button", class: style, "aria-label": `${text} ${this.name}`, click: handler }, text);
    const remove = button("Remove", () => this.actions.remove(this), "quiet");
    if (this.state === "done") {
      return [button("Download", () => this.save(), "strong"), button("Enlarge", () => this.enlarge(), "quiet"), remove];
    }
    if (this.state === "failed") return [button("Retry", () => this.actions.retry(this), "strong"), remove];
    return [remove];
  }

  save() {
    this.saved = true;
    save(this.result, cutoutName(this.name, this.result).split("/").at(-1));
  }

  enlarge() {
    enlarge({
      name: this.name, before: this.comparable ? this.file : null, after: this.result, percent: chosenView(),
      width: this.after?.width ?? this.cutout.width, height: this.after?.height ?? this.cutout.height,
    });
  }

  showChosenView() {
    this.compare.set(chosenView());
  }

  // Starts again as a new cutout, with the options as chosen now.
  restart() {
    release(this.after);
    this.to("waiting", {
      id: null, failure: null, share: 0, attempts: 0, after: null, options: chosenOptions(), key: newIdempotencyKey(),
      abort: new AbortController(),
    });
  }

  remove() {
    this.removed = true;
    cards.delete(this);
    release(this.before);
    release(this.after);
    this.element.remove();
  }
}
