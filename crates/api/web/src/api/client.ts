// What the dock asks of the API.

import * as decode from "./decode";
import { request as requestApi } from "./request";
import type { ConnectionList, DeviceCode, Urls } from "./types";

export { Refused, Unreachable } from "./request";

const DOCK = "/api/v1/dock";

/** Exchanges a one-time code for the session's cookie. */
export async function signIn(code: string): Promise<void> {
  await request("POST", "/session", { code });
}

/** Asks to be signed in: a code for somebody who is signed in to confirm. */
export async function askForCode(): Promise<DeviceCode> {
  return decode.deviceCode(await request("POST", "/login/start"));
}

/** Whether somebody confirmed the code; then the session's cookie is there. */
export async function isConfirmed({ attempt, pollToken }: DeviceCode): Promise<boolean> {
  const body = { login_attempt_id: attempt, poll_token: pollToken };
  return (await requestApi("POST", `${DOCK}/login/poll`, body)).status === 204;
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
  return (await requestApi(method, DOCK + path, body)).body;
}
