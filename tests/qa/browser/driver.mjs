// A command a line on standard input, its answer a line on standard output:
//
//   {"command": "add", "name": "phone"}  ─▶  {"ok": null}  or  {"error": "…"}
//
// Every public method of `Dock` is a command. The end of the input ends the browser.

import { createInterface } from "node:readline";
import { Dock } from "./dock.mjs";

const dock = new Dock();

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...settings } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(await answer(command, settings))}\n`);
}
await dock.close();

async function answer(command, settings) {
  try {
    return { ok: (await dock[command](settings)) ?? null };
  } catch (error) {
    return { error: error.message };
  }
}
