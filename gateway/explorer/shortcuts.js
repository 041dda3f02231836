/** Keys that do something wherever the focus is. Whoever speaks to the page turns them off (WCAG 2.1.4). */
import { byId } from "./dom.js";
import { recall, remember } from "./memory.js";

const STORED = "explorer-single-keys";

/** @param {Record<string, () => void>} keys What each does. */
export function setUpShortcuts(keys) {
  const box = byId("single-keys");
  box.checked = recall(STORED) !== "off";
  const show = () => byId("single-key-list").classList.toggle("off", !box.checked);
  show();
  box.addEventListener("change", () => {
    remember(STORED, box.checked ? "on" : "off");
    show();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, textarea, select, dialog, [popover]");
    if (!box.checked || typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
    keys[event.key]();
    event.preventDefault();
  });
}
