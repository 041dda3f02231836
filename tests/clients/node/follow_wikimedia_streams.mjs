import { WikimediaStream } from "wikimedia-streams";

const { origin, pathname, search } = new URL(process.argv[2]);
const name = pathname.split("/").pop();
const stream = new WikimediaStream(name + search, { proxy: origin });
stream.on(name, (event) => console.log(JSON.stringify(event)));
stream.on("error", (problem) => console.error(problem.message));
