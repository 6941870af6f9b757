// The uplinks of a bonded sender, each with a name and what it is worth right now.

import type { LinkType } from "../api/types";
import { window } from "./history";
import { laneName, type Lane, type LaneLink, type TrackedPoint } from "./lanes";

/** A link silent for this long fades. */
export const FADES_AFTER_MS = 3_000;
/** A link silent for this long goes. */
export const GOES_AFTER_MS = 10_000;
/** What is said of a link is what it was over so many seconds: one alone is too jumpy. */
const STEADY_S = 5;

export interface ShownLink {
  readonly lane: number;
  readonly name: string;
  readonly type: LinkType;
  readonly bitrateBps: number;
  readonly rttMs: number | null;
  readonly lossPct: number | null;
  readonly jitterMs: number | null;
  /** How much later than the fastest. */
  readonly delayMs: number | null;
  readonly sharePct: number;
  readonly uptimeS: number | null;
  readonly silentMs: number;
  readonly faded: boolean;
  readonly steady: Steady;
}

/** A link over the last seconds. */
export interface Steady {
  readonly rttMs: number | null;
  readonly delayMs: number | null;
  readonly lossPct: number | null;
}

/**
 * The links to show, `ageMs` after the newest point was observed: silence goes on
 * while no report comes. They keep their order, so that bars do not jump.
 */
export function shownLinks(points: readonly TrackedPoint[], lanes: readonly Lane[], ageMs: number): ShownLink[] {
  const recent = window(points, STEADY_S);
  const links = points.at(-1)?.links ?? [];
  return links.map((link) => shown(link, recent, lanes, link.last_ms_ago + ageMs)).filter((link) => link.silentMs <= GOES_AFTER_MS);
}

function shown(link: LaneLink, recent: readonly TrackedPoint[], lanes: readonly Lane[], silentMs: number): ShownLink {
  const lane = lanes.find(({ id }) => id === link.lane);
  return {
    lane: link.lane,
    name: lane === undefined ? "" : laneName(lane, lanes),
    type: link.link_type,
    bitrateBps: link.bitrate_bps,
    rttMs: link.rtt_ms,
    lossPct: link.loss_pct,
    jitterMs: link.jitter_ms,
    delayMs: link.delay_ms,
    sharePct: link.share_pct,
    uptimeS: link.uptime_s,
    silentMs,
    faded: silentMs > FADES_AFTER_MS,
    steady: steady(recent.flatMap(({ links }) => links.filter(({ lane }) => lane === link.lane))),
  };
}

function steady(seconds: readonly LaneLink[]): Steady {
  return {
    rttMs: median(seconds.flatMap(({ rtt_ms }) => rtt_ms ?? [])),
    delayMs: median(seconds.flatMap(({ delay_ms }) => delay_ms ?? [])),
    lossPct: median(seconds.flatMap(({ loss_pct }) => loss_pct ?? [])),
  };
}

/** The value in the middle; `null` of nothing. */
export function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}
