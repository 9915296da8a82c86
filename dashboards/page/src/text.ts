// Numbers, times and words as the page writes them: units everywhere, the same digits for the same thing.

const plain = [0, 1, 2, 3].map((digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));

export const NONE = "–";

export function number(value: number | null | undefined, digits = 0): string {
  return value === null || value === undefined || !Number.isFinite(value) ? NONE : (plain[digits] as Intl.NumberFormat).format(value);
}

// 1,234 · 12.3 k · 4.56 M: for places where a column is narrow.
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  if (size >= 1e9) return `${number(value / 1e9, 2)} G`;
  if (size >= 1e6) return `${number(value / 1e6, 2)} M`;
  if (size >= 1e4) return `${number(value / 1e3, 1)} k`;
  return number(value, size < 10 && !Number.isInteger(value) ? 2 : size < 100 && !Number.isInteger(value) ? 1 : 0);
}

export function millis(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value >= 9950) return `${number(value / 1000, 1)} s`;
  if (value >= 1000) return `${number(value / 1000, 2)} s`;
  return `${number(value, value < 1 ? 2 : value < 10 ? 1 : 0)} ms`;
}

// Cut, not rounded: 99.996 % is not 100 %.
export function percent(ratio: number | null | undefined): string {
  if (ratio === null || ratio === undefined) return NONE;
  return ratio === 1 ? "100 %" : `${number(Math.floor(ratio * 10000 + 1e-9) / 100, 2)} %`;
}

// The share of errors; never 0 when there is one.
export function errorShare(errors: number, requests: number): string {
  if (requests === 0) return NONE;
  if (errors === 0) return "0 %";
  const share = (100 * errors) / requests;
  return share < 0.01 ? "< 0.01 %" : `${number(share, share < 10 ? 2 : 1)} %`;
}

// Whether a share of errors deserves a colour: what the default rule would not call healthy.
export const notable = (errors: number, requests: number) => requests > 0 && errors / requests > 0.01;

export function perSecond(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : `${short(value)}/s`;
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value >= 1 << 30) return `${number(value / (1 << 30), 1)} GiB`;
  if (value >= 1 << 20) return `${number(value / (1 << 20), 1)} MiB`;
  return value >= 1024 ? `${number(value / 1024, 0)} KiB` : `${value} B`;
}

export const seconds = (iso: string): number => Date.parse(iso) / 1000;

const two = (n: number) => String(n).padStart(2, "0");

// Times are the reader's own; the day stands with them when it is another one.
export function clock(at: string | number, withDay = false): string {
  const date = new Date(typeof at === "number" ? at * 1000 : at);
  if (Number.isNaN(date.getTime())) return NONE;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const today = new Date();
  const other = date.toDateString() !== today.toDateString();
  return withDay || other ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}` : time;
}

// 40 s · 3 min 20 s · 2 h 5 min · 3 d 4 h
export function duration(length: number): string {
  if (length > 0 && length < 10 && !Number.isInteger(length)) return length < 1 ? millis(length * 1000) : `${number(length, 1)} s`;
  const s = Math.max(0, Math.round(length));
  if (s < 60) return `${s} s`;
  if (s < 3600) return s % 60 === 0 ? `${s / 60} min` : `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const many = (n: number, one: string, more = `${one}s`) => `${number(n)} ${n === 1 ? one : more}`;

// Values of rules' variables, with their unit.
export function variable(name: string, value: number | string | null | (number | string)[]): string {
  if (value === null) return NONE;
  if (Array.isArray(value)) return value.map((v) => variable(name, v)).join(", ");
  if (typeof value === "string") return `“${value}”`;
  if (name.startsWith("latency")) return millis(value);
  if (name === "availability" || name === "saturation") return `${number(Math.floor(value * 100 + 1e-9) / 100, Number.isInteger(value) ? 0 : 2)} %`;
  if (name.endsWith("Rate")) return `${short(value)}/s`;
  if (name === "completeness") return percent(value);
  return number(value, Number.isInteger(value) ? 0 : 2);
}

export function describe(dimensions: Record<string, string>): string {
  return Object.values(dimensions).map((v) => (v === "" ? "(none)" : v)).join(" · ") || "all";
}
