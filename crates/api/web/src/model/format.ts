// Numbers as people read them; every width is nearly constant, so that nothing jumps.

export const NOTHING = "–";

export function mbps(bps: number | null): string {
  if (bps === null) return NOTHING;
  const mbps = bps / 1e6;
  return mbps < 100 ? mbps.toFixed(1) : mbps.toFixed(0);
}

export function bitrate(bps: number | null): string {
  return `${mbps(bps)} Mbit/s`;
}

export function whole(value: number | null): string {
  return value === null ? NOTHING : `${Math.round(value)}`;
}

export function ms(ms: number | null): string {
  return `${whole(ms)} ms`;
}

/** One decimal; what is more than nothing never reads as nothing. */
export function percent(percent: number | null): string {
  if (percent === null) return `${NOTHING} %`;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  return `${percent < 99.95 ? percent.toFixed(1) : "100"} %`;
}

export function share(percent: number): string {
  return `${Math.round(percent)} %`;
}

/** How long something has lasted. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function ago(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
}
