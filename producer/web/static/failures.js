// The failed images of one batch, grouped by code, with the photographs.

import { batchPath, call } from "./api.js";
import { count, h, isolated, prose, setText } from "./dom.js";
import { preview, release } from "./preview.js";
import { limiter } from "./queue.js";

const NEVER_RETRIED = new Set(["unsafe_key", "duplicate_destination"]);
const FAILURES = 50; // listed per batch
const MAX_THUMBNAIL_BYTES = 32 * 2 ** 20;

const fetching = limiter(4);

const thumbnails = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    thumbnails.unobserve(target);
    fetching(() => target.load()).catch(() => {}).finally(() => target.classList.add("loaded"));
  }
}, { rootMargin: "200px" });

// `retry`: called with the code of the group whose button was pressed.
export class Failures {
  batch = null;
  listed = null; // number of failures when the list was read
  listing = false;
  images = [];

  constructor(id, retry) {
    this.id = id;
    this.retry = retry;
    this.groups = h("div", { class: "groups" });
    this.summary = h("summary", {});
    this.element = h("details", { class: "failures", hidden: true, toggle: () => this.list() }, this.summary, this.groups);
  }

  update(batch) {
    const before = this.batch;
    this.batch = batch;
    this.element.hidden = !batch.failed;
    setText(this.summary, batch.failed === 1 ? "1 failure" : `${count(batch.failed)} failures`);
    if (before && before.failed !== batch.failed) this.list();
  }

  async list() {
    if (!this.element.open || this.listing) return;
    if (this.listed === this.batch.failed) return; // nothing failed since
    this.listing = true;
    try {
      this.listed = this.batch.failed;
      const { failures } = await call(batchPath(this.id, `/failures?limit=${FAILURES}`));
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
      const address = batchPath(this.id, `/photographs/${encodeURIComponent(line)}`);
      const blob = await call(address, { as: "blob", maxBytes: MAX_THUMBNAIL_BYTES });
      const image = await preview(blob);
      if (!image || !thumbnail.isConnected) {
        release(image);
        return;
      }
      this.images.push(image);
      thumbnail.append(h("img", { src: image.url, alt: "", loading: "lazy" }));
    };
    return h("li", { class: "failure" }, thumbnail,
      h("div", {}, h("p", { class: "name" }, isolated(key)), h("p", { class: "message" }, isolated(message))));
  }

  releaseImages() {
    this.images.forEach(release);
    this.images = [];
  }
}
