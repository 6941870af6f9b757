import { useState } from "react";
import * as client from "../api/client";
import type { Node, Urls as UrlSet } from "../api/types";
import { masked, type UrlKind } from "../model/mask";
import { moblinLink } from "../model/moblin";
import { copy } from "./copy";
import { Icon } from "./Icon";
import { QrCode } from "./QrCode";
import { Segmented } from "./Segmented";
import { useSecret } from "./useSecret";

interface Props {
  /** The connection's. */
  readonly name: string;
  readonly node: Node;
}

const PROTOCOLS = ["srtla", "srt"] as const;
type Protocol = (typeof PROTOCOLS)[number];

/** Where the sender sends and where OBS plays from. */
export function Urls({ name, node }: Props): React.JSX.Element {
  const [protocol, setProtocol] = useState<Protocol>("srtla");
  return (
    <>
      <section aria-label={`${name}: Sender URL`}>
        <div className="section-head">
          <h2>Sender URL</h2>
          <Segmented label="Protocol" choices={PROTOCOLS} chosen={protocol} text={(choice) => choice.toUpperCase()} onChoose={setProtocol} />
        </div>
        <UrlField key={protocol} name={name} node={node} kind={protocol} label="Sender URL" />
        <Moblin key={`qr-${protocol}`} name={name} protocol={protocol} />
      </section>
      <section aria-label={`${name}: OBS media source`}>
        <h2>OBS media source</h2>
        <UrlField name={name} node={node} kind="media" label="OBS media source" />
      </section>
    </>
  );
}

const FIELDS: Readonly<Record<UrlKind, keyof UrlSet>> = {
  srtla: "sender_srtla_url",
  srt: "sender_srt_url",
  media: "media_source_url",
};

/** A URL that is hidden until somebody wants to see it, and is copied without. */
export function UrlField({ name, node, kind, label }: Props & { readonly kind: UrlKind; readonly label: string }): React.JSX.Element {
  const secret = useSecret(name, FIELDS[kind]);
  const hidden = secret.value === null;
  return (
    <div className="secret">
      <code className="secret-text" data-hidden={hidden} aria-label={`${label}${hidden ? ", hidden" : ""}`}>
        {secret.value ?? masked(kind, node)}
      </code>
      <button type="button" className="button small" aria-pressed={!hidden} onClick={() => (hidden ? void secret.show() : secret.hide())}>
        {hidden ? "Show" : `Hide ${secret.secondsLeft}`}
      </button>
      <CopyButton label={`Copy ${label}`} name={name} kind={kind} />
      {secret.error !== null && (
        <p className="form-error" role="alert">
          {secret.error}
        </p>
      )}
    </div>
  );
}

const SAID_FOR_MS = 1500;

/** Copies without showing: the URL passes through and is not kept. */
function CopyButton({ name, kind, label }: Pick<Props, "name"> & { readonly kind: UrlKind; readonly label: string }): React.JSX.Element {
  const [said, setSaid] = useState<"Copied" | "Failed" | null>(null);
  const run = async (): Promise<void> => {
    const done = await client
      .urls(name)
      .then((urls) => copy(urls[FIELDS[kind]]))
      .catch(() => false);
    setSaid(done ? "Copied" : "Failed");
    setTimeout(() => setSaid(null), SAID_FOR_MS);
  };
  return (
    <button type="button" className="button small" aria-label={label} onClick={() => void run()}>
      <span aria-live="polite">{said ?? "Copy"}</span>
    </button>
  );
}

function Moblin({ name, protocol }: Pick<Props, "name"> & { readonly protocol: Protocol }): React.JSX.Element {
  const secret = useSecret(name, FIELDS[protocol]);
  if (secret.value === null) {
    return (
      <button type="button" className="button wide" onClick={() => void secret.show()}>
        <Icon name="qr" /> {secret.error ?? "QR code for Moblin"}
      </button>
    );
  }
  return (
    <div className="qr">
      <QrCode text={moblinLink({ name, url: secret.value })} label="Sets up this stream in Moblin" />
      <p>Scan with the phone's camera: it opens Moblin.</p>
      <button type="button" className="button" onClick={secret.hide}>
        Hide {secret.secondsLeft}
      </button>
    </div>
  );
}
