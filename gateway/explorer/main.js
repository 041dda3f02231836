/** The page: the view in the address bar, the subscription that follows from it, and the parts that show it. */
import { byId, say } from "./dom.js";
import * as api from "./api.js";
import { Catalogue } from "./catalogue.js";
import { ColumnPicker } from "./columns.js";
import { copy } from "./clipboard.js";
import { FilterBar } from "./filter.js";
import { LiveView } from "./live.js";
import { setUpMenu } from "./menu.js";
import { at, Exact } from "./json.js";
import { showLineage } from "./lineage.js";
import { recall, remember } from "./memory.js";
import { Rates } from "./rates.js";
import { fieldsOf, fieldsOfEvent, isReached, merge, suggested } from "./schema.js";
import { setUpShortcuts } from "./shortcuts.js";
import { valueOf } from "./store.js";
import { Timeline } from "./timeline.js";
import { turned } from "./order.js";
import { sayState, tellClock, tellMissing } from "./told.js";
import { pickColumn } from "./choices.js";
import { addressOf, readView, requestOf, sortingOf, sortOf, writeView } from "./view.js";
import { zone } from "./zone.js";

const HOUSE = document.querySelector("meta[name=application-name]")?.getAttribute("content") ?? "";
const NARROW = "(max-width: 40rem)";
const FACETS = "explorer-facets";
const STREAMS_EVERY = 60_000; // milliseconds

let view = readView(location.search);
/** @type {import("./api.js").Stream[]} */
let streams = [];
/** The states by key that the gateway keeps. @type {import("./api.js").StateView[]} */
let views = [];
/** The stream that is shown before anybody has chosen: the first in which something goes on. @type {string | null} */
let first = null;
/** @type {import("./schema.js").Field[]} */
let fields = [];
/** @type {Map<string, Promise<import("./schema.js").Field[]>>} */
const known = new Map();
/** The range that was left for what is live, to return to it. @type {{since: string, until: string, speed: number} | null} */
let left = null;
/** What the running subscription was asked for, to tell whether another view needs another. */
let subscribed = "";

const catalogue = new Catalogue(
  (name, on) => {
    const others = picked().filter((each) => each !== name);
    go({ streams: on ? [...others, name] : others, columns: [] });
  },
  (name) => go({ streams: [name], columns: [] }),
);
const timeline = new Timeline((range) => go(range));
/** @type {LiveView} */
const live = new LiveView({
  fieldOf: (path) => fields.find((field) => field.path === path),
  refine: (filter) => go({ filter }),
  filter: () => view.filter,
  travel: (since, until) => go({ since, until }),
  history: (row) => historyOf(row),
  shared: (pages) => rates.setPages(pages),
  columns,
  choose: (chosen) => go({ columns: chosen }),
  streamOf: (topic) => chosen().find((stream) => stream.topics.includes(topic))?.name ?? topic,
  pickAlone: (name) => go({ streams: [name] }),
  heads: {
    sort: (path) => go({ sort: sortOf(turned(sortingOf(view.sort), path)) }),
    menu: (anchor, path) =>
      pickColumn(live.page, anchor, path, {
        sort: (descending) => go({ sort: sortOf({ path, descending }) }),
        widen: (factor) => live.table.heads.widen(path, factor),
      }),
    turnZone: () => {
      zone.turn(!zone.local);
      showColumns();
      timeline.show(view);
    },
  },
});
const rates = new Rates(showRates, (trouble) => live.setTrouble(trouble));
/** @type {FilterBar} */
const filterBar = new FilterBar({
  apply: (filter) => go({ filter }),
  check: (filter) => api.isTaken(requestOf({ ...view, streams: picked(), filter }, named())),
  probe: async (filter, signal) => {
    if (picked().length === 0) return { sample: null };
    const request = requestOf({ ...view, streams: picked(), filter }, named());
    return api.probe(request, rate(), signal);
  },
  sampled: ({ ratio }) => {
    live.ratio = ratio ?? live.ratio;
  },
  fields: () => fields,
  seen: (path) => live.store.values((event) => at(event, path)),
});
/** What there is once somebody wants it. @type {import("./facets.js").Facets | null} */
let facets = null;
const columnPicker = new ColumnPicker((chosen) => go({ columns: chosen }));
setUpMenu();

/** The streams of the view by their own names. */
function picked() {
  if (view.streams === null) return first === null ? [] : [first];
  return view.streams.map((name) => streams.find((stream) => stream.aliases.includes(name))?.name ?? name);
}

/** @param {import("./schema.js").Field[]} of */
function pathsOf(of) {
  return of.map(({ path }) => path).join("\n");
}

function columns() {
  return view.columns.length > 0 ? view.columns : suggested(fields);
}

/** Those that the server can be asked for alone; none where it would leave out one that is shown. */
function named() {
  const all = columns();
  return all.every((path) => isReached(fields.find((field) => field.path === path))) ? all : [];
}

/** Events a second of what is picked. */
function rate() {
  return chosen().reduce((sum, stream) => sum + stream.rate, 0);
}

function chosen() {
  const names = picked();
  return streams.filter(({ name }) => names.includes(name));
}

/** Change the view, as a step that the back button takes back. @param {Partial<import("./view.js").View>} change */
function go(change) {
  const next = { ...view, ...change };
  if (writeView(next) === writeView(view)) {
    if (change.since !== "" || live.caught) return filterBar.show(view.filter);
    // Live is asked for by who is far behind: after a long rest there may be much in between.
    subscribed = "";
  }
  const goesLive = next.since === "" && next.until === "";
  if (!goesLive) left = null;
  else if (view.since !== "" || view.until !== "") left = { since: view.since, until: view.until, speed: view.speed };
  view = next;
  history.pushState(null, "", `${location.pathname}${writeView(view)}`);
  show();
}

/** Show the view, and subscribe anew where it asks for something else. */
async function show() {
  const names = picked();
  catalogue.setPicked(names);
  lineage();
  say(byId("picked"), names.join(", "));
  document.title = names.length > 0 ? `${names.join(", ")} · ${HOUSE}` : HOUSE;
  const oldest = chosen().flatMap((stream) => (stream.oldest === null ? [] : typeof stream.oldest === "number" ? stream.oldest : Date.parse(stream.oldest)));
  timeline.setOldest(oldest.length > 0 ? Math.min(...oldest) : 0);
  timeline.show(view);
  byId("return").hidden = left === null;
  if (left !== null) say(byId("return"), `Back to ${left.since || "live"}${left.until ? ` … ${left.until}` : " …"}`);
  const before = view;
  // With the columns that the schema suggests a request may ask for these alone, so it waits for the schema then.
  const loading = loadFields(names);
  if (view.only && view.columns.length === 0) await loading;
  if (view !== before) return;
  subscribe(names);
  filterBar.show(view.filter);
  // Those that are chosen need not wait.
  if (view.columns.length > 0) showColumns();
  const had = fields;
  await loading;
  if (view !== before) return;
  showColumns();
  // They are chosen of the fields, which were those of other streams, or none.
  if (pathsOf(had) !== pathsOf(fields)) facets?.renew();
}

function lineage() {
  showLineage(streams, picked(), (name) => go({ streams: [name], filter: "", columns: [] }));
  byId("state-open").hidden = viewsHere().length === 0;
}

/** Opens the history of an event's key, where there is a view that has it. @param {import("./store.js").Row} row */
function historyOf(row) {
  const event = valueOf(row);
  const found = views.flatMap((view) => {
    const isHere = streams.some(({ name, topics }) => name === view.stream && topics.includes(row.topic));
    const members = view.key.map((path) => at(event, path));
    return isHere && members.every((member) => isKey(member)) ? [{ view, members }] : [];
  });
  return found.length === 0 ? null : () => void openState(found.map(({ view }) => view), found[0].members);
}

/** @param {unknown} member */
function isKey(member) {
  return typeof member === "string" || typeof member === "boolean" || Number.isInteger(member) || member instanceof Exact;
}

/** As of the end of the time that the page shows; where no key is meant yet, or else as of its start. @param {typeof views} of @param {unknown[] | null} members */
async function openState(of, members) {
  const state = await import("./state.js").catch(tellMissing);
  const at = view.until || (members === null ? view.since : "");
  await state?.openState({ views: of, members, at, travel: (since) => go({ since, until: "" }) });
}

function viewsHere() {
  return views.filter(({ stream }) => picked().includes(stream));
}

function showColumns() {
  live.setColumns(columns(), picked().length > 1, sortingOf(view.sort));
  filterBar.offer();
  columnPicker.show(fields, columns());
  byId("only").checked = view.only;
}

/** @param {string[]} names */
function subscribe(names) {
  const request = requestOf({ ...view, streams: names }, named());
  const all = { ...request, since: view.since, until: view.until, speed: view.since ? view.speed : 0 };
  const text = JSON.stringify(all);
  if (text === subscribed) return;
  subscribed = text;
  live.follow(names.length > 0 ? all : null, chosen());
  facets?.renew();
}

/** @param {string[]} names */
async function loadFields(names) {
  const lists = await Promise.all(
    chosen().map((stream) => {
      let loading = known.get(stream.name);
      if (loading === undefined) {
        loading = api.describe(stream).then(({ schema, example }) => (schema ? fieldsOf(schema) : fieldsOfEvent(example)));
        known.set(stream.name, loading);
        loading.catch(() => known.delete(stream.name));
      }
      return loading.catch(() => []);
    }),
  );
  if (names.join() === picked().join()) fields = merge(lists);
}

async function loadStreams() {
  streams = await api.streams();
  tellClock(api.skew.milliseconds);
  // A gateway without them is none the worse.
  void api.views().then(
    (told) => {
      views = told;
      lineage();
    },
    () => undefined,
  );
  catalogue.setStreams(streams);
}

/** Ask again and again, while the page is looked at. @param {() => Promise<void>} ask @param {number} pause */
function repeat(ask, pause) {
  const again = async () => {
    if (!document.hidden) await ask().catch(() => undefined);
    setTimeout(again, pause);
  };
  setTimeout(again, pause);
}

/** @param {import("./api.js").Rates} told */
function showRates({ streams: rates }) {
  catalogue.setRates(rates);
  for (const stream of streams) {
    const counts = rates[stream.name]?.counts.slice(-30) ?? [];
    if (counts.length > 0) stream.rate = counts.reduce((one, other) => one + other, 0) / counts.length;
  }
  const newest = picked().map((name) => rates[name]?.newest ?? 0);
  live.setNewest(Math.max(0, ...newest));
}

async function start() {
  // Where there is room for one thing only, that is the events.
  byId("catalogue").open = byId("travel").open = !matchMedia(NARROW).matches;
  byId("facets").open = recall(FACETS) === "open";
  for (let wait = 1000; ; wait = Math.min(10_000, wait * 1.5)) {
    try {
      await loadStreams();
      break;
    } catch (error) {
      sayState("reconnecting", "Reconnecting", `the list of streams cannot be had (${api.reasonOf(error)}); it is tried again`);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  first = (streams.find((stream) => stream.rate > 0) ?? streams[0])?.name ?? null;
  show();
  rates.run();
  repeat(async () => {
    await loadStreams();
    catalogue.setPicked(picked());
    lineage();
  }, STREAMS_EVERY);
}

addEventListener("popstate", () => {
  view = readView(location.search);
  left = null;
  show();
});
byId("facets").addEventListener("toggle", async (/** @type {ToggleEvent} */ event) => {
  remember(FACETS, event.newState);
  if (event.newState === "closed") {
    facets = null;
    return;
  }
  const part = await import("./facets.js").catch(tellMissing);
  if (part === null) return;
  facets = new part.Facets({
    fields: () => fields,
    rows: () => live.store.shown,
    asked: () => live.asked,
    filter: () => view.filter,
    refine: (filter) => go({ filter }),
  });
  facets.renew(0);
});
byId("only").addEventListener("change", (/** @type {Event} */ event) => {
  go({ only: /** @type {HTMLInputElement} */ (event.target).checked });
});
/** @type {(() => void) | null} */
let openUse = null;
byId("use-open").addEventListener("click", async () => {
  const part = await import("./use.js").catch(tellMissing);
  if (part === null) return;
  const address = () => addressOf(location.origin, { ...view, streams: picked() }, named());
  openUse ??= part.setUpUse(address, () => [...live.store.shown], columns);
  openUse();
});
byId("copy-link").addEventListener("click", (/** @type {MouseEvent} */ event) => {
  // With the streams named: what is shown first may be another one tomorrow.
  const link = `${location.origin}${location.pathname}${writeView({ ...view, streams: picked() })}`;
  void copy(link, /** @type {HTMLElement} */ (event.currentTarget));
});
byId("trial-open").addEventListener("click", async () => {
  const part = await import("./trial.js").catch(tellMissing);
  part?.openTrial(picked()[0] ?? "");
});
byId("state-open").addEventListener("click", () => openState(viewsHere(), null));
byId("return").addEventListener("click", () => go(left ?? {}));
setUpShortcuts({
  "/": () => byId("filter").focus(),
  p: () => byId("pause").click(),
  l: () => go({ since: "", until: "" }),
});
start();
