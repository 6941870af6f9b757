import { useEffect, useState } from "react";
import { leave as goTo } from "./arrival";
import * as client from "./client";
import { NAMES, type Provider } from "./types";

interface Props {
  /** Begins a visit: where the browser goes. */
  readonly start: (provider: Provider) => Promise<string>;
  readonly providers: readonly Provider[];
  readonly verb: string;
}

/** One button for each account elsewhere. */
export function Providers({ start, providers, verb }: Props): React.JSX.Element | null {
  const [error, setError] = useState<string | null>(null);
  const leave = async (provider: Provider): Promise<void> => {
    setError(null);
    try {
      goTo(await start(provider));
    } catch (error) {
      setError(error instanceof Error ? error.message : "Something went wrong.");
    }
  };
  if (providers.length === 0) return null;
  return (
    <div className="stack">
      {providers.map((provider) => (
        <button key={provider} type="button" className="button" onClick={() => void leave(provider)}>
          {verb} {NAMES[provider]}
        </button>
      ))}
      {error !== null && (
        <p className="form-error" role="alert">
          {error}
        </p>
      )}
    </div>
  );
}

/** The providers that this instance has; none until that is known. */
export function useProviders(): readonly Provider[] {
  const [providers, setProviders] = useState<readonly Provider[]>([]);
  useEffect(() => {
    // Without them the other ways in are still there.
    client.providers().then(setProviders, () => undefined);
  }, []);
  return providers;
}
