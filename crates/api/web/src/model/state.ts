// What a connection is doing, in the five words of the dock.

import type { Connection, Session, SessionNews } from "../api/types";
import type { Freshness } from "./figures";

export type State = "provisioning" | "ready" | "live" | "grace" | "error";

/** The session whose telemetry is the stream's: where its sender is. */
export function telling({ session_id, moving_from }: Session): string {
  return moving_from?.session_id ?? session_id;
}

/**
 * What the control plane says, in its list or since, corrected by what the node
 * reports each second: the list is asked for every few seconds, the rest comes at once.
 */
export function state(connection: Connection, news: SessionNews | null, publishing: boolean | null, fresh: Freshness): State {
  const { session, listed_at } = connection;
  if (session === null || !session.node.online) return "error";
  const said = news !== null && news.observed_at > listed_at ? news : session;
  // A session that ended makes room for the next one of its connection.
  if (said.status === "provisioning" || said.status === "stopped") return "provisioning";
  const live = publishing !== null && fresh !== "gone" ? publishing : said.publishing;
  if (live) return "live";
  return said.status === "grace" || said.publishing ? "grace" : "ready";
}

export const STATE_WORDS: Readonly<Record<State, string>> = {
  provisioning: "Getting ready",
  ready: "Ready",
  live: "Live",
  grace: "Sender lost",
  error: "Not available",
};
