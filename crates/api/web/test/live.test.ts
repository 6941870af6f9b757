import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { follow, retryDelay, type LiveEvent } from "../src/api/live";
import { point, points } from "./fixtures";

interface Connection {
  readonly lastEventId: string | null;
  readonly send: (text: string) => void;
  readonly end: () => void;
}

let connections: Connection[];
let status: number;

beforeEach(() => {
  connections = [];
  status = 200;
  vi.useFakeTimers();
  vi.stubGlobal("fetch", (_: string, init: RequestInit) => {
    let stream: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (stream = controller) });
    init.signal?.addEventListener("abort", () => stream.error(new DOMException("cut", "AbortError")));
    connections.push({
      lastEventId: new Headers(init.headers).get("last-event-id"),
      send: (text) => stream.enqueue(new TextEncoder().encode(text)),
      end: () => stream.close(),
    });
    return Promise.resolve({ ok: status === 200, status, body });
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const snapshot = (count: number): string => {
  const all = points(count);
  return `event: snapshot\nid: ${all.at(-1)?.observed_at ?? ""}\ndata: ${JSON.stringify(all)}\n\n`;
};
const sample = (second: number): string => {
  const one = point(second);
  return `event: sample\nid: ${one.observed_at}\ndata: ${JSON.stringify(one)}\n\n`;
};

function start(lastEventId: string | null = null) {
  const stop = new AbortController();
  const events: LiveEvent[] = [];
  const ended = follow({ sessionId: "ses_1", lastEventId, signal: stop.signal, onEvent: (event) => events.push(event) });
  return { stop, events, ended };
}

const settle = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe("following a session", () => {
  it("goes on after a cut with what was seen last", async () => {
    const { stop, events, ended } = start();
    await settle();
    connections[0]?.send(snapshot(3));
    connections[0]?.send(sample(3));
    await settle();
    connections[0]?.end();
    await settle(2000);
    expect(connections[1]?.lastEventId).toBe(`${point(3).observed_at}`);
    connections[1]?.send(sample(4));
    await settle();
    expect(events.map((event) => event.kind)).toEqual(["snapshot", "sample", "sample"]);
    stop.abort();
    await settle();
    await expect(ended).resolves.toBe("stopped");
  });

  it("begins where an earlier one stopped", async () => {
    const { stop } = start("42");
    await settle();
    expect(connections[0]?.lastEventId).toBe("42");
    stop.abort();
  });

  it("takes silence for a dead connection", async () => {
    const { stop } = start();
    await settle();
    connections[0]?.send(": still here\n\n");
    await settle(24_000);
    expect(connections).toHaveLength(1);
    await settle(5_000);
    expect(connections).toHaveLength(2);
    stop.abort();
  });

  it.each([
    [401, "signed_out"],
    [403, "gone"],
    [404, "gone"],
  ])("ends at status %d", async (refused, why) => {
    status = refused;
    const { ended } = start();
    await settle();
    await expect(ended).resolves.toBe(why);
    expect(connections).toHaveLength(1);
  });

  it("tries again and again, ever slower, while the server is away", async () => {
    status = 503;
    const { stop } = start();
    await settle(60_000);
    expect(connections.length).toBeGreaterThan(6);
    expect(connections.length).toBeLessThan(16);
    stop.abort();
  });

  it("waits half a second to ten", () => {
    expect(retryDelay(0, () => 0)).toBe(500);
    expect(retryDelay(3, () => 0)).toBe(4000);
    expect(retryDelay(1000, () => 0)).toBe(10_000);
    expect(retryDelay(1000, () => 1)).toBe(8000);
  });
});
