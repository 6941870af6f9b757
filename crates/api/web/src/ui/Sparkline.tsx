// The last minute's bitrate, small. Its scale begins at zero and its end is now, so
// that a stream that stopped runs out of the picture.

import type { Point } from "../api/types";
import { window } from "../model/history";

const SECONDS = 60;
const WIDTH = 96;
const HEIGHT = 24;
/** So that noise around nothing does not fill the height. */
const TOP_MIN_BPS = 500_000;

interface Props {
  readonly points: readonly Point[];
  readonly now: number;
  readonly newestAt: number | null;
}

export function Sparkline({ points, now, newestAt }: Props): React.JSX.Element {
  const runs = newestAt === null ? [] : outline(points, Math.max(0, now - newestAt));
  return (
    <svg className="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <path className="area" d={runs.map(area).join("")} />
      <path d={runs.map(line).join("")} />
    </svg>
  );
}

type Place = readonly [x: number, y: number];

/** The curve's unbroken runs, in the picture's units. */
export function outline(points: readonly Point[], ageMs: number): Place[][] {
  const newest = points.at(-1);
  if (newest === undefined) return [];
  const end = newest.observed_at + ageMs;
  const shown = window(points, SECONDS);
  const top = Math.max(TOP_MIN_BPS, ...shown.map((point) => point.ingress_bitrate_bps ?? 0)) * 1.1;
  const runs: Place[][] = [[]];
  for (const point of shown) {
    const x = WIDTH - ((end - point.observed_at) / 1000 / SECONDS) * WIDTH;
    if (point.ingress_bitrate_bps === null || !point.publishing) runs.push([]);
    else if (x >= 0) runs.at(-1)?.push([x, HEIGHT - 1 - (point.ingress_bitrate_bps / top) * (HEIGHT - 2)]);
  }
  return runs.filter((run) => run.length > 1);
}

function line(run: readonly Place[]): string {
  return `M${run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
}

function area(run: readonly Place[]): string {
  return `${line(run)}L${(run.at(-1)?.[0] ?? 0).toFixed(1)} ${HEIGHT}L${(run[0]?.[0] ?? 0).toFixed(1)} ${HEIGHT}Z`;
}
