import { act } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Urls } from "../src/ui/Urls";
import { codeFrom, takeCode } from "../src/ui/sign-in-code";
import { AMS } from "../dev/simulation";

const KEY = "6f1d0c5be2a94d7c8b3a51e07f92c4d8";
const URLS = {
  sender_srtla_url: `srtla://ams-1.relay.example:5000?streamid=live_${KEY}`,
  sender_srt_url: `srt://ams-1.relay.example:5000?streamid=live_${KEY}&mode=caller`,
  media_source_url: `srt://ams-1.relay.example:5000?streamid=play_${KEY}&mode=caller`,
};

let root: Root;
let copied: string[];

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify(URLS))));
  copied = [];
  vi.spyOn(navigator.clipboard, "writeText").mockImplementation((text) => {
    copied.push(text);
    return Promise.resolve();
  });
  const place = document.body.appendChild(document.createElement("div"));
  root = createRoot(place);
  act(() => root.render(<Urls name="Phone" node={AMS} />));
});

afterEach(() => {
  act(() => root.unmount());
  document.body.replaceChildren();
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

async function press(text: string): Promise<void> {
  const button = [...document.querySelectorAll("button")].find((button) => button.textContent.includes(text));
  if (button === undefined) throw new Error(`no button ${text}`);
  await act(async () => {
    button.click();
    await vi.advanceTimersByTimeAsync(10);
  });
}

const pass = (ms: number): Promise<void> =>
  act(async () => {
    await vi.advanceTimersByTimeAsync(ms);
  });
const page = (): string => document.documentElement.outerHTML;

describe("a URL with a key", () => {
  it("is not on the page until it is shown, and locks again after 30 seconds", async () => {
    expect(page()).not.toContain(KEY);
    await press("Show");
    expect(page()).toContain(URLS.sender_srtla_url);
    await pass(29_000);
    expect(page()).toContain(KEY);
    await pass(1_500);
    expect(page()).not.toContain(KEY);
  });

  it("is hidden at once when asked", async () => {
    await press("Show");
    await press("Hide");
    expect(page()).not.toContain(KEY);
  });

  it("is copied without being shown", async () => {
    await press("Copy");
    expect(copied).toEqual([URLS.sender_srtla_url]);
    expect(page()).not.toContain(KEY);
  });

  it("is in a QR code no longer than that either", async () => {
    await press("QR code");
    expect(document.querySelector(".qr-code path")?.getAttribute("d")).toContain("M4 4h1v1h-1z");
    await pass(30_500);
    expect(document.querySelector(".qr-code")).toBeNull();
  });
});

describe("a sign-in code", () => {
  it("leaves the address bar at once", () => {
    location.hash = "#code=abc";
    expect(takeCode()).toBe("abc");
    expect(location.hash).toBe("");
    expect(takeCode()).toBeNull();
  });

  it("may be pasted alone or with its link", () => {
    expect(codeFrom(" abc ")).toBe("abc");
    expect(codeFrom("http://127.0.0.1:8080/dock#code=abc")).toBe("abc");
    expect(codeFrom("http://127.0.0.1:8080/dock#other=abc")).toBe("");
  });
});
