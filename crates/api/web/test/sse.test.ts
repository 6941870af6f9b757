import { describe, expect, it } from "vitest";
import { EventParser } from "../src/api/sse";

const STREAM = ': hello\n\nevent: snapshot\nid: 7\ndata: [1,\ndata: 2]\n\nevent: stale\r\ndata: {}\r\n\r\nevent: sample\nid: 8\ndata: {"a":1}\n\n';

const EVENTS = [
  { name: "snapshot", id: "7", data: "[1,\n2]" },
  { name: "stale", id: null, data: "{}" },
  { name: "sample", id: "8", data: '{"a":1}' },
];

describe("an event stream", () => {
  it("gives whole events, without comments", () => {
    expect(new EventParser().push(STREAM)).toEqual(EVENTS);
  });

  it("may be cut anywhere", () => {
    for (let size = 1; size < STREAM.length; size++) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < STREAM.length; at += size) events.push(...parser.push(STREAM.slice(at, at + size)));
      expect(events).toEqual(EVENTS);
    }
  });

  it("keeps no event without end", () => {
    const parser = new EventParser();
    const megabyte = "x".repeat(1 << 20);
    expect(() => {
      for (let times = 0; times < 64; times++) parser.push(megabyte);
    }).toThrow("too long");
  });
});
