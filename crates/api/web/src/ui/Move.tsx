import type { Session } from "../api/types";
import { UrlField } from "./Urls";

interface Props {
  /** The connection's. */
  readonly name: string;
  readonly session: Session;
  /** Whether the sender is one that bonds. */
  readonly bonded: boolean;
}

/** Tells that the stream moves, and where its sender and OBS are to come; until the sender has. */
export function Move({ name, session, bonded }: Props): React.JSX.Element | null {
  const { node, moving_from } = session;
  if (moving_from === null) return null;
  return (
    <section className="move" aria-label={`${name}: The stream moves`}>
      <p role="status">
        <b>
          This stream moves from {moving_from.node_name} to {node.name}.
        </b>{" "}
        Connect the sender there, then OBS:
      </p>
      <UrlField name={name} node={node} kind={bonded ? "srtla" : "srt"} label="new sender URL" />
      <UrlField name={name} node={node} kind="media" label="new OBS media source" />
    </section>
  );
}
