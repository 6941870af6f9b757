import { useId } from "react";

interface Props<Choice> {
  readonly label: string;
  readonly choices: readonly Choice[];
  readonly chosen: Choice;
  readonly text: (choice: Choice) => string;
  readonly onChoose: (choice: Choice) => void;
}

/** One of a few: radio buttons in a row. */
export function Segmented<Choice extends string | number>(props: Props<Choice>): React.JSX.Element {
  const name = useId();
  return (
    <div className="segmented" role="radiogroup" aria-label={props.label}>
      {props.choices.map((choice) => (
        <label key={choice}>
          <input type="radio" name={name} checked={choice === props.chosen} onChange={() => props.onChoose(choice)} />
          <span>{props.text(choice)}</span>
        </label>
      ))}
    </div>
  );
}
