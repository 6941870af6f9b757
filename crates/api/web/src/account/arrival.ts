// Why somebody comes to the page: what the link that they followed brought. A secret is
// in the fragment, which browsers do not send: no server and no proxy has it in a log.

export type Arrival =
  | { readonly kind: "invite" | "reset" | "verify"; readonly token: string }
  | { readonly kind: "device"; readonly attempt: string }
  | { readonly kind: "plain" };

const LINKS = ["invite", "reset", "verify"] as const;

/** Takes the secret out of the address bar, so that it is in no history either. */
export function takeArrival(): Arrival {
  const arrival = arrivalOf(location.hash, location.search);
  if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);
  return arrival;
}

export function arrivalOf(hash: string, search: string): Arrival {
  const fragment = new URLSearchParams(hash.replace(/^#/, ""));
  for (const kind of LINKS) {
    const token = fragment.get(kind);
    if (token !== null) return { kind, token };
  }
  const attempt = new URLSearchParams(search).get("attempt");
  return attempt === null ? { kind: "plain" } : { kind: "device", attempt };
}
