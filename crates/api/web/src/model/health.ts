// Is the stream fine, and if not: what is it, and what can be done about it?

import type { Connection } from "../api/types";
import type { Figures, Freshness } from "./figures";
import * as format from "./format";
import { median, type ShownLink, type Steady } from "./links";
import type { State } from "./state";

/** SRT needs several round trips to ask for a lost packet again and to get it. */
export const RTTS_NEEDED = 4;

const LINK_LOSS_PCT = 5;
const LINK_RTT_MS = 250;
/** One way, of links whose round trip nobody tells. */
const LINK_DELAY_MS = 150;
/** A link this many times slower than the median of the others holds them up. */
const LINK_RTT_TIMES = 3;
/** A link with less of the stream does not decide how much latency it needs. */
const LINK_SHARE_PCT = 5;
const LOSS_HIGH_PCT = 8;

export type Level = "good" | "warning" | "bad" | "idle";

export interface Finding {
  readonly level: Level;
  /** What it is, in words that stay the same while it lasts. */
  readonly title: string;
  /** How much of it, or what follows. */
  readonly detail: string;
  /** The lane of the link it is about. */
  readonly lane?: number;
}

export interface Subject {
  readonly connection: Connection;
  readonly state: State;
  readonly freshness: Freshness;
  readonly figures: Figures | null;
  readonly links: readonly ShownLink[];
  readonly needed: LatencyNeed | null;
}

/** How much latency the sender should have, and for which link's sake. */
export interface LatencyNeed {
  readonly latencyMs: number;
  /** Names the link when it is not the whole stream's round trip that decides. */
  readonly link: string | null;
}

/** What there is to say, the worst first; never empty. */
export function findings(subject: Subject): readonly [Finding, ...Finding[]] {
  const quiet = notLive(subject);
  if (quiet !== null) return [quiet];
  const { figures, links } = subject;
  if (subject.freshness === "gone" || figures === null) {
    return [{ level: "warning", title: "No figures", detail: "The node does not report." }];
  }
  const found = [
    ...brokenPicture(figures),
    ...shortLatency(figures, subject.needed),
    ...badLinks(links),
    ...tightDelay(figures),
    ...heavyLoss(figures),
  ];
  const rank = (finding: Finding): number => (finding.level === "bad" ? 0 : 1);
  const [worst, ...others] = found.sort((a, b) => rank(a) - rank(b));
  return worst === undefined ? [fine(figures)] : [worst, ...others];
}

function notLive({ connection, state }: Subject): Finding | null {
  const node = connection.session?.node.name ?? "The node";
  switch (state) {
    case "live":
      return null;
    case "provisioning":
      return { level: "idle", title: "Getting ready", detail: `${node} prepares it.` };
    case "ready":
      return { level: "idle", title: "Ready", detail: "Waiting for the sender." };
    case "grace":
      return { level: "warning", title: "Sender lost", detail: "OBS is kept connected until it returns." };
    case "error":
      return connection.session === null
        ? { level: "bad", title: "Not available", detail: "No node can take it now; trying on." }
        : { level: "bad", title: "Not available", detail: `${node} does not answer.` };
  }
}

function brokenPicture({ loss }: Figures): Finding[] {
  if (loss === null || loss.brokenPct === 0) return [];
  return [{ level: "bad", title: "The picture breaks", detail: `${format.percent(loss.brokenPct)} never arrived.` }];
}

function shortLatency({ latencyMs }: Figures, needed: LatencyNeed | null): Finding[] {
  if (needed === null || latencyMs === null || latencyMs >= needed.latencyMs) return [];
  const whose = needed.link === null ? "" : ` of ${needed.link}`;
  const detail = `${format.ms(latencyMs)}; needs ≥ ${RTTS_NEEDED} × RTT${whose}, ${format.ms(needed.latencyMs)}.`;
  return [{ level: "warning", title: "Latency is short", detail }];
}

/** Lost packets may come again over any link: the slowest that carries a part decides. */
export function latencyNeed({ rttMs }: Figures, links: readonly ShownLink[]): LatencyNeed | null {
  const carrying = links.filter((link) => !link.faded && link.sharePct >= LINK_SHARE_PCT);
  const rtts = carrying.map(({ name, steady }) => ({ rttMs: roundTrip(steady, rttMs), link: links.length > 1 ? name : null }));
  const known = [{ rttMs, link: null }, ...rtts].flatMap((one) => (one.rttMs === null ? [] : { ...one, rttMs: one.rttMs }));
  if (known.length === 0) return null;
  const slowest = known.reduce((slowest, one) => (one.rttMs > slowest.rttMs ? one : slowest));
  return { latencyMs: slowest.rttMs * RTTS_NEEDED, link: slowest.link };
}

/** A link that says no round trip: the stream's, which the fastest link has, and what it is behind. */
function roundTrip(link: Steady, streamMs: number | null): number | null {
  if (link.rttMs !== null || link.delayMs === null || streamMs === null) return link.rttMs;
  return streamMs + link.delayMs;
}

function badLinks(links: readonly ShownLink[]): Finding[] {
  // A link that falls silent takes packets along for which others are blamed: it comes first.
  const silentFirst = [...links].sort((a, b) => Number(b.faded) - Number(a.faded));
  return silentFirst.flatMap((link): Finding[] => {
    const problem = linkProblem(link, links);
    return problem === null ? [] : [{ level: "warning", lane: link.lane, title: `${link.name} ${problem[0]}`, detail: problem[1] }];
  });
}

function linkProblem(link: ShownLink, all: readonly ShownLink[]): readonly [title: string, detail: string] | null {
  if (link.faded) return ["is silent", `Nothing came for ${Math.floor(link.silentMs / 1000)} s.`];
  const { rttMs, delayMs, lossPct } = link.steady;
  if (lossPct !== null && lossPct >= LINK_LOSS_PCT) return ["is lossy", `It loses ${format.percent(lossPct)}.`];
  const others = all.filter((other) => other !== link && !other.faded).flatMap((other) => other.steady.rttMs ?? []);
  const usual = median(others);
  if (rttMs !== null && usual !== null && rttMs >= LINK_RTT_MS && rttMs > LINK_RTT_TIMES * usual) {
    return ["is slow", `Its round trip is ${format.ms(rttMs)}.`];
  }
  if (rttMs !== null || delayMs === null || delayMs < LINK_DELAY_MS) return null;
  return ["is slow", `It is ${format.ms(delayMs)} behind the fastest.`];
}

function tightDelay({ delay }: Figures): Finding[] {
  if (delay === null || delay.usedMs <= delay.budgetMs) return [];
  const detail = `${format.ms(delay.usedMs)} from the node, which allows for ${format.ms(delay.budgetMs)}.`;
  return [{ level: "warning", title: "OBS is far away", detail }];
}

function heavyLoss({ loss }: Figures): Finding[] {
  if (loss === null || loss.lostPct < LOSS_HIGH_PCT || loss.brokenPct > 0) return [];
  return [{ level: "warning", title: "Much is lost on the way", detail: `${format.percent(loss.lostPct)}, all of it repaired.` }];
}

function fine({ loss, players }: Figures): Finding {
  if (players === 0) return { level: "good", title: "Fine", detail: "Nobody plays it yet." };
  const detail = loss === null || loss.lostPct === 0 ? "Nothing is lost." : "All loss is repaired.";
  return { level: "good", title: "Fine", detail };
}
