import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { keyOf, ViewMap } from "../../../docs/view-map.js";

class Source extends EventTarget {
  static all = [];

  constructor(url) {
    super();
    this.url = url;
    this.readyState = 1;
    Source.all.push(this);
  }

  say(kind, id, document) {
    const event = new Event(kind);
    Object.assign(event, { data: JSON.stringify(document), lastEventId: id });
    this.dispatchEvent(event);
  }

  refuse() {
    this.readyState = 2;
    this.dispatchEvent(new Event("error"));
  }

  close() {
    this.readyState = 2;
  }
}

const key = (title) => ({ wiki: "enwiki", title });

test("the map is the state as of ready, and after each change", async () => {
  const changes = [];
  const pages = new ViewMap("http://h/v", { EventSource: Source, onchange: (change) => changes.push(change.kind) });
  const source = Source.all.at(-1);
  source.say("snapshot", "0", { earliest: null });
  source.say("row", "0a", { key: key("A"), value: 1 });
  source.say("row", "0b", { key: key("B"), value: 2 });
  source.say("ready", "0", { keys: 2 });
  assert.equal(await pages.ready, pages);
  source.say("change", "1", { key: key("A"), value: 3 });
  source.say("delete", "2", { key: key("B") });
  assert.deepEqual([...pages], [[keyOf("enwiki", "A"), 3]]);
  source.say("reset", "9", { earliest: null });
  assert.equal(pages.size, 0);
  assert.deepEqual(changes, ["row", "row", "change", "delete", "reset"]);
  assert.equal(pages.position, "9");
  pages.close();
});

test("after a reset it is ready once all rows have come anew", async () => {
  const changes = [];
  const pages = new ViewMap("http://h/v", { EventSource: Source, onchange: (change) => changes.push(change.kind) });
  const source = Source.all.at(-1);
  const first = pages.ready;
  for (const kind of ["snapshot", "reset", "snapshot"]) {
    const before = pages.ready;
    source.say(kind, "0", { earliest: null });
    source.say("row", "0a", { key: key("A"), value: kind });
    let ready = false;
    pages.ready.then(() => (ready = true));
    await null;
    assert.equal(ready, false);
    assert.equal(pages.ready === before, kind === "snapshot" && before === first);
    source.say("ready", "0", { keys: 1 });
    assert.equal(await pages.ready, pages);
  }
  assert.equal(await first, pages);
  source.say("reset", "9", { earliest: null });
  const waiting = pages.ready;
  source.say("reset", "10", { earliest: null });
  source.say("ready", "10", { keys: 0 });
  assert.equal(await waiting, pages, "who waits already waits on");
  // Whoever has been told of rows is told that they are gone.
  assert.deepEqual(changes, ["row", "reset", "row", "reset", "row", "reset", "reset"]);
  pages.close();
});

test("after a refusal it comes back with its position", async () => {
  const failures = [];
  const options = { EventSource: Source, pause: 1, onfailure: (event) => failures.push(event.type) };
  const pages = new ViewMap("http://h/v?prefix=en", options);
  Source.all.at(-1).say("row", '[{"a":1}]', { key: { page: 7 }, value: 1 });
  assert.equal(pages.get(keyOf(7)), 1);
  const count = Source.all.length;
  Source.all.at(-1).refuse();
  while (Source.all.length === count) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.equal(Source.all.at(-1).url, `http://h/v?prefix=en&last_event_id=${encodeURIComponent('[{"a":1}]')}`);
  assert.deepEqual(failures, ["error"]);
  pages.close();
});

test("who closes it when it is refused has closed it", async () => {
  const options = { EventSource: Source, pause: 1, onfailure: () => pages.close() };
  const pages = new ViewMap("http://h/v", options);
  const count = Source.all.length;
  Source.all.at(-1).refuse();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(Source.all.length, count);
});

test("it is small", () => {
  assert.ok(readFileSync(new URL("../../../docs/view-map.js", import.meta.url)).length < 3072);
});
