// Opens a page in Chromium, from an origin that is not the stream's, and writes what it logs.
//   node browser.mjs CHROMIUM PAGE URL
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const [executablePath, name, url] = process.argv.slice(2);
const file = fileURLToPath(new URL(`../browser/${name}`, import.meta.url));

async function page_of(file) {
  if (extname(file) === ".html") return readFile(file);
  const nodePaths = [fileURLToPath(new URL("node_modules", import.meta.url))];
  const define = { "process.env.NODE_ENV": '"production"' };
  const options = { bundle: true, format: "esm", jsx: "automatic", write: false, logLevel: "error", nodePaths, define };
  const { outputFiles } = await build({ entryPoints: [file], ...options });
  const script = outputFiles[0].text.replaceAll("</script", "<\\/script");
  return `<!doctype html><meta charset="utf-8"><div id="app"></div><script type="module">${script}</script>`;
}

const html = await page_of(file);
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
  else process.stderr.write(`${message.text()}\n`);
});
await page.goto(`http://127.0.0.1:${site.address().port}/?${new URLSearchParams({ url })}`);
