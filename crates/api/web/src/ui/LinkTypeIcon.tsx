import type { LinkType } from "../api/types";
import { Icon, type IconName } from "./Icon";

const TYPES: Readonly<Record<LinkType, readonly [icon: IconName, words: string]>> = {
  cellular: ["cellular", "Mobile network"],
  satellite: ["satellite", "Satellite"],
  fixed: ["fixed", "Fixed line"],
  hosting: ["hosting", "Data centre or VPN"],
  local: ["local", "Local network"],
  unknown: ["unknown", "Unknown network"],
};

export function LinkTypeIcon({ type }: { readonly type: LinkType }): React.JSX.Element {
  const [icon, words] = TYPES[type];
  return (
    <span className="link-type" role="img" aria-label={words} title={words}>
      <Icon name={icon} />
    </span>
  );
}
