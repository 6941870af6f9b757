import { describe, expect, it } from "vitest";
import type { Ended, Follow } from "../src/api/live";
import { FOLLOWED_MAX, Telemetry } from "../src/model/telemetry";
import { point, points } from "./fixtures";

class Server {
  readonly follows: Follow[] = [];
  signedOut = 0;
  readonly #ends: ((ended: Ended) => void)[] = [];
  readonly telemetry = new Telemetry({
    follow: (options) => {
      this.follows.push(options);
      return new Promise((resolve) => {
        this.#ends.push(resolve);
        options.signal.addEventListener("abort", () => resolve("stopped"));
      });
    },
    now: () => 1000,
    onSignedOut: () => this.signedOut++,
  });

  get open(): string[] {
    return this.follows.filter(({ signal }) => !signal.aborted).map(({ sessionId }) => sessionId);
  }

  async end(ended: Ended): Promise<void> {
    this.#ends.at(-1)?.(ended);
    await Promise.resolve();
    await Promise.resolve();
  }
}

describe("telemetry", () => {
  it("leaves connections for requests, and follows the most important sessions", () => {
    const server = new Server();
    server.telemetry.want(["a", "b", "c", "d", "e"]);
    expect(server.open).toEqual(["a", "b", "c", "d"].slice(0, FOLLOWED_MAX));
    server.telemetry.want(["e", "a", "b", "c", "d"]);
    expect([...server.open].sort()).toEqual(["a", "b", "c", "e"]);
    expect(server.telemetry.follows("d")).toBe(false);
  });

  it("rests while the page is hidden and goes on where it was", () => {
    const server = new Server();
    server.telemetry.want(["a"]);
    server.follows[0]?.onEvent({ kind: "snapshot", points: points(3) }, "77");
    server.telemetry.hide(true);
    expect(server.open).toEqual([]);
    server.telemetry.hide(false);
    expect(server.follows[1]?.lastEventId).toBe("77");
    server.follows[1]?.onEvent({ kind: "sample", point: point(3) }, "78");
    expect(server.telemetry.history("a").points).toHaveLength(4);
  });

  it("tells once when a stream goes to another session", () => {
    const server = new Server();
    let moves = 0;
    const forget = server.telemetry.onMove(() => moves++);
    server.telemetry.want(["a"]);
    const say = (status: "active" | "draining" | "stopped", moved_to: string | null): void =>
      server.follows[0]?.onEvent({ kind: "state", news: { observed_at: 1, status, publishing: true, moved_to } }, null);
    say("active", null);
    expect(moves).toBe(0);
    say("draining", "b");
    server.follows[0]?.onEvent({ kind: "sample", point: point(0) }, "1");
    say("stopped", "b");
    expect(moves).toBe(1);
    say("stopped", "c");
    expect(moves).toBe(2);
    forget();
    say("stopped", "d");
    expect(moves).toBe(2);
  });

  it("takes nothing from a stream that it left", () => {
    const server = new Server();
    server.telemetry.want(["a"]);
    server.telemetry.hide(true);
    server.follows[0]?.onEvent({ kind: "sample", point: point(0) }, "1");
    expect(server.telemetry.history("a").points).toEqual([]);
  });

  it("forgets sessions that are not on the page any more", () => {
    const server = new Server();
    server.telemetry.want(["a"]);
    server.follows[0]?.onEvent({ kind: "snapshot", points: points(3) }, null);
    server.telemetry.want([]);
    expect(server.open).toEqual([]);
    expect(server.telemetry.history("a").points).toEqual([]);
  });

  it("does not ask again for a session that is gone, and says when nobody is signed in", async () => {
    const server = new Server();
    server.telemetry.want(["a"]);
    await server.end("gone");
    server.telemetry.want(["a"]);
    expect(server.follows).toHaveLength(1);
    server.telemetry.want(["b"]);
    await server.end("signed_out");
    expect(server.signedOut).toBe(1);
  });
});
