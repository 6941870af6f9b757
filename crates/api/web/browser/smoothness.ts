// How smoothly the page runs: frames drawn, and how much its thread has to do.

import type { Page } from "playwright-core";

export interface Smoothness {
  readonly framesPerSecond: number;
  readonly longestFrameMs: number;
  /** Share of one processor that the page's thread takes. */
  readonly busyPct: number;
}

/** Watches the page for `seconds`. */
export async function smoothness(page: Page, seconds: number): Promise<Smoothness> {
  const devtools = await page.context().newCDPSession(page);
  // Processor time: on a busy machine the clock says more about the others.
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  const busyS = async (): Promise<number> => {
    const { metrics } = await devtools.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")?.value ?? NaN;
  };
  const before = await busyS();
  const frames = await page.evaluate(intervals, seconds * 1000);
  const busyPct = (((await busyS()) - before) / seconds) * 100;
  await devtools.detach();
  return { framesPerSecond: frames.length / seconds, longestFrameMs: Math.max(...frames), busyPct };
}

/** Milliseconds between frames, for so long. Runs in the page. */
function intervals(forMs: number): Promise<number[]> {
  return new Promise((resolve) => {
    const began = performance.now();
    const frames: number[] = [];
    let last = began;
    const frame = (now: number): void => {
      frames.push(now - last);
      last = now;
      if (now - began < forMs) requestAnimationFrame(frame);
      else resolve(frames);
    };
    requestAnimationFrame(frame);
  });
}
