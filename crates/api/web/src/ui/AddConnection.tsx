import { useState } from "react";
import * as client from "../api/client";

interface Props {
  readonly regions: readonly string[];
  readonly onDone: () => Promise<void>;
}

const NAME_LENGTH_MAX = 64;
/** The API's alphabet; what people type between words becomes a hyphen. */
const NOT_IN_NAMES = /[^0-9A-Za-z_.:-]/g;

export function AddConnection({ regions, onDone }: Props): React.JSX.Element {
  const [name, setName] = useState("");
  const [region, setRegion] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: React.SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await client.add(name, region === "" ? null : region);
      await onDone();
    } catch (error) {
      setError(error instanceof Error ? error.message : "It did not work.");
      setBusy(false);
    }
  };
  return (
    <form className="card add stack" onSubmit={(event) => void submit(event)}>
      <label className="field">
        <span>Name</span>
        <input
          autoFocus
          autoComplete="off"
          spellCheck={false}
          placeholder="Phone"
          maxLength={NAME_LENGTH_MAX}
          value={name}
          onChange={(event) => setName(nameOf(event.target.value))}
          required
        />
      </label>
      {regions.length > 1 && (
        <label className="field">
          <span>Region</span>
          <select value={region} onChange={(event) => setRegion(event.target.value)}>
            <option value="">Any</option>
            {regions.map((region) => (
              <option key={region}>{region}</option>
            ))}
          </select>
        </label>
      )}
      {error !== null && (
        <p className="form-error" role="alert">
          {error}
        </p>
      )}
      <button type="submit" className="button primary" disabled={busy || name === ""}>
        {busy ? "Adding…" : "Add"}
      </button>
    </form>
  );
}

export function nameOf(typed: string): string {
  return typed.replace(/\s+/g, "-").replace(NOT_IN_NAMES, "");
}
