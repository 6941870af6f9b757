import * as format from "../model/format";
import type { Finding } from "../model/health";
import type { ShownLink } from "../model/links";
import { hueOf } from "./hue";
import { LinkTypeIcon } from "./LinkTypeIcon";

interface Props {
  readonly label: string;
  readonly links: readonly ShownLink[];
  readonly findings: readonly Finding[];
}

/** One bar for each uplink, as long as its share. */
export function Links({ label, links, findings }: Props): React.JSX.Element | null {
  if (links.length === 0) return null;
  return (
    <section aria-label={label}>
      <h2>Links</h2>
      <ul className="links">
        {links.map((link) => (
          <LinkRow key={link.lane} link={link} isProblem={findings.some((finding) => finding.lane === link.lane)} />
        ))}
      </ul>
    </section>
  );
}

function LinkRow({ link, isProblem }: { readonly link: ShownLink; readonly isProblem: boolean }): React.JSX.Element {
  return (
    <li className="link" data-hue={hueOf(link.lane)} data-faded={link.faded} data-problem={isProblem} title={more(link)}>
      <span className="link-name">
        <LinkTypeIcon type={link.type} />
        <span>{link.name}</span>
      </span>
      <span className="link-rate">{format.bitrate(link.bitrateBps)}</span>
      <span className="track">
        <span className="fill" style={{ transform: `scaleX(${(link.sharePct / 100).toFixed(3)})` }} />
      </span>
      <span className="link-figures">{figures(link)}</span>
      <span className="link-share">{format.share(link.sharePct)}</span>
    </li>
  );
}

function figures(link: ShownLink): string {
  if (link.faded) return `silent, ${format.ago(link.silentMs)}`;
  return `${delay(link)} · ${format.percent(link.lossPct)} loss`;
}

/** The round trip, or how far it is behind when its sender tells none. */
function delay({ rttMs, delayMs }: ShownLink): string {
  return rttMs === null && delayMs !== null ? `+${format.ms(delayMs)}` : format.ms(rttMs);
}

/** What is worth a look, and not worth the room. */
function more({ name, jitterMs, uptimeS }: ShownLink): string {
  const jitter = jitterMs === null ? [] : [`jitter ${format.ms(jitterMs)}`];
  const uptime = uptimeS === null ? [] : [`connected for ${format.duration(uptimeS)}`];
  return [name, ...jitter, ...uptime].join(" · ");
}
