// What the API says of an account. No secret is among these.

export interface Account {
  readonly displayName: string;
  readonly email: string | null;
  readonly hasPassword: boolean;
  readonly linkedAccounts: readonly LinkedAccount[];
}

export type Provider = "twitch" | "google" | "discord";

export const NAMES: Readonly<Record<Provider, string>> = { twitch: "Twitch", google: "Google", discord: "Discord" };

/** An account elsewhere that somebody signs in with. */
export interface LinkedAccount {
  readonly provider: Provider;
  /** What they were called there. */
  readonly name: string;
}

/** A browser, a plugin or a dock that is signed in. */
export interface SignIn {
  readonly id: string;
  readonly kind: string;
  /** What it said it is. */
  readonly device: string;
  readonly createdAt: string;
  readonly lastUsedAt: string | null;
  /** Whether it is this browser. */
  readonly current: boolean;
}

/** A device that asks to be signed in. */
export interface Device {
  readonly attempt: string;
  readonly kind: string;
  /** The device shows the same. */
  readonly code: string;
  readonly device: string;
}
