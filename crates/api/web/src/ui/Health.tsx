import { RTTS_NEEDED, type Finding } from "../model/health";
import type { ConnectionView } from "../model/view";
import { Icon, type IconName } from "./Icon";
import { Meter } from "./Meter";

interface Props {
  readonly label: string;
  readonly shown: ConnectionView;
}

/** Whether the stream is fine, and how much room is left. */
export function Health({ label, shown }: Props): React.JSX.Element {
  const { figures, needed, findings } = shown;
  const [worst, ...others] = findings;
  return (
    <section aria-label={label}>
      <Verdict worst={worst} others={others} />
      <div className="meters">
        <Meter
          label={`Latency, needs ≥ ${RTTS_NEEDED} × RTT`}
          used={needed?.latencyMs ?? null}
          budget={figures?.latencyMs ?? null}
        />
        <Meter
          label="Node's delay budget used"
          used={figures?.delay?.usedMs ?? null}
          budget={figures?.delay?.budgetMs ?? null}
        />
      </div>
    </section>
  );
}

const ICONS: Readonly<Record<Finding["level"], IconName>> = { good: "check", idle: "wait", warning: "alert", bad: "alert" };

interface VerdictProps {
  readonly worst: Finding;
  /** Marked where they are: at a link, at a meter. */
  readonly others: readonly Finding[];
}

/** Two lines whatever there is to say: what is below does not move. */
function Verdict({ worst, others }: VerdictProps): React.JSX.Element {
  return (
    <div className="verdict" data-level={worst.level}>
      <Icon name={ICONS[worst.level]} />
      {/* Only the title is read out: the figures change each second. */}
      <strong aria-live="polite">{worst.title}</strong>
      {others.length > 0 && <More findings={others} />}
      <span className="verdict-detail">{worst.detail}</span>
    </div>
  );
}

function More({ findings }: { readonly findings: readonly Finding[] }): React.JSX.Element {
  const titles = findings.map(({ title }) => title).join(", ");
  return (
    <span className="verdict-more" title={titles}>
      <span aria-hidden="true">+{findings.length}</span>
      <span className="offscreen">and {titles}</span>
    </span>
  );
}
