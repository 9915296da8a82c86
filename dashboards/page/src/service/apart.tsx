// What did not count for this service: events that came too late, and items that could not be read.
import { useState } from "react";
import type { DeadLetter, LateLine } from "../api.ts";
import { get, Problem } from "../api.ts";
import { useAsk } from "../ask.ts";
import { Waiting } from "../parts/note.tsx";
import { clock, many, number } from "../text.ts";

// Dead letters were not decoded, so they have no service; those are shown whose bytes name it.
function names(letter: DeadLetter, service: string): boolean {
  if (!letter.payload_base64) return false;
  const bytes = Uint8Array.from(atob(letter.payload_base64), (c) => c.charCodeAt(0));
  return new TextDecoder().decode(bytes).includes(JSON.stringify(service).slice(1, -1));
}

function Letters({ service }: { service: string }) {
  const [found, setFound] = useState<{ letters: DeadLetter[]; of: number } | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const look = () => {
    setBusy(true);
    get<{ dead_letters: DeadLetter[] }>("/api/v1/dead-letters", { limit: 200, payload: true }).then(
      (a) => { setFound({ letters: a.dead_letters.filter((l) => names(l, service)), of: a.dead_letters.length }); setProblem(null); },
      (error: unknown) => setProblem(error instanceof Problem ? error : new Problem(0, "no answer", String(error))),
    ).finally(() => setBusy(false));
  };
  if (found === null) {
    return (
      <>
        <p className="quiet">Items that could not be read are of no service until somebody looks into their bytes.</p>
        <button type="button" onClick={look} disabled={busy}>{busy ? "Looking …" : "Look for this service among the newest"}</button>
        {problem && <Waiting what="dead letters" problem={problem} />}
      </>
    );
  }
  if (found.letters.length === 0) return <p className="quiet">None of the newest {number(found.of)} dead letters names this service.</p>;
  return (
    <>
      <p>{many(found.letters.length, "dead letter names", "dead letters name")} this service, of the newest {number(found.of)}.</p>
      <LetterTable letters={found.letters.slice(0, 10)} />
    </>
  );
}

export function LetterTable({ letters }: { letters: DeadLetter[] }) {
  return (
    <div className="scroll" role="region" aria-label="Newest dead letters" tabIndex={0}>
      <table>
        <thead><tr><th scope="col">At</th><th scope="col">Reason</th><th scope="col">What</th><th scope="col">Where</th></tr></thead>
        <tbody>
          {letters.map((l) => (
            <tr key={`${l.topic}/${l.partition}/${l.offset}/${l.item}`}>
              <td>{l.append_time ? clock(l.append_time / 1e9) : ""}</td>
              <td><code>{l.reason}</code></td>
              <td>{l.detail}</td>
              <td><code>{l.topic}/{l.partition}/{l.offset}</code></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Apart({ service, tick }: { service: string; tick: string }) {
  const { data, problem, again } = useAsk<{ lines: LateLine[] }>("/api/v1/late", { service, limit: 1000 }, 0, tick);
  const events = data?.lines.reduce((sum, l) => sum + (l.events ?? 0), 0) ?? 0;
  return (
    <div className="apart">
      <div>
        <h3>Too late to count</h3>
        {data === null ? <Waiting what="late events" problem={problem} again={again} />
          : data.lines.length === 0 ? <p className="quiet">Nothing came too late.</p> : (
            <>
              <p>{many(events, "event")} in {many(data.lines.length, "window")} of arrival.</p>
              <ul className="plain">{data.lines.slice(-6).reverse().map((l) => <li key={l.window_start}>{clock(l.window_start)} <span className="quiet">{many(l.events ?? 0, "event")}</span></li>)}</ul>
            </>
          )}
      </div>
      <div>
        <h3>Could not be read</h3>
        <Letters service={service} />
      </div>
    </div>
  );
}
