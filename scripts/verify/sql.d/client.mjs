// Node's `pg`: runs the queries that come as a JSON array on stdin, and prints each one's rows, as texts, as a line of JSON.
// Arguments: URL, and `cursor` to read a million rows by cursor instead, of which count and sum are printed.
import { readFileSync } from "node:fs";
import pg from "pg";
import Cursor from "pg-cursor";

const [url, mode] = process.argv.slice(2);
const asTexts = { getTypeParser: () => (text) => text };
const client = new pg.Client({ connectionString: url });
await client.connect();
if (mode === "cursor") {
  const cursor = client.query(new Cursor("SELECT value AS n FROM generate_series(1, 1000000) AS g(value)"));
  let [count, sum] = [0, 0];
  for (let rows = await cursor.read(10000); rows.length > 0; rows = await cursor.read(10000)) {
    count += rows.length;
    for (const row of rows) sum += Number(row.n);
  }
  await cursor.close();
  console.log(JSON.stringify([count, sum]));
} else {
  for (const text of JSON.parse(readFileSync(0, "utf8"))) {
    // A parameter list, even an empty one, is the extended protocol.
    const result = await client.query({ text, values: [], rowMode: "array", types: asTexts });
    console.log(JSON.stringify(result.rows));
  }
}
await client.end();
