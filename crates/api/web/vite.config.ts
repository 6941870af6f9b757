import { defineConfig } from "vitest/config";

// The dock lives at /dock, the account's pages at /account, beside the API on the same origin. Scripts and styles are
// files: the server's content security policy allows nothing inline.
export default defineConfig({
  base: "/dock/",
  build: {
    // OBS 31 and newer bring Chromium 127.
    target: ["chrome110", "safari16", "firefox115"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    rolldownOptions: { input: ["index.html", "account.html"] },
  },
  test: {
    environment: "happy-dom",
    include: ["test/**/*.test.{ts,tsx}"],
  },
});
