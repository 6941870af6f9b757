// Requests to the API. The browser adds the session's cookie; no token is ever seen here.

import * as decode from "./decode";
import type { ConnectionList, Urls } from "./types";

const DOCK = "/api/v1/dock";
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

/** Exchanges a one-time code for the session's cookie. */
export async function signIn(code: string): Promise<void> {
  await request("POST", "/session", { code });
}

export async function signOut(): Promise<void> {
  await request("DELETE", "/session");
}

export async function list(): Promise<ConnectionList> {
  return decode.connectionList(await request("GET", "/connections"));
}

/** Adds a connection: it is provisioned at once. */
export async function add(name: string, region: string | null): Promise<void> {
  await request("POST", "/connections", { name, region });
}

/** Removes a connection: its node forgets it. */
export async function remove(name: string): Promise<void> {
  await request("DELETE", `/connections/${encodeURIComponent(name)}`);
}

/** Fetches the URLs with their stream keys. Hold them no longer than they are shown. */
export async function urls(name: string): Promise<Urls> {
  return decode.urls(await request("GET", `/connections/${encodeURIComponent(name)}/urls`));
}

async function request(method: string, path: string, body?: object): Promise<unknown> {
  const response = await send(method, path, body);
  const answer = await json(response);
  if (response.ok) return answer;
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
    return await fetch(DOCK + path, init);
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
