// The latency of the last two minutes, second by second, with what was done to instances.
/* global uPlot */
import { clock, took } from "./element.js";

const shownSeconds = 120;
const markRows = 8; // of words, one below the other, lest they cover each other
const legend = 40; // pixels below the plot

export class Latency {
  #place;
  #plot;
  #points = new Map(); // by second
  #marks = [];
  #rows = 0; // that a mark's words were put into
  #names = new Map();
  #now = 0;

  constructor(place) {
    this.#place = place;
    new ResizeObserver(() => this.#resize()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#rebuild());
  }

  clear() {
    this.#points.clear();
    this.#marks = [];
  }

  add(now, points, marks, names) {
    this.#now = Math.floor(now / 1000);
    this.#names = names;
    for (const point of points) this.#points.set(point.second, point);
    for (const second of this.#points.keys()) {
      if (second <= this.#now - shownSeconds) this.#points.delete(second);
    }
    for (const mark of marks) mark.row = this.#rows++ % markRows;
    this.#marks = [...this.#marks, ...marks].filter((mark) => mark.at / 1000 > this.#now - shownSeconds);
    this.#place.dataset.marks = this.#marks.map((mark) => mark.what).join(" ");
    this.#place.setAttribute("aria-label", this.#words());
    if (!this.#plot) this.#rebuild();
    this.#plot.setData(this.#data());
  }

  // data has every second, so that one in which no call ended is a gap.
  #data() {
    const seconds = Array.from({ length: shownSeconds }, (_, i) => this.#now - shownSeconds + 1 + i);
    const of = (name) => seconds.map((second) => this.#points.get(second)?.[name] ?? null);
    return [seconds, of("median_millis"), of("slowest_millis")];
  }

  #words() {
    const points = [...this.#points.values()];
    if (points.length === 0) return "No call has been made yet.";
    const last = points.at(-1);
    const slowest = Math.max(...points.map((point) => point.slowest_millis));
    const marks = this.#marks.map((mark) => `${clock(mark.at)} ${mark.what} ${this.#nameOf(mark)}`).join(", ");
    return `Lately the median was ${took(last.median_millis)}; the slowest of two minutes took ${took(slowest)}. ${marks}`;
  }

  #nameOf(mark) {
    return this.#names.get(mark.instance) ?? mark.instance;
  }

  #resize() {
    this.#plot?.setSize(this.#size());
  }

  #size() {
    return { width: this.#place.clientWidth, height: Math.max(200, this.#place.clientHeight - legend) };
  }

  #rebuild() {
    this.#plot?.destroy();
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
    this.#plot = new uPlot({
      ...this.#size(),
      scales: { y: { distr: 3, range: (_, low, high) => [Math.min(1, low ?? 1), Math.max(1000, high ?? 1)] } },
      axes: [{ ...axis, values: (_, at) => at.map((second) => clock(second * 1000)), space: 80 }, { ...axis, size: 60 }],
      series: [
        { label: "at", value: (_, second) => (second ? clock(second * 1000) : "–") },
        { label: "median", stroke: color("--go"), width: 2, points: { show: false }, value: shown },
        { label: "slowest", stroke: color("--warn"), width: 1, points: { show: false }, value: shown },
      ],
      hooks: { draw: [(u) => this.#drawMarks(u, { kill: color("--bad"), freeze: color("--frozen"), other: color("--soft") })] },
    }, this.#data(), this.#place);
  }

  #drawMarks(u, colors) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    for (const mark of this.#marks) {
      const x = Math.round(u.valToPos(mark.at / 1000, "x", true)) + devicePixelRatio / 2; // of whole pixels
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = colors[mark.what] ?? colors.other;
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(`${mark.what} ${this.#nameOf(mark)}`, x - 4 * devicePixelRatio, bbox.top + (1 + mark.row) * 14 * devicePixelRatio);
    }
    ctx.restore();
  }
}

function shown(_, millis) {
  return millis == null ? "–" : took(millis);
}
