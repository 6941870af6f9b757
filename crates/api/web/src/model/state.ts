// What a connection is doing, in the five words of the dock.

import type { Connection } from "../api/types";
import type { Freshness } from "./figures";

export type State = "provisioning" | "ready" | "live" | "grace" | "error";

/**
 * What the control plane says, corrected by what the node reports each second: the
 * list is asked for every few seconds, the points come at once.
 */
export function state({ session }: Connection, publishing: boolean | null, fresh: Freshness): State {
  if (session === null || !session.node.online) return "error";
  if (session.status === "provisioning") return "provisioning";
  const live = publishing !== null && fresh !== "gone" ? publishing : session.publishing;
  if (live) return "live";
  return session.status === "grace" || session.publishing ? "grace" : "ready";
}

export const STATE_WORDS: Readonly<Record<State, string>> = {
  provisioning: "Getting ready",
  ready: "Ready",
  live: "Live",
  grace: "Sender lost",
  error: "Not available",
};
