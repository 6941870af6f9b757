// Everything that a connection shows, from what is known of it and the time.

import type { Connection } from "../api/types";
import { figures, freshness, type Figures, type Freshness } from "./figures";
import { findings, latencyNeed, type Finding, type LatencyNeed } from "./health";
import type { History } from "./history";
import { FADES_AFTER_MS, shownLinks, type ShownLink } from "./links";
import { state, STATE_WORDS, type State } from "./state";

export interface ConnectionView {
  readonly state: State;
  readonly stateWord: string;
  readonly freshness: Freshness;
  /** How old the newest figures are. */
  readonly ageMs: number | null;
  /** Not there when nobody publishes or the figures are too old to show. */
  readonly figures: Figures | null;
  /** The uplinks; a sender that does not bond is one. */
  readonly links: readonly ShownLink[];
  readonly linkCount: number;
  /** Round trip and latency that they call for. */
  readonly needed: LatencyNeed | null;
  readonly findings: readonly [Finding, ...Finding[]];
}

export function view(connection: Connection, history: History, now: number): ConnectionView {
  const ageMs = history.newestAt === null ? null : Math.max(0, now - history.newestAt);
  const fresh = history.stale && freshness(ageMs) === "fresh" ? "old" : freshness(ageMs);
  const newest = history.points.at(-1);
  const is = state(connection, history.news, newest?.publishing ?? null, fresh);
  const shown = is === "live" && fresh !== "gone" ? figures(history.points) : null;
  const links = shown === null ? [] : uplinks(history, shown, ageMs ?? 0);
  const needed = shown === null ? null : latencyNeed(shown, links);
  const said = findings({ connection, state: is, freshness: fresh, figures: shown, links, needed });
  return {
    state: is,
    stateWord: STATE_WORDS[is],
    freshness: fresh,
    ageMs,
    figures: shown,
    links,
    linkCount: links.filter((link) => !link.faded).length,
    needed,
    findings: said,
  };
}

function uplinks(history: History, figures: Figures, ageMs: number): ShownLink[] {
  return isBonded(history) ? shownLinks(history.points, history.lanes, ageMs) : [direct(figures, ageMs)];
}

/** Whether the sender comes over several links. */
export function isBonded({ points }: History): boolean {
  return (points.at(-1)?.links.length ?? 0) > 0;
}

/** A sender without bonding: its one path. */
function direct(figures: Figures, ageMs: number): ShownLink {
  const [rttMs, lossPct] = [figures.rttMs, figures.loss?.lostPct ?? null];
  return {
    lane: 0,
    name: "SRT, not bonded",
    type: "unknown",
    bitrateBps: figures.bitrateBps ?? 0,
    rttMs,
    lossPct,
    jitterMs: null,
    delayMs: null,
    sharePct: 100,
    uptimeS: null,
    silentMs: ageMs,
    faded: ageMs > FADES_AFTER_MS,
    steady: { rttMs, delayMs: null, lossPct },
  };
}
