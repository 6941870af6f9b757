import { Icon } from "./Icon";
import { choose, next, useTheme, type Theme } from "./theme";

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
      <ThemeButton />
      <button type="button" className="icon-button" aria-expanded={adding} aria-label="Add a connection" title="Add a connection" onClick={onAdd}>
        <Icon name={adding ? "close" : "plus"} />
      </button>
      <button type="button" className="icon-button" aria-label="Sign out" title="Sign out" onClick={() => void onSignOut()}>
        <Icon name="leave" />
      </button>
    </header>
  );
}

const WORDS: Readonly<Record<Theme, string>> = {
  system: "Colours: as the system",
  light: "Colours: light",
  dark: "Colours: dark",
};

function ThemeButton(): React.JSX.Element {
  const theme = useTheme();
  return (
    <button type="button" className="icon-button" aria-label={WORDS[theme]} title={WORDS[theme]} onClick={() => choose(next(theme))}>
      <Icon name={theme} />
    </button>
  );
}
