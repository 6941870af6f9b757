import { Icon } from "./Icon";

interface Props {
  readonly adding: boolean;
  readonly onAdd: () => void;
  readonly onSignOut: () => Promise<void>;
}

export function Header({ adding, onAdd, onSignOut }: Props): React.JSX.Element {
  return (
    <header className="header">
      <h1>
        <Icon name="logo" /> Streamhaul
      </h1>
      <button type="button" className="icon-button" aria-expanded={adding} aria-label="Add a connection" title="Add a connection" onClick={onAdd}>
        <Icon name={adding ? "close" : "plus"} />
      </button>
      <button type="button" className="icon-button" aria-label="Sign out" title="Sign out" onClick={() => void onSignOut()}>
        <Icon name="leave" />
      </button>
    </header>
  );
}
