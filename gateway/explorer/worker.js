/**
 * Reads the stream beside the page, so that a replay of thousands of events a second leaves it free. What came is handed
 * over a few times a second; of more than the page keeps, the newest.
 */
import { Admission } from "./admission.js";
import { Follower } from "./follower.js";

const HAND_OVER = 100; // milliseconds
const KEPT = 5000; // events, as many as the page keeps
const MOST_CHARACTERS = 32_000_000; // likewise, of all of them

const admission = new Admission((pages, period) => postMessage({ kind: "shared", pages, period }));
/** @type {Follower | null} */
let follower = null;
/** @type {ReturnType<typeof fresh>} */
let batch;
let subscription = 0;
let timer = 0;
/** @type {string} */
let state = "";
/** Whether the page has not taken yet what it was given last: a page that is slow is not buried. */
let given = false;

function fresh() {
  return {
    /** @type {import("./follower.js").Event[]} */ events: [],
    characters: 0,
    count: 0,
    bytes: 0,
    /** @type {number | null} */ read: 0,
    position: 0,
    /** Events by the second in which they happened. @type {Map<number, number>} */ seconds: new Map(),
    /** @type {object[]} */ gaps: [],
  };
}

function handOver() {
  timer = 0;
  trim();
  given = true;
  postMessage({ kind: "batch", subscription, ...batch });
  batch = fresh();
}

/** Give up the oldest, beyond what the page keeps. */
function trim() {
  const { events } = batch;
  let first = 0;
  while (events.length - first > KEPT || (batch.characters > MOST_CHARACTERS && first < events.length - 1)) {
    batch.characters -= events[first].text.length;
    first += 1;
  }
  events.splice(0, first);
}

function onTime() {
  if (given) timer = setTimeout(onTime, HAND_OVER);
  else handOver();
}

function soon() {
  if (timer === 0) timer = setTimeout(onTime, HAND_OVER);
}

/** @param {number} number The subscription that is shown from now on. */
function turnTo(number) {
  follower?.stop();
  clearTimeout(timer);
  timer = 0;
  given = false;
  subscription = number;
}

/** @param {import("./follower.js").Request} request */
function start(request) {
  const mine = subscription;
  batch = fresh();
  state = "";
  const current = (/** @type {(...given: any[]) => void} */ act) => (/** @type {any[]} */ ...given) => {
    if (mine === subscription) act(...given);
  };
  follower = new Follower(request, admission, {
    state: current((next) => {
      if (next.name === state && next.name === "open") return;
      state = next.name;
      if (timer !== 0) {
        clearTimeout(timer);
        handOver();
      }
      postMessage({ kind: "state", subscription, state: next });
    }),
    event: current((event) => {
      const { events, seconds } = batch;
      events.push(event);
      batch.characters += event.text.length;
      if (events.length > 2 * KEPT || batch.characters > 2 * MOST_CHARACTERS) trim();
      batch.count += 1;
      const second = Math.floor(event.time / 1000);
      seconds.set(second, (seconds.get(second) ?? 0) + 1);
      soon();
    }),
    moved: current((position, read) => {
      batch.position = position;
      if (batch.read !== null) batch.read = read === null ? null : batch.read + read;
      soon();
    }),
    bytes: current((count) => {
      batch.bytes += count;
    }),
    gap: current((gap) => {
      batch.gaps.push(gap);
      soon();
    }),
  });
  follower.run();
}

onmessage = ({ data }) => {
  if ("hidden" in data) return admission.set(data);
  if ("taken" in data) {
    given = false;
    return;
  }
  turnTo(data.subscription);
  if (data.request !== null) start(data.request);
};
