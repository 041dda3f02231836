/** How long to wait before the next try: the rules of `gateway/client/backoff.py`, for people who look on. Pure. */

/** Milliseconds before the second try, where the server has not said `retry:`. */
const FIRST = 1000;
/** The same at the least: `retry: 0` would be as many requests as fit. */
const LEAST = 500;
/** Milliseconds that a wait grows to, by doubling. */
const LONGEST = 30_000;
/** Milliseconds that a server may ask for by `Retry-After`. */
const LONGEST_ASKED = 600_000;

/**
 * Doubles from one failure to the next, with chance, so that not all clients come back together. Only what is real begins
 * it anew: an event, or a connection that stood for a while. A server that greets and ends is asked more and more seldom.
 */
export class Backoff {
  #failures = 0;
  #first = FIRST;

  /** @param {number} milliseconds What the server said in `retry:`. */
  ask(milliseconds) {
    this.#first = Math.min(Math.max(milliseconds, LEAST), LONGEST);
  }

  /** Something real has come. */
  succeeded() {
    this.#failures = 0;
  }

  /** @param {number} [atLeast] What a server said in `Retry-After`, in milliseconds. @returns {number} Milliseconds. */
  wait(atLeast = 0) {
    const whole = Math.min(LONGEST, this.#first * 2 ** Math.min(this.#failures, 20));
    this.#failures += 1;
    return Math.max(whole * (0.5 + Math.random() / 2), Math.min(atLeast, LONGEST_ASKED));
  }
}
