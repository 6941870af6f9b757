// What the account's pages ask of the API.

import { request } from "../api/request";
import * as decode from "./decode";
import type { Account, Device, Provider, SignIn } from "./types";

export { Refused } from "../api/request";

const AUTH = "/api/v1/auth";
const ACCOUNT = "/api/v1/account";

export async function signIn(email: string, password: string): Promise<void> {
  await request("POST", `${AUTH}/sign-in`, { email, password });
}

export async function signOut(): Promise<void> {
  await request("POST", `${AUTH}/sign-out`);
}

/** The accounts elsewhere that somebody can sign in with. */
export async function providers(): Promise<Provider[]> {
  return decode.providers((await request("GET", `${AUTH}/providers`)).body);
}

/** Where to sign in, or to accept an invitation, with an account elsewhere. */
export async function signInWith(provider: Provider, invitation?: string): Promise<string> {
  const body = invitation === undefined ? {} : { invitation };
  return decode.authorizeUrl((await request("POST", `${AUTH}/providers/${provider}`, body)).body);
}

/** Where to go to link an account elsewhere. */
export async function link(provider: Provider, current: string): Promise<string> {
  const body = { current_password: current };
  return decode.authorizeUrl((await request("POST", `${ACCOUNT}/providers/${provider}`, body)).body);
}

export async function unlink(provider: Provider): Promise<void> {
  await request("DELETE", `${ACCOUNT}/providers/${provider}`);
}

/** Asks for a letter with an invitation, where anybody may come. */
export async function register(email: string): Promise<void> {
  await request("POST", `${AUTH}/register`, { email });
}

/** Whom an invitation is for. */
export async function invitation(token: string): Promise<string> {
  return decode.email((await request("POST", `${AUTH}/invitation`, { token })).body);
}

export async function accept(token: string, displayName: string, password: string): Promise<void> {
  await request("POST", `${AUTH}/accept`, { token, display_name: displayName, password });
}

/** Asks for a letter with a link that sets a new password. */
export async function forgot(email: string): Promise<void> {
  await request("POST", `${AUTH}/forgot`, { email });
}

export async function reset(token: string, password: string): Promise<void> {
  await request("POST", `${AUTH}/reset`, { token, password });
}

export async function verify(token: string): Promise<void> {
  await request("POST", `${AUTH}/verify`, { token });
}

export async function account(): Promise<Account> {
  return decode.account((await request("GET", ACCOUNT)).body);
}

export async function signIns(): Promise<SignIn[]> {
  return decode.signIns((await request("GET", `${ACCOUNT}/sessions`)).body);
}

export async function end(id: string): Promise<void> {
  await request("DELETE", `${ACCOUNT}/sessions/${encodeURIComponent(id)}`);
}

export async function changePassword(current: string, fresh: string): Promise<void> {
  await request("POST", `${ACCOUNT}/password`, { current_password: current, new_password: fresh });
}

/** A device that asks, by the attempt of a link or by the code that it shows. */
export async function device(named: { attempt: string } | { code: string }): Promise<Device> {
  const body = "attempt" in named ? { login_attempt_id: named.attempt } : { user_code: named.code };
  return decode.device((await request("POST", `${ACCOUNT}/devices/find`, body)).body);
}

export async function decide(attempt: string, approve: boolean): Promise<void> {
  await request("POST", `${ACCOUNT}/devices/${encodeURIComponent(attempt)}`, { approve });
}
