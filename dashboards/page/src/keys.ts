// Keys of the page. Nothing happens while somebody types or a dialog is open; help.tsx tells people what there is.
import { useEffect, useRef } from "react";

export interface Key { key: string; run: (event: KeyboardEvent) => void }

const layers: Key[][] = [];

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

// While a dialog is open, keys belong to it.
const covered = () => document.querySelector("dialog[open]") !== null;

window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || covered()) return;
  for (const keys of [...layers].reverse()) {
    const found = keys.find((k) => k.key === event.key);
    if (!found) continue;
    // Enter on a button or a link means that button or link.
    if (event.key === "Enter" && event.target instanceof HTMLElement && ["A", "BUTTON", "SUMMARY"].includes(event.target.tagName)) return;
    event.preventDefault();
    found.run(event);
    return;
  }
});

// Keys that hold while a part of the page is shown; the newest part is asked first.
export function useKeys(keys: Key[]): void {
  const held = useRef(keys);
  held.current = keys;
  useEffect(() => {
    const layer = keys.map(({ key }) => ({ key, run: (event: KeyboardEvent) => held.current.find((k) => k.key === key)?.run(event) }));
    layers.push(layer);
    return () => void layers.splice(layers.indexOf(layer), 1);
    // The list of keys of a part does not change while it is shown; what they do is looked up.
  }, []);
}
