// What a streamer does in the dock, and what can be found out about its page.

import { chromium } from "playwright-core";
import { recorder } from "./recorder.mjs";

const BROWSER = process.env.STREAMHAUL_QA_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** As wide as a dock; as tall as what it shows, so that nothing is scrolled away. */
const VIEWPORT = { width: 320, height: 1400 };
const PATIENCE_MS = 20_000;
const REPORT = "streamhaulQaReport";
const PROTOCOLS = { srtla: "SRTLA", srt: "SRT" };

/** A browser with one page; sights, complaints and requests are kept until they are taken. */
export class Dock {
  #context = null;
  #page = null;
  #sights = [];
  #complaints = [];
  #traced = false;

  /** Starts the browser with the profile in this folder: cookies and storage are there again. */
  async open({ profile }) {
    await this.close();
    const options = { executablePath: BROWSER, args: FLAGS, viewport: VIEWPORT };
    this.#context = await chromium.launchPersistentContext(profile, options);
    this.#context.setDefaultTimeout(PATIENCE_MS);
    await this.#context.tracing.start({ snapshots: true });
    await this.#context.exposeBinding(REPORT, (_source, sight) => void this.#sights.push(sight));
    await this.#context.addInitScript(recorder, REPORT);
    this.#page = this.#context.pages()[0] ?? (await this.#context.newPage());
    this.#page.on("pageerror", (error) => this.#complaints.push(error.message));
    this.#page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) this.#complaints.push(message.text());
    });
    return this.#context.browser()?.version() ?? "";
  }

  async close() {
    await this.#context?.close();
    this.#context = null;
    this.#traced = false;
  }

  /** Opens an address; another fragment alone would open nothing. */
  async visit({ url }) {
    await this.#page.goto("about:blank");
    await this.#page.goto(url);
    await this.#page.locator(".dock, .sign-in").first().waitFor();
    // A page that was let in shows its list or that there is none.
    await this.#page.locator("article.card, .empty, .sign-in").first().waitFor();
    return { url: this.#page.url(), signed_in: (await this.#page.locator(".dock").count()) > 0 };
  }

  async add({ name }) {
    await this.#page.getByRole("button", { name: "Add a connection" }).first().click();
    await this.#page.getByLabel("Name").fill(name);
    await this.#page.getByRole("button", { name: "Add", exact: true }).click();
    await this.#card(name).waitFor();
  }

  async remove({ name }) {
    await this.#expand(name);
    const card = this.#card(name);
    await card.getByRole("button", { name: "Remove the connection" }).click();
    await card.getByRole("button", { name: "Remove", exact: true }).click();
    await card.waitFor({ state: "detached" });
  }

  async expand({ name }) {
    await this.#expand(name);
  }

  /** The URL that a streamer reads after "Show"; it is hidden again. */
  async url({ name, kind }) {
    await this.#expand(name);
    const region = this.#card(name).getByRole("region", { name: kind === "media" ? "OBS media source" : "Sender URL" });
    if (kind !== "media") await region.getByText(PROTOCOLS[kind], { exact: true }).click();
    await region.getByRole("button", { name: "Show" }).click();
    await region.locator('code[data-hidden="false"]').waitFor();
    const url = await region.locator("code").first().textContent();
    await region.getByRole("button", { name: /^Hide/ }).first().click();
    await region.locator('code[data-hidden="true"]').waitFor();
    return url;
  }

  /** What was seen since the last time. */
  sights() {
    return this.#sights.splice(0);
  }

  /** What the page holds, in every place that outlives a moment. */
  async holdings() {
    const inPage = await this.#page.evaluate(async () => ({
      local_storage: JSON.stringify(localStorage),
      session_storage: JSON.stringify(sessionStorage),
      databases: JSON.stringify(await indexedDB.databases()),
      caches: JSON.stringify(await caches.keys()),
      script_cookies: document.cookie,
      history: JSON.stringify(history.state) + location.href,
      html: document.documentElement.outerHTML,
    }));
    const cookies = await this.#context.cookies();
    return { ...inPage, http_only_cookies: cookies.filter((cookie) => cookie.httpOnly).length, cookies: cookies.length };
  }

  /** What the server tells the page: the list, and what each session's stream begins with. */
  async snapshot() {
    return this.#page.evaluate(async () => {
      const list = await (await fetch("/api/v1/dock/connections")).json();
      const sessions = list.connections.flatMap(({ session }) => session?.session_id ?? []);
      const live = {};
      for (const id of sessions) live[id] = await beginning(id);
      return { list, live };

      async function beginning(id) {
        const stop = new AbortController();
        const response = await fetch(`/v1/sessions/${id}/live`, { signal: stop.signal });
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        const end = Date.now() + 3000;
        while (Date.now() < end && !text.includes("event: sample") && !text.includes("event:sample")) {
          const timeout = new Promise((resolve) => setTimeout(() => resolve({ done: true }), end - Date.now()));
          const { value, done } = await Promise.race([reader.read(), timeout]);
          if (done) break;
          text += value;
        }
        stop.abort();
        return text;
      }
    });
  }

  /** Errors of the page and breaches of its policy since the last time. */
  complaints() {
    return this.#complaints.splice(0);
  }

  async begin_trace() {
    if (this.#traced) await this.#context.tracing.stopChunk();
    await this.#context.tracing.startChunk();
    this.#traced = true;
  }

  /** Ends the trace; keeps it and a picture of the page when there is a folder for them. */
  async end_trace({ folder }) {
    this.#traced = false;
    if (folder === null) return this.#context.tracing.stopChunk();
    await this.#page.screenshot({ path: `${folder}/dock.png`, fullPage: true });
    await this.#context.tracing.stopChunk({ path: `${folder}/trace.zip` });
  }

  #card(name) {
    const named = this.#page.locator(".row-name").getByText(name, { exact: true });
    return this.#page.locator("article.card").filter({ has: named });
  }

  async #expand(name) {
    const row = this.#card(name).locator("button.row");
    if ((await row.getAttribute("aria-expanded")) !== "true") await row.click();
  }
}
