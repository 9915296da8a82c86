// What if the rule were another one? The draft goes through the windows of the last 24 hours, beside the rule in force; nothing changes but the screen.
import { useEffect, useRef, useState } from "react";
import { backtest, type BacktestReport, type OverrideFile, Problem, type Word } from "../api.ts";
import { HealthWord, WORDS, wordOf } from "../parts/health.tsx";
import { clock, duration, many, number, seconds } from "../text.ts";
import { change } from "../url.ts";
import { Diff } from "./rule.tsx";
import { defaultPath, newFile, withHealth } from "./yaml.ts";

interface Run { from: number; to: number; old: number | null; now: number | null }

// Neighbouring windows with the same two levels as one.
function runs(report: BacktestReport): Run[] {
  const out: Run[] = [];
  for (const l of report.levels ?? []) {
    const [from, last] = [seconds(l.start), out.at(-1)];
    const to = from + report.window_seconds;
    if (last && last.old === l.old && last.now === l.new && Math.abs(last.to - from) < 1e-6) last.to = to;
    else out.push({ from, to, old: l.old, now: l.new });
  }
  return out;
}

function Strip({ all, side, title, from, to }: { all: Run[]; side: "old" | "now"; title: string; from: number; to: number }) {
  const x = (t: number) => (100 * (t - from)) / Math.max(1, to - from);
  return (
    <div className="compare">
      <span>{title}</span>
      <svg viewBox="0 0 100 28" preserveAspectRatio="none" aria-hidden="true">
        {all.map((r) => {
          const level = r[side];
          const tall = level === null ? 6 : 6 + level * 7;
          return <rect key={r.from} className={wordOf(level)} x={x(r.from)} y={28 - tall} width={Math.max(0.12, x(r.to) - x(r.from))} height={tall} />;
        })}
      </svg>
    </div>
  );
}

function Result({ report }: { report: BacktestReport }) {
  const all = runs(report);
  const [from, to] = [seconds(report.from), seconds(report.to)];
  const differ = all.filter((r) => r.old !== r.now);
  const minutes = (word: Word) => [report.old.minutes[word] ?? 0, report.new.minutes[word] ?? 0] as const;
  const failures = Object.values(report.new.failures).reduce((a, b) => a + b, 0);
  const headline = report.changed === 0 ? "No window would have been judged otherwise" : `${many(report.changed, "window")} of ${number(report.windows)} would have been judged otherwise`;
  const length = (m: number) => (m === 0 ? "0" : duration(m * 60));
  return (
    <div className="result" role="region" aria-label="What would have changed">
      <h3>{headline}</h3>
      <p className="quiet">{clock(from, true)} to {clock(to, true)}, {many(report.windows, "window")}{to - from < 86000 ? ": all that is known of the last 24 hours" : ""}.</p>
      <Strip all={all} side="old" title="in force" from={from} to={to} />
      <Strip all={all} side="now" title="draft" from={from} to={to} />
      {failures > 0 && <p className="some">The draft fails in {many(failures, "window")}; the default rule decides there.</p>}
      {report.recount && <p className="some">The file also changes tags or outcomes; what that does to counts is not in this.</p>}
      <div className="tables">
        <table>
          <caption className="unseen">Time in each level</caption>
          <thead><tr><th scope="col">Time</th><th scope="col" className="number">in force</th><th scope="col" className="number">draft</th></tr></thead>
          <tbody>
            {[...WORDS].reverse().filter((w) => minutes(w)[0] + minutes(w)[1] > 0).map((w) => (
              <tr key={w}><th scope="row"><HealthWord word={w} /></th><td className="number">{length(minutes(w)[0])}</td>
                <td className={`number ${minutes(w)[0] === minutes(w)[1] ? "" : "changed"}`}>{length(minutes(w)[1])}</td></tr>
            ))}
            {(["episodes", "critical_episodes", "flaps"] as const).map((what) => (
              <tr key={what}><th scope="row">{what.replace("_", " ")}</th><td className="number">{report.old[what]}</td>
                <td className={`number ${report.old[what] === report.new[what] ? "" : "changed"}`}>{report.new[what]}</td></tr>
            ))}
          </tbody>
        </table>
        {differ.length > 0 && (
          <table>
            <caption className="unseen">Stretches that would have been judged otherwise</caption>
            <thead><tr><th scope="col">From</th><th scope="col">For</th><th scope="col">in force</th><th scope="col">draft</th></tr></thead>
            <tbody>
              {differ.slice(-8).reverse().map((r) => (
                <tr key={r.from}><td><button type="button" onClick={() => change({ at: String(r.from) })}>{clock(r.from)}</button></td><td>{duration(r.to - r.from)}</td>
                  <td><HealthWord word={wordOf(r.old)} /></td><td><HealthWord word={wordOf(r.now)} /></td></tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
      {differ.length > 8 && <p className="quiet">and {many(differ.length - 8, "earlier stretch", "earlier stretches")}</p>}
    </div>
  );
}

function Refused({ problem }: { problem: Problem }) {
  return (
    <div className="note bad" role="alert">
      <strong>{problem.diagnostics.length > 0 ? "The draft is refused" : problem.status === 429 ? "Another backtest is running" : problem.title}</strong>
      {problem.diagnostics.length === 0 ? <p>{problem.detail}</p> : (
        <ul className="plain">
          {problem.diagnostics.map((d, n) => <li key={n}>{d.start && `line ${d.start.line}, column ${d.start.column}: `}{d.message}{d.help && <span className="quiet">; {d.help}</span>}</li>)}
        </ul>
      )}
    </div>
  );
}

function Copy({ text }: { text: string }) {
  const [said, setSaid] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      // Without HTTPS a browser has no clipboard: what is selected is copied the old way.
      const home = area.current;
      home?.select();
      setSaid(home && document.execCommand("copy") ? "Copied" : "Select and copy it by hand");
    }
  };
  return (
    <span className="copy">
      <button type="button" onClick={() => void copy()}>Copy the YAML</button> <span role="status">{said}</span>
      <textarea ref={area} className="unseen" value={text} readOnly tabIndex={-1} aria-hidden="true" />
    </span>
  );
}

interface Wish { service: string; namespace: string; team: string; current: string; file: OverrideFile | null; draft: string }

export function WhatIf({ service, namespace, team, current, file, draft }: Wish) {
  const [report, setReport] = useState<BacktestReport | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const editor = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    editor.current?.focus({ preventScroll: true });
    editor.current?.closest(".whatif")?.scrollIntoView({ block: "nearest" });
  }, []);
  const path = file?.path || defaultPath(team, service);
  const yaml = file && file.content !== "" ? withHealth(file.content, draft) : newFile(draft, team || "team", namespace);
  const run = () => {
    if (busy) return;
    setBusy(true);
    backtest({ [path]: yaml }, service).then(
      (answer) => {
        setReport(answer.reports[0] ?? null);
        setProblem(answer.reports[0] ? null : new Problem(404, "no windows", "there is no window of this service in the last 24 hours"));
      },
      (error: unknown) => {
        setReport(null);
        setProblem(error instanceof Problem ? error : new Problem(0, "no answer", String(error)));
      },
    ).finally(() => setBusy(false));
  };
  return (
    <div className="whatif">
      <h3 id="whatif-title">What if the rule were</h3>
      <textarea
        ref={editor} aria-labelledby="whatif-title" value={draft} rows={Math.min(14, Math.max(4, draft.split("\n").length + 1))} spellCheck={false} autoComplete="off"
        onChange={(e) => change({ try: e.target.value === "" ? " " : e.target.value }, true)}
        onKeyDown={(e) => {
          if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); run(); }
          if (e.key === "Escape") e.currentTarget.blur();
        }}
      />
      <p className="actions">
        <button type="button" className="main" onClick={run} disabled={busy}>{busy ? "Trying …" : "Try on the last 24 h"} <kbd>Ctrl ↵</kbd></button>
        <button type="button" onClick={() => change({ try: current })} disabled={draft === current}>Back to the rule in force</button>
        <button type="button" onClick={() => change({ try: null })}>Close</button>
      </p>
      {problem && <Refused problem={problem} />}
      {report && <Result report={report} />}
      <details className="yaml">
        <summary>The file <code>{path}</code></summary>
        {file && file.content !== "" ? <Diff before={file.content} after={yaml} /> : <pre tabIndex={0} aria-label="The file"><code>{yaml}</code></pre>}
        <p className="quiet">It counts once it is published: <code>golden overrides publish</code>. Here nothing is changed.</p>
      </details>
      <Copy text={yaml} />
    </div>
  );
}
