/** The histogram of the events seen, on a canvas; a span of it can be chosen with the mouse. */
import { h, say } from "./dom.js";
import { clock, moment, span, whole } from "./text.js";

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
    this.canvas.addEventListener("pointerleave", () => say(this.note, ""));
    this.canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#down(event));
    this.canvas.addEventListener("pointerup", (/** @type {PointerEvent} */ event) => this.#up(event));
  }

  /**
   * @param {import("./histogram.js").Histogram} histogram
   * @param {number} start @param {number} end In milliseconds. @param {number} playhead How far was read, or 0.
   */
  show(histogram, start, end, playhead) {
    const most = Math.max(10, Math.floor(this.canvas.clientWidth / BAR));
    this.#domain = { start, end };
    this.#playhead = playhead;
    this.#bars = histogram.between(start / 1000, end / 1000, most);
    const seconds = end - start > 86_400_000;
    const write = seconds ? moment : (/** @type {number} */ time) => clock(time).slice(0, 8);
    say(this.left, write(start));
    say(this.right, write(end));
    const sum = this.#bars.counts.reduce((one, other) => one + other, 0);
    const label = `${whole(sum)} events between ${moment(start)} and ${moment(end)} UTC, in bars of ${span(this.#bars.width * 1000)}`;
    this.canvas.setAttribute("aria-label", label);
    this.#paint();
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
    context.fillText(`${whole(most)} in ${span(barSeconds * 1000)}`, 0, 10);
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
    if (event.button !== 0 || event.pointerType !== "mouse") return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#drag = { from: event.offsetX, to: event.offsetX };
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const { start, width, counts } = this.#bars;
    const index = Math.floor((this.#time(event.offsetX) / 1000 - start) / width);
    const from = (start + index * width) * 1000;
    say(this.note, index in counts ? `${clock(from).slice(0, 8)} + ${span(width * 1000)}: ${whole(counts[index])}` : "");
    if (this.#drag === null) return;
    this.#drag.to = event.offsetX;
    const [left, right] = [this.#drag.from, this.#drag.to].sort((one, other) => one - other);
    this.selection.hidden = right - left < LEAST_DRAG;
    this.selection.style.left = `${left}px`;
    this.selection.style.width = `${right - left}px`;
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const drag = this.#drag;
    this.#drag = null;
    this.selection.hidden = true;
    if (drag === null || Math.abs(event.offsetX - drag.from) < LEAST_DRAG) return;
    const [from, to] = [drag.from, event.offsetX].map((x) => this.#time(x)).sort((one, other) => one - other);
    this.choose(Math.floor(from / 1000) * 1000, Math.ceil(to / 1000) * 1000);
  }
}
