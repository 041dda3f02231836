import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamParser } from "../../../gateway/explorer/sse.js";

const STREAM = ": welcome\nretry: 700\nid: 1\n\nevent: message\nid: 2\ndata: {\"a\":\"é\"}\n\n: waiting for the log\nid: 2\n\ndata:x\ndata: y\nid: n\0\n\nunknown\n\n\n";

function all(pieces) {
  const parser = new EventStreamParser();
  return { frames: pieces.flatMap((piece) => parser.feed(piece)), parser };
}

test("frames, with heartbeats and comments", () => {
  const { frames, parser } = all([STREAM]);
  assert.deepEqual(frames, [
    { event: "message", data: null, id: "1", comment: "welcome" },
    { event: "message", data: '{"a":"é"}', id: "2", comment: "" },
    { event: "message", data: null, id: "2", comment: "waiting for the log" },
    { event: "message", data: "x\ny", id: "2", comment: "" },
    { event: "message", data: null, id: "2", comment: "" },
  ]);
  assert.equal(parser.retry, 700);
});

test("the same wherever it is cut, and whatever ends a line", () => {
  const whole = all([STREAM]).frames;
  for (const ending of ["\n", "\r\n", "\r"]) {
    const text = STREAM.replaceAll("\n", ending);
    for (let cut = 0; cut <= text.length; cut += 1) {
      assert.deepEqual(all([text.slice(0, cut), text.slice(cut)]).frames, whole, `cut at ${cut}`);
    }
    assert.deepEqual(all([...text]).frames, whole);
  }
});

test("what is not ended does not count", () => {
  assert.deepEqual(all(["id: 1\ndata: {}\n"]).frames, []);
});
