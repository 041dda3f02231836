/**
 * Reads the stream beside the page, so that a replay of thousands of events a second leaves it free. What came is handed
 * over a few times a second; of more than the page keeps, the newest.
 */
import { Admission } from "./admission.js";
import { Follower } from "./follower.js";

const HAND_OVER = 100; // milliseconds
const KEPT = 5000; // events, as many as the page keeps

const admission = new Admission((pages, period) => postMessage({ kind: "shared", pages, period }));
/** @type {Follower | null} */
let follower = null;
/** @type {ReturnType<typeof fresh>} */
let batch;
let subscription = 0;
let timer = 0;
/** @type {string} */
let state = "";

function fresh() {
  return {
    /** @type {import("./follower.js").Event[]} */ events: [],
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
  const { events, ...rest } = batch;
  postMessage({ kind: "batch", subscription, events: events.slice(-KEPT), ...rest });
  batch = fresh();
}

function soon() {
  if (timer === 0) timer = setTimeout(handOver, HAND_OVER);
}

/** @param {number} number The subscription that is shown from now on. */
function turnTo(number) {
  follower?.stop();
  clearTimeout(timer);
  timer = 0;
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
      if (events.length > 2 * KEPT) events.splice(0, events.length - KEPT);
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
  turnTo(data.subscription);
  if (data.request !== null) start(data.request);
};
