/**
 * Positions: what the ids of frames say about how far a log was read.
 *
 * @typedef {{topic: string, partition: number, offset?: number, timestamp?: number, seen?: number}} Entry
 *   `seen`: how many records of that very millisecond were read, where there is no offset.
 * @typedef {{read: number | null, moved: Entry | null}} Advance
 *   `read` is how many records lie between two positions (null where the ids hold no offsets), `moved` the entry that
 *   moved on, the record of the frame; where several did, the newest of them.
 */
import { readToken } from "./token.js";

/** What of an entry moves on. */
const PARTS = /** @type {const} */ (["offset", "timestamp", "seen"]);

/** @param {string} id In either form. @returns {Entry[]} */
export function parsePosition(id) {
  try {
    if (id.startsWith("p1.")) return readToken(id);
    const entries = JSON.parse(id);
    return Array.isArray(entries) ? entries : [];
  } catch {
    return [];
  }
}

/** The newest time of a position, in milliseconds since the epoch; 0 where nothing was read. @param {Entry[]} entries */
export function newestTime(entries) {
  let newest = 0;
  for (const { timestamp } of entries) if (timestamp !== undefined && timestamp > newest) newest = timestamp;
  return newest;
}

/** The time of a record, where it has one. @param {Entry | null} entry @returns {number | undefined} */
export function timeOf(entry) {
  const time = entry?.timestamp;
  return time !== undefined && time > 0 ? time : undefined;
}

/**
 * What was read between two positions of one subscription.
 * @param {Entry[]} before @param {Entry[]} after @returns {Advance}
 */
export function advance(before, after) {
  /** @type {Advance} */
  const result = { read: 0, moved: null };
  // The entries keep their order from frame to frame; only where partitions are added they are looked for.
  for (let index = 0; index < after.length; index += 1) {
    const now = after[index];
    const then = same(before[index], now) ? before[index] : before.find((entry) => same(entry, now));
    const changed = then === undefined || PARTS.some((part) => then[part] !== now[part]);
    if (now.offset === undefined) {
      result.read = null;
    } else if (result.read !== null && now.offset >= 0) {
      // An id without an offset before one with it (a start that the log had not answered) tells no distance.
      const from = then === undefined ? now.offset : then.offset;
      result.read += from === undefined ? 0 : Math.max(0, now.offset - from);
    }
    if (changed && (now.timestamp ?? 0) >= (result.moved?.timestamp ?? -Infinity)) result.moved = now;
  }
  return result;
}

/** @param {Entry | undefined} one @param {Entry} other */
function same(one, other) {
  return one !== undefined && one.topic === other.topic && one.partition === other.partition;
}
