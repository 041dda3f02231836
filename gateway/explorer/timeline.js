/** Travelling in time: a slider with two ends from the oldest event to now, spans back from now, and exact times. */
import { byId, say } from "./dom.js";
import { readMoment } from "./moments.js";
import { ago, span } from "./text.js";
import { parseTime, writeTime } from "./times.js";
import { momentOf, zone } from "./zone.js";
import { now } from "./api.js";

const STEPS = 1000;

/** @typedef {{since: string, until: string, speed: number}} Range */

export class Timeline {
  #oldest = 0;
  /** @type {Range} */
  #range = { since: "", until: "", speed: 0 };
  #dragging = false;
  /** Where the ends of the slider were put by the range. */
  #drawn = { from: STEPS, to: STEPS };

  /** @param {(range: Range) => void} travel */
  constructor(travel) {
    this.travel = travel;
    this.from = byId("from");
    this.to = byId("to");
    this.since = byId("since");
    this.until = byId("until");
    this.speed = byId("speed");
    for (const slider of [this.from, this.to]) {
      slider.addEventListener("input", () => this.#slide(slider));
      slider.addEventListener("change", () => this.#release(slider));
    }
    for (const input of [this.since, this.until]) {
      input.addEventListener("change", () => this.#typed(input));
    }
    for (const [input, name] of [[this.since, "since"], [this.until, "until"]]) this.#setUpPicker(input, byId(`pick-${name}`), byId(`date-${name}`));
    this.speed.addEventListener("change", () => this.travel({ ...this.#range, speed: Number(this.speed.value) }));
    for (const button of document.querySelectorAll("[data-back]")) {
      const back = /** @type {HTMLElement} */ (button).dataset.back ?? "";
      button.addEventListener("click", () => {
        const since = back === "oldest" ? this.#all : back;
        this.travel({ ...this.#range, since, until: "" });
      });
    }
  }

  /** @param {number} oldest In milliseconds, 0 where nothing is there. */
  setOldest(oldest) {
    this.#oldest = oldest;
    this.show(this.#range);
  }

  /** All that there is, from a whole second on. */
  get #all() {
    return writeTime(Math.floor(this.#oldest / 1000) * 1000);
  }

  /** To the second. The slider has a scale of its own: half of it is the newest tenth, where most journeys go. @param {number} step */
  #timeAt(step) {
    const back = (1 - step / STEPS) ** 2.5;
    return Math.floor((now() - back * (now() - this.#oldest)) / 1000) * 1000;
  }

  /** @param {number} time */
  #stepAt(time) {
    const whole = Math.max(1, now() - this.#oldest);
    const back = Math.max(0, Math.min(1, (now() - time) / whole));
    return Math.round((1 - back ** 0.4) * STEPS);
  }

  /** @param {Range} range */
  show(range) {
    this.#range = range;
    const since = parseTime(range.since, now());
    const until = parseTime(range.until, now());
    if (!this.#dragging) {
      this.#drawn = { from: since === null ? STEPS : this.#stepAt(since), to: until === null ? STEPS : this.#stepAt(until) };
      this.from.value = String(this.#drawn.from);
      this.to.value = String(this.#drawn.to);
    }
    if (document.activeElement !== this.since) this.since.value = this.#spoken(range.since);
    if (document.activeElement !== this.until) this.until.value = this.#spoken(range.until);
    say(byId("when"), this.#inWords(range));
    this.speed.value = String(range.speed);
    this.speed.disabled = range.since === "";
    for (const slider of [this.from, this.to]) slider.disabled = this.#oldest === 0;
    say(byId("oldest"), this.#oldest === 0 ? "nothing stored" : `${momentOf(this.#oldest)} ${zone.name} · ${span(now() - this.#oldest)} back`);
    for (const button of document.querySelectorAll("[data-back]")) {
      const back = /** @type {HTMLElement} */ (button).dataset.back ?? "";
      const chosen = back === "oldest" ? range.since === this.#all : range.since === back;
      button.setAttribute("aria-pressed", String(chosen && range.until === ""));
    }
    this.#describe();
  }

  #describe() {
    const [from, to] = [Number(this.from.value), Number(this.to.value)];
    const say_ = (/** @type {number} */ step, /** @type {string} */ none) =>
      step >= STEPS ? none : `${momentOf(this.#timeAt(step))} ${zone.name}, ${ago(now() - this.#timeAt(step))}`;
    this.from.setAttribute("aria-valuetext", say_(from, "live"));
    this.to.setAttribute("aria-valuetext", say_(to, "open end"));
    const track = byId("track");
    track.style.setProperty("--from", `${(from / STEPS) * 100}%`);
    track.style.setProperty("--to", `${(to / STEPS) * 100}%`);
    const words = from >= STEPS ? "Live" : `From ${say_(from, "")}${to >= STEPS ? ", on to live" : ` to ${say_(to, "")}`}`;
    if (this.#dragging) say(byId("journey"), words);
    else say(byId("journey"), "");
  }

  /** @param {HTMLInputElement} slider */
  #slide(slider) {
    this.#dragging = true;
    if (Number(this.to.value) < STEPS && Number(this.to.value) <= Number(this.from.value)) {
      // The ends push each other.
      if (slider === this.from) this.to.value = String(Math.min(STEPS, Number(this.from.value) + 1));
      else this.from.value = String(Math.max(0, Number(this.to.value) - 1));
    }
    this.#describe();
  }

  /** @param {HTMLInputElement} slider The end that was moved; the other is left as it was written, unless it was pushed. */
  #release(slider) {
    const [from, to] = [Number(this.from.value), Number(this.to.value)];
    const pushed = { from: from !== this.#drawn.from, to: to !== this.#drawn.to };
    this.#dragging = false;
    // The left end is the very oldest, whatever retention does meanwhile; the right one is no end at all.
    let { since, until } = this.#range;
    if (slider === this.from || pushed.from) since = from >= STEPS ? "" : writeTime(this.#timeAt(from));
    if (slider === this.to || pushed.to) until = to >= STEPS ? "" : writeTime(this.#timeAt(to));
    this.travel({ ...this.#range, since, until: since === "" ? "" : until });
  }

  /** A time as people write it, by the clocks of the time zone that is shown. @param {string} text */
  #spoken(text) {
    const time = /Z$/.test(text) ? parseTime(text, now()) : null;
    return time === null || time % 1000 !== 0 ? text : momentOf(time);
  }

  /** @param {Range} range */
  #inWords({ since, until }) {
    const ends = [since && `since ${this.#spoken(since)}`, until && `until ${this.#spoken(until)}`];
    return ends.filter(Boolean).join(" ") || "live";
  }

  /** @param {HTMLInputElement} input */
  #typed(input) {
    const [since, until] = [this.since, this.until].map((each) => {
      const kept = each === this.since ? this.#range.since : this.#range.until;
      // What was not typed stays as it is written in the address.
      return each.value === this.#spoken(kept) ? kept : readMoment(each.value, now(), zone.local);
    });
    // The other one may still stand there as it was refused.
    const areGood = [judge(this.since, since), judge(this.until, until)].every(Boolean);
    if (areGood) this.travel({ ...this.#range, since: since ?? "", until: until ?? "" });
    else (input.validity.valid ? [this.since, this.until] : [input]).forEach((each) => each.reportValidity());
  }

  /** A calendar beside the box. @param {any} input @param {any} button @param {any} date */
  #setUpPicker(input, button, date) {
    button.addEventListener("click", () => {
      const time = parseTime(input.value === "" ? "" : readMoment(input.value, now(), zone.local) ?? "", now()) ?? now();
      date.value = momentOf(Math.floor(time / 1000) * 1000).replace(" ", "T").slice(0, 19);
      date.showPicker();
    });
    date.addEventListener("change", () => {
      if (date.value === "") return;
      input.value = date.value.replace("T", " ");
      this.#typed(input);
    });
  }
}

/** Mark a box by whether its text was read as a time. @param {HTMLInputElement} input @param {string | null} time */
function judge(input, time) {
  const isGood = time !== null;
  input.setCustomValidity(isGood ? "" : "A time, such as 10m, 2h, yesterday, 5:00, 2026-01-31 or 2026-01-31 5:00");
  input.setAttribute("aria-invalid", String(!isGood));
  return isGood;
}
