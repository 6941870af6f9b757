// From bytes of the network to our types: only the fields named here get in.

import { flag, list, maybeText, object, text } from "../api/fields";
import { NAMES, type Account, type Device, type LinkedAccount, type Provider, type SignIn } from "./types";

export function email(value: unknown): string {
  return text(object(value), "email");
}

export function account(value: unknown): Account {
  const fields = object(value);
  return {
    displayName: text(fields, "display_name"),
    email: maybeText(fields, "email"),
    hasPassword: flag(fields, "has_password"),
    linkedAccounts: list(fields, "linked_accounts").flatMap(linkedAccount),
  };
}

/** Those that this page has a name for. */
export function providers(value: unknown): Provider[] {
  return list(object(value), "providers").filter(isProvider);
}

/** Where to go; nowhere but to a page. */
export function authorizeUrl(value: unknown): string {
  const url = new URL(text(object(value), "authorize_url"));
  if (url.protocol !== "https:" && url.protocol !== "http:") throw new Error("The answer is no link.");
  return url.href;
}

function linkedAccount(value: unknown): LinkedAccount[] {
  const fields = object(value);
  const provider = fields["provider"];
  return isProvider(provider) ? [{ provider, name: text(fields, "name") }] : [];
}

function isProvider(value: unknown): value is Provider {
  return typeof value === "string" && Object.hasOwn(NAMES, value);
}

export function signIns(value: unknown): SignIn[] {
  return list(object(value), "sessions").map(signIn);
}

export function device(value: unknown): Device {
  const fields = object(value);
  return {
    attempt: text(fields, "login_attempt_id"),
    kind: text(fields, "kind"),
    code: text(fields, "user_code"),
    device: text(fields, "device"),
  };
}

function signIn(value: unknown): SignIn {
  const fields = object(value);
  return {
    id: text(fields, "id"),
    kind: text(fields, "kind"),
    device: text(fields, "device"),
    createdAt: text(fields, "created_at"),
    lastUsedAt: maybeText(fields, "last_used_at"),
    current: flag(fields, "current"),
  };
}
