// What did not count for this service: events that came too late, and items that could not be read.
import { useState } from "react";
import type { DeadLetter, DeadLetters, LateAnswer } from "../api.ts";
import { get, Problem } from "../api.ts";
import { useAsk } from "../ask.ts";
import { Waiting } from "../parts/note.tsx";
import { clock, many } from "../text.ts";

// Dead letters were not decoded, so they have no service; the API looks for those whose bytes name it.
function Letters({ service }: { service: string }) {
  const [found, setFound] = useState<DeadLetters | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const look = () => {
    setBusy(true);
    get<DeadLetters>("/api/v1/dead-letters", { service, limit: 10 }).then(
      (a) => { setFound(a); setProblem(null); },
      (error: unknown) => setProblem(error instanceof Problem ? error : new Problem(0, "no answer", String(error))),
    ).finally(() => setBusy(false));
  };
  if (found === null) {
    return (
      <>
        <p className="quiet">Items that could not be read are of no service until somebody looks into their bytes.</p>
        <button type="button" onClick={look} disabled={busy}>{busy ? "Looking …" : "Look for this service"}</button>
        {problem && <Waiting what="dead letters" problem={problem} />}
      </>
    );
  }
  const letters = found.dead_letters;
  const of = `${found.more ? "the newest " : ""}${many(found.searched, "dead letter")}`;
  return (
    <div className="named">
      {letters.length === 0 ? <p className="quiet">None of {of} names this service.</p>
        : <p>{found.more && letters.length === 10 ? "The newest ten" : many(letters.length, "dead letter")} whose bytes name this service.</p>}
      {letters.some((l) => l.named_by === "word") && <p className="quiet">A ~ stands where the bytes are no JSON: the name is a word in them, and whether it is the service nobody knows.</p>}
      {found.without_bytes > 0 && <p className="quiet">{many(found.without_bytes, "one was", "were")} kept without bytes, so nobody can tell of whom.</p>}
      {letters.length > 0 && <LetterTable letters={letters} />}
    </div>
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
              <td>{l.append_time ? clock(l.append_time / 1e9) : ""}{l.named_by === "word" && " ~"}</td>
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

// Most windows of arrival that are asked for at once.
const MOST = 2000;

function Late({ service, namespace, from, to }: { service: string; namespace: string | null; from: number; to: number }) {
  const { data, problem, again } = useAsk<LateAnswer>("/api/v1/late", { service, namespace, from, to, limit: MOST });
  if (data === null) return <Waiting what="late events" problem={problem} again={again} />;
  if (data.lines.length === 0) return <p className="quiet">Nothing came too late in this range.</p>;
  const events = data.lines.reduce((sum, l) => sum + l.events, 0);
  return (
    <>
      <p>{data.next_from !== null && "At least "}{many(events, "event")} in {many(data.lines.length, "window")} of arrival.</p>
      {data.next_from !== null && <p className="some">There are more from {clock(data.next_from, true)} on: narrow the range to see them.</p>}
      <ul className="plain">{data.lines.slice(-6).reverse().map((l) => <li key={l.window_start}>{clock(l.window_start)} <span className="quiet">{many(l.events, "event")}</span></li>)}</ul>
    </>
  );
}

export function Apart({ service, namespace, range }: { service: string; namespace: string | null; range: { from: number; to: number } | null }) {
  return (
    <div className="apart">
      <div>
        <h3>Too late to count</h3>
        {range ? <Late service={service} namespace={namespace} from={range.from} to={range.to} /> : <Waiting what="late events" problem={null} />}
      </div>
      <div>
        <h3>Could not be read</h3>
        <Letters service={service} />
      </div>
    </div>
  );
}
