// The pipeline itself: does everything flow, how far behind is it, what was refused, and which deployment is forwarded.
import type { DeadLetters, History, Status } from "../api.ts";
import { useAsk } from "../ask.ts";
import { useKeys } from "../keys.ts";
import { useLive } from "../live.ts";
import { Shape } from "../parts/health.tsx";
import { Waiting } from "../parts/note.tsx";
import { Section } from "../parts/section.tsx";
import { useTitle } from "../parts/title.ts";
import { LetterTable } from "../service/apart.tsx";
import { bytes, clock, duration, many, number, perSecond, seconds, short } from "../text.ts";
import { go } from "../url.ts";
import { Flow } from "./flow.tsx";
import { RouterState } from "./router.tsx";

function Headline({ status }: { status: Status }) {
  const { services, router, rates } = useLive();
  const broken = status.tasks.filter((t) => t.state === "failed" || t.state === "stopped");
  const starting = status.tasks.filter((t) => t.state !== "running" && !broken.includes(t));
  const behind = status.watermark ? Date.now() / 1000 - seconds(status.watermark) : null;
  // What a deployment that has ended left unread is nobody's backlog.
  const runs = new Set(status.tasks.map((t) => t.pipeline));
  const lag = status.lag.filter((l) => runs.has(l.pipeline)).reduce((sum, l) => sum + l.records, 0);
  const live = router?.live ? `${router.live.colour}.${router.live.epoch}` : Object.keys(rates)[0];
  const rate = live ? rates[live] : undefined;
  const word = broken.length > 0 ? "critical" : starting.length > 0 || status.waits_for ? "degraded" : status.watermark ? "healthy" : "unknown";
  const text = broken.length > 0 ? `${many(broken.length, "task")} of ${status.tasks.length} stopped`
    : status.waits_for ? `Waits for ${status.waits_for}`
    : starting.length > 0 ? `${many(starting.length, "task")} of ${status.tasks.length} not yet running`
    : status.watermark ? "Everything flows" : "It runs, and no event has come yet";
  useTitle(`Pipeline: ${text}`);
  return (
    <div className="headline">
      <h1><Shape word={word} size={30} />{text}</h1>
      {broken.map((t) => t.error && <p key={`${t.pipeline} ${t.stage} ${t.task}`} className="some">{t.stage} {t.task}: {t.error}</p>)}
      <dl className="sums">
        <div><dt>Events decoded</dt><dd>{rate ? perSecond(rate.decoded) : "–"}</dd></div>
        <div><dt>Dead letters</dt><dd>{rate ? perSecond(rate.dead) : "–"}</dd></div>
        <div><dt>Watermark behind</dt><dd>{behind === null ? "–" : duration(Math.round(behind))}</dd></div>
        <div><dt>Not yet read</dt><dd>{many(lag, "record")}</dd></div>
        <div><dt>Services</dt><dd>{services === null ? "–" : number(services.length)}</dd></div>
      </dl>
    </div>
  );
}

function Letters() {
  const { data, problem, again } = useAsk<DeadLetters>("/api/v1/dead-letters", { limit: 200 }, 15_000);
  if (data === null) return <Waiting what="dead letters" problem={problem} again={again} />;
  if (data.dead_letters.length === 0) return <p className="quiet">Nothing was refused.</p>;
  const reasons = new Map<string, number>();
  for (const l of data.dead_letters) reasons.set(l.reason, (reasons.get(l.reason) ?? 0) + 1);
  return (
    <>
      <ul className="reasons" aria-label="By reason">
        {[...reasons].sort((a, b) => b[1] - a[1]).map(([reason, n]) => <li key={reason}><code>{reason}</code> <b>{number(n)}</b></li>)}
        <li className="quiet">of the newest {number(data.dead_letters.length)}</li>
      </ul>
      <LetterTable letters={data.dead_letters.slice(0, 8)} />
    </>
  );
}

function Kept() {
  const { data, problem, again } = useAsk<History>("/api/v1/history", {}, 30_000);
  if (data === null) return <Waiting what="history" problem={problem} again={again} />;
  const rows = [["Windows", data.records], ["Sums of ten minutes", data.ten_minutes], ["Sums of hours", data.hours]] as const;
  return (
    <>
      <table>
        <thead><tr><th scope="col">Kept</th><th scope="col">From</th><th scope="col" className="medium">To</th><th scope="col" className="number">Size</th></tr></thead>
        <tbody>
          {rows.map(([name, kept]) => <tr key={name}><th scope="row">{name}</th><td>{kept.from ? clock(kept.from, true) : "nothing yet"}</td><td className="medium">{kept.to ? clock(kept.to, true) : ""}</td><td className="number">{bytes(kept.bytes)}</td></tr>)}
        </tbody>
      </table>
      <p className="quiet"><meter min={0} max={1} value={Math.min(1, data.bytes / Math.max(1, data.bound_bytes))} aria-label="Part of the bound that is used" /> {bytes(data.bytes)} of at most {bytes(data.bound_bytes)}</p>
    </>
  );
}

export function Pipeline() {
  const { status, router, problem } = useLive();
  useKeys([{ key: "Escape", run: () => go("/") }]);
  if (status === null) return <Waiting what="the pipeline" problem={problem} top />;
  const tasks = status.tasks.filter((t) => t.state !== "running");
  return (
    <div className="pipeline">
      <Headline status={status} />
      <Section id="flow" title="Flow" aside={status.watermark && <span className="quiet">windows are closed up to {clock(status.watermark)}</span>}><Flow status={status} /></Section>
      <Section id="router" title="Router">{router ? <RouterState router={router} /> : <p className="quiet">This process has no router.</p>}</Section>
      <Section id="letters" title="Dead letters"><Letters /></Section>
      <Section id="history" title="History"><Kept /></Section>
      <Section id="tasks" title="Tasks" aside={<span className="quiet">{many(status.tasks.length, "task")}, {short(status.tasks.length - tasks.length)} running</span>}>
        <div className="scroll" role="region" aria-label="All tasks" tabIndex={0}>
          <table>
            <thead><tr><th scope="col">Pipeline</th><th scope="col">Stage</th><th scope="col" className="number">Task</th><th scope="col">State</th></tr></thead>
            <tbody>
              {status.tasks.map((t) => (
                <tr key={`${t.pipeline} ${t.stage} ${t.task}`}><td>{t.pipeline}</td><td>{t.stage}</td><td className="number">{t.task}</td>
                  <td className={t.state === "running" ? "" : "some"}>{t.state}{t.error && <>: {t.error}</>}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      </Section>
    </div>
  );
}
