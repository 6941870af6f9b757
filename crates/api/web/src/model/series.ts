// Columns for graphs: one row a second, `null` where nothing is known.

import type { Publisher } from "../api/types";
import { continues, linksLossPct, lossBetween } from "./figures";
import { laneName, type Lane, type TrackedPoint } from "./lanes";

export type Column = readonly (number | null)[];

/** The three things that are drawn, of the whole stream or of one link. */
export interface Columns {
  readonly bitrateMbps: Column;
  readonly rttMs: Column;
  readonly lossPct: Column;
}

export interface LaneSeries extends Columns {
  readonly lane: number;
  readonly name: string;
}

export interface Series extends Columns {
  /** Unix seconds. */
  readonly time: readonly number[];
  /** The links that were there, each its own line. */
  readonly lanes: readonly LaneSeries[];
}

/**
 * The last `seconds` before `end`, with a row for every second: a second without a
 * point is a gap, and the axis is as long while the history is short.
 */
export function series(points: readonly TrackedPoint[], lanes: readonly Lane[], end: number, seconds: number): Series {
  const last = Math.floor(end / 1000);
  const first = last - seconds + 1;
  const sheet = new Sheet(seconds);
  for (let index = points.length - 1; index >= 0; index--) {
    const point = points[index];
    if (point === undefined) break;
    const row = Math.floor(point.observed_at / 1000) - first;
    if (row < 0) break;
    if (row < seconds) sheet.write(row, point, points[index - 1]);
  }
  const time = Array.from({ length: seconds }, (_, index) => first + index);
  return { time, ...sheet.done(lanes) };
}

class Sheet {
  readonly #stream: Rows;
  readonly #lanes = new Map<number, Rows>();

  constructor(private readonly seconds: number) {
    this.#stream = new Rows(seconds);
  }

  write(row: number, point: TrackedPoint, before: TrackedPoint | undefined): void {
    if (!point.publishing || point.publisher === null) return;
    const bonded = point.links.length > 0;
    const loss = bonded ? linksLossPct(point.links) : lossOfSecond(before?.publisher ?? null, point.publisher);
    this.#stream.write(row, point.ingress_bitrate_bps, point.publisher.rtt_us / 1000, loss);
    for (const link of point.links) {
      // A second of silence is a gap, not the last figures once more.
      if (link.last_ms_ago < 1000) this.#lane(link.lane).write(row, link.bitrate_bps, link.rtt_ms, link.loss_pct);
    }
  }

  done(lanes: readonly Lane[]): Omit<Series, "time"> {
    const drawn = lanes.flatMap((lane): LaneSeries[] => {
      const rows = this.#lanes.get(lane.id);
      return rows === undefined ? [] : [{ lane: lane.id, name: laneName(lane, lanes), ...rows.done() }];
    });
    return { ...this.#stream.done(), lanes: drawn };
  }

  #lane(id: number): Rows {
    const rows = this.#lanes.get(id) ?? new Rows(this.seconds);
    this.#lanes.set(id, rows);
    return rows;
  }
}

class Rows {
  readonly #bitrateMbps: (number | null)[];
  readonly #rttMs: (number | null)[];
  readonly #lossPct: (number | null)[];

  constructor(seconds: number) {
    const empty = (): null[] => new Array<null>(seconds).fill(null);
    [this.#bitrateMbps, this.#rttMs, this.#lossPct] = [empty(), empty(), empty()];
  }

  write(row: number, bitrateBps: number | null, rttMs: number | null, lossPct: number | null): void {
    this.#bitrateMbps[row] = bitrateBps === null ? null : bitrateBps / 1e6;
    this.#rttMs[row] = rttMs;
    this.#lossPct[row] = lossPct;
  }

  done(): Columns {
    for (const column of [this.#bitrateMbps, this.#rttMs, this.#lossPct]) bridge(column);
    return { bitrateMbps: this.#bitrateMbps, rttMs: this.#rttMs, lossPct: this.#lossPct };
  }
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
