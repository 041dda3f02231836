import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Admission, GIVES_WAY } from "../../../gateway/explorer/admission.js";
import { Turns } from "../../../gateway/explorer/turns.js";

const NOW = 1_700_000_000_000;

/** What so many pages know of each other. */
function pages(count) {
  const places = Array.from({ length: count }, (_, index) => ({ id: `page ${index}`, since: NOW + Math.floor(index / 2) }));
  return places.map((mine) => {
    const turns = new Turns();
    for (const other of places) if (other !== mine) turns.heard(other, NOW);
    return { mine, turns };
  });
}

test("a few pages hold their streams, and all others have one connection together", () => {
  for (let count = 1; count <= 20; count += 1) {
    const all = pages(count);
    const served = new Set();
    for (let moment = NOW; moment < NOW + count * 1000; moment += 50) {
      const open = all.filter(({ mine, turns }) => turns.wait(mine, moment) === 0);
      const held = open.filter(({ mine, turns }) => turns.period(mine, moment) === 0);
      assert.equal(held.length, count <= 4 ? count : 3);
      assert.ok(open.length - held.length <= 1);
      for (const { mine } of open) served.add(mine.id);
      for (const { turns } of all) for (const { mine } of all) if (turns !== all.find((each) => each.mine === mine).turns) turns.heard(mine, moment);
    }
    assert.equal(served.size, count);
  }
});

test("who waits is told until when, and a turn ends", () => {
  const [, , , , last] = pages(5);
  const wait = last.turns.wait(last.mine, NOW + 700);
  assert.ok(wait > 0 && wait < 2000);
  const begins = NOW + 700 + wait;
  assert.equal(last.turns.wait(last.mine, begins), 0);
  assert.equal(last.turns.isOver(last.mine, begins, begins + 900), false);
  assert.equal(last.turns.isOver(last.mine, begins, begins + 1000), true);
});

test("who goes, or says nothing, makes room", () => {
  const [, , , , last] = pages(5);
  last.turns.gone("page 0");
  assert.equal(last.turns.period(last.mine, NOW), 0);
  const [, , , , other] = pages(5);
  assert.equal(other.turns.count(NOW + 5001), 1);
});

/** An admission of which all timers are the test's. */
function admission(context) {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW });
  context.after(() => mock.timers.reset());
  const told = [];
  const admission = new Admission((count, period) => told.push([count, period]));
  const channel = new BroadcastChannel("explorer-streams");
  context.after(() => {
    channel.close();
    admission.close();
  });
  return { admission, told, tick: (milliseconds) => mock.timers.tick(milliseconds) };
}

test("a page that is not looked at lets go after a while, and comes back", (context) => {
  const { admission: mine, tick } = admission(context);
  let reason = null;
  mine.enter();
  const release = mine.hold({ opened: Date.now(), moved: () => false, giveWay: () => (reason = GIVES_WAY) });
  mine.set({ hidden: true, limited: true, caught: true });
  tick(9000);
  assert.deepEqual([mine.isAway, reason], [false, null]);
  tick(2000);
  assert.deepEqual([mine.isAway, reason], [true, GIVES_WAY]);
  release();
  mine.set({ hidden: false, limited: true, caught: true });
  assert.equal(mine.isAway, false);
});

test("a turn in which nothing was reached goes on, but not for ever", (context) => {
  const { admission: mine, told, tick } = admission(context);
  mine.enter();
  for (let page = 0; page < 6; page += 1) mine.heard({ id: `page ${page}`, since: 1 });
  let [moved, ended] = [false, 0];
  mine.hold({ opened: Date.now(), moved: () => moved, giveWay: () => (ended += 1) });
  const renew = () => {
    for (let page = 0; page < 6; page += 1) mine.heard({ id: `page ${page}`, since: 1 });
    tick(1000);
  };
  for (let second = 0; second < 10; second += 1) renew();
  assert.deepEqual([told.at(-1), ended], [[7, 4000], 0]);
  moved = true;
  renew();
  assert.ok(ended > 0);
  moved = false;
  ended = 0;
  for (let second = 0; second < 12; second += 1) renew();
  assert.ok(ended > 0);
});
