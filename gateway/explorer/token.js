/**
 * Positions in their compact form, as the gateway writes them (`gateway/model/position/token.py`). Read to be shown; whether one
 * is whole, the gateway judges. Pure.
 */

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = new Map([...DIGITS].map((digit, value) => [digit, value]));
const PREFIX = 3;
const LENGTH_DIGITS = 4;
const [EMPTY, OFFSET, TIME] = [0, 1, 2];

/** @typedef {{kind: number, digits: number, timeBits: bigint, base: bigint}} Shape */

/** @param {string} token @returns {import("./position.js").Entry[]} */
export function readToken(token) {
  const head = PREFIX + LENGTH_DIGITS;
  let at = head + 4 * Number(number(token.slice(PREFIX, head)));
  return readHead(bytes(token.slice(head, at))).map(({ topic, partition, shape }) => {
    const value = number(token.slice(at, at + shape.digits));
    at += shape.digits;
    return { topic, partition, ...entry(shape, value) };
  });
}

/** @param {Shape} shape @param {bigint} value @returns {{offset?: number, timestamp?: number, seen?: number}} */
function entry({ kind, timeBits, base }, value) {
  if (kind === EMPTY) return { offset: -1, timestamp: 0 };
  const number = Number(value >> timeBits);
  const timestamp = Number((value & ((1n << timeBits) - 1n)) + base);
  // Beside a time alone, the number says how many records of that millisecond were read.
  if (kind === TIME) return { timestamp, seen: number };
  return kind === OFFSET ? { offset: number, timestamp } : { offset: number };
}

/** @param {Uint8Array} data */
function readHead(data) {
  let at = 0;
  const next = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= data.length) throw new RangeError("a position ends in the middle");
      const byte = data[at];
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  /** @type {Shape[]} */
  const shapes = [];
  for (let left = next(); left > 0n; left -= 1n) {
    const [first, timeBits, base] = [Number(next()), next(), next()];
    shapes.push({ kind: first >> 5, digits: first & 31, timeBits, base: base & 1n ? -(base >> 1n) - 1n : base >> 1n });
  }
  /** @type {{topic: string, partition: number, shape: Shape}[]} */
  const places = [];
  let name = new Uint8Array();
  for (let left = next(); left > 0n; left -= 1n) {
    const [shared, length] = [Number(next()), Number(next())];
    name = Uint8Array.of(...name.subarray(0, shared), ...data.subarray(at, at + length));
    at += length;
    const topic = new TextDecoder().decode(name);
    let partition = 0;
    for (let more = true; more; ) {
      const count = next();
      const run = Number(count >> 1n);
      more = (count & 1n) === 1n;
      const shape = Number(next());
      if (shape > 0) for (let n = 0; n < run; n += 1) places.push({ topic, partition: partition + n, shape: shapes[shape - 1] });
      partition += run;
    }
  }
  return places;
}

/** @param {string} digits */
function number(digits) {
  let value = 0n;
  for (let at = 0; at < digits.length; at += 8) {
    const part = digits.slice(at, at + 8);
    let small = 0;
    for (const digit of part) small = small * 64 + (VALUES.get(digit) ?? NaN);
    value = value * 64n ** BigInt(part.length) + BigInt(small);
  }
  return value;
}

/** @param {string} digits Groups of four. */
function bytes(digits) {
  const text = atob(digits.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
