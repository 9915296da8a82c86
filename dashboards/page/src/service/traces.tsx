// Traces that stand for what happened: the slowest, the slowest error, the first error, one at p99.
import { type Exemplar, ofService } from "../api.ts";
import { useAsk } from "../ask.ts";
import { Waiting } from "../parts/note.tsx";
import { traceLink, usePage } from "../settings.ts";
import { clock, millis, NONE } from "../text.ts";

const KINDS: Record<string, string> = { slowest: "slowest", slowest_error: "slowest error", first_error: "first error", at_p99: "at p99" };

export function Traces({ service, namespace, from, to }: { service: string; namespace: string | null; from: number; to: number }) {
  const page = usePage();
  const { data, problem, again } = useAsk<{ exemplars: Exemplar[] }>(ofService(service, "exemplars"), { namespace, from, to, limit: 12 });
  if (data === null) return <Waiting what="traces" problem={problem} again={again} />;
  if (data.exemplars.length === 0) return <p className="quiet">No event of this range named a trace.</p>;
  return (
    <div className="scroll" role="region" aria-label="Exemplar traces" tabIndex={0}>
      <table>
        <thead><tr><th scope="col">At</th><th scope="col">Operation</th><th scope="col">What</th><th scope="col" className="number">Duration</th><th scope="col">Trace</th></tr></thead>
        <tbody>
          {data.exemplars.map((x, n) => {
            const link = traceLink(page, x.trace_id);
            return (
              <tr key={n}>
                <td>{clock(x.timestamp)}</td>
                <td><bdi>{x.operation ?? NONE}</bdi></td>
                <td>{x.error ? <span className="some">error</span> : "ok"} <span className="quiet">{KINDS[x.reason] ?? x.reason}</span></td>
                <td className="number">{millis(x.duration_ms)}</td>
                <td>{link ? <a href={link} rel="noreferrer"><code>{x.trace_id.slice(0, 16)}</code></a> : <code title={x.trace_id}>{x.trace_id.slice(0, 16)}</code>}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {page && !page.trace_link && <p className="quiet">With <code>page.trace_link</code> in the settings these become links.</p>}
    </div>
  );
}
