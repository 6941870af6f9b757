import { useState } from "react";
import { DeviceSignIn } from "./DeviceSignIn";
import { Icon } from "./Icon";
import { codeFrom } from "./sign-in-code";

interface Props {
  readonly error: string | null;
  readonly onCode: (code: string) => Promise<void>;
}

interface PageProps extends Props {
  /** Somebody confirmed this dock. */
  readonly onSignedIn: () => Promise<void>;
}

/** How one gets in. Another way to sign in is another section here. */
export function SignIn({ error, onCode, onSignedIn }: PageProps): React.JSX.Element {
  return (
    <main className="sign-in">
      <h1>
        <Icon name="logo" /> Streamhaul
      </h1>
      <DeviceSignIn onSignedIn={onSignedIn} />
      <OneTimeLink error={error} onCode={onCode} />
    </main>
  );
}

function OneTimeLink({ error, onCode }: Props): React.JSX.Element {
  const [pasted, setPasted] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: React.SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    await onCode(codeFrom(pasted));
    setBusy(false);
    setPasted("");
  };
  return (
    <form className="stack" onSubmit={(event) => void submit(event)}>
      <p>
        On the server, run <code>streamhaul dock-url</code>. Open the link that it prints, or paste it here. It works once.
      </p>
      <label className="field">
        <span>Sign-in link</span>
        <input
          type="password"
          autoComplete="off"
          spellCheck={false}
          value={pasted}
          onChange={(event) => setPasted(event.target.value)}
          required
        />
      </label>
      {error !== null && (
        <p className="form-error" role="alert">
          {error}
        </p>
      )}
      <button type="submit" className="button primary" disabled={busy || pasted === ""}>
        Sign in
      </button>
    </form>
  );
}
