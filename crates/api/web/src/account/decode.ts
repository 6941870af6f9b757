// From bytes of the network to our types: only the fields named here get in.

import { flag, list, maybeText, object, text } from "../api/fields";
import type { Account, Device, SignIn } from "./types";

export function email(value: unknown): string {
  return text(object(value), "email");
}

export function account(value: unknown): Account {
  const fields = object(value);
  return { displayName: text(fields, "display_name"), email: maybeText(fields, "email") };
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
