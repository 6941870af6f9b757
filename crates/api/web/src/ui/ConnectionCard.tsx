import { useId } from "react";
import type { Connection } from "../api/types";
import * as format from "../model/format";
import { telling } from "../model/state";
import { isBonded, view, type ConnectionView } from "../model/view";
import type { Telemetry } from "../model/telemetry";
import { Details } from "./Details";
import { useHistory, useNow } from "./hooks";
import { Icon } from "./Icon";
import { Move } from "./Move";
import { Sparkline } from "./Sparkline";

interface Props {
  readonly connection: Connection;
  readonly telemetry: Telemetry;
  readonly open: boolean;
  readonly onToggle: () => void;
  readonly onRemoved: () => Promise<void>;
}

/** How often ages are looked at. */
const TICK_MS = 500;

export function ConnectionCard({ connection, telemetry, open, onToggle, onRemoved }: Props): React.JSX.Element {
  const id = useId();
  const now = useNow(TICK_MS);
  const told = connection.session === null ? undefined : telling(connection.session);
  const history = useHistory(telemetry, told);
  const shown = view(connection, history, now);
  return (
    <article className="card" data-state={shown.state} data-newest-at={history.newestAt ?? undefined} aria-labelledby={`${id}-name`}>
      <button type="button" className="row" aria-expanded={open} aria-controls={`${id}-details`} onClick={onToggle}>
        <span className="dot" role="img" aria-label={shown.stateWord} title={shown.stateWord} />
        <span className="row-name" id={`${id}-name`}>
          {connection.name}
        </span>
        {shown.linkCount > 0 && <span className="badge">{shown.linkCount === 1 ? "1 link" : `${shown.linkCount} links`}</span>}
        <Icon name="chevron" />
        <span className="row-place">
          {place(connection)}
        </span>
        <Headline shown={shown} followed={told !== undefined && telemetry.follows(told)} />
        <Sparkline points={history.points} now={now} newestAt={history.newestAt} />
        <span className="row-health" data-level={shown.findings[0].level}>
          {shown.state === "live" && <b>{shown.findings[0].title}: </b>}
          {shown.findings[0].detail}
        </span>
      </button>
      {connection.session !== null && <Move name={connection.name} session={connection.session} bonded={isBonded(history)} />}
      <div id={`${id}-details`} hidden={!open}>
        {open && <Details connection={connection} history={history} shown={shown} onRemoved={onRemoved} />}
      </div>
    </article>
  );
}

/** "6.1 Mbit/s · 48 ms · 0.2 %", faded when it is old. */
function Headline({ shown, followed }: { readonly shown: ConnectionView; readonly followed: boolean }): React.JSX.Element {
  const { figures, freshness, ageMs } = shown;
  if (shown.state !== "live" || figures === null) {
    const text = shown.state === "live" && !followed ? "Open to see figures" : shown.stateWord;
    return <span className="row-figures quiet">{text}</span>;
  }
  return (
    <span className="row-figures" data-freshness={freshness} title={ageMs === null ? undefined : format.ago(ageMs)}>
      <span className="figure">{format.bitrate(figures.bitrateBps)}</span>
      <span className="figure">{format.ms(figures.rttMs)}</span>
      <span className="figure">{format.percent(figures.loss?.lostPct ?? null)}</span>
    </span>
  );
}

function place({ session }: Connection): string {
  if (session === null) return "on no node";
  const { node, region_fallback } = session;
  const where = node.name === node.region ? node.name : `${node.name} · ${node.region}`;
  return region_fallback ? `${where} (fallback)` : where;
}
