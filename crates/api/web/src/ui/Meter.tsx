import * as format from "../model/format";

interface Props {
  readonly label: string;
  /** Milliseconds. */
  readonly used: number | null;
  readonly budget: number | null;
}

/** How much of a budget is used. */
export function Meter({ label, used, budget }: Props): React.JSX.Element {
  const part = used === null || budget === null ? 0 : budget === 0 ? 1 : Math.min(1, used / budget);
  const over = used !== null && budget !== null && used > budget;
  const value = `${format.whole(used)} / ${format.ms(budget)}`;
  return (
    <div className="meter" role="img" aria-label={`${label}: ${value}`} data-over={over}>
      <span className="meter-label">{label}</span>
      <span className="meter-value">{value}</span>
      <span className="track">
        <span className="fill" style={{ transform: `scaleX(${part.toFixed(3)})` }} />
      </span>
    </div>
  );
}
