// What stands where data should be: it is on its way, there is none, or it cannot be had, and what to do then.
import type { ReactNode } from "react";
import type { Problem } from "../api.ts";

// `top`: it is all that the view shows, so its title is the view's.
export function Note({ title, children, kind = "quiet", top = false }: { title: string; children?: ReactNode; kind?: "quiet" | "bad"; top?: boolean }) {
  return <div className={`note ${kind}`} role={kind === "bad" ? "alert" : "status"}>{top ? <h1>{title}</h1> : <strong>{title}</strong>}{children && <div>{children}</div>}</div>;
}

// Waits, failure or nothing of one question.
export function Waiting({ what, problem, again, top = false }: { what: string; problem: Problem | null; again?: () => void; top?: boolean }) {
  if (problem === null) return <div className="note quiet wait" role="status">Loading {what} …</div>;
  if (problem.busy) return <div className="note quiet wait" role="status">golden is busy; {what} will be asked for again in a moment.</div>;
  const title = problem.away ? `No answer: ${what} cannot be loaded` : `${what[0]?.toUpperCase()}${what.slice(1)}: ${problem.title}`;
  return (
    <Note title={title} kind="bad" top={top}>
      <p>{problem.detail}</p>
      {again && <button type="button" onClick={again}>Try again</button>}
    </Note>
  );
}
