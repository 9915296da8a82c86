// The API as the page knows it: fields that are shown, and nothing else. Every request of the page is made here or in live.ts.

export type Word = "healthy" | "degraded" | "impaired" | "critical" | "unknown";

export interface Health { level: number | null; state: Word; reason: string; previous: number | null }

// Lists of equal length, oldest window first.
export interface RecentWindows { requests: number[]; errors: number[] }

export interface Service {
  namespace: string; service: string; window_start: string; window_end: string; revision: number;
  requests: number; requests_per_second: number; errors: number; availability_ratio: number | null;
  p50_ms: number | null; p95_ms?: number | null; p99_ms: number | null;
  saturation_ratio: number | null; saturated_resource: string | null;
  health: Health; completeness: number; stale: boolean; recent: RecentWindows;
  team?: string; criticality?: string; swimlanes?: string[]; regions?: string[];
}

// A record of the public topic, as `signals` gives it; of its fields those that the page shows.
export interface PublicRecord {
  revision: number; completeness: number; availability_ratio: number | null;
  requests: { count: number; rate: number }; errors: { count: number };
  latency: { all: { p50: number | null; p95: number | null; p99: number | null } | null } | null;
  saturation: { ratio: number; resource: string } | null;
}

export interface Latency {
  count: number; mean_ms: number | null; p50_ms: number | null; p75_ms: number | null; p90_ms: number | null; p95_ms: number | null;
  p99_ms: number | null; p99_9_ms: number | null; max_ms: number | null;
}

export interface Point {
  start: string; end: string; windows: number; requests: number; errors: number; availability_ratio: number | null;
  latency: Latency | null; saturation_ratio: number | null; completeness: number; level: number | null;
}

export interface Group { dimensions: Record<string, string>; total: Point; points: Point[] }

export interface RangeAnswer {
  from: string; to: string; step_seconds: number; window_seconds: number; grouping: string; groups: Group[]; other_groups: number;
}

export interface HeatmapAnswer {
  from: string; to: string; step_seconds: number; bounds_ms: number[]; columns: { start: string; counts: number[] }[]; max_count: number;
}

export interface HealthSpan {
  from: string; to: string; level: number | null; state: Word; reason: string; windows: number; requests: number; errors: number;
  worst: { window_start: string; availability_ratio: number | null; p99_ms: number | null } | null;
}

export interface TimelineAnswer { from: string; to: string; spans: HealthSpan[]; changes: number }

export interface Exemplar {
  trace_id: string; span_id: string | null; duration_ms: number | null; timestamp: string; operation: string | null; error: boolean; reason: string;
}

export interface Comparison {
  at: { start: number; end: number; text: string }; left: number | string; sign: string; right: number | string | (number | string)[]; holds: boolean;
  distance: number | null;
}

export interface Explanation {
  result: number | null; failure: string | null; comparisons: Comparison[]; variables: { name: string; value: number | string | null }[];
  branches: { condition: { start: number; end: number; text: string }; holds: boolean; taken: { start: number; end: number; text: string } }[];
}

export interface Contributor {
  dimensions: Record<string, string>; requests: number; errors: number; error_ratio: number | null; share_of_errors: number | null;
  share_of_requests: number | null; latency_p99: number | null;
}

export interface Explained {
  service: string; namespace: string; window_start: string; window_end: string; revision: number; health: Health;
  rule: {
    expression: string; default: boolean; version: number; path: string; line: number; owner: string; published_by: string;
    published_at: string; commit: string; sha256: string;
  };
  explanation: Explanation | null; fallback: Explanation | null; agrees: boolean;
  utilization?: Record<string, number> | null;
  contributors: Record<string, Contributor[]>;
}

export interface BurnRate { window: string; requests: number; bad: number; burn_rate: number | null }

export interface ServiceLevel {
  slo: string; objective_ratio: number; threshold_seconds: number | null; period: string; from: string; requests: number; bad: number;
  allowed: number; budget_remaining_ratio: number | null; min_requests: number; known_from: string | null; burn_rates?: BurnRate[];
}

export interface OverrideFile {
  version: number; from_window: string; published_by: string; published_at: string; path: string; sha256: string; content: string;
}

export interface Rejected { path: string; line: number; reason: string }

export interface OverridesOfService { files: OverrideFile[]; rejected: Rejected | null; shadow: OverrideFile | null }

// What came of a file that is tried.
export interface Trial { windows: number; agreeing: number; since: string }

export interface Overrides {
  in_force: number | null;
  polls: { place: string; last_success: string | null; failing_since: string | null; error: string | null };
  services: { service: string; namespace: string; team: string }[];
  versions: { version: number; from_window: string; published_by: string; published_at: string; commit?: string }[];
}

export interface Diagnostic { file: string; code: string; severity: string; message: string; help?: string | null; start?: { line: number; column: number } | null }

export interface Side {
  minutes: Record<Word, number>; episodes: number; critical_episodes: number; flaps: number; failures: Record<string, number>;
}

export interface BacktestReport {
  from: string; to: string; window_seconds: number; windows: number; old: Side; new: Side; changed: number; recount: boolean;
  levels?: { start: string; old: number | null; new: number | null }[];
}

export interface Lag { pipeline: string; stage: string; topic: string; partition: number; position: number; records: number }
export interface Task { pipeline: string; stage: string; task: number; state: string; error: string | null }

export interface Status {
  version: string; watermark: string | null; tasks: Task[]; lag: Lag[]; waits_for: string | null;
  deployments: { colour: string; epoch: number; decoded: number; dead_letters: number }[];
}

export interface Deployment { colour: string; epoch: number }

export interface Flip {
  at: string; by: string; flip: number; freshness: number | null; from: Deployment; to: Deployment; gap: number | null; kind: string;
  lost_and_doubled: [number, number] | null; reason: string; state: string;
}

export interface Router {
  live: Deployment | null; hold: boolean; leads: boolean; time: string; page: string | null;
  colours: {
    colour: string; deployment: Deployment | null; live: boolean; version: string; closed: string | null; progress: string | null;
    lag: number | null; trouble: string | null; error_share: number | null;
  }[];
  flips: Flip[]; refused: { at?: string; by?: string; reason?: string; why?: string; refusal?: string }[];
  partitions: { partition: number; forwards: Deployment | null; published: string | null; window: string | null }[];
  shadow: { compared: number; different: number } | null;
}

export interface Receipt { clean: boolean; lines: Record<string, string>; verified?: { what: string; said: string; found: string }[] }

export interface DeadLetter {
  append_time?: number; reason: string; detail: string; source: string; topic: string; partition: number; offset: number; item: number;
  length: number; colour?: string;
  // How the bytes name the service that was asked for: as a text of their JSON, or as a word of what is no JSON.
  named_by?: "text" | "word";
}

export interface DeadLetters { dead_letters: DeadLetter[]; searched: number; without_bytes: number; more: boolean }

export interface LateLine { service: string; window_start: string; window_end: string; events: number }

export interface LateAnswer { lines: LateLine[]; next_from: string | null }

export interface History {
  records: Kept; ten_minutes: Kept; hours: Kept; bytes: number; bound_bytes: number;
}
export interface Kept { from: string | null; to: string | null; bytes: number }

export interface PageSettings { trace_link: string | null; grafana: string | null; version: string; window_seconds: number; groupings: Record<string, string[]>; demo: boolean }

// An answer that is no success: what the server said, or that it said nothing.
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly diagnostics: Diagnostic[] = [],
    readonly suggestions: string[] = [],
    readonly retryAfter: number | null = null,
  ) {
    super(detail || title);
  }

  // Too much is under way just now; the same question has an answer a little later.
  get busy(): boolean {
    return this.status === 429 || this.status === 503;
  }

  // Nobody answered: the connection failed, or something before the server did.
  get away(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 504;
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export function address(path: string, query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined) params.set(name, String(value));
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}

export const ofService = (service: string, what: string) => `/api/v1/services/${encodeURIComponent(service)}/${what}`;

async function answer<T>(request: Promise<Response>): Promise<T> {
  let response: Response;
  try {
    response = await request;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "no answer", "golden does not answer");
  }
  const text = await response.text();
  let body: unknown = null;
  try {
    body = JSON.parse(text);
  } catch {
    if (response.ok) throw new Problem(response.status, "no JSON", "the answer is not JSON");
  }
  if (response.ok) return body as T;
  const said = (body ?? {}) as { title?: string; detail?: string; diagnostics?: Diagnostic[]; suggestions?: string[]; retry_after?: number | null };
  throw new Problem(response.status, said.title ?? `status ${response.status}`, said.detail ?? text.slice(0, 200), said.diagnostics, said.suggestions, said.retry_after ?? null);
}

export function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return answer<T>(fetch(address(path, query), signal ? { signal } : {}));
}

export function backtest(files: Record<string, string>, service: string): Promise<{ reports: BacktestReport[] }> {
  const body = JSON.stringify({ files, service, window: "24h", levels: true });
  return answer(fetch("/api/v1/overrides/backtest", { method: "POST", headers: { "content-type": "application/json" }, body }));
}
