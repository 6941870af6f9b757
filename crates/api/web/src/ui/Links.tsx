import * as format from "../model/format";
import type { Finding } from "../model/health";
import type { ShownLink } from "../model/links";

interface Props {
  readonly links: readonly ShownLink[];
  readonly findings: readonly Finding[];
}

/** One bar for each uplink, as long as its share. */
export function Links({ links, findings }: Props): React.JSX.Element | null {
  if (links.length === 0) return null;
  return (
    <section aria-label="Links">
      <h2>Links</h2>
      <ul className="links">
        {links.map((link, index) => (
          <li
            key={link.id}
            className="link"
            data-hue={index % 6}
            data-faded={link.faded}
            data-problem={findings.some((finding) => finding.linkId === link.id)}
          >
            <span className="link-name" title={link.name}>
              {link.name}
            </span>
            <span className="link-rate">{format.bitrate(link.bitrateBps)}</span>
            <span className="track">
              <span className="fill" style={{ transform: `scaleX(${(link.sharePct / 100).toFixed(3)})` }} />
            </span>
            <span className="link-figures">{figures(link)}</span>
            <span className="link-share">{format.share(link.sharePct)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function figures(link: ShownLink): string {
  if (link.faded) return `silent, ${format.ago(link.silentMs)}`;
  return `${format.ms(link.rttMs)} · ${format.percent(link.lossPct)} loss`;
}
