// Light or dark: as the system has it, unless somebody chose. OBS is dark on most
// systems that are light, and its docks are told what the system is.

import { useSyncExternalStore } from "react";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "streamhaul_theme";
const listeners = new Set<() => void>();
const system = matchMedia("(prefers-color-scheme: dark)");
system.addEventListener("change", tell);

let chosen = stored();
apply();

export function choose(theme: Theme): void {
  chosen = theme;
  apply();
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  tell();
}

/** The one after this one. */
export function next(theme: Theme): Theme {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
}

export function useTheme(): Theme {
  return useSyncExternalStore(onTheme, () => chosen);
}

/** Calls back when colours may have changed. */
export function onTheme(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function stored(): Theme {
  try {
    const stored = localStorage.getItem(KEY);
    return THEMES.find((theme) => theme === stored) ?? "system";
  } catch {
    return "system";
  }
}

function apply(): void {
  document.documentElement.dataset.theme = chosen;
}

function tell(): void {
  for (const listener of listeners) listener();
}
