// The same signals by operation, host or whatever else the service is summed by: which part of it is it?
import { useState } from "react";
import { ofService, type RangeAnswer } from "../api.ts";
import { useAsk } from "../ask.ts";
import { Waiting } from "../parts/note.tsx";
import { describe, errorShare, many, millis, notable, percent, perSecond } from "../text.ts";
import { change, useAddress } from "../url.ts";

const TITLES: Record<string, string> = { service_operation: "Operation", service_host: "Host", service_svc_host: "Host" };
const title = (grouping: string) => TITLES[grouping] ?? grouping.replace(/^service_/, "").replaceAll("_", ", ");

type Order = "requests" | "errors" | "p99";

export function Groups({ service, namespace, groupings, from, to }: { service: string; namespace: string | null; groupings: string[]; from: number; to: number }) {
  const params = useAddress();
  const asked = params.get("by");
  const grouping = groupings.find((g) => g === asked) ?? groupings[0];
  const [order, setOrder] = useState<Order>("requests");
  const { data, problem, again } = useAsk<RangeAnswer>(grouping ? ofService(service, "range") : null, { grouping, namespace, from, to, limit: 50 });
  if (!grouping) return <p className="quiet">Services are summed as a whole only: <code>pipeline.groupings</code> in the settings says by what else.</p>;
  const rows = data && data.grouping === grouping ? [...data.groups] : null;
  const share = (g: { total: { errors: number; requests: number } }) => g.total.errors / Math.max(1, g.total.requests);
  rows?.sort((a, b) => (order === "errors" ? b.total.errors - a.total.errors || share(b) - share(a) : order === "p99" ? (b.total.latency?.p99_ms ?? 0) - (a.total.latency?.p99_ms ?? 0) : b.total.requests - a.total.requests));
  const most = Math.max(1, ...(rows ?? []).map((g) => g.total.requests));
  const head = (name: Order, text: string) => (
    <th scope="col" className="number" aria-sort={order === name ? "descending" : "none"}>
      <button type="button" onClick={() => setOrder(name)}>{text}<span aria-hidden="true" className="arrow">{order === name ? "↓" : ""}</span></button>
    </th>
  );
  return (
    <>
      {groupings.length > 1 && (
        <div className="tabs" role="group" aria-label="Summed by">
          {groupings.map((g) => <button type="button" key={g} aria-pressed={g === grouping} onClick={() => change({ by: g }, true)}>{title(g)}</button>)}
        </div>
      )}
      {rows === null || data === null ? <Waiting what="parts" problem={problem} again={again} /> : rows.length === 0 ? <p className="quiet">No window was published in this range.</p> : (
        <div className="scroll" role="region" aria-label={`By ${title(grouping)}`} tabIndex={0}>
          <table>
            <thead><tr><th scope="col">{title(grouping)}</th>{head("requests", "Requests")}{head("errors", "Errors")}<th scope="col" className="number medium">Availability</th>
              <th scope="col" className="number medium">p50</th><th scope="col" className="number medium">p95</th>{head("p99", "p99")}</tr></thead>
            <tbody>
              {rows.map((g) => (
                <tr key={describe(g.dimensions)}>
                  <th scope="row"><bdi>{describe(g.dimensions)}</bdi><span className="bar" style={{ width: `${(100 * g.total.requests) / most}%` }} aria-hidden="true" /></th>
                  <td className="number">{perSecond(g.total.requests / Math.max(1, g.total.windows * data.window_seconds))}</td>
                  <td className={`number ${notable(g.total.errors, g.total.requests) ? "some" : ""}`} title={many(g.total.errors, "error")}>{errorShare(g.total.errors, g.total.requests)}</td>
                  <td className="number medium">{percent(g.total.availability_ratio)}</td>
                  <td className="number medium">{millis(g.total.latency?.p50_ms)}</td>
                  <td className="number medium">{millis(g.total.latency?.p95_ms)}</td>
                  <td className="number">{millis(g.total.latency?.p99_ms)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && data.other_groups > 0 && <p className="quiet">and {many(data.other_groups, "more part")} with fewer requests</p>}
    </>
  );
}
