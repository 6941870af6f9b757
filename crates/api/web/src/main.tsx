import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./ui/App";
import { takeCode } from "./ui/sign-in-code";
import "uplot/dist/uPlot.min.css";
import "./ui/theme.css";
import "./ui/dock.css";

const root = document.getElementById("root");
if (root === null) throw new Error("the page has no root");
const code = takeCode();
createRoot(root).render(
  <StrictMode>
    <App code={code} />
  </StrictMode>,
);
