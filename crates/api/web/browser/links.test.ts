// A bonded phone in the dock: three links of different carriers, each with its figures.

import type { ChildProcess } from "node:child_process";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { violations } from "./accessibility";
import { launch, Network, publishBonded, signInLink } from "./house";
import { smoothness } from "./smoothness";

const VIEWPORT = { width: 300, height: 800 };
const SOON_MS = 30_000;
const CARRIERS = ["T-Mobile", "Verizon", "Cox"];
const WATCHED_S = 5;

let network: Network;
let browser: Browser;
let page: Page;
let sender: ChildProcess | undefined;

beforeAll(async () => {
  network = await Network.open();
  browser = await launch();
  page = await browser.newPage({ viewport: VIEWPORT });
  await page.goto(await signInLink(network.origin));
});

afterAll(async () => {
  sender?.kill("SIGKILL");
  await browser.close();
  network.close();
});

const card = () => page.locator("article.card", { hasText: "backpack" });
const links = () => card().locator(".link");

/** What stands in each link's row. */
const column = (part: string): Promise<string[]> => card().locator(`.link-${part}`).allTextContents();

describe("a bonded phone in the dock", () => {
  it("is live with a bar for each link", async () => {
    await page.getByRole("button", { name: "Add a connection" }).first().click();
    await page.getByLabel("Name").fill("backpack");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await card().getByText("Waiting for the sender").waitFor({ timeout: SOON_MS });
    await card().locator("button.row").click();
    await page.getByRole("region", { name: "Sender URL" }).getByRole("button", { name: "Show" }).click();
    await page.waitForFunction(() => /live_[0-9a-f]{32}/.test(document.body.textContent));
    const url = await page.getByRole("region", { name: "Sender URL" }).locator("code").textContent();
    expect(url).toMatch(/^srtla:\/\/127\.0\.0\.1:\d+\?streamid=live_/);

    sender = publishBonded(new URLSearchParams(url?.split("?")[1]).get("streamid") ?? "");
    await card().getByText("3 links").waitFor({ timeout: SOON_MS });
    expect((await column("name")).sort()).toEqual([...CARRIERS].sort());
  });

  it("has figures of its own on every link, and shares that are the whole", async () => {
    await page.waitForFunction(() => [...document.querySelectorAll(".link-figures")].every((figures) => /^\d+ ms · .* % loss$/.test(figures.textContent)), null, {
      timeout: SOON_MS,
    });
    const shares = (await column("share")).map((share) => parseInt(share, 10));
    expect(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 100)).toBeLessThanOrEqual(2);
    const types = await links().locator(".link-type").evaluateAll((types) => types.map((type) => type.getAttribute("aria-label")));
    expect(types.sort()).toEqual(["Fixed line", "Mobile network", "Mobile network"]);
    await page.waitForFunction(() => [...document.querySelectorAll(".link-rate")].some((rate) => parseFloat(rate.textContent) > 0), null, { timeout: SOON_MS });
  });

  it("tells nobody who looks over the shoulder where the phone is", async () => {
    expect(await page.content()).not.toMatch(/127\.0\.[123]\.1/);
  });

  it("fits into 300 pixels", async () => {
    const widths = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    expect(widths[0]).toBe(widths[1]);
  });

  it("is there for everybody, in light and in dark", async () => {
    expect(await violations(page)).toEqual([]);
    await card().locator("button.row").click();
    expect(await violations(page)).toEqual([]);
    await card().locator("button.row").click();
  });

  it("is light or dark as somebody chose", async () => {
    await page.emulateMedia({ colorScheme: "light" });
    const background = (): Promise<string> => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await background();
    await page.getByRole("button", { name: "Colours: as the system" }).click();
    await page.getByRole("button", { name: "Colours: light" }).click();
    await page.getByRole("button", { name: "Colours: dark" }).waitFor();
    expect(await background()).not.toBe(light);
    await page.reload();
    await page.getByRole("button", { name: "Colours: dark" }).click();
    await card().locator("button.row").click();
    expect(await background()).toBe(light);
  });

  it("runs smoothly", async () => {
    await card().locator(".plot canvas").first().waitFor();
    const { framesPerSecond, longestFrameMs, busyPct } = await smoothness(page, WATCHED_S);
    // No promise: the machine may have other things to do.
    console.log(`${framesPerSecond.toFixed(1)} frames a second, the longest ${longestFrameMs.toFixed(0)} ms; ${busyPct.toFixed(1)} % of a processor`);
    expect(framesPerSecond).toBeGreaterThan(0);
  });

  it("goes when it is removed", async () => {
    sender?.kill("SIGKILL");
    await card().getByRole("button", { name: "Remove the connection" }).click();
    await card().getByRole("button", { name: "Remove", exact: true }).click();
    await card().waitFor({ state: "detached", timeout: SOON_MS });
  });
});

describe("the page of somebody who is not signed in", () => {
  it("is there for everybody, too", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("streamhaul dock-url").waitFor();
    expect(await violations(page)).toEqual([]);
  });
});
