/** Keys that do something wherever the focus is. Whoever speaks to the page turns them off (WCAG 2.1.4). */
import { byId } from "./dom.js";

const STORED = "explorer-single-keys";

/** @param {Record<string, () => void>} keys What each does. */
export function setUpShortcuts(keys) {
  const box = byId("single-keys");
  box.checked = remembered() !== "off";
  const show = () => byId("single-key-list").classList.toggle("off", !box.checked);
  show();
  box.addEventListener("change", () => {
    remember(box.checked ? "on" : "off");
    show();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, textarea, select, dialog, [popover]");
    if (!box.checked || typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
    keys[event.key]();
    event.preventDefault();
  });
}

function remembered() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    // Where a browser keeps nothing for a page, the choice lasts as long as the page.
    return null;
  }
}

/** @param {string} choice */
function remember(choice) {
  try {
    localStorage.setItem(STORED, choice);
  } catch {
    // As above.
  }
}
