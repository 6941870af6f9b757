import { useId, useState } from "react";

interface FieldProps {
  readonly label: string;
  readonly type: "email" | "password" | "text";
  readonly value: string;
  readonly autoComplete: string;
  readonly onChange: (value: string) => void;
  readonly minLength?: number;
}

export function Field({ label, type, value, autoComplete, onChange, minLength }: FieldProps): React.JSX.Element {
  const id = useId();
  return (
    <label className="field" htmlFor={id}>
      <span>{label}</span>
      <input
        id={id}
        type={type}
        value={value}
        autoComplete={autoComplete}
        minLength={minLength}
        onChange={(event) => onChange(event.target.value)}
        required
      />
    </label>
  );
}

interface FormProps {
  readonly submit: string;
  readonly onSubmit: () => Promise<void>;
  readonly children: React.ReactNode;
}

/** Fields and a button; what the server refuses is said under them. */
export function Form({ submit, onSubmit, children }: FormProps): React.JSX.Element {
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const send = async (event: React.SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onSubmit();
    } catch (error) {
      setError(error instanceof Error ? error.message : "Something went wrong.");
    }
    setBusy(false);
  };
  return (
    <form className="stack" onSubmit={(event) => void send(event)}>
      {children}
      {error !== null && (
        <p className="form-error" role="alert">
          {error}
        </p>
      )}
      <button type="submit" className="button primary" disabled={busy}>
        {submit}
      </button>
    </form>
  );
}
