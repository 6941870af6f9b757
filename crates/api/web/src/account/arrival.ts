// Why somebody comes to the page: what the link that they followed brought. A secret is
// in the fragment, which browsers do not send: no server and no proxy has it in a log.

export type Arrival =
  | { readonly kind: "invite" | "reset" | "verify"; readonly token: string }
  | { readonly kind: "device"; readonly attempt: string }
  | { readonly kind: "plain"; readonly notice?: string };

/** What came of a visit to a provider. */
const PROBLEMS: ReadonlyMap<string, string> = new Map([
  ["cancelled", "You said no there. Nothing was changed."],
  ["expired", "That took too long or began in another browser. Try again here."],
  ["failed", "The other side did not say who you are. Try again in a while."],
  ["unknown", "Nobody here signs in with that account. Sign in with your password and link it, or ask for an invitation."],
  ["taken", "That account is linked already, or you have linked another one there."],
  ["email_taken", "Its e-mail address has an account here. Sign in with your password, then link it."],
]);

/** Where a device's attempt waits while its owner is at a provider's page. */
const ATTEMPT = "streamhaul.attempt";

const LINKS = ["invite", "reset", "verify"] as const;

/** Takes the secret out of the address bar, so that it is in no history either. */
export function takeArrival(): Arrival {
  const arrival = arrivalOf(location.hash, location.search || attemptBefore());
  if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);
  return arrival;
}

/** Keeps why somebody came, for when they are back from a provider's page. */
export function leave(url: string): void {
  if (location.search !== "") sessionStorage.setItem(ATTEMPT, location.search);
  location.assign(url);
}

function attemptBefore(): string {
  const search = sessionStorage.getItem(ATTEMPT) ?? "";
  sessionStorage.removeItem(ATTEMPT);
  return search;
}

export function arrivalOf(hash: string, search: string): Arrival {
  const fragment = new URLSearchParams(hash.replace(/^#/, ""));
  for (const kind of LINKS) {
    const token = fragment.get(kind);
    if (token !== null) return { kind, token };
  }
  const problem = fragment.get("problem");
  if (problem !== null) return { kind: "plain", notice: PROBLEMS.get(problem) ?? "Something went wrong." };
  if (fragment.has("linked")) return { kind: "plain", notice: "It is linked: you can sign in with it from now on." };
  const attempt = new URLSearchParams(search).get("attempt");
  return attempt === null ? { kind: "plain" } : { kind: "device", attempt };
}
