// One uPlot on a canvas of fixed height. It is made once; a new second only sets data.

import { useEffect, useRef } from "react";
import UPlot from "uplot";
import type { Column } from "../model/series";
import { onTheme } from "./theme";

export interface Line {
  /** The custom property that holds its colour. */
  readonly colour: string;
  readonly column: Column;
}

interface Props {
  readonly label: string;
  /** Unix seconds. */
  readonly time: readonly number[];
  /** The first is of the whole stream and stands on its area, the others are thin. */
  readonly lines: readonly Line[];
  readonly withTimeAxis: boolean;
  readonly onHover: (row: number | null) => void;
}

const HEIGHT = 60;
const TIME_AXIS_HEIGHT = 18;
const VALUE_AXIS_WIDTH = 30;
const TIME_LABEL_WIDTH = 30;
const CURSOR_GROUP = "dock";
/** Between two labels of the time axis, in seconds. */
const TIME_STEPS = [60, 120, 300, 600, 900, 1800, 3600];

export function Plot({ label, time, lines, withTimeAxis, onHover }: Props): React.JSX.Element {
  // The plot is made anew when there are other lines, not when they have other values.
  const colours = lines.map(({ colour }) => colour).join(" ");
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);

  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = new UPlot(options(element, colours.split(" "), withTimeAxis, onHover), undefined, element);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize(size(element, withTimeAxis)));
    resized.observe(element);
    const forget = onTheme(() => made.redraw(false, true));
    return () => {
      forget();
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [colours, withTimeAxis, onHover]);

  useEffect(() => {
    plot.current?.setData([[...time], ...lines.map(({ column }) => [...column])]);
  }, [time, lines, colours, withTimeAxis, onHover]);

  return <div ref={place} className="plot" role="img" aria-label={label} data-axis={withTimeAxis} />;
}

function options(element: HTMLElement, colours: readonly string[], withTimeAxis: boolean, onHover: Props["onHover"]): UPlot.Options {
  const css = (name: string) => (): string => colourNow(element, name);
  const font = `10px ${getComputedStyle(element).fontFamily}`;
  const axis = { stroke: css("--text-faint"), font, ticks: { show: false } };
  return {
    ...size(element, withTimeAxis),
    legend: { show: false },
    padding: [7, 1, withTimeAxis ? 0 : 4, 0],
    cursor: {
      y: false,
      drag: { x: false, y: false },
      points: { size: 6 },
      sync: { key: CURSOR_GROUP },
    },
    scales: { y: { range: (_, __, top) => [0, roundTop(top)] } },
    axes: [
      { ...axis, show: withTimeAxis, size: TIME_AXIS_HEIGHT, gap: 2, space: 44, incrs: TIME_STEPS, grid: { show: false }, values: clocks },
      { ...axis, size: VALUE_AXIS_WIDTH, gap: 4, splits: (_, __, ___, top) => [0, top / 2, top], grid: { stroke: css("--line"), width: 1 }, values: scaleTexts },
    ],
    series: [
      {},
      ...colours.map((colour, index) => ({
        stroke: css(colour),
        width: index === 0 ? 1.5 : 1,
        points: { show: false },
        ...(index === 0 && { fill: css(`${colour}-fill`) }),
      })),
    ],
    hooks: { setCursor: [(plot) => onHover(plot.cursor.idx ?? null)] },
  };
}

/** A custom property may name other colours for light and dark; a canvas wants one. */
function colourNow(element: HTMLElement, name: string): string {
  element.style.color = `var(${name})`;
  return getComputedStyle(element).color;
}

function size(element: HTMLElement, withTimeAxis: boolean): { width: number; height: number } {
  return { width: Math.max(1, element.clientWidth), height: HEIGHT + (withTimeAxis ? TIME_AXIS_HEIGHT : 0) };
}

/** A scale's end that is easy to read and does not move with every second. */
export function roundTop(top: number | null): number {
  if (top === null || top <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(top));
  return ([1, 2, 4, 5, 8, 10].find((step) => step * power >= top) ?? 10) * power;
}

/** Labels that would stick out at an end are left out. */
function clocks(plot: UPlot, seconds: number[]): (string | null)[] {
  const width = plot.bbox.width / devicePixelRatio;
  return seconds.map((second) => {
    const x = plot.valToPos(second, "x");
    if (x < TIME_LABEL_WIDTH / 2 || x > width - TIME_LABEL_WIDTH / 2) return null;
    return new Date(second * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  });
}

function scaleTexts(_: UPlot, values: number[]): string[] {
  return values.map((value) => `${Number(value.toPrecision(3))}`);
}
