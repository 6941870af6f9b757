import { useEffect, useState } from "react";
import * as client from "../api/client";
import type { DeviceCode } from "../api/types";

interface Props {
  readonly onSignedIn: () => Promise<void>;
}

/** Signs in by a code that a browser with an account confirms. */
export function DeviceSignIn({ onSignedIn }: Props): React.JSX.Element {
  const [asked, setAsked] = useState<DeviceCode | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    if (asked === null) return;
    const timer = setInterval(() => {
      client.isConfirmed(asked).then(
        (confirmed) => (confirmed ? void onSignedIn() : undefined),
        (error: unknown) => {
          // A network that is away for a while is no answer.
          if (!(error instanceof client.Refused)) return;
          setError(error.message);
          setAsked(null);
        },
      );
    }, asked.pollIntervalMs);
    return () => clearInterval(timer);
  }, [asked, onSignedIn]);
  const ask = async (): Promise<void> => {
    setError(null);
    try {
      setAsked(await client.askForCode());
    } catch (error) {
      setError(error instanceof Error ? error.message : null);
    }
  };
  return (
    <section className="stack">
      {asked === null ? (
        <button type="button" className="button primary" onClick={() => void ask()}>
          Sign in with your account
        </button>
      ) : (
        <Code asked={asked} />
      )}
      {error !== null && (
        <p className="form-error" role="alert">
          {error}
        </p>
      )}
    </section>
  );
}

function Code({ asked }: { readonly asked: DeviceCode }): React.JSX.Element {
  return (
    <>
      <p>
        Open{" "}
        <a href={asked.url} target="_blank" rel="noreferrer">
          {asked.url.split("?")[0]}
        </a>{" "}
        in a browser, sign in, and confirm that it shows this code:
      </p>
      <p className="device-code" data-testid="device-code">
        {asked.code}
      </p>
    </>
  );
}
