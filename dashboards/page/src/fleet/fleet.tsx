// Every service: is the fleet well, and if not, who is not. Filter and sort stand in the address.
import { useDeferredValue, useMemo } from "react";
import type { Service, Word } from "../api.ts";
import { useLive } from "../live.ts";
import { HealthWord, Shape } from "../parts/health.tsx";
import { Note, Waiting } from "../parts/note.tsx";
import { useTitle } from "../parts/title.ts";
import { errorShare, many, number, percent, perSecond } from "../text.ts";
import { change, follow, toService, useAddress } from "../url.ts";
import { LARGEST_FIRST, type Shown, shown, type Wanted, wanted } from "./filter.ts";
import { HEADS, Rows } from "./rows.tsx";

const WORST: Word[] = ["critical", "impaired", "degraded", "unknown", "healthy"];

function Headline({ services }: { services: readonly Service[] }) {
  const { rows, states } = useMemo(
    () => shown(services, { q: "", team: "", swimlane: "", region: "", state: "", sort: "health", down: false }),
    [services],
  );
  const worst = WORST.find((word) => states[word] > 0) ?? "healthy";
  const count = states[worst];
  const all = services.length;
  const text = worst === "healthy" ? (all === 1 ? "The only service is healthy" : `All ${number(all)} services are healthy`)
    : `${number(count)} of ${many(all, "service")} ${count === 1 ? "is" : "are"} ${worst}`;
  useTitle(worst === "healthy" ? "All healthy" : `${number(count)} ${worst}`);
  const named = worst === "healthy" ? [] : rows.slice(0, Math.min(count, 3));
  const rate = services.reduce((sum, s) => sum + s.requests_per_second, 0);
  const [requests, errors] = services.reduce(([r, e], s) => [r + s.requests, e + s.errors], [0, 0]);
  const complete = services.reduce((least, s) => Math.min(least, s.completeness), 1);
  return (
    <div className="headline">
      <h1 aria-live="polite"><Shape word={worst} size={30} />{text}</h1>
      {named.length > 0 && (
        <p className="who">
          {named.map((s) => <a key={`${s.namespace}\n${s.service}`} href={toService(s.service, s.namespace)} onClick={follow}><bdi>{s.service}</bdi></a>)}
          {count > named.length && <span>and {number(count - named.length)} more</span>}
        </p>
      )}
      <dl className="sums">
        <div><dt>Requests</dt><dd>{perSecond(rate)}</dd></div>
        <div><dt>Errors</dt><dd>{errorShare(errors, requests)}</dd></div>
        <div><dt>Input seen</dt><dd>{percent(complete)}</dd></div>
      </dl>
    </div>
  );
}

function Choice({ name, title, value, values }: { name: string; title: string; value: string; values: string[] }) {
  if (values.length === 0 && value === "") return null;
  const all = value === "" || values.includes(value) ? values : [value, ...values];
  return (
    <label className="choice">
      <span className="unseen">{title}</span>
      <select value={value} onChange={(e) => change({ [name]: e.target.value })}>
        <option value="">{title}: all</option>
        {all.map((v) => <option key={v} value={v}>{v}</option>)}
      </select>
    </label>
  );
}

function Filters({ w, found, all }: { w: Wanted; found: Shown; all: number }) {
  const filtered = w.q !== "" || w.team !== "" || w.swimlane !== "" || w.region !== "" || w.state !== "";
  return (
    <div className="filters" role="search" aria-label="Filter services">
      <label className="find">
        <span className="unseen">Search services</span>
        <input
          type="search" placeholder="Search services  /" value={w.q} spellCheck={false} autoComplete="off"
          onChange={(e) => change({ q: e.target.value }, true)}
          onKeyDown={(e) => e.key === "Escape" && (w.q === "" ? e.currentTarget.blur() : change({ q: null }, true))}
        />
      </label>
      <div className="states" role="group" aria-label="Health">
        {WORST.filter((word) => found.states[word] > 0 || w.state === word).map((word) => (
          <button type="button" key={word} aria-pressed={w.state === word} onClick={() => change({ state: w.state === word ? null : word })}>
            <HealthWord word={word} /> <b>{number(found.states[word])}</b>
          </button>
        ))}
      </div>
      <Choice name="team" title="Team" value={w.team} values={found.teams} />
      <Choice name="swimlane" title="Swimlane" value={w.swimlane} values={found.swimlanes} />
      <Choice name="region" title="Region" value={w.region} values={found.regions} />
      <label className="choice sort">
        <span className="unseen">Sort by</span>
        <select value={w.sort} onChange={(e) => change({ sort: e.target.value === "health" ? null : `${LARGEST_FIRST.some((c) => c === e.target.value) ? "-" : ""}${e.target.value}` })}>
          {HEADS.map((h) => <option key={h.column} value={h.column}>Sort: {h.title.toLowerCase()}</option>)}
        </select>
      </label>
      {filtered && (
        <p className="count" role="status">
          {number(found.rows.length)} of {number(all)}{" "}
          <button type="button" onClick={() => change({ q: null, team: null, swimlane: null, region: null, state: null })}>Clear</button>
        </p>
      )}
    </div>
  );
}

function FirstEvent() {
  const here = location.origin;
  return (
    <Note title="No service yet" top>
      <p>A service appears here when its first window has closed. Send a first event:</p>
      <pre><code>{`curl -H 'content-type: application/x-ndjson' ${here}/api/v1/events --data-binary \\\n  '{"timestamp":"'$(date -u +%FT%TZ)'","service":"shop","operation":"GET /cart","status":200,"latency_ms":12.5}'`}</code></pre>
      <p>Or point an OpenTelemetry exporter here:</p>
      <pre><code>{`OTEL_EXPORTER_OTLP_ENDPOINT=${here}`}</code></pre>
      <p>Other ways in (CloudEvents, Zipkin, remote write) are in the <a href="/api/docs">API</a>.</p>
    </Note>
  );
}

export function Fleet() {
  const { services, problem } = useLive();
  const params = useAddress();
  const w = wanted(params);
  const search = useDeferredValue(params.toString());
  const found = useMemo(() => (services === null ? null : shown(services, wanted(new URLSearchParams(search)))), [services, search]);

  if (services === null || found === null) return <Waiting what="services" problem={problem} top />;
  if (services.length === 0) return <FirstEvent />;
  return (
    <div className="fleet">
      <Headline services={services} />
      <Filters w={w} found={found} all={services.length} />
      {found.rows.length === 0
        ? <Note title="No service is like that"><p>Of {many(services.length, "service")} none passes these filters.</p></Note>
        : <Rows rows={found.rows} sort={w} places={found.swimlanes.length + found.regions.length > 0} />}
    </div>
  );
}
