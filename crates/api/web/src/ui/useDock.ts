// The page's one state: signed in or not, the list, and what is told to the user.

import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import * as client from "../api/client";
import { follow } from "../api/live";
import type { ConnectionList } from "../api/types";
import { Telemetry } from "../model/telemetry";
import { useHidden } from "./hooks";

const LIST_INTERVAL_MS = 3_000;

export type Phase = "starting" | "signed_out" | "signed_in";

export interface Dock {
  readonly phase: Phase;
  /** Why signing in did not work. */
  readonly signInError: string | null;
  readonly list: ConnectionList | null;
  /** Since when the server does not answer. */
  readonly unreachableSince: number | null;
  readonly telemetry: Telemetry;
  readonly signIn: (code: string) => Promise<void>;
  readonly signOut: () => Promise<void>;
  readonly refresh: () => Promise<void>;
}

export function useDock(code: string | null): Dock {
  const [phase, setPhase] = useState<Phase>("starting");
  const [signInError, setSignInError] = useState<string | null>(null);
  const [list, setList] = useState<ConnectionList | null>(null);
  const [unreachableSince, setUnreachableSince] = useState<number | null>(null);
  const hidden = useHidden();

  const leave = useCallback(() => {
    setPhase("signed_out");
    setList(null);
  }, []);
  const telemetry = useMemo(() => new Telemetry({ follow, now: Date.now, onSignedOut: leave }), [leave]);

  const refresh = useCallback(async () => {
    try {
      const list = await client.list();
      telemetry.serverClock(list.observed_at);
      setList(list);
      setUnreachableSince(null);
      setPhase("signed_in");
    } catch (error) {
      if (error instanceof client.Refused && error.signedOut) leave();
      else setUnreachableSince((since) => since ?? Date.now());
    }
  }, [leave, telemetry]);

  const signIn = useCallback(
    async (code: string) => {
      try {
        await client.signIn(code);
        setSignInError(null);
      } catch (error) {
        setSignInError(error instanceof Error ? error.message : null);
      }
      await refresh();
    },
    [refresh],
  );

  const signOut = useCallback(async () => {
    await client.signOut().catch(() => undefined);
    leave();
  }, [leave]);

  const started = useRef(false);
  useEffect(() => {
    // A code is good once, an effect may run twice.
    if (started.current) return;
    started.current = true;
    // eslint-disable-next-line react-hooks/set-state-in-effect -- only once an answer is there
    void (code === null ? refresh() : signIn(code));
  }, [code, refresh, signIn]);

  useEffect(() => {
    if (hidden || phase === "signed_out") return;
    const timer = setInterval(() => void refresh(), LIST_INTERVAL_MS);
    return () => clearInterval(timer);
  }, [hidden, phase, refresh]);

  useEffect(() => telemetry.onMove(() => void refresh()), [refresh, telemetry]);
  useEffect(() => telemetry.hide(hidden), [hidden, telemetry]);
  useEffect(() => () => telemetry.close(), [telemetry]);

  return { phase, signInError, list, unreachableSince, telemetry, signIn, signOut, refresh };
}
