// Pictures of the dock for the documents, light and dark.
// `cargo xtask screenshots` runs it: node pictures.mjs CONNECTION DIRECTORY

import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";

const [connection = "", directory = ""] = process.argv.slice(2);
const link = process.env["STREAMHAUL_DOCK_LINK"] ?? "";

/** A dock in OBS, and a phone held upright. */
const DOCK = { width: 300, height: 640 };
const PHONE = { width: 390, height: 844 };
/** The newest second and the fonts have been drawn by then. */
const DRAWN_MS = 1500;

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"],
});
try {
  await mkdir(directory, { recursive: true });
  const context = await browser.newContext({ viewport: DOCK, deviceScaleFactor: 2, reducedMotion: "reduce" });
  const page = await context.newPage();
  await page.goto(link);
  const card = page.locator("article.card", { hasText: connection });
  await card.locator(".row-figures .figure").first().waitFor();
  await page.waitForTimeout(DRAWN_MS);
  await lightAndDark("list", false);
  await card.locator("button.row").click();
  await card.locator(".plot canvas").first().waitFor();
  await page.waitForTimeout(DRAWN_MS);
  await lightAndDark("open", true);
  await page.setViewportSize(PHONE);
  await page.waitForTimeout(DRAWN_MS);
  await lightAndDark("phone", false);

  /**
   * @param {string} name
   * @param {boolean} whole Or only what the window shows.
   */
  async function lightAndDark(name, whole) {
    for (const scheme of /** @type {const} */ (["light", "dark"])) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.screenshot({ path: `${directory}/dock-${name}-${scheme}.png`, fullPage: whole, ...(name === "list" && { clip: await listOnly() }) });
    }
  }

  /** The list without the empty page below it. */
  async function listOnly() {
    const height = await page.locator(".dock").evaluate((dock) => dock.getBoundingClientRect().height);
    return { x: 0, y: 0, width: DOCK.width, height: Math.ceil(height) };
  }
} finally {
  await browser.close();
}
