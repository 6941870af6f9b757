// What components need from the browser: the time, whether anybody looks, telemetry.

import { useEffect, useState, useSyncExternalStore } from "react";
import { EMPTY, type History } from "../model/history";
import type { Telemetry } from "../model/telemetry";

/** The time, again and again: ages grow although nothing arrives. */
export function useNow(intervalMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), intervalMs);
    return () => clearInterval(timer);
  }, [intervalMs]);
  return now;
}

/** Whether the page is hidden: another tab, a closed dock, a locked phone. */
export function useHidden(): boolean {
  return useSyncExternalStore(onVisibility, () => document.hidden);
}

function onVisibility(listener: () => void): () => void {
  document.addEventListener("visibilitychange", listener);
  return () => document.removeEventListener("visibilitychange", listener);
}

export function useHistory(telemetry: Telemetry, sessionId: string | undefined): History {
  return useSyncExternalStore(telemetry.subscribe, () => (sessionId === undefined ? EMPTY : telemetry.history(sessionId)));
}
