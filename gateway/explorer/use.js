/** "Get code": the subscription for programs, and what is on screen as a file. Loaded when it is first opened. */
import { copy } from "./clipboard.js";
import { byId, h, say } from "./dom.js";
import { tableOf } from "./csv.js";
import { snippetsOf } from "./snippets.js";

/**
 * @param {() => string} address @param {() => import("./store.js").Row[]} rows @param {() => string[]} columns
 * @returns {() => void} What opens it.
 */
export function setUpUse(address, rows, columns) {
  const dialog = byId("use");
  const tabs = byId("tabs");
  const code = byId("code");
  let chosen = 0;

  const draw = () => {
    const snippets = snippetsOf(address());
    chosen = Math.min(chosen, snippets.length - 1);
    tabs.replaceChildren(
      ...snippets.map(({ name }, index) => {
        const selected = index === chosen;
        const tab = h("button", { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": "panel" }, name);
        tab.setAttribute("aria-selected", String(selected));
        tab.tabIndex = selected ? 0 : -1;
        tab.addEventListener("click", () => choose(index));
        return tab;
      }),
    );
    const { text, note, language } = snippets[chosen];
    say(code, text);
    code.dataset.language = language;
    say(byId("snippet-note"), note);
    byId("panel").setAttribute("aria-labelledby", `tab-${chosen}`);
    const count = rows().length;
    say(byId("download-note"), `${count.toLocaleString("en")} events that the page holds, one a line`);
  };

  const choose = (/** @type {number} */ index) => {
    chosen = index;
    draw();
    /** @type {HTMLElement} */ (tabs.children[index]).focus();
  };

  tabs.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    choose((chosen + step + tabs.children.length) % tabs.children.length);
    event.preventDefault();
  });
  byId("use-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    if (event.target === dialog) dialog.close();
  });
  const button = byId("copy");
  button.addEventListener("click", () => copy(code.textContent ?? "", button));
  byId("download").addEventListener("click", () => download(rows().map(({ text }) => `${text}\n`), "application/x-ndjson", "ndjson"));
  byId("download-csv").addEventListener("click", () => download(tableOf(rows(), columns()), "text/csv", "csv"));
  return () => {
    draw();
    dialog.showModal();
  };
}

/** @param {string[]} lines @param {string} type @param {string} suffix */
function download(lines, type, suffix) {
  const url = URL.createObjectURL(new Blob(lines, { type }));
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  h("a", { href: url, download: `events-${stamp}.${suffix}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
