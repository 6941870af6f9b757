import { describe, expect, it } from "vitest";
import { arrivalOf } from "../src/account/arrival";
import * as decode from "../src/account/decode";

describe("why somebody comes", () => {
  it("is in the link", () => {
    expect(arrivalOf("", "")).toEqual({ kind: "plain" });
    expect(arrivalOf("#invite=sh_invite_1", "")).toEqual({ kind: "invite", token: "sh_invite_1" });
    expect(arrivalOf("#reset=a", "?attempt=b")).toEqual({ kind: "reset", token: "a" });
    expect(arrivalOf("#linked=twitch", "")).toMatchObject({ kind: "plain", notice: expect.stringContaining("linked") as string });
    expect(arrivalOf("#problem=expired", "")).toMatchObject({ notice: expect.stringContaining("too long") as string });
    expect(arrivalOf("#problem=constructor", "")).toMatchObject({ notice: "Something went wrong." });
    expect(arrivalOf("", "?attempt=pla_1")).toEqual({ kind: "device", attempt: "pla_1" });
  });
});

describe("what the API says of an account", () => {
  it("is taken field by field", () => {
    const secrets = { cp_access_jwt: "secret", refresh_token: "secret", poll_token: "secret" };
    const signIn = { id: "aut_1", kind: "browser", device: "x", created_at: "t", last_used_at: null, current: true };
    const read = decode.signIns({ sessions: [{ ...signIn, ...secrets }] });
    expect(read).toEqual([
      { id: "aut_1", kind: "browser", device: "x", createdAt: "t", lastUsedAt: null, current: true },
    ]);
    const device = { login_attempt_id: "pla_1", kind: "dock", user_code: "BCDF-GHJK", device: "OBS" };
    expect(JSON.stringify(decode.device({ ...device, ...secrets }))).not.toContain("secret");
  });

  it("has the accounts elsewhere that the page knows", () => {
    const linked = [{ provider: "twitch", name: "streamer", subject: "secret" }, { provider: "myspace", name: "x" }];
    const account = decode.account({ display_name: "x", email: null, has_password: false, linked_accounts: linked });
    expect(account.linkedAccounts).toEqual([{ provider: "twitch", name: "streamer" }]);
    expect(decode.providers({ providers: ["discord", "toString", 1] })).toEqual(["discord"]);
  });

  it("sends nobody to what is no page", () => {
    expect(decode.authorizeUrl({ authorize_url: "https://id.example/a?b=c" })).toBe("https://id.example/a?b=c");
    for (const url of ["javascript:alert(1)", "data:text/html,x", "no"]) {
      expect(() => decode.authorizeUrl({ authorize_url: url })).toThrow();
    }
  });

  it("is refused when it is something else", () => {
    expect(() => decode.signIns({ sessions: [{ id: 1 }] })).toThrow();
    expect(() => decode.account(null)).toThrow();
  });
});
