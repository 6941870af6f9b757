import { describe, expect, it } from "vitest";
import { history, CAMERA, PHONE } from "../dev/simulation";
import { accept, EMPTY } from "../src/model/history";
import { view, type ConnectionView } from "../src/model/view";
import { connection, link, point, points, publisher } from "./fixtures";
import type { Connection, Point } from "../src/api/types";

const NOW = point(20).observed_at;

function shown(points: readonly Point[], of: Connection = connection(), ageMs = 0): ConnectionView {
  const known = accept(EMPTY, { kind: "snapshot", points }, NOW, 0);
  return view(of, { ...known, newestAt: NOW - ageMs }, NOW);
}

const texts = (view: ConnectionView): string[] => view.findings.map(({ level, title, detail }) => `${level}: ${title}. ${detail}`);

/** Twenty good seconds, then this one. */
const then = (more: Partial<Point>): Point[] => [...points(20), point(20, more)];

describe("health", () => {
  it("says that all is fine", () => {
    expect(texts(shown(points(21)))).toEqual(["good: Fine. Nothing is lost."]);
    expect(texts(shown(then({ players_total: 0, players: [] })))).toEqual(["good: Fine. Nobody plays it yet."]);
  });

  it("says that the picture breaks, before anything else", () => {
    const broken = publisher({
      packets_total: 9_990,
      packets_lost_total: 10,
      packets_dropped_total: 10,
      uptime_ms: 20_000,
      latency_ms: 120,
    });
    expect(texts(shown(then({ publisher: broken })))).toEqual([
      "bad: The picture breaks. 0.2 % never arrived.",
      "warning: Latency is short. 120 ms; needs ≥ 4 × RTT, 192 ms.",
    ]);
  });

  it("names the link that is the problem", () => {
    const links = [
      link(),
      link({ number: 2, asn_org: "Vodafone", rtt_ms: 70 }),
      link({ number: 3, asn_org: "Orange", rtt_ms: 400 }),
    ];
    const slow = shown(then({ links }));
    expect(texts(slow)).toEqual(["warning: Orange is slow. Its round trip is 400 ms."]);
    expect(slow.findings[0].lane).toBe(2);
    const lossy = links.map((one) => (one.number === 2 ? { ...one, loss_pct: 9 } : { ...one, rtt_ms: 50 }));
    expect(texts(shown(then({ links: lossy })))).toEqual(["warning: Vodafone is lossy. It loses 9.0 %."]);
  });

  it("judges a link by its last seconds, not by one", () => {
    const spike = then({ links: [link(), link({ number: 2, asn_org: "Orange", rtt_ms: 900 })] });
    const calm = points(20).map((point) => ({ ...point, links: [link(), link({ number: 2, asn_org: "Orange" })] }));
    expect(shown([...calm, ...spike.slice(-1)]).findings[0].level).toBe("good");
  });

  it("knows slow links whose senders tell no round trip", () => {
    const links = [link({ rtt_ms: null }), link({ number: 2, asn_org: "Orange", rtt_ms: null, delay_ms: 200 })];
    expect(texts(shown(then({ links })))).toEqual(["warning: Orange is slow. It is 200 ms behind the fastest."]);
    expect(shown(then({ links })).needed).toEqual({ latencyMs: 4 * 248, link: "Orange" });
  });

  it("wants latency for the slowest link that carries a part", () => {
    const links = [link({ rtt_ms: 40 }), link({ number: 2, asn_org: "Orange", rtt_ms: 150 })];
    expect(shown(then({ links })).needed).toEqual({ latencyMs: 600, link: "Orange" });
    const idle = links.map((one) => (one.number === 2 ? { ...one, share_pct: 1 } : one));
    expect(shown(then({ links: idle })).needed).toEqual({ latencyMs: 192, link: null });
    const short = publisher({ packets_total: 10_000, uptime_ms: 20_000, latency_ms: 300 });
    expect(texts(shown(then({ links, publisher: short })))).toEqual([
      "warning: Latency is short. 300 ms; needs ≥ 4 × RTT of Orange, 600 ms.",
    ]);
  });

  it("counts the links that carry", () => {
    const links = [link(), link({ number: 2, asn_org: "Orange", last_ms_ago: 4000, rtt_ms: null })];
    const view = shown(then({ links }));
    expect(view.linkCount).toBe(1);
    expect(texts(view)).toEqual(["warning: Orange is silent. Nothing came for 4 s."]);
  });

  it("names the silent link before those that are blamed for what it took along", () => {
    const links = [link({ loss_pct: 6 }), link({ number: 2, asn_org: "Orange", last_ms_ago: 5000 })];
    expect(texts(shown(then({ links })))).toEqual(["warning: Orange is silent. Nothing came for 5 s.", "warning: T-Mobile is lossy. It loses 6.0 %."]);
  });

  it("says when OBS is further away than the node allows for", () => {
    const far = { rtt_us: 90_000, latency_ms: 2060, packets_dropped_total: 0 };
    expect(texts(shown(then({ players: [far] })))).toEqual(["warning: OBS is far away. 90 ms from the node, which allows for 60 ms."]);
  });

  it("shows no frozen figures", () => {
    expect(shown(points(21), connection(), 4_000)).toMatchObject({ freshness: "old", state: "live" });
    const gone = shown(points(21), connection(), 11_000);
    expect(gone).toMatchObject({ freshness: "gone", figures: null, links: [] });
    expect(texts(gone)).toEqual(["warning: No figures. The node does not report."]);
  });

  it("shows a sender without bonding as one link", () => {
    const [only, ...others] = shown(points(21)).links;
    expect(others).toEqual([]);
    expect(only).toMatchObject({ name: "SRT, not bonded", bitrateBps: 6_000_000, rttMs: 48, sharePct: 100, lossPct: 0 });
  });
});

describe("the simulation that `npm run dev` shows", () => {
  const at = Math.floor(NOW / 1000);

  it("has a phone on three links and a camera with a short latency", () => {
    const phone = history(PHONE, at - 60, at);
    expect(phone.at(-1)?.links.reduce((sum, link) => sum + link.share_pct, 0)).toBeCloseTo(100);
    expect(texts(shown(history(CAMERA, at - 60, at), CAMERA.connection)).join()).toContain("Latency is short");
  });
});
