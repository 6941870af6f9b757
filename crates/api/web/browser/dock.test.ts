// A streamer's way through the dock, in the browser that OBS brings.

import type { ChildProcess } from "node:child_process";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, Network, publish, signInLink } from "./house";

/** The width of a dock. */
const VIEWPORT = { width: 300, height: 800 };
/** The dock shows each second what came in the last. */
const SOON_MS = 20_000;
/** Secrets stay for 30 seconds. */
const RELOCKED_MS = 40_000;

let network: Network;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let sender: ChildProcess | undefined;
let usedLink: string;
const complaints: string[] = [];

beforeAll(async () => {
  network = await Network.open();
  browser = await launch();
  context = await browser.newContext({ viewport: VIEWPORT, permissions: ["clipboard-read", "clipboard-write"] });
  page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(error.message));
  // A policy that the page breaks is said here and nowhere else.
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) complaints.push(message.text());
  });
});

afterAll(async () => {
  sender?.kill("SIGKILL");
  await browser.close();
  network.close();
});

const card = () => page.locator("article.card", { hasText: "phone" });
const figures = () => card().locator(".row-figures .figure");
const secret = (label: string) => page.getByLabel(label, { exact: false }).locator("code").first();

describe("the dock", () => {
  it("lets nobody in without a link", async () => {
    await page.goto(`${network.origin}/dock`);
    await page.getByText("streamhaul dock-url").waitFor();
    expect((await fetch(`${network.origin}/api/v1/dock/connections`)).status).toBe(401);
  });

  it("signs in by a link, which leaves the address bar and works once", async () => {
    usedLink = await signInLink(network.origin);
    await page.goto("about:blank");
    await page.goto(usedLink);
    await page.getByText("No connection yet").waitFor();
    expect(page.url()).toBe(`${network.origin}/dock`);
    expect(await page.evaluate(() => document.cookie)).toBe("");

    const other = await browser.newContext();
    const stranger = await other.newPage();
    await stranger.goto(usedLink);
    await stranger.getByText("used already").waitFor();
    await other.close();
  });

  it("adds a connection, which is ready by itself", async () => {
    await page.getByRole("button", { name: "Add a connection" }).first().click();
    await page.getByLabel("Name").fill("phone");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await card().getByText("Waiting for the sender").waitFor({ timeout: SOON_MS });
    expect(await card().getAttribute("data-state")).toBe("ready");
  });

  it("shows a URL when asked, and the stream that is sent there", async () => {
    await card().locator("button.row").click();
    await page.getByText("SRT", { exact: true }).click();
    const field = secret("Sender URL");
    expect(await field.textContent()).toMatch(/^srt:\/\/127\.0\.0\.1:\d+\?streamid=live_•+$/);
    await page.getByRole("region", { name: "Sender URL" }).getByRole("button", { name: "Show" }).click();
    await page.waitForFunction(() => /live_[0-9a-f]{32}/.test(document.body.textContent));
    const url = (await field.textContent()) ?? "";

    sender = publish(url);
    await page.locator('article[data-state="live"]').waitFor({ timeout: SOON_MS });
    await figures().first().waitFor({ timeout: SOON_MS });
    await page.waitForFunction(() => {
      const bitrate = parseFloat(document.querySelector(".row-figures .figure")?.textContent ?? "");
      return bitrate > 0.5 && bitrate < 3;
    });
    await page.getByText("SRT, not bonded").waitFor();
    await page.getByText("1 link").waitFor();
    expect(await page.locator(".plot canvas").count()).toBe(3);
  });

  it("has figures that move and a page that does not jump", async () => {
    const line = page.locator(".sparkline path").nth(1);
    const height = (): Promise<number | undefined> => card().evaluate((card) => card.getBoundingClientRect().height);
    const before = { line: await line.getAttribute("d"), height: await height() };
    await page.waitForFunction((old) => document.querySelectorAll(".sparkline path")[1]?.getAttribute("d") !== old, before.line);
    expect(await height()).toBe(before.height);
  });

  it("hides the URL again by itself", async () => {
    await page.waitForFunction(() => !/live_[0-9a-f]{32}/.test(document.documentElement.outerHTML), null, { timeout: RELOCKED_MS });
  });

  it("copies a URL that it does not show", async () => {
    await page.getByRole("button", { name: "Copy OBS media source" }).click();
    await page.getByText("Copied").waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(copied).toMatch(/^srt:\/\/127\.0\.0\.1:\d+\?streamid=play_[0-9a-f]{32}/);
    expect(await page.content()).not.toMatch(/play_[0-9a-f]{32}/);
  });

  it("goes on after the network was away", async () => {
    network.cut();
    await page.getByText("The server does not answer").waitFor({ timeout: SOON_MS });
    await page.locator('.row-figures[data-freshness="old"], .row-figures.quiet').first().waitFor({ timeout: SOON_MS });
    network.mend();
    await page.locator('.row-figures[data-freshness="fresh"]').waitFor({ timeout: 2 * SOON_MS });
  });

  it("fits into 300 pixels", async () => {
    const widths = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    expect(widths[0]).toBe(widths[1]);
  });

  it("is used by the keyboard alone", async () => {
    const row = card().locator("button.row");
    await row.focus();
    await page.keyboard.press("Enter");
    expect(await row.getAttribute("aria-expanded")).toBe("false");
    await page.keyboard.press("Enter");
    expect(await row.getAttribute("aria-expanded")).toBe("true");
  });

  it("says that the sender is gone", async () => {
    sender?.kill("SIGKILL");
    await page.locator('article[data-state="grace"]').waitFor({ timeout: 2 * SOON_MS });
    await card().locator(".verdict").getByText("OBS is kept connected").waitFor();
  });

  it("removes a connection after asking once more", async () => {
    await page.getByRole("button", { name: "Remove the connection" }).click();
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByText("No connection yet").waitFor({ timeout: SOON_MS });
  });

  it("signs out", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("streamhaul dock-url").waitFor();
    await page.reload();
    await page.getByText("streamhaul dock-url").waitFor();
  });

  it("ran without an error and within its own policy", () => {
    expect(complaints).toEqual([]);
  });
});
