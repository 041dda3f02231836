// The operators' page: shows the gateway's state anew as updates of it come, and asks before it changes anything.
const byId = (id) => document.getElementById(id);
const whole = (number) => number.toLocaleString("en");
const AGAIN = 10000; // milliseconds
let source = null;
let waiting = 0;
let updated = "";
// What the gateway's clock is ahead of this one, in milliseconds.
let skew = 0;

// Texts of clients and streams go in as texts alone.
function h(tag, text = "", kind = "") {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.textContent = text;
  return element;
}

function ago(time) {
  if (time === null) return "never";
  const seconds = Math.max(0, (Date.now() + skew - time) / 1000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} days ago`;
}

function bytes(count) {
  if (count === null) return "–";
  if (count < 1e3) return `${count} B`;
  if (count < 1e6) return `${(count / 1e3).toFixed(1)} kB`;
  return count < 1e9 ? `${(count / 1e6).toFixed(1)} MB` : `${(count / 1e9).toFixed(2)} GB`;
}

// How far an id reaches, in words: it may name hundreds of partitions.
function reach(position) {
  try {
    const entries = JSON.parse(position);
    const newest = Math.max(...entries.map(({ timestamp }) => timestamp ?? 0));
    return `${entries.length} partition${entries.length === 1 ? "" : "s"}${newest > 0 ? `, ${ago(newest)}` : ""}`;
  } catch {
    return position === "" ? "at its start" : "compact id";
  }
}

// Other children, where they differ: who has the focus in one, or has selected its text, keeps it.
function replace(parent, children) {
  children.forEach((child, index) => {
    const old = parent.children[index];
    if (old === undefined) parent.append(child);
    else if (!old.isEqualNode(child)) {
      if (old.tagName === "TR" && old.cells.length === child.cells.length) replace(old, [...child.cells]);
      else old.replaceWith(child);
    }
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}

function fill(table, rows, none) {
  const nothing = h("td", none);
  nothing.colSpan = table.tHead.rows[0].cells.length;
  const lines = (rows.length > 0 ? rows : [[nothing]]).map((cells) => {
    const line = document.createElement("tr");
    line.append(...cells);
    return line;
  });
  replace(table.tBodies[0], lines);
}

const number = (value) => h("td", typeof value === "number" ? whole(value) : value, "number");

function streamRow({ name, private: hidden, derived, rate, newest, clients, lag, bad }) {
  const place = h("th");
  const link = h("a", name);
  link.href = `/explorer?streams=${encodeURIComponent(name)}`;
  place.scope = "row";
  place.append(link);
  for (const mark of [hidden && "private", derived && "derived"]) if (mark) place.append(" ", h("span", mark, "mark"));
  const last = h("td", ago(newest));
  if (newest !== null) last.title = new Date(newest).toISOString();
  const wrong = number(bad);
  if (bad > 0) wrong.classList.add("bad");
  return [place, number(rate === 0 ? "–" : `${rate.toFixed(rate < 10 ? 2 : 0)}/s`), last, number(clients), number(lag), wrong];
}

function connectionRow(one) {
  const filter = h("td");
  if (one.filter) filter.append(h("code", one.filter));
  filter.title = one.filter ?? "";
  const position = h("td", reach(one.position));
  position.title = one.position.slice(0, 300);
  const since = h("td", ago(one.since));
  since.title = new Date(one.since).toISOString();
  const format = one.format.replace("text/event-stream", "SSE").replace("application/x-ndjson", "NDJSON");
  return [
    h("td", one.address), h("td", one.view ? `view ${one.view}` : one.streams.join(", ")), filter, h("td", one.live ? "live" : `${whole(one.lag)} behind`),
    position, number(bytes(one.bytes)), since, h("td", format), h("td", one.user_agent),
  ];
}

function show({ now, state, streams, more_streams: more, total, connections }) {
  skew = now - Date.now();
  replace(byId("state"), state.map(({ name, ok, words }) => {
    const card = h("div", "", ok ? "card" : "card trouble");
    card.append(h("dt", name), h("dd", words));
    return card;
  }));
  fill(byId("streams"), streams.map(streamRow), "There are no streams in the configuration.");
  byId("more").textContent = more > 0 ? `and ${whole(more)} streams more` : "";
  fill(byId("connections"), connections.map(connectionRow), "Nobody is connected.");
  byId("total").textContent = connections.length < total ? `the first ${whole(connections.length)} of ${whole(total)}` : whole(total);
  updated = `${new Date(now).toISOString().slice(11, 19)} UTC`;
  document.body.classList.remove("old");
  byId("updated").textContent = `Updated ${updated}`;
}

// What is shown is old from now on.
function lost() {
  document.body.classList.add("old");
  byId("updated").textContent = updated ? `No answer since ${updated}; connecting again` : "Connecting";
}

const overview = () => `/-/overview?sort=${byId("sort").value}`;

// Nobody who looks elsewhere holds one of the browser's few connections, or a place among the updates.
function follow() {
  clearTimeout(waiting);
  source?.close();
  if (document.hidden) return;
  source = new EventSource(overview());
  source.onmessage = ({ data }) => show(JSON.parse(data));
  source.onerror = () => (source.readyState === EventSource.CLOSED ? ask() : lost());
}

// Without updates, as where too many pages have them, it is asked now and then.
async function ask() {
  try {
    const response = await fetch(overview(), { headers: { accept: "application/json" } });
    if (!response.ok) throw new Error(response.status);
    show(await response.json());
  } catch {
    lost();
  }
  clearTimeout(waiting);
  waiting = setTimeout(follow, AGAIN);
}

async function act(path) {
  const response = await fetch(path, { method: "POST", headers: { "gateway-operator": "yes" } });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) return [answer.detail ?? `the gateway answered ${response.status}`, ...(answer.mistakes ?? [])].join("\n");
  const changes = Object.entries(answer).map(([name, value]) => `${name}: ${Array.isArray(value) ? value.join(", ") || "none" : value}`);
  return changes.join("\n") || "Done.";
}

const UNREACHED = "the gateway cannot be reached";

for (const button of document.querySelectorAll("[data-act]")) {
  const { act: path, question } = button.dataset;
  button.addEventListener("click", () => {
    // An answer that comes after another question was asked is not that one's.
    const result = h("p");
    result.id = "result";
    result.setAttribute("role", "status");
    byId("result").replaceWith(result);
    byId("question").textContent = question;
    byId("yes").hidden = false;
    byId("yes").onclick = async () => {
      byId("yes").hidden = true;
      byId("no").focus();
      result.textContent = "Under way …";
      result.textContent = await act(path).catch(() => UNREACHED);
    };
    byId("confirm").showModal();
  });
}
byId("no").addEventListener("click", () => byId("confirm").close());
byId("sort").addEventListener("change", follow);
document.addEventListener("visibilitychange", follow);
follow();
