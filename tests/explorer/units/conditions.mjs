// Writes the conditions that the page makes of values, for the gateway's engine to judge.
import { condition } from "../../../gateway/explorer/cel.js";
import { parse } from "../../../gateway/explorer/json.js";

const asked = JSON.parse(process.argv[2]);
console.log(JSON.stringify(asked.map(([path, text, operator]) => condition(path, text === null ? undefined : parse(text), operator))));
