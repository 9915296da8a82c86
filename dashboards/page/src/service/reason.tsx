// Why a service has the level it has, in a sentence and then step by step: each condition of its rule, its value, and which way it went.
import type { Comparison, Explained, Explanation } from "../api.ts";
import { clock, describe, errorShare, many, millis, percent, variable } from "../text.ts";
import { wordOf } from "../parts/health.tsx";

const NAMES: Record<string, string> = {
  requestCount: "The number of requests", errorCount: "The number of errors", requestRate: "The rate of requests", errorRate: "The rate of errors",
  availability: "Availability", saturation: "Saturation", completeness: "Completeness", previousHealth: "The level before",
  latencyP50: "p50 latency", latencyP75: "p75 latency", latencyP90: "p90 latency", latencyP95: "p95 latency", latencyP99: "p99 latency",
  latencyP999: "p99.9 latency", latencyMean: "Mean latency", latencyMax: "The longest latency",
};

const SIGNS: Record<string, string> = { "<": "below", "<=": "at most", ">": "above", ">=": "at least", "==": "equal to", "!=": "other than" };

// The variable that stands on the left of a comparison, as in `availability > 99.0`.
const leftName = (c: Comparison) => /^\s*([A-Za-z][A-Za-z0-9]*)/.exec(c.at.text)?.[1] ?? "";

function said(c: Comparison): string {
  const name = leftName(c);
  const what = NAMES[name] ?? `“${c.at.text.split(c.sign)[0]?.trim() || name}”`;
  const left = variable(name, c.left as number | string);
  return `${what} is ${left}, ${c.holds ? "" : "not "}${SIGNS[c.sign] ?? c.sign} ${variable(name, c.right)}`;
}

// The comparisons of the condition that decided: the last branch that was taken.
function deciding(e: Explanation): Comparison[] {
  const last = e.branches.at(-1);
  if (!last) return e.comparisons;
  const inside = e.comparisons.filter((c) => c.at.start >= last.condition.start && c.at.end <= last.condition.end);
  return inside.length > 0 ? inside : e.comparisons.slice(-1);
}

// One sentence for the largest type of the view.
export function because(x: Explained): string {
  const { health, explanation: e } = x;
  if (health.reason === "incomplete") return "Part of the input of this window is missing, so it cannot be called healthy.";
  if (health.reason === "stale") return "Nothing was published for a while: what is known is too old to say anything about now.";
  if (health.reason === "rule_error") return `The team's rule failed (${e?.failure ?? "an error"}); the default rule decided: ${x.fallback ? sentence(x.fallback) : ""}`;
  return e ? sentence(e) : "";
}

function sentence(e: Explanation): string {
  const parts = deciding(e).map(said);
  if (parts.length === 0) return `The rule gives ${e.result ?? "nothing"} whatever is measured.`;
  return `${parts.map((p, n) => (n === 0 ? p : p[0]?.toLowerCase() + p.slice(1))).join("; ")}.`;
}

// Where the errors of the window came from.
export function mostOf(x: Explained): string | null {
  const parts = x.contributors.service_operation ?? [];
  const worst = parts.reduce<(typeof parts)[number] | null>((most, c) => (c.errors > (most?.errors ?? 0) ? c : most), null);
  if (!worst) return null;
  return `${percent(worst.share_of_errors)} of all errors are of ${describe(worst.dimensions)}, where ${errorShare(worst.errors, worst.requests)} of requests fail.`;
}

function Walk({ e }: { e: Explanation }) {
  return (
    <ol className="walk">
      {e.comparisons.map((c) => (
        <li key={`${c.at.start} ${c.at.end}`} className={c.holds ? "yes" : "no"}>
          <span className="verdict">{c.holds ? "yes" : "no"}</span>
          <code>{c.at.text}</code>
          <span className="value">{variable(leftName(c), c.left)}</span>
        </li>
      ))}
      <li className="gives"><span className="verdict">gives</span><span>{e.failure ?? (e.result === null ? "nothing" : `${e.result}, ${wordOf(e.result)}`)}</span></li>
    </ol>
  );
}

// Who wrote the rule, and where it lies.
export function Origin({ x }: { x: Explained }) {
  const { rule } = x;
  if (rule.default) return <p className="quiet">The default rule: no team has written one for this service.</p>;
  return (
    <p className="quiet">
      <code>{rule.path}:{rule.line}</code> of <bdi>{rule.owner}</bdi>, version {rule.version}
      {rule.published_by !== "" && <> by <bdi>{rule.published_by}</bdi></>}{rule.published_at !== "" && <> at {clock(rule.published_at, true)}</>}
      {rule.commit !== "" && <>, commit <code>{rule.commit.slice(0, 12)}</code></>}
    </p>
  );
}

export function Why({ x }: { x: Explained }) {
  const most = Object.entries(x.contributors).filter(([, all]) => all.length > 0);
  return (
    <div className="why">
      <div className="rule">
        <h3>The rule, step by step</h3>
        {x.explanation && <Walk e={x.explanation} />}
        {x.fallback && <><h3>The default rule decided</h3><Walk e={x.fallback} /></>}
        <Origin x={x} />
      </div>
      {most.map(([grouping, all]) => (
        <div key={grouping} className="most">
          <h3>{all.some((c) => c.errors > 0) ? "Most errors" : "Most requests"} by {grouping.replace(/^service_/, "").replaceAll("_", ", ")}</h3>
          <ul>
            {all.slice(0, 5).map((c) => {
              const part = c.share_of_errors ?? c.share_of_requests ?? 0;
              return (
                <li key={describe(c.dimensions)}>
                  <bdi className="what">{describe(c.dimensions)}</bdi>
                  <span className="number">{c.errors > 0 ? `${many(c.errors, "error")}, ${errorShare(c.errors, c.requests)}` : many(c.requests, "request")} · p99 {millis(c.latency_p99)}</span>
                  <meter className={c.errors > 0 ? "bad" : ""} min={0} max={1} value={part} aria-label={`${percent(part)} of all ${c.share_of_errors === null ? "requests" : "errors"}`} />
                </li>
              );
            })}
          </ul>
        </div>
      ))}
    </div>
  );
}
