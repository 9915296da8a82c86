// The frame of every view: where one is, how fresh it is, theme, help.
import { useEffect, useState } from "react";
import { flushSync } from "react-dom";
import { Fleet } from "./fleet/fleet.tsx";
import { Help } from "./help.tsx";
import { useKeys } from "./keys.ts";
import { useLive } from "./live.ts";
import { Pipeline } from "./pipeline/pipeline.tsx";
import { ServiceView } from "./service/service.tsx";
import { duration, seconds } from "./text.ts";
import { nextTheme, useTheme } from "./theme.ts";
import { follow, go, useAddress } from "./url.ts";
import { usePage } from "./settings.ts";

function Freshness() {
  const { link, services, problem } = useLive();
  const [, setNow] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setNow((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  const newest = services?.reduce((last, s) => Math.max(last, seconds(s.window_end)), 0) ?? 0;
  const age = newest > 0 ? Date.now() / 1000 - newest : null;
  const words = { starting: "Connecting", live: "Live", polls: "Live, by polling", away: "No answer" }[link];
  return (
    <p className={`fresh ${link}`} title={problem?.detail ?? "How the page hears of what is new, and how long ago the newest window ended"}>
      <span className="dot" aria-hidden="true" />
      <span>{words}</span>
      {age !== null && <span className="age">newest window ended {duration(Math.round(age))} ago</span>}
    </p>
  );
}

const THEMES = { system: "System", light: "Light", dark: "Dark" };

// The search stands in the fleet; from another view it is gone to first, and drawn at once: the next key is already meant for the field.
function find(): void {
  const field = () => document.querySelector<HTMLInputElement>("input[type=search]");
  if (field() === null) flushSync(() => go("/"));
  field()?.select();
}

export function App() {
  const params = useAddress();
  const theme = useTheme();
  const page = usePage();
  const [help, setHelp] = useState(false);
  const { link, problem, heard } = useLive();
  const service = params.get("service");
  const view = service !== null ? "service" : params.get("view") === "pipeline" ? "pipeline" : "fleet";

  useKeys([
    { key: "?", run: () => setHelp(true) },
    { key: "f", run: () => go("/") },
    { key: "p", run: () => go("/?view=pipeline") },
    { key: "t", run: nextTheme },
    { key: "/", run: find },
  ]);

  return (
    <>
      <a className="skip" href="#main">To the content</a>
      <header className="frame">
        <a className="brand" href="/" onClick={follow}>
          <img src="/assets/icon.svg" alt="" width="20" height="20" />golden signals
        </a>
        <nav aria-label="Views">
          <a href="/" onClick={follow} aria-current={view === "fleet" ? "page" : undefined}>Fleet</a>
          <a href="/?view=pipeline" onClick={follow} aria-current={view === "pipeline" ? "page" : undefined}>Pipeline</a>
          {page?.grafana && <a href={page.grafana} rel="noreferrer">Grafana</a>}
          <a href="/api/docs">API</a>
        </nav>
        <Freshness />
        <div className="tools">
          <button type="button" onClick={nextTheme} title="Theme (t)"><span aria-hidden="true">◐</span><span className="unseen">Theme: </span><span className="word">{THEMES[theme]}</span></button>
          <button type="button" onClick={() => setHelp(true)} aria-label="Help: keys" title="Keys (?)">?</button>
        </div>
      </header>
      {link === "away" && heard > 0 && (
        <div className="banner" role="alert">
          <strong>golden does not answer.</strong> What is shown is {duration(Math.round((Date.now() - heard) / 1000))} old; the page tries again by itself. {problem?.detail}
        </div>
      )}
      <main id="main" tabIndex={-1}>
        {view === "service" && service !== null ? (
          <ServiceView key={`${params.get("namespace")}\n${service}`} service={service} asked={params.get("namespace")} />
        ) : view === "pipeline" ? <Pipeline /> : <Fleet />}
      </main>
      {help && <Help close={() => setHelp(false)} />}
    </>
  );
}
