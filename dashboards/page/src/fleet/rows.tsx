// The table of services. Only rows near the screen exist, so that thousands of them scroll as eight do; the document itself scrolls.
import { memo, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Service } from "../api.ts";
import { useKeys } from "../keys.ts";
import { keyOf } from "../live.ts";
import { HealthWord } from "../parts/health.tsx";
import { errorShare, millis, NONE, notable, percent, perSecond, seconds, short } from "../text.ts";
import { change, follow, go, toService } from "../url.ts";
import { type Column, LARGEST_FIRST, listed, type Wanted } from "./filter.ts";
import { Spark } from "./spark.tsx";

export const HEADS: { column: Column; title: string; number?: boolean; look?: string }[] = [
  { column: "service", title: "Service" },
  { column: "health", title: "Health" },
  { column: "team", title: "Team", look: "wide" },
  { column: "swimlane", title: "Swimlane", look: "wider" },
  { column: "region", title: "Region", look: "wider" },
  { column: "requests", title: "Requests", number: true },
  { column: "errors", title: "Errors", number: true },
  { column: "availability", title: "Availability", number: true, look: "medium" },
  { column: "p95", title: "p95", number: true, look: "medium" },
  { column: "p99", title: "p99", number: true },
];

const narrow = matchMedia("(max-width: 719px)");
const OVERSCAN = 12;

function useRowHeight(): number {
  const [small, setSmall] = useState(narrow.matches);
  useEffect(() => {
    const turn = () => setSmall(narrow.matches);
    narrow.addEventListener("change", turn);
    return () => narrow.removeEventListener("change", turn);
  }, []);
  return small ? 84 : 44;
}

function Sort({ head, sort }: { head: (typeof HEADS)[number]; sort: Wanted }) {
  const here = sort.sort === head.column;
  const first = LARGEST_FIRST.includes(head.column);
  const down = here ? !sort.down : first;
  const value = `${down ? "-" : ""}${head.column}`;
  return (
    <span role="columnheader" className={`${head.number ? "number" : ""} ${head.look ?? ""}`} aria-sort={here ? (sort.down ? "descending" : "ascending") : "none"}>
      <button type="button" onClick={() => change({ sort: value === "health" ? null : value })}>
        {head.title}<span aria-hidden="true" className="arrow">{here ? (sort.down ? "↓" : "↑") : ""}</span>
      </button>
    </span>
  );
}

const Row = memo(function Row({ s, index, top, height, active }: { s: Service; index: number; top: number; height: number; active: boolean }) {
  const health = s.health.state;
  return (
    <div role="row" className={`row ${health}`} aria-rowindex={index + 2} style={{ transform: `translateY(${top}px)`, height }}>
      <span role="rowheader" className="name">
        <a href={toService(s.service, s.namespace)} onClick={follow} data-row={index} tabIndex={active ? 0 : -1}>
          {s.namespace !== "" && <span className="namespace"><bdi>{s.namespace}</bdi> / </span>}<bdi>{s.service}</bdi>
        </a>
      </span>
      <span role="cell" className="state"><HealthWord word={health} />{s.stale && <em> silent</em>}</span>
      <span role="cell" className="wide team"><bdi>{s.team || NONE}</bdi></span>
      <span role="cell" className="wider team"><bdi>{listed(s.swimlanes) || NONE}</bdi></span>
      <span role="cell" className="wider team"><bdi>{listed(s.regions) || NONE}</bdi></span>
      <span role="cell" className="number" data-title="Requests">{perSecond(s.requests_per_second)}</span>
      <span role="cell" className={`number ${notable(s.errors, s.requests) ? "some" : ""}`} data-title="Errors" title={`${short(s.errors)} of ${short(s.requests)} requests in the window`}>
        {errorShare(s.errors, s.requests)}
      </span>
      <span role="cell" className="number medium" data-title="Availability">{percent(s.availability_ratio)}</span>
      <span role="cell" className="number medium" data-title="p95">{millis(s.p95_ms)}</span>
      <span role="cell" className="number" data-title="p99">{millis(s.p99_ms)}</span>
      <span role="cell" className="trail"><Spark recent={s.recent} slots={20} /></span>
      <span role="cell" className={`number wide ${s.completeness < 1 ? "some" : ""}`} data-title="Complete">{percent(s.completeness)}</span>
    </div>
  );
});

export function Rows({ rows, sort, places }: { rows: Service[]; sort: Wanted; places: boolean }) {
  const height = useRowHeight();
  const body = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ from: 0, to: 60 });
  const [cursor, setCursor] = useState<string | null>(null);
  const focus = useRef(false);

  const look = useCallback(() => {
    const top = body.current?.getBoundingClientRect().top ?? 0;
    const from = Math.max(0, Math.floor(-top / height) - OVERSCAN);
    const to = Math.ceil((window.innerHeight - top) / height) + OVERSCAN;
    setSeen((old) => (old.from === from && old.to === to ? old : { from, to }));
  }, [height]);

  useLayoutEffect(look, [look, rows.length]);
  useEffect(() => {
    window.addEventListener("scroll", look, { passive: true });
    window.addEventListener("resize", look);
    return () => {
      window.removeEventListener("scroll", look);
      window.removeEventListener("resize", look);
    };
  }, [look]);

  const at = cursor === null ? -1 : rows.findIndex((s) => keyOf(s) === cursor);

  const move = (step: number) => {
    const next = Math.min(rows.length - 1, Math.max(0, at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step));
    const service = rows[next];
    if (!service || !body.current) return;
    focus.current = true;
    setCursor(keyOf(service));
    const box = body.current.getBoundingClientRect();
    const top = box.top + next * height;
    const head = 110;
    if (top < head) window.scrollBy(0, top - head);
    else if (top + height > window.innerHeight - 8) window.scrollBy(0, top + height - window.innerHeight + 8);
    look();
  };

  useEffect(() => {
    if (!focus.current) return;
    const link = body.current?.querySelector<HTMLAnchorElement>(`[data-row="${at}"]`);
    if (link) {
      focus.current = false;
      link.focus({ preventScroll: true });
    }
  });

  useKeys([
    { key: "j", run: () => move(1) },
    { key: "k", run: () => move(-1) },
    { key: "Enter", run: () => at >= 0 && rows[at] && go(toService(rows[at].service, rows[at].namespace)) },
  ]);

  const visible = rows.slice(seen.from, seen.to);
  return (
    <div className={`services ${places ? "places" : ""}`} role="table" aria-label="Services" aria-rowcount={rows.length + 1}>
      <div role="rowgroup" className="heads">
        <div role="row" aria-rowindex={1}>
          {HEADS.map((head) => <Sort key={head.column} head={head} sort={sort} />)}
          <span role="columnheader" className="trail">Last windows</span>
          <Sort head={{ column: "completeness", title: "Complete", number: true, look: "wide" }} sort={sort} />
        </div>
      </div>
      <div role="rowgroup" className="rows" ref={body} style={{ height: rows.length * height }}>
        {visible.map((s, n) => {
          const index = seen.from + n;
          return <Row key={keyOf(s)} s={s} index={index} top={index * height} height={height} active={at < 0 ? index === 0 : index === at} />;
        })}
      </div>
    </div>
  );
}

// End of the newest window that any of them has, in seconds since 1970.
export const newestEnd = (services: readonly Service[]) => services.reduce((last, s) => Math.max(last, seconds(s.window_end)), 0);
