// The stretch of time that a service is shown over: the last so-much up to the newest window, or two instants of a zoom. In the address.
import { seconds } from "../text.ts";

export const LENGTHS: [string, number, string][] = [
  ["15m", 900, "15 minutes"], ["1h", 3600, "hour"], ["6h", 21600, "6 hours"], ["24h", 86400, "day"], ["7d", 604800, "week"], ["30d", 2_592_000, "30 days"], ["1y", 31_536_000, "year"],
];

export interface Range { from: number; to: number; name: string | null }

// `newest` is the end of the newest window; null while it is not known.
// Sixty to ninety windows, so that short windows are seen as such: 15 minutes of 10 seconds, an hour of minutes.
const usual = (window: number) => (window <= 15 ? "15m" : "1h");

export function rangeOf(params: URLSearchParams, newest: string | null, window: number): Range | null {
  const [from, to] = [Number(params.get("from")), Number(params.get("to"))];
  if (from > 0 && to > from) return { from, to, name: null };
  if (newest === null) return null;
  const name = params.get("range") ?? usual(window);
  const length = LENGTHS.find(([n]) => n === name) ?? (LENGTHS[1] as [string, number, string]);
  const end = seconds(newest);
  return { from: end - length[1], to: end, name: length[0] };
}
