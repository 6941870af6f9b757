// Columns for graphs: one row a second, `null` where nothing is known.

import type { Point, Publisher } from "../api/types";
import { continues, lossBetween } from "./figures";

export interface Series {
  /** Unix seconds. */
  readonly time: readonly number[];
  readonly bitrateMbps: readonly (number | null)[];
  readonly rttMs: readonly (number | null)[];
  readonly lossPct: readonly (number | null)[];
}

/**
 * The last `seconds` before `end`, with a row for every second: a second without a
 * point is a gap, and the axis is as long while the history is short.
 */
export function series(points: readonly Point[], end: number, seconds: number): Series {
  const last = Math.floor(end / 1000);
  const first = last - seconds + 1;
  const empty = (): (number | null)[] => Array.from({ length: seconds }, () => null);
  const time = Array.from({ length: seconds }, (_, index) => first + index);
  const [bitrateMbps, rttMs, lossPct] = [empty(), empty(), empty()];
  for (let index = points.length - 1; index >= 0; index--) {
    const point = points[index];
    if (point === undefined) break;
    const row = Math.floor(point.observed_at / 1000) - first;
    if (row < 0) break;
    if (row >= seconds || !point.publishing || point.publisher === null) continue;
    bitrateMbps[row] = point.ingress_bitrate_bps === null ? null : point.ingress_bitrate_bps / 1e6;
    rttMs[row] = point.publisher.rtt_us / 1000;
    lossPct[row] = lossOfSecond(points[index - 1]?.publisher ?? null, point.publisher);
  }
  for (const column of [bitrateMbps, rttMs, lossPct]) bridge(column);
  return { time, bitrateMbps, rttMs, lossPct };
}

/** Two points of neighbouring seconds may fall into one row; the row left out is no gap. */
function bridge(column: (number | null)[]): void {
  for (let row = 1; row < column.length - 1; row++) {
    const [before, after] = [column[row - 1], column[row + 1]];
    if (column[row] === null && before != null && after != null) column[row] = before;
  }
}

function lossOfSecond(before: Publisher | null, now: Publisher): number | null {
  if (before === null || !continues(before, now)) return null;
  return lossBetween(before, now)?.lostPct ?? null;
}
