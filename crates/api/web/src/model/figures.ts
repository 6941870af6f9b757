// From points to the few numbers that people read.

import type { Link, Player, Point, Publisher } from "../api/types";
import { window } from "./history";

/** Loss is counted over this long: one second is too jumpy to read. */
const LOSS_WINDOW_S = 10;
/** Figures older than this are marked as old. */
export const OLD_AFTER_MS = 3_000;
/** Figures older than this are not shown any more. */
export const GONE_AFTER_MS = 10_000;

/** A point without its links. */
export type StreamPoint = Omit<Point, "links">;

export interface Loss {
  /** Packets that did not come at first, of all that were sent. */
  readonly lostPct: number;
  /** Packets that never came: holes in the picture. */
  readonly brokenPct: number;
}

export interface Figures {
  readonly bitrateBps: number | null;
  readonly rttMs: number | null;
  readonly loss: Loss | null;
  /** What the sender's side negotiated. */
  readonly latencyMs: number | null;
  readonly delay: NodeDelay | null;
  readonly players: number;
}

/** What the node adds for its players, and how much of that the worst path needs. */
export interface NodeDelay {
  readonly budgetMs: number;
  readonly usedMs: number;
}

/** How fresh the newest figures are. */
export type Freshness = "fresh" | "old" | "gone";

export function freshness(ageMs: number | null): Freshness {
  if (ageMs === null || ageMs > GONE_AFTER_MS) return "gone";
  return ageMs > OLD_AFTER_MS ? "old" : "fresh";
}

/** The figures of the newest point; `null` when nobody publishes. */
export function figures(points: readonly Point[]): Figures | null {
  const newest = points.at(-1);
  if (newest?.publisher == null || !newest.publishing) return null;
  const { publisher } = newest;
  return {
    bitrateBps: newest.ingress_bitrate_bps,
    rttMs: publisher.rtt_us / 1000,
    loss: streamLoss(points, newest.links),
    latencyMs: publisher.latency_ms,
    delay: delay(publisher, newest.players),
    players: newest.players_total,
  };
}

/**
 * What the links lose, each as much as it carries, for a sender that bonds: a packet that
 * comes later than its neighbours over a slower link was missing for a while, and is no loss.
 */
export function linksLossPct(links: readonly Link[]): number | null {
  const known = links.flatMap(({ loss_pct, share_pct }) => (loss_pct === null ? [] : { loss_pct, share_pct }));
  const carried = known.reduce((sum, { share_pct }) => sum + share_pct, 0);
  if (carried === 0) return null;
  return known.reduce((sum, { loss_pct, share_pct }) => sum + loss_pct * share_pct, 0) / carried;
}

function streamLoss(points: readonly Point[], links: readonly Link[]): Loss | null {
  const counted = loss(window(points, LOSS_WINDOW_S));
  if (counted === null || links.length === 0) return counted;
  return { ...counted, lostPct: Math.max(linksLossPct(links) ?? 0, counted.brokenPct) };
}

/** Loss between the first and the last point of one connection of the sender. */
export function loss(points: readonly StreamPoint[]): Loss | null {
  const newest = points.at(-1)?.publisher;
  if (newest == null) return null;
  const first = points.find((point) => point.publisher !== null && continues(point.publisher, newest))?.publisher;
  if (first == null || first === newest) return null;
  return lossBetween(first, newest);
}

/** Loss between two points of one connection. */
export function lossBetween(first: Publisher, newest: Publisher): Loss | null {
  const lost = newest.packets_lost_total - first.packets_lost_total;
  const recovered = newest.packets_recovered_total - first.packets_recovered_total;
  const sent = newest.packets_total - first.packets_total - recovered + lost;
  if (sent <= 0) return null;
  const broken = newest.packets_dropped_total - first.packets_dropped_total;
  return { lostPct: percent(lost, sent), brokenPct: percent(broken, sent) };
}

/** Whether `later` counts on from `earlier`: a sender that connects anew begins at zero. */
export function continues(earlier: Publisher, later: Publisher): boolean {
  return earlier.uptime_ms <= later.uptime_ms && earlier.packets_total <= later.packets_total;
}

/** The player with the least room decides. */
function delay(publisher: Publisher, players: readonly Player[]): NodeDelay | null {
  const budgets = players.map((player) => ({
    budgetMs: Math.max(0, player.latency_ms - publisher.latency_ms),
    usedMs: player.rtt_us / 1000,
  }));
  const room = (delay: NodeDelay): number => delay.budgetMs - delay.usedMs;
  return budgets.reduce<NodeDelay | null>((worst, one) => (worst === null || room(one) < room(worst) ? one : worst), null);
}

function percent(part: number, whole: number): number {
  return Math.min(100, Math.max(0, (part / whole) * 100));
}
