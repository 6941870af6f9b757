// What axe finds wrong with the page as it is now, in light and in dark.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults, RunOptions } from "axe-core";
import type { Page } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const OPTIONS: RunOptions = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };

type WithAxe = typeof globalThis & { readonly axe: { run: (context: Document, options: RunOptions) => Promise<AxeResults> } };

/** A line for each violation: the rule, and where. */
export async function violations(page: Page): Promise<string[]> {
  // The page's policy forbids foreign scripts; what the browser is told to evaluate is none.
  await page.evaluate(AXE);
  const found: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await page.evaluate((options) => (globalThis as WithAxe).axe.run(document, options), OPTIONS);
    found.push(...violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${colorScheme}: ${id} at ${target.join(" ")}`)));
  }
  return found;
}
