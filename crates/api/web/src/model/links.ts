// The uplinks of a bonded sender, each with a name and what it is worth right now.

import type { Link } from "../api/types";

/** A link silent for this long fades. */
export const FADES_AFTER_MS = 3_000;
/** A link silent for this long goes. */
export const GOES_AFTER_MS = 10_000;

export interface ShownLink {
  readonly id: string;
  readonly name: string;
  readonly bitrateBps: number;
  readonly rttMs: number | null;
  readonly lossPct: number | null;
  readonly sharePct: number;
  readonly silentMs: number;
  readonly faded: boolean;
}

/**
 * The links to show, `ageMs` after they were observed: silence goes on while no
 * report comes. They keep the order in which they registered, so that bars do not jump.
 */
export function shownLinks(links: readonly Link[], ageMs: number): ShownLink[] {
  const names = carrierNames(links);
  return links
    .map((link, index) => ({
      id: link.link_id,
      name: names[index] ?? "",
      bitrateBps: link.bitrate_bps,
      rttMs: link.rtt_us === null ? null : link.rtt_us / 1000,
      lossPct: link.loss_pct,
      sharePct: link.share_pct,
      silentMs: link.last_ms_ago + ageMs,
      faded: link.last_ms_ago + ageMs > FADES_AFTER_MS,
    }))
    .filter((link) => link.silentMs <= GOES_AFTER_MS);
}

/** Carrier names; two links of one carrier are told apart by a number. */
function carrierNames(links: readonly Link[]): string[] {
  const carriers = links.map((link, index) => link.asn_org ?? `Link ${index + 1}`);
  return carriers.map((carrier, index) => {
    const alone = carriers.filter((other) => other === carrier).length === 1;
    const number = carriers.slice(0, index + 1).filter((other) => other === carrier).length;
    return alone ? carrier : `${carrier} ${number}`;
  });
}
