// Everything that a connection shows, from what is known of it and the time.

import type { Connection } from "../api/types";
import { figures, freshness, type Figures, type Freshness } from "./figures";
import { findings, type Finding } from "./health";
import type { History } from "./history";
import { shownLinks, type ShownLink } from "./links";
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
  readonly findings: readonly [Finding, ...Finding[]];
}

export function view(connection: Connection, history: History, now: number): ConnectionView {
  const ageMs = history.newestAt === null ? null : Math.max(0, now - history.newestAt);
  const fresh = history.stale && freshness(ageMs) === "fresh" ? "old" : freshness(ageMs);
  const newest = history.points.at(-1);
  const is = state(connection, newest?.publishing ?? null, fresh);
  const shown = is === "live" && fresh !== "gone" ? figures(history.points) : null;
  const links = shown === null ? [] : uplinks(shown, ageMs ?? 0);
  const said = findings({ connection, state: is, freshness: fresh, figures: shown, links });
  return {
    state: is,
    stateWord: STATE_WORDS[is],
    freshness: fresh,
    ageMs,
    figures: shown,
    links,
    linkCount: links.filter((link) => !link.faded).length,
    findings: said,
  };
}

function uplinks(figures: Figures, ageMs: number): ShownLink[] {
  return figures.links.length > 0 ? shownLinks(figures.links, ageMs) : [direct(figures, ageMs)];
}

/** A sender without bonding: its one path. */
function direct(figures: Figures, ageMs: number): ShownLink {
  return {
    id: "direct",
    name: "SRT, not bonded",
    bitrateBps: figures.bitrateBps ?? 0,
    rttMs: figures.rttMs,
    lossPct: figures.loss?.lostPct ?? null,
    sharePct: 100,
    silentMs: ageMs,
    faded: false,
  };
}
