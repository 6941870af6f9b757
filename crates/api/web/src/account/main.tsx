import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { takeArrival } from "./arrival";
import "../ui/theme.css";
import "../ui/dock.css";
import "./account.css";

const root = document.getElementById("root");
if (root === null) throw new Error("the page has no root");
const arrival = takeArrival();
createRoot(root).render(
  <StrictMode>
    <App arrival={arrival} />
  </StrictMode>,
);
