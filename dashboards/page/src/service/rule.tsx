// The rule in force: its text, what changed in it and when, and a place to try another one.
import { useState } from "react";
import { type Explained, type OverrideFile, type OverridesOfService, type Overrides, Problem, type Trial } from "../api.ts";
import { useAsk } from "../ask.ts";
import { clock, many, number } from "../text.ts";
import { change, useAddress } from "../url.ts";
import { Origin } from "./reason.tsx";
import { WhatIf } from "./whatif.tsx";
import { diff } from "./yaml.ts";

export function Diff({ before, after }: { before: string; after: string }) {
  return (
    <pre className="diff" tabIndex={0} aria-label="What changes"><code>
      {diff(before, after).map((l, n) => <span key={n} className={l.sign === "+" ? "add" : l.sign === "-" ? "del" : ""}>{`${l.sign} ${l.text}\n`}</span>)}
    </code></pre>
  );
}

// The newest first; each with what it changed in the one before.
function Versions({ files }: { files: OverrideFile[] }) {
  const newest = [...files].sort((a, b) => b.version - a.version);
  const [open, setOpen] = useState<number | null>(newest[0]?.version ?? null);
  return (
    <ol className="versions">
      {newest.map((f, n) => (
        <li key={f.version}>
          <button type="button" aria-expanded={open === f.version} onClick={() => setOpen(open === f.version ? null : f.version)}>
            Version {f.version} <span className="quiet">from {clock(f.from_window, true)}{f.published_by && <> by <bdi>{f.published_by}</bdi></>}{f.path === "" && ", taken away"}</span>
          </button>
          {open === f.version && <Diff before={newest[n + 1]?.content ?? ""} after={f.content} />}
        </li>
      ))}
    </ol>
  );
}

// How a file that is tried agrees with the one in force.
function Trying({ service, namespace, version }: { service: string; namespace: string; version: number }) {
  const { data, problem } = useAsk<Trial>(`/api/v1/overrides/${encodeURIComponent(service)}/shadow`, { namespace }, 30_000);
  const said = data ? `it agrees in ${number(data.agreeing)} of ${many(data.windows, "window")} since ${clock(data.since, true)}` : (problem?.detail ?? "");
  return <p>Version {version} is tried beside it and decides nothing yet{said && `; ${said}`}.</p>;
}

export function Rule({ x, team }: { x: Explained; team: string }) {
  // The namespace that the service is in, which the address need not say.
  const { namespace } = x;
  const params = useAddress();
  const editing = params.get("try") !== null;
  const { data: all } = useAsk<Overrides>("/api/v1/overrides", {}, 30_000);
  // Without a file of its own there is nothing to ask for.
  const has = !x.rule.default || all?.services.some((s) => s.service === x.service && s.namespace === namespace);
  const { data, problem } = useAsk<OverridesOfService>(has ? `/api/v1/overrides/${encodeURIComponent(x.service)}` : null, { namespace }, 0, `${x.rule.sha256} ${all?.in_force}`);
  const files = data?.files ?? [];
  // A file may say nothing of health; then the default rule is in force, and the draft goes into that file all the same.
  // Before its first version is in force, the one that comes: a second file for one service would be refused.
  const newest = [...files].sort((a, b) => b.version - a.version);
  const own = files.find((f) => f.sha256 === x.rule.sha256) ?? newest.find((f) => Date.parse(f.from_window) <= Date.now()) ?? newest[0] ?? null;
  const trouble = problem instanceof Problem && problem.status !== 404 ? problem : null;
  const coming = files.filter((f) => Date.parse(f.from_window) > Date.now());
  return (
    <div className="rules">
      <div className="inforce">
        <pre className="expression" tabIndex={0} aria-label="The rule in force"><code>{x.rule.expression}</code></pre>
        <Origin x={x} />
        {trouble && <p className="some">Its versions cannot be read: {trouble.detail}</p>}
        {coming.map((f) => <p key={f.version} className="some">Version {f.version} comes into force at {clock(f.from_window, true)}.</p>)}
        {data?.rejected && <p className="some">The newest file was refused, the last good one counts: {data.rejected.reason}</p>}
        {data?.shadow && <Trying service={x.service} namespace={namespace} version={data.shadow.version} />}
        {!editing && <button type="button" className="main" onClick={() => change({ try: "" === x.rule.expression ? " " : x.rule.expression })}>Try another rule <kbd>e</kbd></button>}
      </div>
      {files.length > 0 && <div><h3>Versions</h3><Versions files={files} /></div>}
      {editing && <WhatIf service={x.service} namespace={namespace} team={team} current={x.rule.expression} file={own} draft={params.get("try") ?? ""} />}
    </div>
  );
}
