// What the service promises, and how much of the error budget is left.
import { ofService, type ServiceLevel } from "../api.ts";
import { useAsk } from "../ask.ts";
import { Waiting } from "../parts/note.tsx";
import { many, number, percent, short } from "../text.ts";

function Level({ level }: { level: ServiceLevel }) {
  const left = level.budget_remaining_ratio;
  const promise = level.threshold_seconds !== null
    ? `${percent(level.objective_ratio)} of requests take at most ${short(level.threshold_seconds * 1000)} ms`
    : `${percent(level.objective_ratio)} of requests do not fail`;
  const state = left === null ? "" : left <= 0 ? "critical" : left < 0.25 ? "degraded" : "healthy";
  return (
    <div className="budget">
      <h3>{promise}</h3>
      <p className="left"><strong>{left === null ? "–" : left < 0 ? `${number(-100 * left, 0)} % overdrawn` : `${number(100 * left, 1)} % left`}</strong> of the budget of {level.period}</p>
      {left !== null && <meter className={state} min={0} max={1} value={Math.max(0, Math.min(1, left))} aria-label={`${number(100 * left, 1)} % of the budget left`} />}
      <p className="quiet">{short(level.bad)} of {short(level.requests)} requests broke it; {short(level.allowed)} may.{left === null && ` Below ${many(level.min_requests, "request")} nothing is said.`}</p>
      {level.burn_rates && (
        <dl className="burns" aria-label="Burn rates">
          {level.burn_rates.map((b) => (
            <div key={b.window} className={b.burn_rate !== null && b.burn_rate > 1 ? "some" : ""}><dt>{b.window}</dt><dd>{b.burn_rate === null ? "–" : `${number(b.burn_rate, b.burn_rate < 10 ? 2 : 0)} ×`}</dd></div>
          ))}
        </dl>
      )}
    </div>
  );
}

export function Budget({ service, namespace, tick }: { service: string; namespace: string | null; tick: string }) {
  const { data, problem, again } = useAsk<{ slos: ServiceLevel[] }>(ofService(service, "slo"), { namespace }, 0, tick);
  if (data === null) return <Waiting what="service levels" problem={problem} again={again} />;
  if (data.slos.length === 0) {
    return <p className="quiet">This service promises nothing yet: <code>objectives: {"{"}availability: 99.9%{"}"}</code> in its overrides file gives it an error budget.</p>;
  }
  return <div className="budgets">{data.slos.map((level) => <Level key={`${level.slo} ${level.threshold_seconds}`} level={level} />)}</div>;
}
