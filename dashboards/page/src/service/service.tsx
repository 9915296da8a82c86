// One service: is it well, and if not, why not; then everything that helps to find out more.
import { useMemo } from "react";
import { type Explained, type HeatmapAnswer, ofService, type PublicRecord, type RangeAnswer, type Service, type TimelineAnswer } from "../api.ts";
import { useAsk } from "../ask.ts";
import { useKeys } from "../keys.ts";
import { useLive } from "../live.ts";
import { Shape } from "../parts/health.tsx";
import { Note, Waiting } from "../parts/note.tsx";
import { Section } from "../parts/section.tsx";
import { useTitle } from "../parts/title.ts";
import { usePage } from "../settings.ts";
import { clock, duration, errorShare, many, millis, notable, percent, perSecond, seconds, short } from "../text.ts";
import { change, changed, follow, go, toService, useAddress } from "../url.ts";
import { Apart } from "./apart.tsx";
import { Between } from "./between.tsx";
import { Budget } from "./budget.tsx";
import { Groups } from "./groups.tsx";
import { Heatmap } from "./heatmap.tsx";
import { LENGTHS, type Range, rangeOf } from "./range.ts";
import { because, mostOf, Why } from "./reason.tsx";
import { Rule } from "./rule.tsx";
import { Signals } from "./signals.tsx";
import { Timeline } from "./timeline.tsx";
import { Traces } from "./traces.tsx";

function Ranges({ range }: { range: Range | null }) {
  return (
    <div className="ranges" role="group" aria-label="Range of time">
      {LENGTHS.map(([name, , words]) => (
        <button type="button" key={name} aria-pressed={range?.name === name} title={`The last ${words}`} onClick={() => change({ range: name, from: null, to: null })}>{name}</button>
      ))}
      {range !== null && range.name === null && <button type="button" aria-pressed="true" onClick={() => change({ from: null, to: null })} title="Back to what is usual">{duration(range.to - range.from)} ×</button>}
    </div>
  );
}

// What the tiles show: of the newest window, or of the one that is asked for.
type Shown = Pick<Service, "requests" | "requests_per_second" | "errors" | "availability_ratio" | "p50_ms" | "p95_ms" | "p99_ms" | "saturation_ratio" | "saturated_resource" | "completeness" | "revision">;

function ofRecord(r: PublicRecord): Shown {
  const all = r.latency?.all;
  return {
    requests: r.requests.count, requests_per_second: r.requests.rate, errors: r.errors.count, availability_ratio: r.availability_ratio,
    p50_ms: all?.p50 ?? null, p95_ms: all?.p95 ?? null, p99_ms: all?.p99 ?? null,
    saturation_ratio: r.saturation?.ratio ?? null, saturated_resource: r.saturation?.resource ?? null, completeness: r.completeness, revision: r.revision,
  };
}

function Tiles({ s }: { s: Shown }) {
  const tiles: [string, string, string?, boolean?][] = [
    ["Requests", perSecond(s.requests_per_second), `${short(s.requests)} in the window`],
    ["Errors", errorShare(s.errors, s.requests), `${short(s.errors)} in the window`, notable(s.errors, s.requests)],
    ["Availability", percent(s.availability_ratio)],
    ["p50", millis(s.p50_ms)],
    ["p95", millis(s.p95_ms)],
    ["p99", millis(s.p99_ms)],
    ["Saturation", percent(s.saturation_ratio), s.saturated_resource ? `of ${s.saturated_resource}` : "no resource is known"],
    ["Input seen", percent(s.completeness), s.revision > 0 ? `corrected ${many(s.revision, "time")}` : "not corrected", s.completeness < 1],
  ];
  return (
    <dl className="tiles">
      {tiles.map(([title, value, more, some]) => <div key={title} className={some ? "some" : ""}><dt>{title}</dt><dd>{value}</dd>{more && <dd className="quiet">{more}</dd>}</div>)}
    </dl>
  );
}

function Facts({ s }: { s: Service }) {
  const facts = [
    s.namespace && ["namespace", s.namespace], s.team && ["team", s.team], s.criticality && ["criticality", s.criticality],
    s.swimlanes?.some(Boolean) && ["swimlane", s.swimlanes.filter(Boolean).join(", ")], s.regions?.some(Boolean) && ["region", s.regions.filter(Boolean).join(", ")],
  ].filter((f): f is [string, string] => Array.isArray(f));
  return facts.length === 0 ? null : <ul className="facts">{facts.map(([name, value]) => <li key={name}><span className="quiet">{name}</span> <bdi>{value}</bdi></li>)}</ul>;
}

// Of several services of one name the address says which; without a word it is the one without a namespace. Null: nobody can tell yet.
const namespaceOf = (asked: string | null, named: Service[]) =>
  asked ?? (named.length === 1 ? (named[0] as Service).namespace : named.some((s) => s.namespace === "") ? "" : null);

// The services of one name, to choose from.
function Choices({ service, namespaces }: { service: string; namespaces: string[] }) {
  return <>{namespaces.map((n, at) => <span key={n}>{at > 0 && ", "}<a href={`/?${new URLSearchParams({ service, namespace: n })}`} onClick={follow}>{n === "" ? "none" : <bdi>{n}</bdi>}</a></span>)}</>;
}

export function ServiceView({ service, asked }: { service: string; asked: string | null }) {
  const { byKey, services, link } = useLive();
  const params = useAddress();
  const page = usePage();
  const named = useMemo(() => (services ?? []).filter((s) => s.service === service), [services, service]);
  const namespace = namespaceOf(asked, named);
  const now = namespace === null ? undefined : byKey.get(`${namespace}\n${service}`);
  const at = Number(params.get("at")) || null;
  const tick = now ? `${now.window_end} ${now.revision}` : "";
  const range = rangeOf(params, now?.window_end ?? null, now ? seconds(now.window_end) - seconds(now.window_start) : 60);
  const span = range ? { from: range.from, to: range.to, namespace } : null;
  const ask = <T,>(what: string, query: Record<string, string | number | null>) => useAsk<T>(span ? ofService(service, what) : null, { ...span, ...query }, 0, tick);

  const explained = useAsk<Explained>(ofService(service, "explain"), { namespace, at }, 0, tick);
  const window = at === null ? null : explained.data;
  const record = useAsk<{ records: PublicRecord[] }>(window ? ofService(service, "signals") : null, { namespace, from: window?.window_start, to: window?.window_end, limit: 1 });
  const timeline = ask<TimelineAnswer>("timeline", {});
  const signals = ask<RangeAnswer>("range", {});
  const heat = ask<HeatmapAnswer>("heatmap", {});

  useKeys([
    ...LENGTHS.map(([name], n) => ({ key: String(n + 1), run: () => change({ range: name, from: null, to: null }) })),
    { key: "e", run: () => change({ try: explained.data?.rule.expression ?? " " }) },
    { key: "Escape", run: () => (at !== null ? change({ at: null }) : go("/")) },
  ]);

  const x = explained.data;
  const word = x === null ? "" : at !== null || !now ? x.health.state : now.health.state;
  useTitle(word === "" ? service : `${service}: ${word}`);
  const groupings = useMemo(() => Object.keys(page?.groupings ?? {}).filter((g) => g !== "service").sort((a, b) => Number(b === "service_operation") - Number(a === "service_operation")), [page]);
  const crumbs = <nav className="crumbs" aria-label="Where you are"><a href="/" onClick={follow}>Fleet</a><span aria-hidden="true"> / </span><bdi>{service}</bdi></nav>;

  const others = named.map((s) => s.namespace).filter((n) => n !== namespace);
  if (x === null && (explained.problem?.status === 400 || (explained.problem?.status === 404 && others.length > 0)) && explained.problem.suggestions.length > 0) {
    return (
      <>
        {crumbs}
        <Note title={explained.problem.status === 400 ? "Services of several namespaces have this name" : "There is no such service in this namespace"} top>
          <p>Choose a namespace: <Choices service={service} namespaces={explained.problem.suggestions} /></p>
          <p><a href="/" onClick={follow}>All services</a></p>
        </Note>
      </>
    );
  }
  if (x === null && explained.problem?.status === 404) {
    return (
      <>
        {crumbs}
        <Note title={at !== null && now ? "No window was published at that time" : "There is no such service"} top>
          <p><bdi>{explained.problem.detail}</bdi></p>
          {explained.problem.suggestions.length > 0 && <p>Did you mean {explained.problem.suggestions.map((name) => <a key={name} href={toService(name, "")} onClick={follow}><bdi>{name}</bdi> </a>)}?</p>}
          <p>{at !== null && <><a href={changed(params, { at: null })} onClick={follow}>Back to now</a> · </>}<a href="/" onClick={follow}>All services</a></p>
        </Note>
      </>
    );
  }
  if (x === null) return <>{crumbs}<Waiting what="the service" problem={explained.problem} again={explained.again} top /></>;

  // What is shown large is now, or the window that was asked for.
  const past = at !== null;
  const health = past || !now ? x.health : now.health;
  const spans = timeline.data?.spans ?? [];
  const last = spans.at(-1);
  const since = !past && last && last.state === health.state && spans.length > 1 ? last.from : null;
  const sentence = past || !now || now.window_start === x.window_start ? because(now?.stale && !past ? { ...x, health } : x) : because({ ...x, health: now.stale ? health : x.health });

  return (
    <div className="service">
      {crumbs}
      <header className={`answer ${health.state}`}>
        <div className="what">
          <p className="of"><bdi>{service}</bdi>{past ? ` in the window of ${clock(x.window_start)}` : ""}</p>
          <h1 aria-live="polite"><Shape word={health.state} size={36} /><span>{health.state[0]?.toUpperCase()}{health.state.slice(1)}</span>
            {since && <small>for {duration(seconds(last?.to ?? since) - seconds(since))}, since {clock(since)}</small>}</h1>
          <p className="because">{sentence}</p>
          {health.state !== "healthy" && mostOf(x) && <p className="blame">{mostOf(x)}</p>}
          {past && <p><a className="button" href={changed(params, { at: null })} onClick={follow}>Back to now</a></p>}
        </div>
        <div className="side">{now && <Facts s={now} />}{others.length > 0 && <p className="quiet">Other namespaces: <Choices service={service} namespaces={others} /></p>}<Ranges range={range} />{range && <Between range={range} />}</div>
      </header>
      {link === "away" && <p className="some">Nobody answers; this is what was known last.</p>}
      {past ? record.data?.records[0] && <Tiles s={ofRecord(record.data.records[0])} /> : now && <Tiles s={now} />}
      <div className="pair">
      <Section id="timeline" title="Health over time" aside={range && <span className="quiet">{clock(range.from, true)} to {clock(range.to)}</span>}>
        {timeline.data ? <Timeline answer={timeline.data} at={at} /> : <Waiting what="health over time" problem={timeline.problem} again={timeline.again} />}
      </Section>
      <Section id="why" title={`Why it ${past ? "was" : "is"} ${health.state}`} aside={<span className="quiet">window of {clock(x.window_start)} to {clock(x.window_end)}</span>}><Why x={x} /></Section>
      </div>
      <Section id="signals" title="Signals" aside={<span className="quiet wide">drag over a chart to narrow the range, or write it above</span>}>
        {signals.data ? <Signals answer={signals.data} spans={spans} /> : <Waiting what="signals" problem={signals.problem} again={signals.again} />}
      </Section>
      <Section id="heat" title="Latency, all requests">
        {heat.data ? <Heatmap answer={heat.data} /> : <Waiting what="latencies" problem={heat.problem} again={heat.again} />}
      </Section>
      <Section id="parts" title="By part">
        {range && page ? <Groups service={service} namespace={namespace} groupings={groupings} from={range.from} to={range.to} /> : <Waiting what="parts" problem={null} />}
      </Section>
      <Section id="rule" title="Rule"><Rule x={x} team={now?.team ?? ""} /></Section>
      <div className="pair">
      <Section id="traces" title="Traces">
        {range ? <Traces service={service} namespace={namespace} from={range.from} to={range.to} /> : <Waiting what="traces" problem={null} />}
      </Section>
      <div>
      <Section id="budget" title="Error budget"><Budget service={service} namespace={namespace} tick={tick} /></Section>
      <Section id="apart" title="What did not count"><Apart service={service} namespace={namespace} range={range} /></Section>
      </div>
      </div>
    </div>
  );
}
