// Dark and light: the system's unless one was chosen here.
import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";
const ORDER: Theme[] = ["system", "light", "dark"];
const listeners = new Set<() => void>();
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => listeners.forEach((l) => l()));

function chosen(): Theme {
  const theme = document.documentElement.dataset.theme;
  return theme === "dark" || theme === "light" ? theme : "system";
}

export function nextTheme(): void {
  const next = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length] as Theme;
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", next);
  } catch {
    // Without storage the choice holds until the page is loaded again.
  }
  listeners.forEach((l) => l());
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const useTheme = (): Theme => useSyncExternalStore(subscribe, chosen);

// Whether what is drawn on a canvas is to be dark.
export const useDark = (): boolean => useSyncExternalStore(subscribe, () => chosen() === "dark" || (chosen() === "system" && dark.matches));

// A colour of the style sheet, for a canvas.
export const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
