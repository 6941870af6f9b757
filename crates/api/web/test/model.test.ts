import { describe, expect, it } from "vitest";
import { figures, freshness, loss } from "../src/model/figures";
import * as format from "../src/model/format";
import type { Link, Point } from "../src/api/types";
import { accept, EMPTY, POINTS_MAX, window, type History } from "../src/model/history";
import type { TrackedPoint } from "../src/model/lanes";
import { shownLinks } from "../src/model/links";
import { masked } from "../src/model/mask";
import { moblinLink } from "../src/model/moblin";
import { series } from "../src/model/series";
import { state, telling } from "../src/model/state";
import { AMS } from "../dev/simulation";
import { connection, link, ORIGIN, point, points, publisher, START_MS } from "./fixtures";

const tracked = (told: readonly Point[]): readonly TrackedPoint[] => accept(EMPTY, { kind: "snapshot", points: told }, START_MS, 0).points;

describe("a history", () => {
  it("is an hour at most", () => {
    const full = accept(EMPTY, { kind: "snapshot", points: points(POINTS_MAX + 5) }, START_MS, 0);
    expect(full.points).toHaveLength(POINTS_MAX);
    const next = accept(full, { kind: "sample", point: point(POINTS_MAX + 5) }, START_MS, 0);
    expect(next.points).toHaveLength(POINTS_MAX);
    expect(next.points.at(-1)).toEqual(point(POINTS_MAX + 5));
  });

  it("knows how old a snapshot is by the server's clock", () => {
    const now = START_MS + 60_000;
    const ahead = 5_000;
    const old = accept(EMPTY, { kind: "snapshot", points: points(11) }, now, ahead);
    expect(now - (old.newestAt ?? 0)).toBe(55_000);
  });

  it("keeps what was said about the session when its points come", () => {
    const news = { observed_at: 7, status: "active", publishing: true, moved_to: null } as const;
    const told = accept(EMPTY, { kind: "state", news }, START_MS, 0);
    const known = accept(told, { kind: "snapshot", points: points(3) }, START_MS, 0);
    expect(accept(known, { kind: "sample", point: point(3) }, START_MS, 0)).toMatchObject({ news, points: { length: 4 } });
  });

  it("takes a sample for new, whatever the node's clock says", () => {
    const now = START_MS - 3_600_000;
    expect(accept(EMPTY, { kind: "sample", point: point(0) }, now, 0).newestAt).toBe(now);
  });

  it("takes no point twice", () => {
    const once = accept(EMPTY, { kind: "sample", point: point(3) }, 0, 0);
    expect(accept(once, { kind: "sample", point: point(3) }, 1, 0)).toBe(once);
    expect(accept(once, { kind: "sample", point: point(2) }, 1, 0)).toBe(once);
  });

  it("remembers that the node fell silent until it speaks", () => {
    const stale = accept(EMPTY, { kind: "stale" }, 0, 0);
    expect(stale.stale).toBe(true);
    expect(accept(stale, { kind: "sample", point: point(0) }, 0, 0).stale).toBe(false);
  });

  it("has a last minute", () => {
    expect(window(points(100), 10).map((point) => point.observed_at)).toEqual(
      points(100)
        .slice(-11)
        .map((point) => point.observed_at),
    );
  });
});

describe("figures", () => {
  it("count loss over ten seconds, and what was never repaired", () => {
    const before = publisher({ packets_total: 1000, uptime_ms: 1000 });
    const after = publisher({
      packets_total: 1990,
      packets_lost_total: 20,
      packets_recovered_total: 10,
      packets_dropped_total: 10,
      uptime_ms: 11_000,
    });
    expect(loss([point(0, { publisher: before }), point(10, { publisher: after })])).toEqual({ lostPct: 2, brokenPct: 1 });
  });

  it("do not compare two connections of the sender", () => {
    const before = publisher({ packets_total: 9000, packets_lost_total: 900, uptime_ms: 90_000 });
    const after = publisher({ packets_total: 10, uptime_ms: 500 });
    expect(loss([point(0, { publisher: before }), point(1, { publisher: after })])).toBeNull();
  });

  it("do not take for lost what a slower link brings later", () => {
    const before = publisher({ packets_total: 100, uptime_ms: 1000 });
    const after = publisher({ packets_total: 1100, packets_lost_total: 500, packets_recovered_total: 500, uptime_ms: 11_000 });
    const links = [link({ share_pct: 75, loss_pct: 0.4 }), link({ number: 2, share_pct: 25, loss_pct: 2 })];
    const bonded = [point(0, { publisher: before, links }), point(10, { publisher: after, links })];
    expect(figures(bonded)?.loss).toEqual({ lostPct: 0.8, brokenPct: 0 });
    const unknown = links.map((link) => ({ ...link, loss_pct: null }));
    expect(figures([...bonded.slice(0, 1), point(10, { publisher: after, links: unknown })])?.loss?.lostPct).toBe(0);
  });

  it("are none when nobody publishes", () => {
    expect(figures([point(0, { publishing: false })])).toBeNull();
    expect(figures([])).toBeNull();
  });

  it("show the player with the least room", () => {
    const near = { rtt_us: 5_000, latency_ms: 2060, packets_dropped_total: 0 };
    const far = { rtt_us: 90_000, latency_ms: 2060, packets_dropped_total: 0 };
    expect(figures([point(0, { players: [near, far] })])?.delay).toEqual({ budgetMs: 60, usedMs: 90 });
  });

  it("get old", () => {
    expect([0, 3001, 10_001, null].map(freshness)).toEqual(["fresh", "old", "gone", "gone"]);
  });
});

/** A history in which these links were seen, second after second. */
function seen(...seconds: readonly (readonly Link[])[]): History {
  const told = seconds.map((links, second) => point(second, { links }));
  return accept(EMPTY, { kind: "snapshot", points: told }, START_MS, 0);
}

describe("links", () => {
  it("fade after 3 seconds of silence and go after 10", () => {
    const { points, lanes } = seen([link(), link({ number: 2, asn_org: "Orange", last_ms_ago: 2900 })]);
    const shown = (ageMs: number) => shownLinks(points, lanes, ageMs).map(({ name, faded }) => [name, faded]);
    expect(shown(0)).toEqual([
      ["T-Mobile", false],
      ["Orange", false],
    ]);
    expect(shown(200)).toEqual([
      ["T-Mobile", false],
      ["Orange", true],
    ]);
    expect(shown(7200)).toEqual([["T-Mobile", true]]);
  });

  it("are told apart", () => {
    const { points, lanes } = seen([link(), link({ number: 2 }), link({ number: 3, asn_org: null })]);
    expect(shownLinks(points, lanes, 0).map(({ name }) => name)).toEqual(["T-Mobile 1", "T-Mobile 2", "Link 3"]);
  });
});

describe("a state", () => {
  it.each([
    [connection({ status: "provisioning", publishing: false }), null, "provisioning"],
    [connection({ publishing: false }), null, "ready"],
    [connection({ publishing: false }), true, "live"],
    [connection(), true, "live"],
    [connection(), null, "live"],
    [connection(), false, "grace"],
    [connection({ status: "grace", publishing: false }), false, "grace"],
    [{ name: "Backpack", session: null, listed_at: 0 }, null, "error"],
    [connection({ node: { ...AMS, online: false } }), true, "error"],
  ])("comes from the list and from the newest point: %#", (connection, publishing, expected) => {
    expect(state(connection, null, publishing, "fresh")).toBe(expected);
  });

  it("does not trust a point that is old", () => {
    expect(state(connection({ publishing: false }), null, true, "gone")).toBe("ready");
  });

  it.each([
    ["provisioning", false, "provisioning"],
    ["active", false, "ready"],
    ["active", true, "live"],
    ["grace", false, "grace"],
    ["draining", true, "live"],
    ["draining", false, "ready"],
    ["stopped", false, "provisioning"],
  ] as const)("follows the news: %s, publishing %s", (status, publishing, expected) => {
    const listed = { ...connection({ status: "provisioning", publishing: false }), listed_at: 1000 };
    expect(state(listed, { observed_at: 1001, status, publishing, moved_to: null }, null, "gone")).toBe(expected);
  });

  it("is told by the session that a moving stream leaves", () => {
    const [{ session }, { session: moving }] = [connection(), connection({ moving_from: ORIGIN })];
    expect([session, moving].map((one) => one && telling(one))).toEqual(["ses_Backpack", "ses_before"]);
  });

  it("is the list's when that is newer than the news", () => {
    const news = { observed_at: 1000, status: "grace", publishing: false, moved_to: null } as const;
    expect(state({ ...connection({ publishing: false }), listed_at: 1001 }, news, null, "gone")).toBe("ready");
  });
});

describe("columns for graphs", () => {
  it("have a row for every second, and gaps", () => {
    const known = tracked([...points(3), point(6), point(7)]);
    const { time, bitrateMbps, lossPct } = series(known, [], START_MS + 7000, 10);
    expect(time).toHaveLength(10);
    expect(time.at(-1)).toBe(START_MS / 1000 + 7);
    expect(bitrateMbps).toEqual([null, null, 6, 6, 6, null, null, null, 6, 6]);
    expect(lossPct.at(-1)).toBe(0);
  });

  it("bridge a second that its neighbours' jitter left out", () => {
    const late = point(1, { observed_at: START_MS + 2001 });
    const { bitrateMbps } = series(tracked([point(0), late, point(3)]), [], START_MS + 3000, 4);
    expect(bitrateMbps).toEqual([6, 6, 6, 6]);
  });

  it("have a line for each link, with gaps while it is silent", () => {
    const [tmobile, orange] = [link(), link({ number: 2, asn_org: "Orange", bitrate_bps: 1_000_000, rtt_ms: 90 })];
    const silent = { ...orange, last_ms_ago: 1400, bitrate_bps: 0 };
    const { points, lanes } = seen([tmobile, orange], [tmobile, silent], [tmobile, orange], [tmobile]);
    const drawn = series(points, lanes, START_MS + 3000, 4).lanes;
    expect(drawn.map(({ name, bitrateMbps }) => [name, bitrateMbps])).toEqual([
      ["T-Mobile", [3, 3, 3, 3]],
      ["Orange", [1, 1, 1, null]],
    ]);
    expect(drawn[1]?.rttMs).toEqual([90, 90, 90, null]);
  });
});

describe("texts", () => {
  it("are what people read", () => {
    expect(format.bitrate(6_140_000)).toBe("6.1 Mbit/s");
    expect(format.ms(48.4)).toBe("48 ms");
    expect([0, 0.04, 0.2, 99.99, null].map(format.percent)).toEqual(["0.0 %", "< 0.1 %", "0.2 %", "100 %", "– %"]);
    expect(format.ago(61_000)).toBe("1 min ago");
  });

  it("hide keys that they do not know", () => {
    const node = { ...AMS, host: "2001:db8::1" };
    expect(masked("srtla", node)).toBe("srtla://[2001:db8::1]:5000?streamid=live_••••••••");
    expect(masked("media", node)).toBe("srt://[2001:db8::1]:5000?streamid=play_••••••••");
  });

  it("set up Moblin", () => {
    const url = "srtla://relay.example:5000?streamid=live_abc";
    const link = moblinLink({ name: "Phone & co", url });
    expect(link).toMatch(/^moblin:\/\/\?%7B/);
    const settings: unknown = JSON.parse(decodeURIComponent(link.slice("moblin://?".length)));
    expect(settings).toEqual({
      streams: [{ name: "Phone & co", url, selected: true, srt: { latency: 2000, adaptiveBitrateEnabled: true } }],
    });
  });
});
