// The one-time code of a sign-in link. It is in the fragment, which browsers do not
// send: no server and no proxy has it in a log.

const PARAMETER = "code";

/** Takes the code out of the address bar, so that it is in no history either. */
export function takeCode(): string | null {
  const code = codeOf(location.hash);
  if (location.hash !== "") history.replaceState(null, "", location.pathname);
  return code;
}

/** The code in a pasted link, or the text itself when it is only a code. */
export function codeFrom(pasted: string): string {
  const text = pasted.trim();
  const hash = text.indexOf("#");
  return hash < 0 ? text : (codeOf(text.slice(hash)) ?? "");
}

function codeOf(hash: string): string | null {
  return new URLSearchParams(hash.replace(/^#/, "")).get(PARAMETER);
}
