import { useEffect, useState } from "react";
import { AddConnection } from "./AddConnection";
import { ConnectionCard } from "./ConnectionCard";
import { Header } from "./Header";
import { useNow } from "./hooks";
import { SignIn } from "./SignIn";
import { useDock, type Dock } from "./useDock";
import * as format from "../model/format";
import { telling } from "../model/state";

/** The page; `code` is what a sign-in link brought. */
export function App({ code }: { readonly code: string | null }): React.JSX.Element {
  const dock = useDock(code);
  if (dock.phase === "signed_out") return <SignIn error={dock.signInError} onCode={dock.signIn} onSignedIn={dock.refresh} />;
  return <Connections dock={dock} />;
}

function Connections({ dock }: { readonly dock: Dock }): React.JSX.Element {
  const [adding, setAdding] = useState(false);
  const [opened, setOpened] = useState<readonly string[]>([]);
  const { list, telemetry } = dock;
  useEffect(() => {
    const connections = list?.connections ?? [];
    const order = [...connections.filter(({ name }) => opened.includes(name)), ...connections.filter(({ name }) => !opened.includes(name))];
    telemetry.want(order.flatMap(({ session }) => (session === null ? [] : telling(session))));
  }, [list, opened, telemetry]);
  const toggle = (name: string): void => {
    setOpened((opened) => (opened.includes(name) ? opened.filter((other) => other !== name) : [name, ...opened]));
  };
  return (
    <div className="dock">
      <Header adding={adding} onAdd={() => setAdding(!adding)} onSignOut={dock.signOut} />
      <Outage since={dock.unreachableSince} />
      <main>
        {adding && list !== null && (
          <AddConnection
            regions={list.regions}
            onDone={async () => {
              await dock.refresh();
              setAdding(false);
            }}
          />
        )}
        {list?.connections.map((connection) => (
          <ConnectionCard
            key={connection.name}
            connection={connection}
            telemetry={telemetry}
            open={opened.includes(connection.name)}
            onToggle={() => toggle(connection.name)}
            onRemoved={dock.refresh}
          />
        ))}
        {list?.connections.length === 0 && !adding && <Empty onAdd={() => setAdding(true)} />}
      </main>
    </div>
  );
}

function Outage({ since }: { readonly since: number | null }): React.JSX.Element | null {
  const now = useNow(1000);
  if (since === null) return null;
  return (
    <p className="outage" role="status">
      The server does not answer, last seen {format.ago(Math.max(0, now - since))}. Streams go on without it.
    </p>
  );
}

function Empty({ onAdd }: { readonly onAdd: () => void }): React.JSX.Element {
  return (
    <section className="empty">
      <h2>No connection yet</h2>
      <p>Add one: it gives you a URL for the phone or the encoder, and one for OBS. Both stay the same.</p>
      <button type="button" className="button primary" onClick={onAdd}>
        Add a connection
      </button>
    </section>
  );
}
