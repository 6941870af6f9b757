import { useState } from "react";
import * as client from "../api/client";
import type { Connection } from "../api/types";
import { latencyNeededMs, RTTS_NEEDED, type Finding } from "../model/health";
import type { History } from "../model/history";
import type { ConnectionView } from "../model/view";
import { Graphs } from "./Graphs";
import { Icon } from "./Icon";
import { Links } from "./Links";
import { Meter } from "./Meter";
import { Urls } from "./Urls";

interface Props {
  readonly connection: Connection;
  readonly history: History;
  readonly shown: ConnectionView;
  readonly onRemoved: () => Promise<void>;
}

export function Details({ connection, history, shown, onRemoved }: Props): React.JSX.Element {
  return (
    <div className="details">
      <Health shown={shown} />
      <Links links={shown.links} findings={shown.findings} />
      <Graphs points={history.points} newestAt={history.newestAt} />
      {connection.session !== null && <Urls name={connection.name} node={connection.session.node} />}
      <Remove connection={connection} onRemoved={onRemoved} />
    </div>
  );
}

function Health({ shown }: { readonly shown: ConnectionView }): React.JSX.Element {
  const { figures } = shown;
  return (
    <section aria-label="Health">
      <ul className="findings" aria-live="polite">
        {shown.findings.map((finding) => (
          <FindingLine key={finding.text} finding={finding} />
        ))}
      </ul>
      <div className="meters">
        <Meter
          label={`Latency needed, ${RTTS_NEEDED} × RTT`}
          used={figures === null ? null : latencyNeededMs(figures)}
          budget={figures?.latencyMs ?? null}
        />
        <Meter
          label="Node's delay budget used"
          used={figures?.delay?.usedMs ?? null}
          budget={figures?.delay?.budgetMs ?? null}
        />
      </div>
    </section>
  );
}

function FindingLine({ finding }: { readonly finding: Finding }): React.JSX.Element {
  const good = finding.level === "good" || finding.level === "idle";
  return (
    <li data-level={finding.level}>
      <Icon name={good ? "check" : "alert"} />
      <span>{finding.text}</span>
    </li>
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
