// The telemetry of all connections on the page: who is followed, and what came.
//
// A browser opens at most six connections to a server that speaks HTTP/1.1, and
// requests need some. So a few sessions are followed at once, those that are open
// on the page first; and none while the page is hidden. Following goes on where it
// stopped: the server sends what was missed.

import { follow, type Ended, type LiveEvent } from "../api/live";
import { accept, EMPTY, type History } from "./history";

/** Sessions followed at the same time. */
export const FOLLOWED_MAX = 4;

interface Session {
  history: History;
  lastEventId: string | null;
  following: AbortController | null;
  /** The server knows no such session; the list will say so too. */
  gone: boolean;
}

export interface Surroundings {
  readonly follow: typeof follow;
  readonly now: () => number;
  readonly onSignedOut: () => void;
}

export class Telemetry {
  readonly #sessions = new Map<string, Session>();
  readonly #listeners = new Set<() => void>();
  readonly #moveListeners = new Set<() => void>();
  #wanted: readonly string[] = [];
  #hidden = false;
  #clockAhead = 0;

  constructor(private readonly surroundings: Surroundings) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Listens to when a stream goes to another session, which the list has. */
  readonly onMove = (listener: () => void): (() => void) => {
    this.#moveListeners.add(listener);
    return () => this.#moveListeners.delete(listener);
  };

  history(sessionId: string): History {
    return this.#sessions.get(sessionId)?.history ?? EMPTY;
  }

  /** Whether a session is among those that are followed. */
  follows(sessionId: string): boolean {
    return this.#wanted.slice(0, FOLLOWED_MAX).includes(sessionId);
  }

  /** The sessions on the page, the most important first; others are forgotten. */
  want(sessionIds: readonly string[]): void {
    this.#wanted = sessionIds;
    for (const [id, session] of this.#sessions) {
      if (sessionIds.includes(id)) continue;
      session.following?.abort();
      this.#sessions.delete(id);
    }
    this.#arrange();
  }

  hide(hidden: boolean): void {
    this.#hidden = hidden;
    this.#arrange();
  }

  /** What the server's clock said just now. */
  serverClock(observedAt: number): void {
    this.#clockAhead = observedAt - this.surroundings.now();
  }

  /** Ends everything. */
  close(): void {
    this.want([]);
  }

  #arrange(): void {
    const followed = this.#hidden ? [] : this.#wanted.slice(0, FOLLOWED_MAX);
    for (const [id, session] of this.#sessions) {
      if (followed.includes(id)) continue;
      session.following?.abort();
      session.following = null;
    }
    for (const id of followed) this.#begin(id);
  }

  #begin(id: string): void {
    const session = this.#sessions.get(id) ?? { history: EMPTY, lastEventId: null, following: null, gone: false };
    this.#sessions.set(id, session);
    if (session.following !== null || session.gone) return;
    const following = new AbortController();
    session.following = following;
    const onEvent = (event: LiveEvent, lastEventId: string | null): void => {
      // What was read before the end may still arrive after it.
      if (session.following === following) this.#take(session, event, lastEventId);
    };
    const { lastEventId } = session;
    void this.surroundings
      .follow({ sessionId: id, lastEventId, signal: following.signal, onEvent })
      .then((ended) => this.#end(session, following, ended));
  }

  #take(session: Session, event: LiveEvent, lastEventId: string | null): void {
    const known = session.history.news?.moved_to ?? null;
    session.history = accept(session.history, event, this.surroundings.now(), this.#clockAhead);
    session.lastEventId = lastEventId;
    for (const listener of this.#listeners) listener();
    const movedTo = session.history.news?.moved_to ?? null;
    if (movedTo === null || movedTo === known) return;
    for (const listener of this.#moveListeners) listener();
  }

  #end(session: Session, following: AbortController, ended: Ended): void {
    if (session.following !== following) return;
    session.following = null;
    session.gone = ended === "gone";
    if (ended === "signed_out") this.surroundings.onSignedOut();
  }
}
