// `npm run dev`: the page over a simulated server. Nothing of it gets into the build.

import { defineConfig } from "vite";
import { simulatedServer } from "./server";

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  base: "/dock/",
  plugins: [simulatedServer()],
});
