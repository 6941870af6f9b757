// One request to the API. The browser adds the session's cookie; no token is ever seen here.

import * as decode from "./decode";

const TIMEOUT_MS = 15_000;

/** The API refused. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }

  get signedOut(): boolean {
    return this.status === 401;
  }
}

/** Nobody answers. */
export class Unreachable extends Error {}

/** What the API answered, and with which status. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export async function request(method: string, path: string, body?: object): Promise<Answer> {
  const response = await send(method, path, body);
  const answer = await json(response);
  if (response.ok) return { status: response.status, body: answer };
  throw new Refused(response.status, decode.refusal(answer) ?? `The server answered ${response.status}.`);
}

async function send(method: string, path: string, body?: object): Promise<Response> {
  const init: RequestInit = {
    method,
    cache: "no-store",
    credentials: "same-origin",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "content-type": "application/json" };
  }
  try {
    return await fetch(path, init);
  } catch (cause) {
    throw new Unreachable("The server does not answer.", { cause });
  }
}

async function json(response: Response): Promise<unknown> {
  const text = await response.text().catch(() => "");
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
