// Who is who among the links of an hour.
//
// A phone that loses a network and finds it again comes back as another link, often
// from another address. To its owner it is the same carrier as before: the same name,
// colour and line in the graphs. That is a lane; links run on it one after another.

import type { Link, Point } from "../api/types";

/** The most lanes that are remembered: the one unseen for longest makes room. */
export const LANES_MAX = 16;
/** Lanes unseen for longer than the graphs go back are forgotten. */
const REMEMBERED_MS = 60 * 60 * 1000;

/** Uptimes are in whole seconds. */
const UPTIME_STEP_MS = 1000;

export interface Lane {
  /** The lowest that was free: colours and the order of bars go by it. */
  readonly id: number;
  readonly carrier: string | null;
  /** The link that runs on it, or ran last. */
  readonly number: number;
  readonly host: string;
  /** When it was last in a point, by the node's clock. */
  readonly seenAt: number;
}

export interface LaneLink extends Link {
  readonly lane: number;
}

/** A point whose links know their lanes; links that others came back for are left out. */
export interface TrackedPoint extends Omit<Point, "links"> {
  readonly links: readonly LaneLink[];
}

export interface Tracked {
  readonly point: TrackedPoint;
  readonly lanes: readonly Lane[];
}

/** Gives each link of a point its lane. Points come in their order. */
export function track(known: readonly Lane[], point: Point): Tracked {
  const lanes = new Map(remembered(known, point.observed_at).map((lane) => [lane.id, lane]));
  const taken = new Map<number, Link>();
  const take = (id: number, link: Link): void => {
    taken.set(id, link);
    lanes.set(id, laneOf(id, link, point.observed_at));
  };
  const current = point.links.filter((link) => !point.links.some((other) => replaces(other, link)));
  // Who is known keeps the lane; who is new looks at what is left.
  const strangers = current.filter((link) => {
    const lane = [...lanes.values()].find((lane) => runsOn(lane, link, point.observed_at));
    if (lane !== undefined) take(lane.id, link);
    return lane === undefined;
  });
  for (const link of strangers) {
    const left = [...lanes.values()].filter(({ id }) => !taken.has(id));
    take(laneLeftFor(link, left) ?? freeId(lanes), link);
  }
  const links = [...taken].map(([lane, link]) => ({ ...link, lane })).sort((a, b) => a.lane - b.lane);
  return { point: { ...point, links }, lanes: [...lanes.values()].sort((a, b) => a.id - b.id) };
}

/** A lane's name: the carrier's, with a number when it has several; else "Link 1". */
export function laneName(lane: Lane, all: readonly Lane[]): string {
  if (lane.carrier === null) return `Link ${lane.id + 1}`;
  const same = all.filter((other) => other.carrier === lane.carrier);
  return same.length === 1 ? lane.carrier : `${lane.carrier} ${same.indexOf(lane) + 1}`;
}

function remembered(lanes: readonly Lane[], now: number): readonly Lane[] {
  return lanes.filter((lane) => now - lane.seenAt <= REMEMBERED_MS);
}

/** Numbers begin anew with a node that restarts: the link must be as old as the lane, too. */
function runsOn(lane: Lane, link: Link, now: number): boolean {
  const cameBy = now - link.uptime_s * 1000;
  return lane.number === link.number && cameBy <= lane.seenAt + UPTIME_STEP_MS;
}

/** Whether `link` fell silent before `other` came from the same place. */
function replaces(other: Link, link: Link): boolean {
  const samePlace = hostOf(other) === hostOf(link) || (link.asn_org !== null && other.asn_org === link.asn_org);
  return other !== link && samePlace && other.uptime_s * 1000 < link.last_ms_ago;
}

/** The lane that the same carrier left, if there is one. */
function laneLeftFor(link: Link, left: readonly Lane[]): number | undefined {
  const sameHost = left.find((lane) => lane.host === hostOf(link));
  return (sameHost ?? left.find((lane) => lane.carrier === link.asn_org))?.id;
}

function freeId(lanes: Map<number, Lane>): number {
  if (lanes.size >= LANES_MAX) {
    const oldest = [...lanes.values()].reduce((oldest, lane) => (lane.seenAt < oldest.seenAt ? lane : oldest));
    lanes.delete(oldest.id);
  }
  let id = 0;
  while (lanes.has(id)) id++;
  return id;
}

function laneOf(id: number, link: Link, now: number): Lane {
  return { id, carrier: link.asn_org, number: link.number, host: hostOf(link), seenAt: now };
}

/** The address without its port. */
function hostOf({ addr }: Link): string {
  return addr.slice(0, addr.lastIndexOf(":"));
}
