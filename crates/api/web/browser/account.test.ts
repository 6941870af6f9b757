// A person's way through the account's pages, and what they let in.

import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { violations } from "./accessibility";
import { invitation, launch, pluginAsks, pluginPolls, sessionStatus } from "./house";

const EMAIL = "someone@example.com";
const PASSWORD = "correct horse battery";

let browser: Browser;
let context: BrowserContext;
let page: Page;
let link: string;
let token: string;
const complaints: string[] = [];

beforeAll(async () => {
  browser = await launch();
  context = await browser.newContext();
  page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) complaints.push(message.text());
  });
  link = await invitation(EMAIL);
});

afterAll(async () => {
  await browser.close();
});

const account = () => link.split("#")[0] ?? "";
const press = (name: string) => page.getByRole("button", { name, exact: true }).click();
const signIns = () => page.getByTestId("sign-ins").getByRole("listitem");

async function signIn(password: string): Promise<void> {
  await page.getByLabel("E-mail").fill(EMAIL);
  await page.getByLabel("Password").fill(password);
  await press("Sign in");
}

describe("the account's pages", () => {
  it("make an account by an invitation, whose secret leaves the address bar", async () => {
    await page.goto(link);
    await page.getByText(EMAIL).waitFor();
    expect(page.url()).toBe(account());
    await page.getByLabel("Name").fill("Some One");
    await page.getByLabel("New password").fill(PASSWORD);
    await press("Make my account");
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    expect(await page.getByText("Some One").count()).toBe(1);
    expect(await page.evaluate(() => document.cookie)).toBe("");
  });

  it("say that an invitation was used", async () => {
    const other = await browser.newContext();
    const stranger = await other.newPage();
    await stranger.goto(link);
    await stranger.getByText("used already").waitFor();
    await other.close();
  });

  it("sign a plugin in that shows the same code", async () => {
    const asking = await pluginAsks();
    expect((await pluginPolls(asking)).status).toBe(202);
    await page.goto(asking.authorize_url);
    const shown = page.getByTestId("confirm-code");
    await shown.waitFor();
    expect(await shown.textContent()).toBe(asking.user_code);
    await page.getByText("STUDIO (OBS plugin 0.0.5, windows)").waitFor();
    await press("My device shows this code");
    await page.getByText("It is signed in.").waitFor();
    const polled = await pluginPolls(asking);
    expect(polled.status).toBe(200);
    token = polled.token ?? "";
    expect(await sessionStatus(token)).toBe(200);
  });

  it("turn a device away", async () => {
    const asking = await pluginAsks();
    await page.goto(asking.authorize_url);
    await press("Turn it away");
    await page.getByText("It was turned away.").waitFor();
    expect((await pluginPolls(asking)).status).toBe(403);
  });

  it("sign a dock in by the code that it shows", async () => {
    const other = await browser.newContext();
    const dock = await other.newPage();
    await dock.goto(new URL("/dock", link).href);
    await dock.getByRole("button", { name: "Sign in with your account" }).click();
    const code = dock.getByTestId("device-code");
    await code.waitFor();
    await page.goto(account());
    await page.getByLabel("The code that it shows").fill(((await code.textContent()) ?? "").toLowerCase());
    await press("Look it up");
    await press("My device shows this code");
    await dock.getByText("No connection yet").waitFor();
    await other.close();
  });

  it("show what is signed in, and end it", async () => {
    await page.goto(account());
    await page.getByText("browser (this one)").waitFor();
    expect(await violations(page)).toEqual([]);
    expect(await signIns().count()).toBe(3);
    await signIns().filter({ hasText: "STUDIO" }).getByRole("button", { name: "End" }).click();
    await page.waitForFunction(() => !document.body.textContent.includes("STUDIO"));
    expect(await signIns().count()).toBe(2);
    expect(await sessionStatus(token)).toBe(401);
  });

  it("link an account elsewhere, and sign in with it", async () => {
    const linked = page.getByTestId("linked-accounts").getByRole("listitem");
    await page.getByLabel("Your password, to link one").fill(PASSWORD);
    await press("Link Discord");
    await page.getByText("It is linked").waitFor();
    await linked.filter({ hasText: "someone-there" }).waitFor();
    expect(page.url()).toBe(account());
    await press("Sign out");
    await press("Sign in with Discord");
    await page.getByText("browser (this one)").waitFor();
  });

  it("bring a device's owner back from elsewhere to confirm it", async () => {
    const asking = await pluginAsks();
    await press("Sign out");
    await page.goto(asking.authorize_url);
    await press("Sign in with Discord");
    await page.getByTestId("confirm-code").waitFor();
    await press("My device shows this code");
    await page.getByText("It is signed in.").waitFor();
    expect((await pluginPolls(asking)).status).toBe(200);
  });

  it("unlink what is elsewhere", async () => {
    await page.goto(account());
    const linked = page.getByTestId("linked-accounts").getByRole("listitem");
    await linked.getByRole("button", { name: "Unlink" }).click();
    await page.getByRole("button", { name: "Link Discord" }).waitFor();
    expect(await linked.count()).toBe(0);
  });

  it("let nobody in with a wrong password", async () => {
    await press("Sign out");
    await page.getByLabel("E-mail").waitFor();
    expect(await violations(page)).toEqual([]);
    await signIn("a wrong password");
    await page.getByRole("alert").filter({ hasText: "wrong" }).waitFor();
    await signIn(PASSWORD);
    await page.getByText("browser (this one)").waitFor();
  });

  it("ran without an error and within their own policy", () => {
    expect(complaints).toEqual([]);
  });
});
