// A stream that is moved to another node while it is live, as its streamer sees it.

import type { ChildProcess } from "node:child_process";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { violations } from "./accessibility";
import { launch, move, Network, publish, signInLink } from "./house";

const VIEWPORT = { width: 300, height: 800 };
const SOON_MS = 30_000;

let network: Network;
let browser: Browser;
let page: Page;
const senders: ChildProcess[] = [];
let left: string;
let copied: string;

beforeAll(async () => {
  network = await Network.open();
  browser = await launch();
  const context = await browser.newContext({ viewport: VIEWPORT, permissions: ["clipboard-read", "clipboard-write"] });
  page = await context.newPage();
  await page.goto(await signInLink(network.origin));
});

afterAll(async () => {
  for (const sender of senders) sender.kill("SIGKILL");
  await browser.close();
  network.close();
});

const card = () => page.locator("article.card", { hasText: "traveller" });
const live = () => page.locator('article[data-state="live"]', { hasText: "traveller" });
const banner = () => page.getByRole("region", { name: "traveller: The stream moves" });

/** The URL that a button copies. */
async function copy(button: string): Promise<string> {
  await page.getByRole("button", { name: button, exact: true }).click();
  await page.getByText("Copied").waitFor();
  await page.getByText("Copied").waitFor({ state: "detached" });
  return page.evaluate(() => navigator.clipboard.readText());
}

describe("a stream that moves", () => {
  it("is live on its first node", async () => {
    await page.getByRole("button", { name: "Add a connection" }).first().click();
    await page.getByLabel("Name").fill("traveller");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await card().getByText("Waiting for the sender").waitFor({ timeout: SOON_MS });
    await card().locator("button.row").click();
    await page.getByText("SRT", { exact: true }).click();
    left = await copy("Copy Sender URL");
    senders.push(publish(left));
    await live().waitFor({ timeout: SOON_MS });
    expect(await banner().count()).toBe(0);
  });

  it("stays live, and says where it goes", async () => {
    await move("traveller");
    await banner().getByText("This stream moves from e2e to e2e-second.").waitFor({ timeout: SOON_MS });
    await card().locator(".row-figures .figure").first().waitFor({ timeout: SOON_MS });
    expect(await card().getAttribute("data-state")).toBe("live");
    expect(await violations(page)).toEqual([]);
    const widths = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    expect(widths[0]).toBe(widths[1]);
  });

  it("still says so after the page was loaded again", async () => {
    await page.reload();
    await banner().waitFor({ timeout: SOON_MS });
    await live().waitFor({ timeout: SOON_MS });
  });

  it("copies the new address without showing it", async () => {
    copied = await copy("Copy new sender URL");
    expect(copied).toMatch(/^srt:\/\/127\.0\.0\.1:\d+\?streamid=live_[0-9a-f]{32}/);
    expect(copied).not.toBe(left);
    const [before, now] = [left, copied].map((url) => new URL(url));
    expect(now?.port).not.toBe(before?.port);
    expect(now?.search).toBe(before?.search);
    const played = await copy("Copy new OBS media source");
    expect(new URL(played).port).toBe(now?.port);
    expect(await page.content()).not.toMatch(/(live|play)_[0-9a-f]{32}/);
  });

  it("has moved when the sender has followed", async () => {
    senders.push(publish(copied));
    await banner().waitFor({ state: "detached", timeout: 2 * SOON_MS });
    await live().waitFor({ timeout: SOON_MS });
    await card().locator(".row-place").getByText("e2e-second").waitFor();
  });

  it("goes when it is removed", async () => {
    for (const sender of senders) sender.kill("SIGKILL");
    await card().locator("button.row").click();
    await card().getByRole("button", { name: "Remove the connection" }).click();
    await card().getByRole("button", { name: "Remove", exact: true }).click();
    await card().waitFor({ state: "detached", timeout: SOON_MS });
  });
});
