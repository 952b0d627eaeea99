// The throughput of a batch, and its curve.

import { count, duration, setText, svg } from "./dom.js";

const CURVE_SECONDS = 300; // span of the throughput curve
const CURRENT_SECONDS = 10; // span over which the current throughput is averaged
const CURVE_POINTS = 60;

// Images per second, sampled while the page is open.
export class Throughput {
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

export const rounded = (rate) => (rate >= 100 ? count(Math.round(rate)) : rate.toFixed(rate >= 10 ? 0 : 1));

export function throughputCurve() {
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
