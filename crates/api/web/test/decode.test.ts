import { describe, expect, it } from "vitest";
import * as decode from "../src/api/decode";
import { AMS } from "../dev/simulation";
import { connection, link, ORIGIN, point } from "./fixtures";

/** Words of secrets that clients of other systems found in their snapshots. */
const SECRET_NAMES = [
  "pair_token",
  "relay_ws_token",
  "cp_access_jwt",
  "refresh_token",
  "poll_token",
  "relay_shared_key",
  "stream_token",
  "play_token",
  "sender_url",
  "media_source_url",
];

const withSecrets = (value: object): object => ({
  ...value,
  ...Object.fromEntries(SECRET_NAMES.map((name) => [name, "secret"])),
  credentials: { stream_token: "secret" },
});

/** Every field's path, such as `connections[].node.host`. */
function fields(value: unknown, path = ""): string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap((item) => fields(item, `${path}[]`)))];
  if (typeof value !== "object" || value === null) return [path];
  return Object.entries(value).flatMap(([name, inner]) => fields(inner, path === "" ? name : `${path}.${name}`));
}

describe("what gets into the page", () => {
  it("is exactly these fields of the list, whatever the answer holds", () => {
    const { session } = connection();
    const answer = withSecrets({
      observed_at: 1,
      regions: ["eu-west"],
      connections: [withSecrets({ name: "Phone", session: withSecrets({ ...session, node: withSecrets(AMS), moving_from: withSecrets(ORIGIN) }) })],
    });
    const list = decode.connectionList(answer);
    expect(fields(list)).toEqual([
      "observed_at",
      "regions[]",
      "connections[].name",
      "connections[].session.session_id",
      "connections[].session.status",
      "connections[].session.publishing",
      "connections[].session.region_fallback",
      "connections[].session.node.name",
      "connections[].session.node.region",
      "connections[].session.node.host",
      "connections[].session.node.port",
      "connections[].session.node.online",
      "connections[].session.moving_from.session_id",
      "connections[].session.moving_from.node_name",
      "connections[].listed_at",
    ]);
    expect(JSON.stringify(list)).not.toContain("secret");
  });

  it("is exactly these fields of a point", () => {
    const answer = withSecrets({ ...point(1), links: [withSecrets(link())] });
    const decoded = decode.point(answer);
    expect(fields(decoded)).toEqual([
      "observed_at",
      "publishing",
      "ingress_bitrate_bps",
      "publisher.packets_total",
      "publisher.packets_lost_total",
      "publisher.packets_recovered_total",
      "publisher.packets_dropped_total",
      "publisher.packets_duplicate_total",
      "publisher.rtt_us",
      "publisher.latency_ms",
      "publisher.uptime_ms",
      "players_total",
      "players[].rtt_us",
      "players[].latency_ms",
      "players[].packets_dropped_total",
      "links[].number",
      "links[].addr",
      "links[].asn_org",
      "links[].link_type",
      "links[].bitrate_bps",
      "links[].share_pct",
      "links[].loss_pct",
      "links[].rtt_ms",
      "links[].jitter_ms",
      "links[].delay_ms",
      "links[].last_ms_ago",
      "links[].uptime_s",
    ]);
    expect(JSON.stringify(decoded)).not.toContain("secret");
  });
});

describe("answers that are not the API's", () => {
  it.each([
    ["no object", []],
    ["no list", { observed_at: 1, regions: [] }],
    ["an unknown status", { observed_at: 1, regions: [], connections: [connection({ status: "broken" as never })] }],
    ["a number in words", { observed_at: "1", regions: [], connections: [] }],
    ["no finite number", { observed_at: Number.NaN, regions: [], connections: [] }],
  ])("are refused: %s", (_, answer) => {
    expect(() => decode.connectionList(answer)).toThrow(decode.DecodeError);
  });

  it("is the news of a session and no more", () => {
    const news = { observed_at: 1, status: "stopped", publishing: false, moved_to: null };
    expect(decode.sessionNews(withSecrets({ ...news, node_id: "nod_1", stop_reason: "requested" }))).toEqual(news);
    const moved_to = withSecrets({ session_id: "ses_2", node_id: "nod_2", urls: withSecrets({}) });
    const leaving = { ...news, status: "draining", publishing: true };
    expect(decode.sessionNews({ ...leaving, moved_to })).toEqual({ ...leaving, moved_to: "ses_2" });
    expect(() => decode.sessionNews({ ...news, status: "lost" })).toThrow(decode.DecodeError);
  });

  it("may have a type of link that only newer servers know", () => {
    const answer = { ...point(1), links: [{ ...link(), link_type: "pigeon" }] };
    expect(decode.point(answer).links[0]?.link_type).toBe("unknown");
  });

  it("may leave out links: the sender does not bond", () => {
    expect(decode.point({ ...point(1), links: undefined }).links).toEqual([]);
  });
});
