// What is known of one session: up to an hour of points, and how old the newest is.

import type { LiveEvent } from "../api/live";
import type { Point, SessionNews } from "../api/types";
import { track, type Lane, type TrackedPoint } from "./lanes";

/** An hour of points, one a second. */
export const POINTS_MAX = 3600;

/** The state of one session's telemetry. Every change makes a new one. */
export interface History {
  readonly points: readonly TrackedPoint[];
  /** Who is who among the links of these points. */
  readonly lanes: readonly Lane[];
  /** When the newest point was observed, on this page's clock; `null` without points. */
  readonly newestAt: number | null;
  /** The newest that was said about the session itself. */
  readonly news: SessionNews | null;
  /** Whether the server said that the node does not report. */
  readonly stale: boolean;
}

export const EMPTY: History = { points: [], lanes: [], newestAt: null, news: null, stale: false };

/**
 * Takes an event that came at `now`. A snapshot's newest point may be old: its age
 * comes from the server's clock, which is `clockAhead` ms ahead of this page's.
 * A sample is as old as its way here, whatever the node's clock says.
 */
export function accept(history: History, event: LiveEvent, now: number, clockAhead: number): History {
  switch (event.kind) {
    case "snapshot":
      return { ...snapshot(event.points.slice(-POINTS_MAX), now, clockAhead), news: history.news };
    case "sample": {
      const last = history.points.at(-1);
      if (last !== undefined && event.point.observed_at <= last.observed_at) return history;
      const kept = history.points.length < POINTS_MAX ? history.points : history.points.slice(1);
      const { point, lanes } = track(history.lanes, event.point);
      return { ...history, points: [...kept, point], lanes, newestAt: now, stale: false };
    }
    case "state":
      return { ...history, news: event.news };
    case "stale":
      return { ...history, stale: true };
  }
}

function snapshot(told: readonly Point[], now: number, clockAhead: number): History {
  const points: TrackedPoint[] = [];
  let { lanes } = EMPTY;
  for (const one of told) {
    const tracked = track(lanes, one);
    lanes = tracked.lanes;
    points.push(tracked.point);
  }
  const newest = points.at(-1);
  const newestAt = newest === undefined ? null : Math.min(now, newest.observed_at - clockAhead);
  return { ...EMPTY, points, lanes, newestAt };
}

/** The points of the last `seconds` before the newest. */
export function window<P extends { readonly observed_at: number }>(points: readonly P[], seconds: number): readonly P[] {
  const newest = points.at(-1);
  if (newest === undefined) return [];
  const horizon = newest.observed_at - seconds * 1000;
  const first = points.findLastIndex((point) => point.observed_at < horizon);
  return points.slice(first + 1);
}
