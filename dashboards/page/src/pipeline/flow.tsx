// The stages in the order of flow, each with how fast it reads and what it has not yet read.
import { Fragment } from "react";
import type { Status } from "../api.ts";
import { stageOf, useLive } from "../live.ts";
import { Shape } from "../parts/health.tsx";
import { many, number, perSecond } from "../text.ts";

const STAGES: { stage: string[]; title: string; does: string }[] = [
  { stage: ["fold"], title: "FOLD", does: "decodes events and sums them" },
  { stage: ["close"], title: "CLOSE", does: "closes windows, gives results" },
  { stage: ["router"], title: "ROUTER", does: "forwards the live deployment" },
  { stage: ["history", "late-history"], title: "History", does: "keeps results for the API" },
  { stage: ["scrape", "scrape-late"], title: "Metrics", does: "counts for /metrics" },
];

interface Box { key: string; title: string; does: string; tasks: number; running: number; read: number | null; lag: number; worst: { topic: string; partition: number; records: number } | null }

function boxOf(status: Status, read: Record<string, number>, stages: string[], pipeline: string | null): Omit<Box, "key" | "title" | "does"> {
  const of = <T extends { stage: string; pipeline: string }>(all: T[]) => all.filter((t) => stages.includes(t.stage) && (pipeline === null || t.pipeline === pipeline));
  const tasks = of(status.tasks);
  const lags = of(status.lag);
  const worst = lags.reduce<Box["worst"]>((most, l) => (l.records > (most?.records ?? 0) ? l : most), null);
  const rates = [...new Set(lags.map(stageOf))].map((stage) => read[stage]).filter((rate) => rate !== undefined);
  return { read: rates.length > 0 ? rates.reduce((sum, rate) => sum + rate, 0) : null, tasks: tasks.length, running: tasks.filter((t) => t.state === "running").length, lag: lags.reduce((n, l) => n + l.records, 0), worst };
}

export function Flow({ status }: { status: Status }) {
  const { rates, read, router } = useLive();
  const colours = [...new Set(status.tasks.filter((t) => t.stage === "fold" || t.stage === "close").map((t) => t.pipeline))].sort();
  const liveName = router?.live ? `golden-signals.${router.live.colour}.${router.live.epoch}` : null;
  const card = (key: string, title: string, does: string, stages: string[], pipeline: string | null) => {
    const b = boxOf(status, read, stages, pipeline);
    if (b.tasks === 0) return null;
    const word = b.running === b.tasks ? "healthy" : b.running === 0 ? "critical" : "degraded";
    return (
      <div className={`stage ${word}`} key={key}>
        <h3><Shape word={word} />{title}</h3>
        <p className="quiet">{does}</p>
        <dl>
          <div><dt>running</dt><dd>{b.running} of {b.tasks}</dd></div>
          <div><dt>reads</dt><dd title="How far its read positions moved, in offsets of its topics">{perSecond(b.read)}</dd></div>
          <div><dt>not yet read</dt><dd title={b.worst ? `most: ${b.worst.topic}/${b.worst.partition}, ${many(b.worst.records, "record")}` : undefined}>{many(b.lag, "record")}</dd></div>
        </dl>
      </div>
    );
  };
  const arrow = <span className="to" aria-hidden="true">→</span>;
  return (
    <div className="flow">
      <div className="stage source">
        <h3>Events</h3><p className="quiet">in by HTTP or Kafka</p>
        <dl>{status.deployments.filter((d) => colours.length === 0 || colours.includes(`golden-signals.${d.colour}.${d.epoch}`)).map((d) => {
          const rate = rates[`${d.colour}.${d.epoch}`];
          return <div key={`${d.colour}.${d.epoch}`}><dt>{d.colour}.{d.epoch}</dt><dd>{rate ? perSecond(rate.decoded) : `${number(d.decoded)} so far`}</dd></div>;
        })}</dl>
      </div>
      {arrow}
      <div className="lanes">
        {colours.map((pipeline) => (
          <div className="lane" key={pipeline}>
            <p className="lane-name">{pipeline.replace("golden-signals.", "")} {liveName === pipeline ? <b>live</b> : liveName && "standby"}</p>
            {STAGES.slice(0, 2).map((s, n) => <Fragment key={s.title}>{n > 0 && arrow}{card(s.title, s.title, s.does, s.stage, pipeline)}</Fragment>)}
          </div>
        ))}
      </div>
      {arrow}
      {card("ROUTER", "ROUTER", "forwards the live deployment", ["router"], null)}
      {arrow}
      <div className="lanes">{STAGES.slice(3).map((s) => card(s.title, s.title, s.does, s.stage, null))}</div>
    </div>
  );
}
