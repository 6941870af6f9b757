// URLs as they are shown while their keys are hidden, made without knowing the keys.

import type { Node } from "../api/types";

const HIDDEN = "•".repeat(8);

export type UrlKind = "srtla" | "srt" | "media";

export function masked(kind: UrlKind, { host, port }: Node): string {
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const [scheme, role] = kind === "srtla" ? ["srtla", "live"] : ["srt", kind === "srt" ? "live" : "play"];
  return `${scheme}://${authority}?streamid=${role}_${HIDDEN}`;
}
