// Runs a program in TypeScript, whose types are left out.
//   node bundled.mjs PROGRAM ARGUMENT...
import { build } from "esbuild";

const [program] = process.argv.splice(2, 1);
const options = { bundle: true, platform: "node", format: "esm", write: false, logLevel: "error" };
const { outputFiles } = await build({ entryPoints: [program], ...options });
await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
