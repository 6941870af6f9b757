// A session's telemetry, followed for as long as somebody looks.
//
//   connect ─▶ state ─▶ snapshot ─▶ sample, sample, … ─▶ (cut) ─▶ connect with Last-Event-ID ─▶ what was missed
//
// The server says something at least every ten seconds; silence means the
// connection is dead although nobody said so.

import * as decode from "./decode";
import { EventParser, type ServerEvent } from "./sse";
import type { Point, SessionNews } from "./types";

const SILENCE_MAX_MS = 25_000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;

export type LiveEvent =
  /** Replaces all that is known. */
  | { readonly kind: "snapshot"; readonly points: readonly Point[] }
  | { readonly kind: "sample"; readonly point: Point }
  /** What the session is doing, at first and at each change. */
  | { readonly kind: "state"; readonly news: SessionNews }
  /** The node does not report. */
  | { readonly kind: "stale" };

/** Why following ended: nothing to gain from another try. */
export type Ended = "signed_out" | "gone" | "stopped";

export interface Follow {
  readonly sessionId: string;
  /** The newest event already seen, so that only what was missed is sent. */
  readonly lastEventId: string | null;
  readonly signal: AbortSignal;
  readonly onEvent: (event: LiveEvent, lastEventId: string | null) => void;
}

/** Follows until the signal, or until the server says that there is nothing to follow. */
export async function follow(options: Follow): Promise<Ended> {
  let last = options.lastEventId;
  let failures = 0;
  const take = (event: ServerEvent): void => {
    const understood = understand(event);
    if (understood === null) return;
    failures = 0;
    if (event.id !== null) last = event.id;
    options.onEvent(understood, last);
  };
  while (!options.signal.aborted) {
    const ended = await attempt(options, last, take);
    if (ended !== null) return ended;
    await pause(retryDelay(failures++), options.signal);
  }
  return "stopped";
}

/** One connection from its beginning to its end; `null`: try again. */
async function attempt(options: Follow, last: string | null, take: (event: ServerEvent) => void): Promise<Ended | null> {
  const connection = new AbortController();
  const cut = (): void => connection.abort();
  options.signal.addEventListener("abort", cut);
  const watchdog = new Watchdog(SILENCE_MAX_MS, cut);
  try {
    const response = await open(options.sessionId, last, connection.signal);
    if (response.status === 401) return "signed_out";
    if (response.status === 403 || response.status === 404) return "gone";
    if (response.ok && response.body !== null) await read(response.body, take, watchdog);
    return null;
  } catch {
    // Cut by us, by the network or by the server: what follows is the same.
    return null;
  } finally {
    watchdog.stop();
    cut();
    options.signal.removeEventListener("abort", cut);
  }
}

function open(sessionId: string, last: string | null, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { accept: "text/event-stream" };
  if (last !== null) headers["last-event-id"] = last;
  return fetch(`/v1/sessions/${encodeURIComponent(sessionId)}/live`, {
    headers,
    signal,
    cache: "no-store",
    credentials: "same-origin",
  });
}

async function read(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (event: ServerEvent) => void,
  watchdog: Watchdog,
): Promise<void> {
  const parser = new EventParser();
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    watchdog.feed();
    parser.push(value).forEach(take);
  }
}

function understand(event: ServerEvent): LiveEvent | null {
  switch (event.name) {
    case "snapshot":
      return { kind: "snapshot", points: decode.points(JSON.parse(event.data)) };
    case "sample":
      return { kind: "sample", point: decode.point(JSON.parse(event.data)) };
    case "state":
      return { kind: "state", news: decode.sessionNews(JSON.parse(event.data)) };
    case "stale":
      return { kind: "stale" };
    default:
      return null;
  }
}

/** Doubles from half a second to ten, less up to a fifth so that docks do not come all at once. */
export function retryDelay(failures: number, random: () => number = Math.random): number {
  const delay = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures, 16));
  return delay * (1 - random() / 5);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}

class Watchdog {
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly patienceMs: number,
    private readonly bark: () => void,
  ) {
    this.feed();
  }

  feed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.bark, this.patienceMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
