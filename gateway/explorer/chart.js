/** The histogram of the events seen, on a canvas; a span of it can be chosen with the mouse. */
import { h, say } from "./dom.js";
import { span, whole } from "./text.js";
import { clockOf, momentOf, zone } from "./zone.js";

const BAR = 5; // CSS pixels, with the gap
const LEAST_DRAG = 6;

export class Chart {
  /** @type {{width: number, start: number, counts: number[]}} */
  #bars = { width: 1, start: 0, counts: [] };
  /** @type {{start: number, end: number}} */
  #domain = { start: 0, end: 1 };
  /** @type {{from: number, to: number} | null} */
  #drag = null;
  #playhead = 0;
  /** @type {number | null} */
  #part = null;

  /** @param {HTMLElement} root @param {(since: number, until: number) => void} choose In milliseconds. */
  constructor(root, choose) {
    this.choose = choose;
    this.canvas = h("canvas", { role: "img" });
    this.note = h("output.note", { "aria-hidden": "true" });
    this.selection = h("div.selection", { hidden: true });
    this.left = h("span");
    this.right = h("span");
    root.append(h("div.plot", null, this.canvas, this.selection, this.note), h("div.axis", null, this.left, this.right));
    new ResizeObserver(() => this.#paint()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint());
    this.canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.#move(event));
    // A finger that scrolls the page has not chosen anything.
    this.canvas.addEventListener("pointercancel", () => {
      this.#drag = null;
    });
    this.canvas.addEventListener("pointerleave", () => say(this.note, ""));
    this.canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#down(event));
    this.canvas.addEventListener("pointerup", (/** @type {PointerEvent} */ event) => this.#up(event));
  }

  /**
   * @param {import("./histogram.js").Histogram} histogram
   * @param {number} start @param {number} end In milliseconds. @param {number} playhead How far was read, or 0.
   * @param {number | null} [part] How many records were looked at, where the rest is an estimate.
   */
  show(histogram, start, end, playhead, part = null) {
    const { most } = this;
    this.#domain = { start, end };
    this.#playhead = playhead;
    this.#bars = histogram.between(start / 1000, end / 1000, most);
    this.#part = part;
    const write = this.#write;
    say(this.left, write(start));
    say(this.right, write(end));
    const sum = this.#bars.counts.reduce((one, other) => one + other, 0);
    const partly = part === null ? "" : `, estimated from ${whole(part)} records`;
    const label = `${whole(sum)} events between ${momentOf(start)} and ${momentOf(end)} ${zone.name}, in bars of ${span(this.#bars.width * 1000)}${partly}`;
    this.canvas.setAttribute("aria-label", label);
    this.#paint();
  }

  /** The bars that there is room for. */
  get most() {
    return Math.max(10, Math.floor(this.canvas.clientWidth / BAR));
  }

  #paint() {
    const { canvas } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    if (context === null) return;
    const style = getComputedStyle(canvas);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const { start, width: barSeconds, counts } = this.#bars;
    const most = Math.max(1, ...counts);
    context.fillStyle = style.color;
    const barWidth = Math.max(1, this.#x((start + barSeconds) * 1000) - this.#x(start * 1000) - 1);
    counts.forEach((count, index) => {
      if (count === 0) return;
      const tall = Math.max(2, (count / most) * (height - 14));
      context.fillRect(this.#x((start + index * barSeconds) * 1000), height - tall, barWidth, tall);
    });
    if (this.#playhead > 0) {
      context.fillStyle = style.caretColor;
      context.fillRect(Math.min(width - 2, this.#x(this.#playhead)), 0, 2, height);
    }
    context.fillStyle = style.outlineColor;
    context.font = `11px ${style.fontFamily}`;
    const partly = this.#part === null ? "" : ` · estimated from ${whole(this.#part)} records`;
    context.fillText(`${whole(most)} in ${span(barSeconds * 1000)}${partly}`, 0, 10);
  }

  /** A time at an edge or a bar: with its day where there are several. */
  get #write() {
    const { start, end } = this.#domain;
    return end - start > 86_400_000 || Date.now() - start > 86_400_000 ? momentOf : (/** @type {number} */ time) => clockOf(time).slice(0, 8);
  }

  /** @param {number} time In milliseconds. */
  #x(time) {
    const { start, end } = this.#domain;
    return ((time - start) / (end - start)) * this.canvas.clientWidth;
  }

  /** @param {number} x */
  #time(x) {
    const { start, end } = this.#domain;
    return start + Math.max(0, Math.min(1, x / this.canvas.clientWidth)) * (end - start);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0) return;
    if (event.pointerType === "mouse") this.canvas.setPointerCapture(event.pointerId);
    this.#drag = { from: event.offsetX, to: event.offsetX };
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const { start, width, counts } = this.#bars;
    const index = Math.floor((this.#time(event.offsetX) / 1000 - start) / width);
    const from = (start + index * width) * 1000;
    say(this.note, index in counts ? `${this.#write(from)} + ${span(width * 1000)}: ${whole(counts[index])}` : "");
    if (this.#drag === null) return;
    this.#drag.to = event.offsetX;
    const [left, right] = [this.#drag.from, this.#drag.to].sort((one, other) => one - other);
    this.selection.hidden = right - left < LEAST_DRAG;
    this.selection.style.left = `${left}px`;
    this.selection.style.width = `${right - left}px`;
  }

  /** The span of the bar at this place, unless nothing is in it. @param {number} x */
  #zoom(x) {
    const { start, width, counts } = this.#bars;
    const index = Math.floor((this.#time(x) / 1000 - start) / width);
    if ((counts[index] ?? 0) === 0) return;
    const from = (start + index * width) * 1000;
    this.choose(from, from + width * 1000);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const drag = this.#drag;
    this.#drag = null;
    this.selection.hidden = true;
    if (drag === null) return;
    if (Math.abs(event.offsetX - drag.from) < LEAST_DRAG) return this.#zoom(event.offsetX);
    const [from, to] = [drag.from, event.offsetX].map((x) => this.#time(x)).sort((one, other) => one - other);
    this.choose(Math.floor(from / 1000) * 1000, Math.ceil(to / 1000) * 1000);
  }
}
