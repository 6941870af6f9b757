import { useCallback, useEffect, useMemo, useState } from "react";
import * as client from "./client";
import { Confirm } from "./Confirm";
import { Field, Form } from "./Form";
import { Linked } from "./Linked";
import { NewPassword } from "./links";
import type { Account, SignIn } from "./types";

interface Props {
  readonly account: Account;
  readonly onSignedOut: () => Promise<void>;
  readonly onChanged: () => Promise<void>;
}

/** What somebody who is signed in sees. */
export function Home({ account, onSignedOut, onChanged }: Props): React.JSX.Element {
  const leave = async (): Promise<void> => {
    await client.signOut();
    await onSignedOut();
  };
  return (
    <>
      <header>
        <p>
          {account.displayName}
          {account.email !== null && <span className="dim"> {account.email}</span>}
        </p>
        <button type="button" className="button small" onClick={() => void leave()}>
          Sign out
        </button>
      </header>
      <DeviceCode />
      <SignIns />
      <Linked account={account} onChanged={onChanged} />
      {account.hasPassword && <Password />}
    </>
  );
}

/** Lets somebody type the code that a dock or a plugin shows. */
function DeviceCode(): React.JSX.Element {
  const [typed, setTyped] = useState("");
  const [code, setCode] = useState<string | null>(null);
  const named = useMemo(() => (code === null ? null : { code }), [code]);
  const finish = useCallback((): Promise<void> => {
    setCode(null);
    setTyped("");
    return Promise.resolve();
  }, []);
  if (named !== null) return <Confirm named={named} onDone={finish} />;
  const submit = (): Promise<void> => {
    setCode(typed);
    return Promise.resolve();
  };
  return (
    <section>
      <h2>Sign a device in</h2>
      <Form submit="Look it up" onSubmit={submit}>
        <Field label="The code that it shows" type="text" autoComplete="off" value={typed} onChange={setTyped} />
      </Form>
    </section>
  );
}

function SignIns(): React.JSX.Element {
  const [signIns, setSignIns] = useState<readonly SignIn[]>([]);
  const [error, setError] = useState<string | null>(null);
  const refresh = useCallback(async () => {
    try {
      setSignIns(await client.signIns());
      setError(null);
    } catch (error) {
      setError(error instanceof Error ? error.message : "Something went wrong.");
    }
  }, []);
  useEffect(() => {
    // eslint-disable-next-line react-hooks/set-state-in-effect -- only once an answer is there
    void refresh();
  }, [refresh]);
  const end = async (id: string): Promise<void> => {
    await client.end(id).catch(() => undefined);
    await refresh();
  };
  return (
    <section>
      <h2>Signed in</h2>
      {error !== null && <p className="form-error">{error}</p>}
      <ul data-testid="sign-ins">
        {signIns.map((signIn) => (
          <li key={signIn.id}>
            <span>
              {signIn.kind}
              {signIn.current && " (this one)"}
            </span>
            <span className="dim">{signIn.device}</span>
            <span className="dim">since {new Date(signIn.createdAt).toLocaleString()}</span>
            {!signIn.current && (
              <button type="button" className="button small danger" onClick={() => void end(signIn.id)}>
                End
              </button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Password(): React.JSX.Element {
  const [current, setCurrent] = useState("");
  const [fresh, setFresh] = useState("");
  const [done, setDone] = useState(false);
  const submit = async (): Promise<void> => {
    await client.changePassword(current, fresh);
    setCurrent("");
    setFresh("");
    setDone(true);
  };
  return (
    <section>
      <h2>Password</h2>
      <Form submit="Change it" onSubmit={submit}>
        <Field label="Current password" type="password" autoComplete="current-password" value={current} onChange={setCurrent} />
        <NewPassword value={fresh} onChange={setFresh} />
      </Form>
      {done && <p role="status">Changed. Everything else is signed out.</p>}
    </section>
  );
}
