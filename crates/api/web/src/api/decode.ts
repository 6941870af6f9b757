// From bytes of the network to our types. Only the fields named here get into the
// page: whatever else an answer holds is left behind.

import { DecodeError, flag, list, maybeNumber, number, object, text, type Fields } from "./fields";
import type {
  Connection,
  ConnectionList,
  DeviceCode,
  Link,
  LinkType,
  Node,
  Origin,
  Player,
  Point,
  Publisher,
  Session,
  SessionNews,
  SessionStatus,
  Urls,
} from "./types";

export { DecodeError } from "./fields";

const LINK_TYPES: readonly LinkType[] = ["cellular", "satellite", "fixed", "hosting", "local"];
const STATUSES: readonly SessionStatus[] = ["provisioning", "active", "grace"];

export function connectionList(value: unknown): ConnectionList {
  const fields = object(value);
  const listedAt = number(fields, "observed_at");
  return {
    observed_at: listedAt,
    regions: list(fields, "regions").map((region) => text({ region }, "region")),
    connections: list(fields, "connections").map((one) => connection(one, listedAt)),
  };
}

export function sessionNews(value: unknown): SessionNews {
  const fields = object(value);
  return {
    observed_at: number(fields, "observed_at"),
    status: fields.status === "stopped" || fields.status === "draining" ? fields.status : status(fields),
    publishing: flag(fields, "publishing"),
    moved_to: fields.moved_to == null ? null : text(object(fields.moved_to), "session_id"),
  };
}

export function points(value: unknown): Point[] {
  if (!Array.isArray(value)) throw new DecodeError("a history is not a list");
  return value.map(point);
}

export function point(value: unknown): Point {
  const fields = object(value);
  return {
    observed_at: number(fields, "observed_at"),
    publishing: flag(fields, "publishing"),
    ingress_bitrate_bps: maybeNumber(fields, "ingress_bitrate_bps"),
    publisher: fields.publisher == null ? null : publisher(fields.publisher),
    players_total: number(fields, "players_total"),
    players: list(fields, "players").map(player),
    links: fields.links == null ? [] : list(fields, "links").map(link),
  };
}

export function urls(value: unknown): Urls {
  const fields = object(value);
  return {
    sender_srtla_url: text(fields, "sender_srtla_url"),
    sender_srt_url: text(fields, "sender_srt_url"),
    media_source_url: text(fields, "media_source_url"),
  };
}

export function deviceCode(value: unknown): DeviceCode {
  const fields = object(value);
  return {
    attempt: text(fields, "login_attempt_id"),
    code: text(fields, "user_code"),
    url: text(fields, "authorize_url"),
    pollToken: text(fields, "poll_token"),
    pollIntervalMs: number(fields, "poll_interval_seconds") * 1000,
  };
}

/** The message of a refusal, if the body is one. */
export function refusal(value: unknown): string | null {
  if (typeof value !== "object" || value === null || !("error" in value)) return null;
  const { error } = value;
  if (typeof error !== "object" || error === null || !("message" in error)) return null;
  return typeof error.message === "string" ? error.message : null;
}

function connection(value: unknown, listedAt: number): Connection {
  const fields = object(value);
  return {
    name: text(fields, "name"),
    session: fields.session == null ? null : session(fields.session),
    listed_at: listedAt,
  };
}

function session(value: unknown): Session {
  const fields = object(value);
  return {
    session_id: text(fields, "session_id"),
    status: status(fields),
    publishing: flag(fields, "publishing"),
    region_fallback: flag(fields, "region_fallback"),
    node: node(fields.node),
    moving_from: fields.moving_from == null ? null : origin(fields.moving_from),
  };
}

function origin(value: unknown): Origin {
  const fields = object(value);
  return { session_id: text(fields, "session_id"), node_name: text(fields, "node_name") };
}

function node(value: unknown): Node {
  const fields = object(value);
  return {
    name: text(fields, "name"),
    region: text(fields, "region"),
    host: text(fields, "host"),
    port: number(fields, "port"),
    online: flag(fields, "online"),
  };
}

function publisher(value: unknown): Publisher {
  const fields = object(value);
  return {
    packets_total: number(fields, "packets_total"),
    packets_lost_total: number(fields, "packets_lost_total"),
    packets_recovered_total: number(fields, "packets_recovered_total"),
    packets_dropped_total: number(fields, "packets_dropped_total"),
    packets_duplicate_total: number(fields, "packets_duplicate_total"),
    rtt_us: number(fields, "rtt_us"),
    latency_ms: number(fields, "latency_ms"),
    uptime_ms: number(fields, "uptime_ms"),
  };
}

function player(value: unknown): Player {
  const fields = object(value);
  return {
    rtt_us: number(fields, "rtt_us"),
    latency_ms: number(fields, "latency_ms"),
    packets_dropped_total: number(fields, "packets_dropped_total"),
  };
}

function link(value: unknown): Link {
  const fields = object(value);
  return {
    number: number(fields, "number"),
    addr: text(fields, "addr"),
    asn_org: fields.asn_org == null ? null : text(fields, "asn_org"),
    // A type that only newer servers know is unknown.
    link_type: LINK_TYPES.find((type) => type === fields.link_type) ?? "unknown",
    bitrate_bps: number(fields, "bitrate_bps"),
    share_pct: number(fields, "share_pct"),
    loss_pct: maybeNumber(fields, "loss_pct"),
    rtt_ms: maybeNumber(fields, "rtt_ms"),
    jitter_ms: maybeNumber(fields, "jitter_ms"),
    delay_ms: maybeNumber(fields, "delay_ms"),
    last_ms_ago: number(fields, "last_ms_ago"),
    uptime_s: number(fields, "uptime_s"),
  };
}

function status(fields: Fields): SessionStatus {
  const word = text(fields, "status");
  const known = STATUSES.find((status) => status === word);
  if (known === undefined) throw new DecodeError(`status ${word} is unknown`);
  return known;
}
