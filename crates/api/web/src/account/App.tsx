import { useCallback, useEffect, useState } from "react";
import { Icon } from "../ui/Icon";
import type { Arrival } from "./arrival";
import * as client from "./client";
import { Confirm } from "./Confirm";
import { Home } from "./Home";
import { Accept, Reset, Verify } from "./links";
import { SignIn } from "./SignIn";
import type { Account } from "./types";

/** What the page knows of who looks at it. */
type Visitor = Account | "unknown" | "stranger";

export function App({ arrival }: { readonly arrival: Arrival }): React.JSX.Element {
  const [reason, setReason] = useState<Arrival>(arrival);
  const [visitor, setVisitor] = useState<Visitor>("unknown");
  const [error, setError] = useState<string | null>(null);
  const look = useCallback(async () => {
    try {
      setVisitor(await client.account());
      setError(null);
    } catch (error) {
      if (error instanceof client.Refused && error.signedOut) setVisitor("stranger");
      else setError(error instanceof Error ? error.message : "Something went wrong.");
    }
  }, []);
  useEffect(() => {
    // eslint-disable-next-line react-hooks/set-state-in-effect -- only once an answer is there
    void look();
  }, [look]);
  const done = useCallback(async () => {
    setReason({ kind: "plain" });
    await look();
  }, [look]);
  return (
    <main className="account">
      <h1>
        <Icon name="logo" /> Streamhaul
      </h1>
      {error !== null && (
        <p className="form-error" role="alert">
          {error}
        </p>
      )}
      {reason.kind === "plain" && reason.notice !== undefined && <p role="status">{reason.notice}</p>}
      <Page reason={reason} visitor={visitor} onDone={done} onSignedIn={look} />
    </main>
  );
}

interface PageProps {
  readonly reason: Arrival;
  readonly visitor: Visitor;
  readonly onDone: () => Promise<void>;
  readonly onSignedIn: () => Promise<void>;
}

function Page({ reason, visitor, onDone, onSignedIn }: PageProps): React.JSX.Element | null {
  if (reason.kind === "invite") return <Accept token={reason.token} onDone={onDone} />;
  if (reason.kind === "reset") return <Reset token={reason.token} onDone={onDone} />;
  if (reason.kind === "verify") return <Verify token={reason.token} onDone={onDone} />;
  if (visitor === "unknown") return null;
  if (visitor === "stranger") return <SignIn forDevice={reason.kind === "device"} onSignedIn={onSignedIn} />;
  if (reason.kind === "device") return <Confirm named={{ attempt: reason.attempt }} onDone={onDone} />;
  return <Home account={visitor} onSignedOut={onSignedIn} onChanged={onSignedIn} />;
}
