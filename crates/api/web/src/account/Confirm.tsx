import { useEffect, useState } from "react";
import * as client from "./client";
import type { Device } from "./types";

interface Props {
  readonly named: { attempt: string } | { code: string };
  readonly onDone: () => Promise<void>;
}

/** Whether a device may come in: its code must be the one that is shown here. */
export function Confirm({ named, onDone }: Props): React.JSX.Element {
  const [device, setDevice] = useState<Device | null>(null);
  const [outcome, setOutcome] = useState<string | null>(null);
  useEffect(() => {
    client.device(named).then(setDevice, (error: unknown) => setOutcome(said(error)));
  }, [named]);
  const decide = async (approve: boolean): Promise<void> => {
    if (device === null) return;
    try {
      await client.decide(device.attempt, approve);
      setOutcome(approve ? "It is signed in. Go back to it." : "It was turned away.");
    } catch (error) {
      setOutcome(said(error));
    }
  };
  if (outcome !== null) {
    return (
      <>
        <p role="status">{outcome}</p>
        <button type="button" className="button" onClick={() => void onDone()}>
          Go on
        </button>
      </>
    );
  }
  if (device === null) return <p>…</p>;
  return (
    <section className="stack">
      <h2>A device asks to be signed in as you</h2>
      <p>{device.device}</p>
      <p className="device-code" data-testid="confirm-code">
        {device.code}
      </p>
      <p>
        Confirm it only if you began this yourself and <strong>your own device shows the same code</strong>. Whoever sent you
        here by a link or a message would get into your account.
      </p>
      <button type="button" className="button primary" onClick={() => void decide(true)}>
        My device shows this code
      </button>
      <button type="button" className="button danger" onClick={() => void decide(false)}>
        Turn it away
      </button>
    </section>
  );
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong.";
}
