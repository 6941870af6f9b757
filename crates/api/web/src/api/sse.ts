// Server-sent events from a stream of bytes. `EventSource` cannot be told where to
// go on after the page was hidden, so the page reads the stream itself.

export interface ServerEvent {
  readonly name: string;
  readonly id: string | null;
  readonly data: string;
}

/** The longest unfinished event that is kept; a 60-minute history is a few MB. */
const PENDING_CHARS_MAX = 32 * 1024 * 1024;

/** Takes text as it comes and gives whole events. */
export class EventParser {
  #pending = "";
  /** The last character of what is pending, kept apart so that it grows without being read again. */
  #last = "";

  push(text: string): ServerEvent[] {
    const fresh = text.replaceAll("\r", "");
    // From one character back: the separator may come in two halves.
    const looked = this.#last + fresh;
    const end = looked.lastIndexOf("\n\n");
    const all = this.#pending + fresh;
    if (end < 0) {
      if (all.length > PENDING_CHARS_MAX) throw new Error("an event is too long");
      this.#pending = all;
      this.#last = looked.slice(-1);
      return [];
    }
    const whole = all.length - looked.length + end;
    this.#pending = all.slice(whole + 2);
    this.#last = this.#pending.slice(-1);
    return all.slice(0, whole).split("\n\n").map(parse).filter((event) => event !== null);
  }
}

/** One event, or `null` for a comment. */
function parse(block: string): ServerEvent | null {
  let name = "message";
  let id: string | null = null;
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    else if (field === "id") id = value;
    else if (field === "data") data.push(value);
  }
  return data.length === 0 ? null : { name, id, data: data.join("\n") };
}
