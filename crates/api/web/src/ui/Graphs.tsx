import { useCallback, useMemo, useState } from "react";
import * as format from "../model/format";
import type { History } from "../model/history";
import { series, type Columns, type Series } from "../model/series";
import { colourOf } from "./hue";
import { Plot, type Line } from "./Plot";
import { Segmented } from "./Segmented";

const MINUTES = [5, 15, 60] as const;

interface Props {
  readonly label: string;
  readonly history: History;
}

interface Graph {
  readonly title: string;
  readonly unit: string;
  readonly colour: string;
  readonly column: keyof Columns;
  readonly text: (value: number) => string;
}

const GRAPHS: readonly Graph[] = [
  { title: "Bitrate", unit: "Mbit/s", colour: "--graph-bitrate", column: "bitrateMbps", text: (value) => value.toFixed(1) },
  { title: "Round trip", unit: "ms", colour: "--graph-rtt", column: "rttMs", text: (value) => value.toFixed(0) },
  { title: "Loss", unit: "%", colour: "--graph-loss", column: "lossPct", text: (value) => value.toFixed(1) },
];

/** Bitrate, round trip and loss, one below the other on one time axis. */
export function Graphs({ label, history }: Props): React.JSX.Element {
  const [minutes, setMinutes] = useState<(typeof MINUTES)[number]>(5);
  const [hovered, setHovered] = useState<number | null>(null);
  const { points, lanes, newestAt } = history;
  const end = points.at(-1)?.observed_at ?? newestAt ?? 0;
  const data = useMemo(() => series(points, lanes, end, minutes * 60), [points, lanes, end, minutes]);
  const lines = useMemo(() => GRAPHS.map((graph) => linesOf(graph, data)), [data]);
  const onHover = useCallback((row: number | null) => setHovered(row), []);
  return (
    <section aria-label={label}>
      <div className="section-head">
        <h2>History</h2>
        <Segmented label="How far back" choices={MINUTES} chosen={minutes} text={(choice) => `${choice} min`} onChoose={setMinutes} />
      </div>
      {GRAPHS.map((graph, index) => (
        <figure key={graph.title} className="graph">
          <figcaption>
            <span>{graph.title}</span>
            <output>
              {reading(graph, data, hovered ?? data.time.length - 1)} {graph.unit}
              {hovered !== null && ` at ${clock(data.time[hovered])}`}
            </output>
          </figcaption>
          <Plot
            label={`${graph.title} of the last ${minutes} minutes`}
            time={data.time}
            lines={lines[index] ?? []}
            withTimeAxis={index === GRAPHS.length - 1}
            onHover={onHover}
          />
        </figure>
      ))}
    </section>
  );
}

/** The whole stream's line, and one for each link in the colour of its bar. */
function linesOf({ colour, column }: Graph, data: Series): Line[] {
  if (data.lanes.length === 0) return [{ colour, column: data[column] }];
  const links = data.lanes.map((lane) => ({ colour: colourOf(lane.lane), column: lane[column] }));
  return [{ colour: "--graph-whole", column: data[column] }, ...links];
}

function reading(graph: Graph, data: Series, row: number): string {
  const value = data[graph.column][row];
  return value == null ? format.NOTHING : graph.text(value);
}

function clock(seconds: number | undefined): string {
  return seconds === undefined ? "" : new Date(seconds * 1000).toLocaleTimeString([], { hourCycle: "h23" });
}
