import { useCallback, useMemo, useState } from "react";
import type { Point } from "../api/types";
import * as format from "../model/format";
import { series } from "../model/series";
import { Plot, type Column } from "./Plot";
import { Segmented } from "./Segmented";

const MINUTES = [5, 15, 60] as const;

interface Props {
  readonly points: readonly Point[];
  readonly newestAt: number | null;
}

interface Graph {
  readonly title: string;
  readonly unit: string;
  readonly colour: string;
  readonly column: Column;
  readonly text: (value: number) => string;
}

/** Bitrate, round trip and loss, one below the other on one time axis. */
export function Graphs({ points, newestAt }: Props): React.JSX.Element {
  const [minutes, setMinutes] = useState<(typeof MINUTES)[number]>(5);
  const [hovered, setHovered] = useState<number | null>(null);
  const end = points.at(-1)?.observed_at ?? newestAt;
  const data = useMemo(() => series(points, end ?? 0, minutes * 60), [points, end, minutes]);
  const onHover = useCallback((row: number | null) => setHovered(row), []);
  const graphs: readonly Graph[] = [
    { title: "Bitrate", unit: "Mbit/s", colour: "--graph-bitrate", column: data.bitrateMbps, text: (value) => value.toFixed(1) },
    { title: "Round trip", unit: "ms", colour: "--graph-rtt", column: data.rttMs, text: (value) => value.toFixed(0) },
    { title: "Loss", unit: "%", colour: "--graph-loss", column: data.lossPct, text: (value) => value.toFixed(1) },
  ];
  return (
    <section aria-label="Graphs">
      <div className="section-head">
        <h2>History</h2>
        <Segmented label="How far back" choices={MINUTES} chosen={minutes} text={(choice) => `${choice} min`} onChoose={setMinutes} />
      </div>
      {graphs.map((graph, index) => (
        <figure key={graph.title} className="graph">
          <figcaption>
            <span>{graph.title}</span>
            <output>
              {reading(graph, hovered ?? data.time.length - 1)} {graph.unit}
              {hovered !== null && ` at ${clock(data.time[hovered])}`}
            </output>
          </figcaption>
          <Plot
            label={`${graph.title} of the last ${minutes} minutes`}
            time={data.time}
            column={graph.column}
            colour={graph.colour}
            withTimeAxis={index === graphs.length - 1}
            onHover={onHover}
          />
        </figure>
      ))}
    </section>
  );
}

function reading(graph: Graph, row: number): string {
  const value = graph.column[row];
  return value == null ? format.NOTHING : graph.text(value);
}

function clock(seconds: number | undefined): string {
  return seconds === undefined ? "" : new Date(seconds * 1000).toLocaleTimeString([], { hourCycle: "h23" });
}
