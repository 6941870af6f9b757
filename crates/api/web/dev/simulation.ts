// Sessions that never were: a bonded phone with three uplinks of different quality, a
// camera without bonding, a connection that waits. The same seed gives the same
// figures; times are arguments.

import type { Connection, Link, LinkType, Node, Player, Point, Publisher, Session } from "../src/api/types";

/** One uplink as it behaves. */
interface Path {
  readonly number: number;
  readonly carrier: string | null;
  readonly type: LinkType;
  readonly rttMs: number;
  readonly jitterMs: number;
  readonly lossPct: number;
  readonly weight: number;
  /** Seconds of each minute in which nothing comes. */
  readonly silent?: readonly [number, number];
}

export interface Scenario {
  readonly connection: Connection;
  readonly bitrateBps: number;
  readonly latencyMs: number;
  readonly players: readonly Player[];
  readonly paths: readonly Path[];
  /** Of what is lost, the part that is never repaired. */
  readonly brokenPart: number;
}

const PACKET_BITS = 1316 * 8;

const node = (name: string, region: string): Node => ({
  name,
  region,
  host: `${name}.relay.example`,
  port: 5000,
  online: true,
});

export const connection = (name: string, at: Node, more: Partial<Session> = {}): Connection => ({
  name,
  session: { session_id: `ses_${name}`, status: "active", publishing: true, region_fallback: false, node: at, moving_from: null, ...more },
  listed_at: 0,
});

export const AMS = node("ams-1", "eu-west");
export const KC = node("kc-1", "us-central");

export const PHONE: Scenario = {
  connection: connection("Phone", AMS),
  bitrateBps: 6_100_000,
  latencyMs: 2000,
  players: [{ rtt_us: 24_000, latency_ms: 2060, packets_dropped_total: 0 }],
  paths: [
    { number: 1, carrier: "T-Mobile", type: "cellular", rttMs: 48, jitterMs: 6, lossPct: 0.1, weight: 5 },
    { number: 2, carrier: "Vodafone", type: "cellular", rttMs: 71, jitterMs: 12, lossPct: 0.4, weight: 4 },
    { number: 3, carrier: "Starlink", type: "satellite", rttMs: 310, jitterMs: 60, lossPct: 3.1, weight: 1, silent: [30, 46] },
  ],
  brokenPart: 0,
};

export const CAMERA: Scenario = {
  connection: connection("Window-camera", KC, { region_fallback: true }),
  bitrateBps: 3_400_000,
  latencyMs: 120,
  players: [],
  paths: [{ number: 1, carrier: null, type: "unknown", rttMs: 96, jitterMs: 4, lossPct: 0.9, weight: 1 }],
  brokenPart: 0.3,
};

export const BACKPACK = connection("Backpack", AMS, { publishing: false });

/** Numbers from 0 to 1 that depend on `seed` alone. */
export function noise(seed: number): number {
  const x = Math.sin(seed * 12.9898) * 43758.5453;
  return x - Math.floor(x);
}

/** The seconds `first..last` of a scenario, by Unix seconds. */
export function history(scenario: Scenario, first: number, last: number): Point[] {
  const simulation = new Simulation(scenario, first);
  const points: Point[] = [];
  for (let second = first; second <= last; second++) points.push(simulation.second(second));
  return points;
}

/** A scenario that goes on, second after second. */
export class Simulation {
  #publisher: Publisher;
  readonly #heardAt = new Map<number, number>();

  constructor(
    private readonly scenario: Scenario,
    private readonly began: number,
  ) {
    this.#publisher = {
      packets_total: 0,
      packets_lost_total: 0,
      packets_recovered_total: 0,
      packets_dropped_total: 0,
      packets_duplicate_total: 0,
      rtt_us: 0,
      latency_ms: scenario.latencyMs,
      uptime_ms: 0,
    };
  }

  second(second: number): Point {
    const { scenario } = this;
    const wave = 1 + 0.06 * Math.sin(second / 23) + 0.03 * (noise(second) - 0.5) + dip(second);
    const links = this.#links(second, scenario.bitrateBps * wave);
    const bitrate = links.reduce((sum, link) => sum + link.bitrate_bps, 0);
    this.#count(second, bitrate, links);
    return {
      observed_at: second * 1000 + 40,
      publishing: true,
      ingress_bitrate_bps: Math.round(bitrate),
      publisher: this.#publisher,
      players_total: scenario.players.length,
      players: scenario.players,
      links: scenario.paths.length > 1 ? links : [],
    };
  }

  #links(second: number, bitrate: number): Link[] {
    const paths = this.scenario.paths;
    const heard = paths.filter((path) => !isSilent(path, second));
    for (const path of heard) this.#heardAt.set(path.number, second);
    const weights = heard.reduce((sum, path) => sum + path.weight, 0);
    return paths.map((path, index) => {
      const share = heard.includes(path) ? path.weight / weights : 0;
      return {
        number: path.number,
        addr: `198.51.100.${path.number}:4000`,
        asn_org: path.carrier,
        link_type: path.type,
        bitrate_bps: Math.round(bitrate * share),
        share_pct: share * 100,
        loss_pct: share === 0 ? null : path.lossPct * (0.5 + noise(second * 7 + index)),
        rtt_ms: path.rttMs + path.jitterMs * (noise(second * 3 + index) - 0.5),
        jitter_ms: path.jitterMs / 4,
        delay_ms: (path.rttMs - Math.min(...paths.map(({ rttMs }) => rttMs))) / 2,
        last_ms_ago: (second - (this.#heardAt.get(path.number) ?? second)) * 1000 + 12,
        uptime_s: second - this.began,
      };
    });
  }

  #count(second: number, bitrate: number, links: readonly Link[]): void {
    const sent = Math.round(bitrate / PACKET_BITS);
    const lossPct = links.reduce((sum, link) => sum + ((link.loss_pct ?? 0) * link.share_pct) / 100, 0);
    const lost = Math.round((sent * lossPct) / 100);
    const broken = Math.round(lost * this.scenario.brokenPart);
    const rtt = links.reduce((sum, link) => sum + ((link.rtt_ms ?? 0) * link.share_pct) / 100, 0);
    const before = this.#publisher;
    this.#publisher = {
      ...before,
      packets_total: before.packets_total + sent - broken,
      packets_lost_total: before.packets_lost_total + lost,
      packets_recovered_total: before.packets_recovered_total + lost - broken,
      packets_dropped_total: before.packets_dropped_total + broken,
      rtt_us: Math.round(rtt * 1000),
      uptime_ms: (second - this.began) * 1000,
    };
  }
}

function isSilent({ silent }: Path, second: number): boolean {
  const phase = second % 60;
  return silent !== undefined && phase >= silent[0] && phase < silent[1];
}

/** Now and then the encoder goes down a step. */
function dip(second: number): number {
  return second % 420 < 25 ? -0.35 : 0;
}
