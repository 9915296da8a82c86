// Asks the API for something and keeps the answer: what was there stays on the screen while the next answer is on its way or fails.
import { useCallback, useEffect, useRef, useState } from "react";
import { get, Problem, type Query, address } from "./api.ts";

export interface Asked<T> { data: T | null; problem: Problem | null; again: () => void }

// `path` null asks nothing. `every` in ms asks again; `tick` asks again whenever it changes.
export function useAsk<T>(path: string | null, query: Query = {}, every = 0, tick: unknown = 0): Asked<T> {
  const where = path === null ? null : address(path, query);
  const [held, setHeld] = useState<{ of: string; data: T } | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [turn, setTurn] = useState(0);
  const last = useRef<string | null>(null);

  useEffect(() => {
    if (where === null) return;
    if (last.current !== where) setProblem(null);
    last.current = where;
    const stop = new AbortController();
    get<T>(where, {}, stop.signal).then(
      (data) => {
        setHeld({ of: where, data });
        setProblem(null);
      },
      (error: unknown) => {
        if (!stop.signal.aborted) setProblem(error instanceof Problem ? error : new Problem(0, "no answer", String(error)));
      },
    );
    return () => stop.abort();
  }, [where, turn, tick]);

  useEffect(() => {
    if (every === 0 || where === null) return;
    const timer = setInterval(() => document.visibilityState === "visible" && setTurn((n) => n + 1), every);
    return () => clearInterval(timer);
  }, [every, where]);

  const again = useCallback(() => setTurn((n) => n + 1), []);
  // An answer to another question of the same kind (another range of the same service) stays until the new one is there.
  const same = held !== null && where !== null && held.of.split("?")[0] === where.split("?")[0];
  return { data: same ? held.data : null, problem, again };
}
