// Health over time: the height says how bad, the colour says it again, and each change stands below in words.
import type { HealthSpan, TimelineAnswer } from "../api.ts";
import { useRef, useState } from "react";
import { HealthWord, Shape } from "../parts/health.tsx";
import { clock, duration, errorShare, many, millis, percent, seconds } from "../text.ts";
import { change } from "../url.ts";

const REASONS: Record<string, string> = { rule: "", rule_error: "the rule failed", incomplete: "input is missing", stale: "nothing was published" };
const TALL = 44;
// Changes that are listed until all are asked for; the strip shows all.
const LISTED = 5;

const tall = (s: HealthSpan) => (s.level === null ? 10 : 8 + s.level * 12);

function told(s: HealthSpan): string {
  return `${clock(s.from)} to ${clock(s.to)}: ${s.state}${REASONS[s.reason] ? `, ${REASONS[s.reason]}` : ""}; ${errorShare(s.errors, s.requests)} errors`;
}

function Strip({ answer, at }: { answer: TimelineAnswer; at: number | null }) {
  // What lies before the first known window is not shown, as in the charts.
  const [from, to] = [Math.max(seconds(answer.from), seconds(answer.spans[0]?.from ?? answer.from)), seconds(answer.to)];
  const x = (time: number) => (100 * (time - from)) / Math.max(1, to - from);
  // One stop of the tab key for all stretches; arrows go from one to the next, as there may be hundreds.
  const home = useRef<HTMLDivElement>(null);
  const [focus, setFocus] = useState<string | null>(null);
  const [shown, setTold] = useState("");
  const known = answer.spans.findIndex((s) => s.from === focus);
  const current = known < 0 ? answer.spans.length - 1 : known;
  const move = (event: React.KeyboardEvent) => {
    const next = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: answer.spans.length - 1 }[event.key];
    if (next === undefined || next < 0 || next >= answer.spans.length) return;
    event.preventDefault();
    home.current?.querySelectorAll<HTMLButtonElement>(".hit")[next]?.focus();
  };
  return (
    <div className="strip">
      <svg viewBox={`0 0 100 ${TALL}`} preserveAspectRatio="none" aria-hidden="true">
        {answer.spans.map((s) => {
          const [left, right] = [x(Math.max(from, seconds(s.from))), x(Math.min(to, seconds(s.to)))];
          return <rect key={s.from} className={s.state} x={left} y={TALL - tall(s)} width={Math.max(0.15, right - left)} height={tall(s)} />;
        })}
        {at !== null && <line className="at" x1={x(at)} x2={x(at)} y1={0} y2={TALL} />}
      </svg>
      <div ref={home} role="group" aria-label="Stretches of health; arrow keys go from one to the next" onKeyDown={move} onBlur={() => setTold("")}>
      {answer.spans.map((s, n) => {
        const [left, right] = [x(Math.max(from, seconds(s.from))), x(Math.min(to, seconds(s.to)))];
        const worst = s.worst ? seconds(s.worst.window_start) : seconds(s.from);
        return (
          <button
            type="button" key={s.from} tabIndex={n === current ? 0 : -1} className="hit" style={{ left: `${left}%`, width: `${right - left}%` }} title={told(s)}
            aria-label={told(s)} onFocus={() => { setFocus(s.from); setTold(told(s)); }} onClick={() => change({ at: String(worst) })}
          />
        );
      })}
      </div>
      <div className="ends" aria-hidden="true"><span>{clock(from)}</span><span>{clock(to)}</span></div>
      {shown !== "" && <p className="quiet" aria-hidden="true">{shown}</p>}
    </div>
  );
}

export function Timeline({ answer, at }: { answer: TimelineAnswer; at: number | null }) {
  const [all, setAll] = useState(false);
  if (answer.spans.length === 0) return <p className="quiet">No window was published in this range.</p>;
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
            {notable.slice(0, all ? notable.length : LISTED).map((s) => (
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
      {notable.length > LISTED && <p><button type="button" aria-expanded={all} onClick={() => setAll(!all)}>{all ? "Only the newest" : `${many(notable.length - LISTED, "more stretch", "more stretches")} in this range`}</button></p>}
    </>
  );
}
