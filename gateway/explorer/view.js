/**
 * What the page shows, as the address bar holds it: a link to the page is a link to the view.
 *
 * @typedef {{streams: string[] | null, filter: string, since: string, until: string, speed: number, columns: string[],
 *   only: boolean, sort: string}} View `streams` are null where nobody has chosen
 *   yet; `sort` is a dotted path, after a minus where the most comes first, empty for the newest first; `columns` are dotted paths, none for those that the schema suggests; `only` asks the server for
 *   these alone; `speed` is how many times faster than it happened the past is played, 0 as fast as it comes.
 */
export const SPEEDS = [0, 1, 10, 60];

/** @returns {View} */
export function emptyView() {
  return { streams: null, filter: "", since: "", until: "", speed: 0, columns: [], only: false, sort: "" };
}

/** @param {string} search @returns {View} */
export function readView(search) {
  const query = new URLSearchParams(search);
  const list = (/** @type {string} */ name) => (query.get(name) ?? "").split(",").filter((part) => part !== "");
  const speed = Number(query.get("speed") ?? 0);
  return {
    streams: query.has("streams") ? list("streams") : null,
    filter: query.get("filter") ?? "",
    since: query.get("since") ?? "",
    until: query.get("until") ?? "",
    speed: SPEEDS.includes(speed) ? speed : 0,
    columns: list("columns"),
    only: query.get("only") === "true",
    sort: query.get("sort") ?? "",
  };
}

/** @param {View} view @returns {string} With the question mark; empty for the view that needs nothing said. */
export function writeView(view) {
  const query = new URLSearchParams();
  if (view.streams !== null) query.set("streams", view.streams.join(","));
  if (view.filter) query.set("filter", view.filter);
  if (view.since) query.set("since", view.since);
  if (view.until) query.set("until", view.until);
  if (view.speed && view.since) query.set("speed", String(view.speed));
  if (view.columns.length > 0) query.set("columns", view.columns.join(","));
  if (view.only) query.set("only", "true");
  if (view.sort) query.set("sort", view.sort);
  const text = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return text ? `?${text}` : "";
}

/** @param {string} sort @returns {import("./heads.js").Sorting | null} */
export function sortingOf(sort) {
  if (sort === "" || sort === "-") return null;
  return sort.startsWith("-") ? { path: sort.slice(1), descending: true } : { path: sort, descending: false };
}

/** @param {import("./heads.js").Sorting | null} sorting */
export function sortOf(sorting) {
  return sorting === null ? "" : `${sorting.descending ? "-" : ""}${sorting.path}`;
}

/**
 * The same as a request: the path of the stream, and what belongs to it besides `since` and `until`.
 * @param {View} view @param {string[]} columns Those that are shown.
 */
export function requestOf(view, columns) {
  /** @type {[string, string][]} */
  const parameters = [];
  if (view.filter.trim()) parameters.push(["filter", view.filter.trim()]);
  const fields = columns.filter((path) => /^[^.,\s][^,\s]*$/.test(path));
  if (view.only && fields.length > 0) parameters.push(["fields", fields.join(",")]);
  return { path: `/v2/stream/${(view.streams ?? []).map(encodeURIComponent).join(",")}`, parameters };
}

/** The address of the subscription, for programs. @param {string} origin @param {View} view @param {string[]} columns */
export function addressOf(origin, view, columns) {
  const { path, parameters } = requestOf(view, columns);
  const all = [...parameters];
  if (view.since) all.push(["since", view.since]);
  if (view.until) all.push(["until", view.until]);
  // Percent signs for spaces: a plus is not understood everywhere.
  const query = all.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return origin + path + (query ? `?${query}` : "");
}
