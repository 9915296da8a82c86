// Asks the API for something and keeps the answer: what was there stays on the screen while the next answer is on its way or fails.
import { useCallback, useEffect, useRef, useState } from "react";
import { get, Problem, type Query, address } from "./api.ts";

export interface Asked<T> { data: T | null; problem: Problem | null; again: () => void }

interface Flying { kind: string; stop: AbortController; next: string | null }

const kindOf = (where: string) => where.split("?")[0] as string;

// `path` null asks nothing. `every` in ms asks again; `tick` asks again whenever it changes.
export function useAsk<T>(path: string | null, query: Query = {}, every = 0, tick: unknown = 0): Asked<T> {
  const where = path === null ? null : address(path, query);
  const [held, setHeld] = useState<{ of: string; data: T } | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [turn, setTurn] = useState(0);
  const flying = useRef<Flying | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);

  useEffect(() => {
    if (where === null) return;
    // An answer that takes longer than a window must not be given up for each new one: the next question waits for it.
    if (flying.current?.kind === kindOf(where)) {
      flying.current.next = where;
      return;
    }
    flying.current?.stop.abort();
    const ask = (from: string) => {
      const mine: Flying = { kind: kindOf(from), stop: new AbortController(), next: null };
      flying.current = mine;
      clearTimeout(timer.current);
      get<T>(from, {}, mine.stop.signal).then(
        (data) => {
          if (mine.stop.signal.aborted) return;
          setHeld({ of: from, data });
          setProblem(null);
        },
        (error: unknown) => {
          if (mine.stop.signal.aborted) return;
          const told = error instanceof Problem ? error : new Problem(0, "no answer", String(error));
          setProblem(told);
          if (told.busy) timer.current = setTimeout(() => setTurn((n) => n + 1), 1000 * Math.min(30, told.retryAfter ?? 2));
        },
      ).finally(() => {
        if (flying.current !== mine) return;
        flying.current = null;
        if (mine.next !== null && mine.next !== from) ask(mine.next);
      });
    };
    ask(where);
  }, [where, turn, tick]);

  useEffect(() => () => {
    flying.current?.stop.abort();
    clearTimeout(timer.current);
  }, []);

  useEffect(() => {
    if (every === 0 || where === null) return;
    const timer = setInterval(() => document.visibilityState === "visible" && setTurn((n) => n + 1), every);
    return () => clearInterval(timer);
  }, [every, where]);

  const again = useCallback(() => setTurn((n) => n + 1), []);
  // An answer to another question of the same kind (another range of the same service) stays until the new one is there.
  const same = held !== null && where !== null && kindOf(held.of) === kindOf(where);
  return { data: same ? held.data : null, problem, again };
}
