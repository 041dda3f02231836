/** The menu that a value opens. One for the page; it closes at Escape, at a click beside it, and when something is chosen. */
import { byId, h } from "./dom.js";

/** @typedef {{label: string, detail?: string, act: () => void}} Choice */

/** @type {HTMLElement | null} */
let opener = null;

/** @param {HTMLElement} anchor @param {string} heading @param {Choice[]} choices */
export function openMenu(anchor, heading, choices) {
  const menu = byId("menu");
  opener = anchor;
  const items = choices.map(({ label, detail, act }) =>
    h(
      "button.choice",
      {
        role: "menuitem",
        type: "button",
        onclick: () => {
          menu.hidePopover();
          act();
        },
      },
      h("span", null, label),
      detail ? h("code", null, detail) : null,
    ),
  );
  menu.replaceChildren(h("p.heading", { role: "presentation" }, heading), ...items);
  menu.setAttribute("aria-label", heading);
  menu.showPopover();
  place(menu, anchor);
  items[0]?.focus();
}

/** Below the anchor, or above it where there is no room; never beyond an edge. @param {HTMLElement} menu @param {HTMLElement} anchor */
function place(menu, anchor) {
  const { left, top, bottom } = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const { innerWidth, innerHeight } = window;
  menu.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
  menu.style.top = `${bottom + height + 8 < innerHeight ? bottom + 4 : Math.max(8, top - height - 4)}px`;
}

export function setUpMenu() {
  const menu = byId("menu");
  menu.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const items = [...menu.querySelectorAll("[role=menuitem]")];
    const index = items.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) items[(index + step + items.length) % items.length].focus();
    else if (event.key === "Tab") menu.hidePopover();
    else return;
    event.preventDefault();
  });
  menu.addEventListener("toggle", (/** @type {ToggleEvent} */ event) => {
    if (event.newState === "closed" && opener?.isConnected) opener.focus({ preventScroll: true });
  });
}
