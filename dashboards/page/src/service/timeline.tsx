// Health over time: the height says how bad, the colour says it again, and each change stands below in words.
import type { HealthSpan, TimelineAnswer } from "../api.ts";
import { HealthWord, Shape } from "../parts/health.tsx";
import { clock, duration, errorShare, many, millis, percent, seconds } from "../text.ts";
import { change } from "../url.ts";

const REASONS: Record<string, string> = { rule: "", rule_error: "the rule failed", incomplete: "input is missing", stale: "nothing was published" };
const TALL = 44;
// Changes that are listed; the strip shows all.
const LISTED = 5;

const tall = (s: HealthSpan) => (s.level === null ? 10 : 8 + s.level * 12);

function told(s: HealthSpan): string {
  return `${clock(s.from)} to ${clock(s.to)}: ${s.state}${REASONS[s.reason] ? `, ${REASONS[s.reason]}` : ""}; ${errorShare(s.errors, s.requests)} errors`;
}

function Strip({ answer, at }: { answer: TimelineAnswer; at: number | null }) {
  // What lies before the first known window is not shown, as in the charts.
  const [from, to] = [Math.max(seconds(answer.from), seconds(answer.spans[0]?.from ?? answer.from)), seconds(answer.to)];
  const x = (time: number) => (100 * (time - from)) / Math.max(1, to - from);
  return (
    <div className="strip">
      <svg viewBox={`0 0 100 ${TALL}`} preserveAspectRatio="none" aria-hidden="true">
        {answer.spans.map((s) => {
          const [left, right] = [x(Math.max(from, seconds(s.from))), x(Math.min(to, seconds(s.to)))];
          return <rect key={s.from} className={s.state} x={left} y={TALL - tall(s)} width={Math.max(0.15, right - left)} height={tall(s)} />;
        })}
        {at !== null && <line className="at" x1={x(at)} x2={x(at)} y1={0} y2={TALL} />}
      </svg>
      {answer.spans.map((s) => {
        const [left, right] = [x(Math.max(from, seconds(s.from))), x(Math.min(to, seconds(s.to)))];
        const worst = s.worst ? seconds(s.worst.window_start) : seconds(s.from);
        return (
          <button
            type="button" key={s.from} tabIndex={-1} className="hit" style={{ left: `${left}%`, width: `${right - left}%` }} title={told(s)}
            aria-label={told(s)} onClick={() => change({ at: String(worst) })}
          />
        );
      })}
      <div className="ends" aria-hidden="true"><span>{clock(from)}</span><span>{clock(to)}</span></div>
    </div>
  );
}

export function Timeline({ answer, at }: { answer: TimelineAnswer; at: number | null }) {
  const notable = answer.spans.filter((s) => s.state !== "healthy").reverse();
  return (
    <>
      <Strip answer={answer} at={at} />
      {notable.length === 0 ? <p className="quiet"><Shape word="healthy" /> Healthy all the time.</p> : (
        <div className="scroll" role="region" aria-label="Changes of health" tabIndex={0}>
        <table className="changes">
          <caption className="unseen">When it was not healthy, newest first</caption>
          <thead><tr><th scope="col">From</th><th scope="col">For</th><th scope="col">Health</th><th scope="col" className="number">Errors</th>
            <th scope="col" className="number medium">Worst availability</th><th scope="col" className="number medium">Worst p99</th><th scope="col"><span className="unseen">More</span></th></tr></thead>
          <tbody>
            {notable.slice(0, LISTED).map((s) => (
              <tr key={s.from}>
                <td>{clock(s.from)}</td>
                <td>{duration(seconds(s.to) - seconds(s.from))}</td>
                <td><HealthWord word={s.state} />{REASONS[s.reason] && <span className="quiet"> {REASONS[s.reason]}</span>}</td>
                <td className="number">{errorShare(s.errors, s.requests)}</td>
                <td className="number medium">{percent(s.worst?.availability_ratio)}</td>
                <td className="number medium">{millis(s.worst?.p99_ms)}</td>
                <td className="number"><button type="button" onClick={() => change({ at: String(s.worst ? seconds(s.worst.window_start) : seconds(s.from)) })}>Why?</button></td>
              </tr>
            ))}
          </tbody>
        </table>
        </div>
      )}
      {notable.length > LISTED && <p className="quiet">and {many(notable.length - LISTED, "more stretch", "more stretches")} in this range</p>}
    </>
  );
}
