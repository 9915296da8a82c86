// Which deployment is forwarded, since when, and the proof of each flip.
import { useState } from "react";
import type { Deployment, Receipt, Router } from "../api.ts";
import { get, Problem } from "../api.ts";
import { Shape } from "../parts/health.tsx";
import { Waiting } from "../parts/note.tsx";
import { clock, duration, many, number } from "../text.ts";

const named = (d: Deployment | null) => (d ? `${d.colour}.${d.epoch}` : "none");

function ReceiptOf({ id }: { id: string }) {
  const [receipt, setReceipt] = useState<Receipt | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const ask = (verify: boolean) => {
    setBusy(true);
    get<Receipt>(`/api/v1/router/receipts/${encodeURIComponent(id)}`, verify ? { verify } : {}).then(
      (r) => { setReceipt(r); setProblem(null); },
      (error: unknown) => setProblem(error instanceof Problem ? error : new Problem(0, "no answer", String(error))),
    ).finally(() => setBusy(false));
  };
  const wrong = receipt?.verified?.filter((v) => v.said !== v.found) ?? [];
  const lines = Object.entries(receipt?.lines ?? {});
  return (
    <div className="receipt">
      <p className="actions">
        {!receipt && <button type="button" onClick={() => ask(false)} disabled={busy}>Receipt of flip {id}</button>}
        {receipt && !receipt.verified && <button type="button" onClick={() => ask(true)} disabled={busy}>{busy ? "Reading the topic again …" : "Verify against the public topic"}</button>}
      </p>
      {problem && <Waiting what="the receipt" problem={problem} />}
      {receipt && (
        <>
          <p><Shape word={receipt.clean ? "healthy" : "critical"} /> {receipt.clean ? "Clean: nothing lost, nothing doubled." : "Not clean."}
            {receipt.verified && (wrong.length === 0 ? ` Read again: all ${receipt.verified.length} lines agree.` : ` Read again: ${many(wrong.length, "line differs", "lines differ")}.`)}</p>
          <dl className="lines">{lines.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
        </>
      )}
    </div>
  );
}

export function RouterState({ router }: { router: Router }) {
  return (
    <>
      <div className="colours">
        {router.colours.map((c) => (
          <div key={c.colour} className={c.live ? "live" : ""}>
            <h3>{c.deployment ? named(c.deployment) : c.colour} <span className="tag">{c.live ? "live" : c.deployment ? "standby" : "does not run"}</span></h3>
            {c.deployment && (
              <dl>
                <div><dt>version</dt><dd>{c.version}</dd></div>
                <div><dt>windows closed up to</dt><dd>{c.closed ? clock(c.closed) : "–"}</dd></div>
                <div><dt>not yet read</dt><dd>{c.lag === null ? "–" : many(c.lag, "record")}</dd></div>
              </dl>
            )}
            {c.trouble && c.deployment && <p className="some">{c.trouble}</p>}
          </div>
        ))}
        <div>
          <h3>Comparison</h3>
          <p>{router.shadow ? `${many(router.shadow.compared, "window")} compared, ${router.shadow.different === 0 ? "none differs" : `${number(router.shadow.different)} differ`}` : "nothing to compare"}</p>
          <p className="quiet">{router.hold ? "Automatic flips are held." : "Automatic flips are on."}</p>
          {router.page && <p className="some">{router.page}</p>}
        </div>
      </div>
      {router.flips.length === 0 ? <p className="quiet">No flip yet.</p> : (
        <ol className="flips">
          {router.flips.slice(0, 10).map((f) => (
            <li key={f.flip}>
              <h3><span className="tag">{f.kind}</span> {named(f.from)} → {named(f.to)} <span className="quiet">at {clock(f.at, true)} by <bdi>{f.by}</bdi></span></h3>
              <p>{f.reason}</p>
              <p className="quiet">
                {f.state}{f.lost_and_doubled && `; ${number(f.lost_and_doubled[0])} lost, ${number(f.lost_and_doubled[1])} doubled`}
                {f.gap !== null && `; gap ${duration(f.gap)}`}{f.freshness !== null && `; results at most ${number(f.freshness, 1)} s old`}
              </p>
              {f.lost_and_doubled && <ReceiptOf id={String(f.flip)} />}
            </li>
          ))}
        </ol>
      )}
      {router.partitions.length > 0 && (
        <details>
          <summary>What each partition forwards</summary>
          <table>
            <thead><tr><th scope="col" className="number">Partition</th><th scope="col">Forwards</th><th scope="col">Newest window</th><th scope="col">Published</th></tr></thead>
            <tbody>{router.partitions.map((p) => <tr key={p.partition}><td className="number">{p.partition}</td><td>{named(p.forwards)}</td><td>{p.window ? clock(p.window) : "–"}</td><td>{p.published ? clock(p.published) : "–"}</td></tr>)}</tbody>
          </table>
        </details>
      )}
    </>
  );
}
