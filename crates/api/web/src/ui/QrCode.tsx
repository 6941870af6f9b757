import { useMemo } from "react";
import { encode } from "uqr";

/** Four modules of white around the code, as the standard asks. */
const QUIET_ZONE = 4;

interface Props {
  readonly text: string;
  readonly label: string;
}

export function QrCode({ text, label }: Props): React.JSX.Element {
  const { size, path } = useMemo(() => draw(text), [text]);
  return (
    <svg className="qr-code" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shapeRendering="crispEdges">
      <path d={path} />
    </svg>
  );
}

function draw(text: string): { size: number; path: string } {
  const { data, size } = encode(text, { border: QUIET_ZONE, ecc: "M" });
  const squares = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : [])));
  return { size, path: squares.join("") };
}
