import { useState } from "react";
import * as client from "./client";
import { Field, Form } from "./Form";
import { Providers, useProviders } from "./Providers";

interface Props {
  /** Whether somebody came to confirm a device. */
  readonly forDevice: boolean;
  readonly onSignedIn: () => Promise<void>;
}

type Mode = "sign-in" | "forgot" | "register";

export function SignIn({ forDevice, onSignedIn }: Props): React.JSX.Element {
  const [mode, setMode] = useState<Mode>("sign-in");
  const providers = useProviders();
  if (mode === "forgot") {
    return <Letter title="New password" send={client.forgot} onBack={() => setMode("sign-in")} />;
  }
  if (mode === "register") {
    return <Letter title="New account" send={client.register} onBack={() => setMode("sign-in")} />;
  }
  return (
    <>
      {forDevice && <p>A device asks to be signed in. Sign in here first, then confirm it.</p>}
      <Password onSignedIn={onSignedIn} />
      <Providers start={(provider) => client.signInWith(provider)} providers={providers} verb="Sign in with" />
      <nav>
        <button type="button" className="button quiet" onClick={() => setMode("forgot")}>
          Forgot the password?
        </button>
        <button type="button" className="button quiet" onClick={() => setMode("register")}>
          No account yet?
        </button>
      </nav>
    </>
  );
}

function Password({ onSignedIn }: { readonly onSignedIn: () => Promise<void> }): React.JSX.Element {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const submit = async (): Promise<void> => {
    await client.signIn(email, password);
    await onSignedIn();
  };
  return (
    <Form submit="Sign in" onSubmit={submit}>
      <Field label="E-mail" type="email" autoComplete="username" value={email} onChange={setEmail} />
      <Field label="Password" type="password" autoComplete="current-password" value={password} onChange={setPassword} />
    </Form>
  );
}

interface LetterProps {
  readonly title: string;
  readonly send: (email: string) => Promise<void>;
  readonly onBack: () => void;
}

/** Asks for a letter. Whether the address has an account, only the letter tells. */
function Letter({ title, send, onBack }: LetterProps): React.JSX.Element {
  const [email, setEmail] = useState("");
  const [sent, setSent] = useState(false);
  const submit = async (): Promise<void> => {
    await send(email);
    setSent(true);
  };
  return (
    <>
      <h2>{title}</h2>
      {sent ? (
        <p role="status">If the address can have one, a letter with a link is on its way.</p>
      ) : (
        <Form submit="Send a letter" onSubmit={submit}>
          <Field label="E-mail" type="email" autoComplete="username" value={email} onChange={setEmail} />
        </Form>
      )}
      <button type="button" className="button quiet" onClick={onBack}>
        Back
      </button>
    </>
  );
}
