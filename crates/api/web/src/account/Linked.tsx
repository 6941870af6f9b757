import { useState } from "react";
import * as client from "./client";
import { Field } from "./Form";
import { Providers, useProviders } from "./Providers";
import { NAMES, type Account, type Provider } from "./types";

interface Props {
  readonly account: Account;
  readonly onChanged: () => Promise<void>;
}

/** The accounts elsewhere that somebody signs in with. */
export function Linked({ account, onChanged }: Props): React.JSX.Element | null {
  const [password, setPassword] = useState("");
  const [error, setError] = useState<string | null>(null);
  const providers = useProviders();
  const linked = account.linkedAccounts;
  const others = providers.filter((provider) => !linked.some((one) => one.provider === provider));
  const unlink = async (provider: Provider): Promise<void> => {
    try {
      await client.unlink(provider);
      setError(null);
    } catch (error) {
      setError(error instanceof Error ? error.message : "Something went wrong.");
    }
    await onChanged();
  };
  if (providers.length === 0 && linked.length === 0) return null;
  return (
    <section>
      <h2>Linked accounts</h2>
      {error !== null && (
        <p className="form-error" role="alert">
          {error}
        </p>
      )}
      <ul data-testid="linked-accounts">
        {linked.map((one) => (
          <li key={one.provider}>
            <span>{NAMES[one.provider]}</span>
            <span className="dim">{one.name}</span>
            <button type="button" className="button small danger" onClick={() => void unlink(one.provider)}>
              Unlink
            </button>
          </li>
        ))}
      </ul>
      {others.length > 0 && account.hasPassword && (
        <Field label="Your password, to link one" type="password" autoComplete="current-password" value={password} onChange={setPassword} />
      )}
      <Providers start={(provider) => client.link(provider, password)} providers={others} verb="Link" />
    </section>
  );
}
