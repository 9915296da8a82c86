// The address is the state: every view, range, filter and sort stands in it, so whoever gets a link sees the same.
//
// One document and its query, no paths: a service may have any name, and `..` in a path would lead elsewhere.
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
const tell = () => listeners.forEach((listener) => listener());
window.addEventListener("popstate", tell);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useAddress(): URLSearchParams {
  const search = useSyncExternalStore(subscribe, () => location.search);
  return new URLSearchParams(search);
}

export type Change = Record<string, string | null>;

// The address after a change; null and "" take a parameter away.
export function changed(params: URLSearchParams, change: Change): string {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(change)) value === null || value === "" ? next.delete(name) : next.set(name, value);
  const text = next.toString();
  return text === "" ? "/" : `/?${text}`;
}

// Goes to an address of this page. `replace` for what is no step back: typing in a filter, dragging.
export function go(to: string, replace = false): void {
  if (to === location.pathname + location.search) return;
  const other = new URLSearchParams(to.split("?")[1] ?? "");
  const here = new URLSearchParams(location.search);
  const view = (p: URLSearchParams) => [p.get("view"), p.get("service"), p.get("namespace")].join("\n");
  const moves = view(other) !== view(here);
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  tell();
  if (moves) window.scrollTo(0, 0);
}

export function change(what: Change, replace = false): void {
  go(changed(new URLSearchParams(location.search), what), replace);
}

export function toService(service: string, namespace: string): string {
  const params = new URLSearchParams({ service });
  if (namespace !== "") params.set("namespace", namespace);
  return `/?${params}`;
}

// A link of the page is followed without loading it again; with a modifier key it opens as any link.
export function follow(event: React.MouseEvent<HTMLAnchorElement>): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(event.currentTarget.pathname + event.currentTarget.search);
}
