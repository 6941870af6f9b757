// The colours of links: bars and lines of the same link have the same.

const HUES = 6;

export function hueOf(lane: number): number {
  return lane % HUES;
}

/** The custom property that holds a link's colour. */
export function colourOf(lane: number): string {
  return `--hue-${hueOf(lane)}`;
}
