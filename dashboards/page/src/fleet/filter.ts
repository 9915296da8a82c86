// Which services are shown, and in which order: a function of the address and of what is known.
import type { Service, Word } from "../api.ts";
import { RANK } from "../parts/health.tsx";

export type Column = "health" | "service" | "team" | "swimlane" | "region" | "requests" | "errors" | "availability" | "p95" | "p99" | "completeness";

export interface Wanted { q: string; team: string; swimlane: string; region: string; state: string; sort: Column; down: boolean }

const COLUMNS: Column[] = ["health", "service", "team", "swimlane", "region", "requests", "errors", "availability", "p95", "p99", "completeness"];

// Columns whose first click shows the largest first.
export const LARGEST_FIRST: Column[] = ["requests", "errors", "p95", "p99"];

export function wanted(params: URLSearchParams): Wanted {
  const text = (name: string) => params.get(name) ?? "";
  const sort = text("sort");
  const column = COLUMNS.find((c) => c === sort.replace(/^-/, "")) ?? "health";
  return { q: text("q"), team: text("team"), swimlane: text("swimlane"), region: text("region"), state: text("state"), sort: column, down: sort.startsWith("-") };
}

export const share = (s: Service) => (s.requests === 0 ? 0 : s.errors / s.requests);

function matches(s: Service, w: Wanted, q: string): boolean {
  return (
    (q === "" || s.service.toLowerCase().includes(q) || s.namespace.toLowerCase().includes(q)) &&
    (w.team === "" || s.team === w.team) &&
    (w.swimlane === "" || (s.swimlanes ?? []).includes(w.swimlane)) &&
    (w.region === "" || (s.regions ?? []).includes(w.region))
  );
}

// What is unknown comes last, whichever way one sorts.
function nullable(value: (s: Service) => number | null | undefined) {
  return (a: Service, b: Service, sign: number) => {
    const [x, y] = [value(a) ?? null, value(b) ?? null];
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
    return sign * (x - y);
  };
}

// A service has several swimlanes and regions.
export const listed = (values: string[] | undefined) => (values ?? []).filter(Boolean).join(", ");

function worded(value: (s: Service) => string) {
  return (a: Service, b: Service, sign: number) => {
    const [x, y] = [value(a), value(b)];
    return x === y ? 0 : x === "" ? 1 : y === "" ? -1 : sign * (x < y ? -1 : 1);
  };
}

const byName = (a: Service, b: Service) => (a.service < b.service ? -1 : a.service > b.service ? 1 : a.namespace < b.namespace ? -1 : 1);

const ORDERS: Record<Column, (a: Service, b: Service, sign: number) => number> = {
  health: (a, b, sign) => sign * (RANK[a.health.state] - RANK[b.health.state]) || (RANK[a.health.state] < 4 ? share(b) - share(a) : 0),
  service: (a, b, sign) => sign * byName(a, b),
  team: worded((s) => s.team ?? ""),
  swimlane: worded((s) => listed(s.swimlanes)),
  region: worded((s) => listed(s.regions)),
  requests: nullable((s) => s.requests_per_second),
  errors: nullable(share),
  availability: nullable((s) => s.availability_ratio),
  p95: nullable((s) => s.p95_ms),
  p99: nullable((s) => s.p99_ms),
  completeness: nullable((s) => s.completeness),
};

export interface Shown {
  rows: Service[];
  // How many of each state the other filters leave.
  states: Record<Word, number>;
  teams: string[];
  swimlanes: string[];
  regions: string[];
}

export function shown(services: readonly Service[], w: Wanted): Shown {
  const states: Record<Word, number> = { critical: 0, impaired: 0, degraded: 0, unknown: 0, healthy: 0 };
  const [teams, swimlanes, regions] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const q = w.q.trim().toLowerCase();
  const rows: Service[] = [];
  for (const s of services) {
    if (s.team) teams.add(s.team);
    s.swimlanes?.forEach((v) => v && swimlanes.add(v));
    s.regions?.forEach((v) => v && regions.add(v));
    if (!matches(s, w, q)) continue;
    states[s.health.state] += 1;
    if (w.state === "" || w.state === s.health.state) rows.push(s);
  }
  const order = ORDERS[w.sort];
  rows.sort((a, b) => order(a, b, w.down ? -1 : 1) || byName(a, b));
  return { rows, states, teams: [...teams].sort(), swimlanes: [...swimlanes].sort(), regions: [...regions].sort() };
}
