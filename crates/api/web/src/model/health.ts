// Is the stream fine, and if not: what is it, and what can be done about it?

import type { Connection } from "../api/types";
import type { Figures, Freshness } from "./figures";
import * as format from "./format";
import type { ShownLink } from "./links";
import type { State } from "./state";

/** SRT needs several round trips to ask for a lost packet again and to get it. */
export const RTTS_NEEDED = 4;

const LINK_LOSS_PCT = 5;
const LINK_RTT_MS = 250;
/** A link this many times slower than the median of the others holds them up. */
const LINK_RTT_TIMES = 3;
const LOSS_HIGH_PCT = 8;

export type Level = "good" | "warning" | "bad" | "idle";

export interface Finding {
  readonly level: Level;
  readonly text: string;
  /** The link it is about. */
  readonly linkId?: string;
}

export interface Subject {
  readonly connection: Connection;
  readonly state: State;
  readonly freshness: Freshness;
  readonly figures: Figures | null;
  readonly links: readonly ShownLink[];
}

/** What there is to say, the worst first; never empty. */
export function findings(subject: Subject): readonly [Finding, ...Finding[]] {
  const quiet = notLive(subject);
  if (quiet !== null) return [quiet];
  if (subject.freshness === "gone" || subject.figures === null) {
    return [{ level: "warning", text: "The node sends no figures." }];
  }
  const found = [
    ...brokenPicture(subject.figures),
    ...shortLatency(subject.figures),
    ...badLinks(subject.links),
    ...tightDelay(subject.figures),
    ...heavyLoss(subject.figures),
  ];
  const rank = (finding: Finding): number => (finding.level === "bad" ? 0 : 1);
  const [worst, ...others] = found.sort((a, b) => rank(a) - rank(b));
  return worst === undefined ? [fine(subject.figures)] : [worst, ...others];
}

function notLive({ connection, state }: Subject): Finding | null {
  const node = connection.session?.node.name ?? "The node";
  switch (state) {
    case "live":
      return null;
    case "provisioning":
      return { level: "idle", text: `${node} prepares it.` };
    case "ready":
      return { level: "idle", text: "Waiting for the sender." };
    case "grace":
      return { level: "warning", text: "OBS is kept connected until it returns." };
    case "error":
      return connection.session === null
        ? { level: "bad", text: "No node can take it now; trying on." }
        : { level: "bad", text: `${node} does not answer.` };
  }
}

function brokenPicture({ loss }: Figures): Finding[] {
  if (loss === null || loss.brokenPct === 0) return [];
  return [{ level: "bad", text: `The picture breaks: ${format.percent(loss.brokenPct)} never arrived.` }];
}

function shortLatency(figures: Figures): Finding[] {
  const needed = latencyNeededMs(figures);
  if (needed === null || figures.latencyMs === null || figures.latencyMs >= needed) return [];
  const text = `Latency of ${format.ms(figures.latencyMs)} is short: it needs ≥ ${RTTS_NEEDED} × RTT, ${format.ms(needed)}.`;
  return [{ level: "warning", text }];
}

export function latencyNeededMs({ rttMs }: Figures): number | null {
  return rttMs === null ? null : rttMs * RTTS_NEEDED;
}

function badLinks(links: readonly ShownLink[]): Finding[] {
  return links.flatMap((link): Finding[] => {
    const problem = linkProblem(link, links);
    return problem === null ? [] : [{ level: "warning", text: `${link.name} ${problem}.`, linkId: link.id }];
  });
}

function linkProblem(link: ShownLink, all: readonly ShownLink[]): string | null {
  if (link.faded) return `is silent for ${Math.floor(link.silentMs / 1000)} s`;
  if (link.lossPct !== null && link.lossPct >= LINK_LOSS_PCT) return `loses ${format.percent(link.lossPct)}`;
  const others = all.filter((other) => other !== link && !other.faded).flatMap((other) => other.rttMs ?? []);
  if (link.rttMs === null || others.length === 0 || link.rttMs < LINK_RTT_MS) return null;
  return link.rttMs > LINK_RTT_TIMES * median(others) ? `is slow: ${format.ms(link.rttMs)}` : null;
}

function tightDelay({ delay }: Figures): Finding[] {
  if (delay === null || delay.usedMs <= delay.budgetMs) return [];
  const text = `OBS is ${format.ms(delay.usedMs)} from the node, which allows for ${format.ms(delay.budgetMs)}.`;
  return [{ level: "warning", text }];
}

function heavyLoss({ loss }: Figures): Finding[] {
  if (loss === null || loss.lostPct < LOSS_HIGH_PCT || loss.brokenPct > 0) return [];
  return [{ level: "warning", text: `${format.percent(loss.lostPct)} is lost on the way, all of it repaired.` }];
}

function fine({ loss, players }: Figures): Finding {
  if (players === 0) return { level: "good", text: "Fine. Nobody plays it yet." };
  return { level: "good", text: loss === null || loss.lostPct === 0 ? "Fine. Nothing is lost." : "Fine. All loss is repaired." };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
