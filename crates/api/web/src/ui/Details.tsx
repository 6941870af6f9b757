import { useState } from "react";
import * as client from "../api/client";
import type { Connection } from "../api/types";
import type { History } from "../model/history";
import type { ConnectionView } from "../model/view";
import { Graphs } from "./Graphs";
import { Health } from "./Health";
import { Links } from "./Links";
import { Urls } from "./Urls";

interface Props {
  readonly connection: Connection;
  readonly history: History;
  readonly shown: ConnectionView;
  readonly onRemoved: () => Promise<void>;
}

export function Details({ connection, history, shown, onRemoved }: Props): React.JSX.Element {
  const label = (part: string): string => `${connection.name}: ${part}`;
  return (
    <div className="details">
      <Health label={label("Health")} shown={shown} />
      <Links label={label("Links")} links={shown.links} findings={shown.findings} />
      <Graphs label={label("Graphs")} history={history} />
      {connection.session !== null && <Urls name={connection.name} node={connection.session.node} />}
      <Remove connection={connection} onRemoved={onRemoved} />
    </div>
  );
}

function Remove({ connection, onRemoved }: Pick<Props, "connection" | "onRemoved">): React.JSX.Element {
  const [asked, setAsked] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const remove = async (): Promise<void> => {
    try {
      await client.remove(connection.name);
      await onRemoved();
    } catch (error) {
      setError(error instanceof Error ? error.message : "It did not work.");
    }
  };
  if (!asked) {
    return (
      <footer className="details-end">
        <button type="button" className="button quiet" onClick={() => setAsked(true)}>
          Remove the connection…
        </button>
      </footer>
    );
  }
  return (
    <footer className="details-end" role="group" aria-label="Remove the connection">
      <p>{error ?? "Remove it? The sender and OBS are cut off."}</p>
      <button type="button" className="button" autoFocus onClick={() => setAsked(false)}>
        Keep
      </button>
      <button type="button" className="button danger" onClick={() => void remove()}>
        Remove
      </button>
    </footer>
  );
}
