// What the page needs to know of the server's settings; asked for once.
import { useSyncExternalStore } from "react";
import { get, type PageSettings } from "./api.ts";

let held: PageSettings | null = null;
let asked = false;
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (!asked) {
    asked = true;
    get<PageSettings>("/api/v1/page").then(
      (settings) => {
        held = settings;
        listeners.forEach((l) => l());
      },
      () => { asked = false; },
    );
  }
  return () => listeners.delete(listener);
}

export const usePage = (): PageSettings | null => useSyncExternalStore(subscribe, () => held);

// Where a trace is shown; null when nobody has said where, or said something that is no link.
export function traceLink(settings: PageSettings | null, trace: string): string | null {
  const template = settings?.trace_link;
  if (!template || !/^https?:\/\//.test(template)) return null;
  return template.replaceAll("{trace_id}", encodeURIComponent(trace));
}
