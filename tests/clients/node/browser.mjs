// Opens follow.html in Chromium, from an origin that is not the stream's, and writes what the page logs.
//   node browser.mjs CHROMIUM URL
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const html = await readFile(new URL("../browser/follow.html", import.meta.url));
const site = createServer((_, response) => response.setHeader("content-type", "text/html").end(html));
await new Promise((listening) => site.listen(0, "127.0.0.1", listening));

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const browser = await chromium.launch({ executablePath, headless: true, args });
browser.on("disconnected", () => process.exit());
const page = await browser.newPage();
page.on("console", (message) => {
  if (message.type() === "log") process.stdout.write(`${message.text()}\n`);
});
await page.goto(`http://127.0.0.1:${site.address().port}/?${new URLSearchParams({ url })}`);
