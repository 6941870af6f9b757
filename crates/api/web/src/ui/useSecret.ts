// A secret that is on the page only while it is shown.

import { useCallback, useEffect, useState } from "react";
import * as client from "../api/client";
import type { Urls } from "../api/types";

/** How long a secret stays shown. */
export const SHOWN_MS = 30_000;

export interface Secret {
  /** The secret while it is shown. */
  readonly value: string | null;
  readonly secondsLeft: number;
  readonly error: string | null;
  readonly show: () => Promise<void>;
  readonly hide: () => void;
}

interface Shown {
  readonly value: string;
  readonly until: number;
}

/** Fetches one URL of a connection when it is to be shown, and forgets it after 30 seconds. */
export function useSecret(name: string, which: keyof Urls): Secret {
  const [shown, setShown] = useState<Shown | null>(null);
  const [secondsLeft, setSecondsLeft] = useState(0);
  const [error, setError] = useState<string | null>(null);
  const hide = useCallback(() => setShown(null), []);
  const show = useCallback(async () => {
    try {
      const value = (await client.urls(name))[which];
      setError(null);
      setSecondsLeft(SHOWN_MS / 1000);
      setShown({ value, until: Date.now() + SHOWN_MS });
    } catch (error) {
      setError(error instanceof Error ? error.message : "It did not work.");
    }
  }, [name, which]);

  useEffect(() => {
    if (shown === null) return;
    const timer = setInterval(() => {
      const left = Math.ceil((shown.until - Date.now()) / 1000);
      if (left <= 0) setShown(null);
      else setSecondsLeft(left);
    }, 250);
    return () => clearInterval(timer);
  }, [shown]);

  return { value: shown?.value ?? null, secondsLeft, error, show, hide };
}
