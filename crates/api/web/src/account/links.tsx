import { useEffect, useRef, useState } from "react";
import * as client from "./client";
import { Field, Form } from "./Form";
import { Providers, useProviders } from "./Providers";

/** As the server wants it. */
export const PASSWORD_LENGTH_MIN = 10;

interface Props {
  readonly token: string;
  readonly onDone: () => Promise<void>;
}

/** Makes the account that an invitation allows. */
export function Accept({ token, onDone }: Props): React.JSX.Element {
  const [email, setEmail] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const providers = useProviders();
  useEffect(() => {
    client.invitation(token).then(setEmail, (error: unknown) => setError(error instanceof Error ? error.message : null));
  }, [token]);
  const submit = async (): Promise<void> => {
    await client.accept(token, name, password);
    await onDone();
  };
  if (error !== null) return <Refusal message={error} onDone={onDone} />;
  return (
    <>
      <h2>Welcome</h2>
      <p>{email ?? "…"}</p>
      <Form submit="Make my account" onSubmit={submit}>
        <Field label="Name" type="text" autoComplete="name" value={name} onChange={setName} />
        <NewPassword value={password} onChange={setPassword} />
      </Form>
      <Providers start={(provider) => client.signInWith(provider, token)} providers={providers} verb="Come in with" />
    </>
  );
}

/** Sets a new password for who forgot theirs. */
export function Reset({ token, onDone }: Props): React.JSX.Element {
  const [password, setPassword] = useState("");
  const submit = async (): Promise<void> => {
    await client.reset(token, password);
    await onDone();
  };
  return (
    <>
      <h2>New password</h2>
      <p>Every browser, plugin and dock will be signed out.</p>
      <Form submit="Set it" onSubmit={submit}>
        <NewPassword value={password} onChange={setPassword} />
      </Form>
    </>
  );
}

/** Proves an address: that the link was followed is all it takes. */
export function Verify({ token, onDone }: Props): React.JSX.Element {
  const [outcome, setOutcome] = useState<string | null>(null);
  const started = useRef(false);
  useEffect(() => {
    // A link is good once, an effect may run twice.
    if (started.current) return;
    started.current = true;
    client.verify(token).then(
      () => setOutcome("The address is yours now."),
      (error: unknown) => setOutcome(error instanceof Error ? error.message : "Something went wrong."),
    );
  }, [token]);
  return <Refusal message={outcome ?? "…"} onDone={onDone} />;
}

function Refusal({ message, onDone }: { readonly message: string; readonly onDone: () => Promise<void> }): React.JSX.Element {
  return (
    <>
      <p role="status">{message}</p>
      <button type="button" className="button" onClick={() => void onDone()}>
        Go on
      </button>
    </>
  );
}

interface PasswordProps {
  readonly value: string;
  readonly onChange: (value: string) => void;
}

export function NewPassword({ value, onChange }: PasswordProps): React.JSX.Element {
  return (
    <Field
      label="New password"
      type="password"
      autoComplete="new-password"
      minLength={PASSWORD_LENGTH_MIN}
      value={value}
      onChange={onChange}
    />
  );
}
