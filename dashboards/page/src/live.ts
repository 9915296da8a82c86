// What the page knows now: services, status and router, by one stream of events; by polling while the server refuses the stream.
import { useSyncExternalStore } from "react";
import { get, type Lag, Problem, type Router, type Service, type Status } from "./api.ts";

// How the page is connected: `live` by the stream, `polls` while that is refused, `away` while nobody answers.
export type Link = "starting" | "live" | "polls" | "away";

export interface Live {
  link: Link;
  // Null until the first answer.
  services: readonly Service[] | null;
  byKey: ReadonlyMap<string, Service>;
  status: Status | null;
  // Rates per second between the last two statuses, by colour and epoch.
  rates: Record<string, { decoded: number; dead: number }>;
  // Offsets that a stage read per second between the last two statuses, by pipeline and stage.
  read: Record<string, number>;
  router: Router | null;
  problem: Problem | null;
  // When the last answer came, in ms since 1970; 0 before the first.
  heard: number;
}

export const keyOf = (s: { namespace: string; service: string }) => `${s.namespace}\n${s.service}`;

const POLL_SERVICES = 2_000;
const POLL_OTHERS = 5_000;
const STREAM_AGAIN = 30_000;
// The server says something every 15 s; a stream that is silent for longer than this is taken for dead.
const SILENCE = 40_000;

let now: Live = { link: "starting", services: null, byKey: new Map(), status: null, rates: {}, read: {}, router: null, problem: null, heard: 0 };
const listeners = new Set<() => void>();

function set(change: Partial<Live>): void {
  now = { ...now, ...change };
  listeners.forEach((listener) => listener());
}

export function useLive(): Live {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => now,
  );
}

function hear(link: Link): Partial<Live> {
  return { link, problem: null, heard: Date.now() };
}

function takeServices(services: Service[], whole: boolean): Partial<Live> {
  const byKey = new Map(whole ? [] : now.byKey);
  for (const service of services) byKey.set(keyOf(service), service);
  return { byKey, services: [...byKey.values()] };
}

// What is read by a stage, for `read`.
export const stageOf = (l: { pipeline: string; stage: string }) => `${l.pipeline} ${l.stage}`;

let before: { at: number; status: Status } | null = null;

function takeStatus(status: Status): Partial<Live> {
  const at = Date.now();
  const [rates, read]: [Live["rates"], Live["read"]] = [{}, {}];
  if (before !== null && at > before.at + 500) {
    const passed = (at - before.at) / 1000;
    for (const d of status.deployments) {
      const then = before.status.deployments.find((o) => o.colour === d.colour && o.epoch === d.epoch);
      if (!then || d.decoded < then.decoded) continue;
      rates[`${d.colour}.${d.epoch}`] = { decoded: (d.decoded - then.decoded) / passed, dead: (d.dead_letters - then.dead_letters) / passed };
    }
    const place = (l: Lag) => `${stageOf(l)} ${l.topic}/${l.partition}`;
    const positions = new Map(before.status.lag.map((l) => [place(l), l.position]));
    for (const l of status.lag) {
      const then = positions.get(place(l));
      // A position that fell is that of another log.
      if (then !== undefined && l.position >= then) read[stageOf(l)] = (read[stageOf(l)] ?? 0) + (l.position - then) / passed;
    }
  }
  if (before === null || at > before.at + 4_000) before = { at, status };
  return Object.keys(rates).length + Object.keys(read).length > 0 ? { status, rates, read } : { status };
}

let timers: ReturnType<typeof setInterval>[] = [];

function failed(error: unknown): void {
  const problem = error instanceof Problem ? error : new Problem(0, "no answer", String(error));
  set({ link: "away", problem });
}

function poll(): void {
  if (timers.length > 0) return;
  const services = () =>
    get<{ services: Service[] }>("/api/v1/services", { limit: 10_000 }).then((a) => set({ ...hear("polls"), ...takeServices(a.services, true) }), failed);
  const others = () => {
    get<Status>("/api/v1/status").then((status) => set(takeStatus(status)), () => undefined);
    get<Router>("/api/v1/router").then((router) => set({ router }), () => set({ router: null }));
  };
  void services();
  others();
  const visible = (work: () => unknown) => () => void (document.visibilityState === "visible" && work());
  timers = [setInterval(visible(services), POLL_SERVICES), setInterval(visible(others), POLL_OTHERS)];
}

function stopPolling(): void {
  timers.forEach(clearInterval);
  timers = [];
}

let said = Date.now();

// Opens the stream. While it is refused the page polls, and asks for the stream again from time to time.
function stream(): void {
  const source = new EventSource("/api/v1/stream?services=1&status=1");
  const on = <T,>(name: string, take: (data: T) => Partial<Live>) =>
    source.addEventListener(name, (event) => {
      said = Date.now();
      stopPolling();
      set({ ...take(JSON.parse((event as MessageEvent<string>).data) as T), ...hear("live") });
    });
  on<{ services: Service[]; full: boolean }>("services", (a) => takeServices(a.services, a.full));
  on<Status>("status", takeStatus);
  on<Router>("router", (router) => ({ router }));
  source.addEventListener("ping", () => {
    said = Date.now();
    set(hear("live"));
  });
  const watch = setInterval(() => {
    if (Date.now() - said > SILENCE && source.readyState === EventSource.OPEN) end();
  }, 5_000);
  const end = () => {
    clearInterval(watch);
    source.close();
    poll();
    setTimeout(stream, STREAM_AGAIN);
  };
  said = Date.now();
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) end();
    // The browser connects again by itself; meanwhile polling tells whether anybody answers.
    else poll();
  };
}

export function start(): void {
  stream();
}
