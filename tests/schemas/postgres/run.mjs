// Runs statements of SQL, a JSON array of them, one after another in an empty database, and prints what PostgreSQL says of
// each as a JSON array: its rows, or the text of the error.
import { readFileSync } from "node:fs";
import { PGlite } from "@electric-sql/pglite";

const database = await PGlite.create();
const told = [];
for (const statement of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    told.push((await database.query(statement)).rows);
  } catch (error) {
    told.push(error.message);
  }
}
await database.close();
console.log(JSON.stringify(told));
