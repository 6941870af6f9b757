import { describe, expect, it } from "vitest";
import type { Link } from "../src/api/types";
import { laneName, LANES_MAX, track, type Lane, type Tracked } from "../src/model/lanes";
import { link, point } from "./fixtures";

/** What is known after each of these seconds. */
function after(...seconds: readonly (readonly Link[])[]): Tracked[] {
  let lanes: readonly Lane[] = [];
  return seconds.map((links, second) => {
    const tracked = track(lanes, point(second, { links }));
    lanes = tracked.lanes;
    return tracked;
  });
}

const shown = ({ point, lanes }: Tracked): string[] =>
  point.links.map((link) => {
    const lane = lanes.find(({ id }) => id === link.lane);
    return `${link.lane} ${lane === undefined ? "?" : laneName(lane, lanes)} #${link.number}`;
  });

const [tmobile, orange] = [link(), link({ number: 2, addr: "203.0.113.9:5000", asn_org: "Orange" })];

describe("a link that returns", () => {
  const silent = { ...tmobile, last_ms_ago: 6000, bitrate_bps: 0 };
  const returned = link({ number: 7, addr: "198.51.100.88:1", uptime_s: 0 });

  it("has the name, the place and the colour that it had", () => {
    const seconds = after([tmobile, orange], [orange], [orange, returned]);
    expect(seconds.map(shown)).toEqual([
      ["0 T-Mobile #1", "1 Orange #2"],
      ["1 Orange #2"],
      ["0 T-Mobile #7", "1 Orange #2"],
    ]);
  });

  it("takes over at once from the one that fell silent", () => {
    const later = { ...silent, last_ms_ago: 7000 };
    const seconds = after([tmobile, orange], [silent, orange], [silent, orange, returned], [later, orange, { ...returned, uptime_s: 1 }]);
    expect(seconds.map(shown).slice(2)).toEqual([
      ["0 T-Mobile #7", "1 Orange #2"],
      ["0 T-Mobile #7", "1 Orange #2"],
    ]);
  });

  it("is known by its address where nobody knows carriers", () => {
    const nameless = [tmobile, orange].map((link) => ({ ...link, asn_org: null }));
    const back = link({ number: 7, addr: "198.51.100.1:9", asn_org: null, uptime_s: 0 });
    expect(after(nameless, nameless.slice(1), [...nameless.slice(1), back]).map(shown)).toEqual([
      ["0 Link 1 #1", "1 Link 2 #2"],
      ["1 Link 2 #2"],
      ["0 Link 1 #7", "1 Link 2 #2"],
    ]);
  });
});

describe("a link", () => {
  it("keeps its lane when its address moves and when its carrier becomes known", () => {
    const before = { ...tmobile, asn_org: null };
    const [, moved] = after([before, orange], [{ ...tmobile, addr: "192.0.2.1:1" }, orange]).map(shown);
    expect(moved).toEqual(["0 T-Mobile #1", "1 Orange #2"]);
  });

  it("is another one when the node began to count anew", () => {
    const anew = [link({ number: 1, addr: orange.addr, asn_org: "Orange", uptime_s: 0 }), link({ number: 2, uptime_s: 0 })];
    expect(after([tmobile, orange], [], [], anew).map(shown).at(-1)).toEqual(["0 T-Mobile #2", "1 Orange #1"]);
  });

  it("is not taken for a second one of its carrier", () => {
    const second = link({ number: 2, addr: "203.0.113.9:5000" });
    expect(after([tmobile], [tmobile, second]).map(shown).at(-1)).toEqual(["0 T-Mobile 1 #1", "1 T-Mobile 2 #2"]);
  });
});

describe("lanes", () => {
  it("are bounded, and forgotten after an hour", () => {
    const stranger = (second: number): Link => link({ number: second, addr: `192.0.2.${second % 250}:1`, asn_org: `Carrier ${second}`, uptime_s: 0 });
    const many = Array.from({ length: 3 * LANES_MAX }, (_, second) => [stranger(second)]);
    const last = after(...many).at(-1);
    expect(last?.lanes).toHaveLength(LANES_MAX);
    expect(track(last?.lanes ?? [], point(2 * 3600)).lanes).toEqual([]);
  });

  it("are one for each link of a point, whatever their ages", () => {
    const crowd = Array.from({ length: 2 * LANES_MAX }, (_, n) => link({ number: n, addr: `192.0.2.${n}:1`, asn_org: null }));
    const { point: tracked } = track([], point(0, { links: crowd }));
    expect(new Set(tracked.links.map(({ lane }) => lane)).size).toBe(tracked.links.length);
    expect(tracked.links.length).toBeLessThanOrEqual(LANES_MAX);
  });
});
