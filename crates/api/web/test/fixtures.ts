// Points and connections for tests.

import type { Connection, Link, Origin, Point, Publisher, Session } from "../src/api/types";
import { AMS, connection as simulated } from "../dev/simulation";

export const START_MS = 1_763_700_000_000;

/** Where a stream comes from that moves. */
export const ORIGIN: Origin = { session_id: "ses_before", node_name: "ams-0" };

export function connection(more: Partial<Session> = {}): Connection {
  return simulated("Backpack", AMS, more);
}

export function publisher(more: Partial<Publisher> = {}): Publisher {
  return {
    packets_total: 0,
    packets_lost_total: 0,
    packets_recovered_total: 0,
    packets_dropped_total: 0,
    packets_duplicate_total: 0,
    rtt_us: 48_000,
    latency_ms: 2000,
    uptime_ms: 0,
    ...more,
  };
}

export function point(second: number, more: Partial<Point> = {}): Point {
  return {
    observed_at: START_MS + second * 1000,
    publishing: true,
    ingress_bitrate_bps: 6_000_000,
    publisher: publisher({ packets_total: second * 500, uptime_ms: second * 1000 }),
    players_total: 1,
    players: [{ rtt_us: 20_000, latency_ms: 2060, packets_dropped_total: 0 }],
    links: [],
    ...more,
  };
}

export function points(seconds: number): Point[] {
  return Array.from({ length: seconds }, (_, second) => point(second));
}

export function link(more: Partial<Link> = {}): Link {
  return {
    number: 1,
    addr: "198.51.100.1:4000",
    asn_org: "T-Mobile",
    link_type: "cellular",
    bitrate_bps: 3_000_000,
    share_pct: 50,
    loss_pct: 0.1,
    rtt_ms: 50,
    jitter_ms: 3,
    delay_ms: 0,
    last_ms_ago: 20,
    uptime_s: 60,
    ...more,
  };
}
