// A line chart over time (uPlot), with its cursor shared by all charts of a view. Dragging over it narrows the range; arrow keys move the cursor.
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import type { HealthSpan } from "../api.ts";
import { clock, seconds } from "../text.ts";
import { colour, useDark } from "../theme.ts";
import { change } from "../url.ts";

export interface Line { label: string; values: (number | null)[]; colour: string; fill?: boolean; dash?: number[] }

interface Wish {
  title: string;
  times: number[];
  lines: Line[];
  // How a value is written, with its unit.
  unit: (value: number | null | undefined) => string;
  // Stretches in which the service was not healthy stand behind the lines.
  spans?: HealthSpan[];
  // A fixed scale, as of shares.
  scale?: { min?: number; max?: number };
  height?: number;
  // The newest of the lines' values, in words, for whoever does not see the chart.
  summary: string;
}

const two = (n: number) => String(n).padStart(2, "0");

function ticks(times: number[], span: number): string[] {
  return times.map((t) => {
    const d = new Date(t * 1000);
    if (span > 2 * 86400) return `${d.getDate()}.${d.getMonth() + 1}. ${two(d.getHours())}:${two(d.getMinutes())}`;
    return span <= 900 ? `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}` : `${two(d.getHours())}:${two(d.getMinutes())}`;
  });
}

export function Chart({ title, times, lines, unit, spans, scale, height = 170, summary }: Wish) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const behind = useRef<HealthSpan[]>([]);
  behind.current = spans ?? [];
  const dark = useDark();
  const shape = lines.map((l) => `${l.label} ${l.colour}`).join("|");
  const data = useMemo(() => [times, ...lines.map((l) => l.values)] as uPlot.AlignedData, [times, lines]);
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const home = box.current;
    if (!home) return;
    const [ink, grid] = [colour("quiet"), colour("line")];
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 }, font: "11px system-ui, sans-serif" };
    const shade = (u: uPlot) => {
      for (const s of behind.current) {
        if (s.state === "healthy") continue;
        const [left, right] = [u.valToPos(seconds(s.from), "x", true), u.valToPos(seconds(s.to), "x", true)];
        const [l, r] = [Math.max(left, u.bbox.left), Math.min(right, u.bbox.left + u.bbox.width)];
        if (r <= l) continue;
        u.ctx.globalAlpha = 0.1;
        u.ctx.fillStyle = colour(s.state);
        u.ctx.fillRect(l, u.bbox.top, r - l, u.bbox.height);
        u.ctx.globalAlpha = 1;
      }
    };
    const made = new uPlot({
      width: home.clientWidth,
      height,
      cursor: { sync: { key: "view" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      legend: { live: true },
      scales: {
        x: { time: true },
        y: { range: (_u, low, high) => [scale?.min ?? Math.min(0, low ?? 0), scale?.max ?? Math.max((high ?? 0) * 1.08, 1e-6)] },
      },
      axes: [
        { ...axis, space: 70, size: 28, values: (u, at) => ticks(at, (u.scales.x?.max ?? 0) - (u.scales.x?.min ?? 0)) },
        { ...axis, size: 62, space: 34, values: (_u, at) => at.map((v) => unit(v)) },
      ],
      series: [
        { label: "At", value: (u, v) => { const at = v ?? u.data[0].at(-1); return at == null ? "" : clock(at); } },
        ...lines.map((l) => ({
          label: l.label,
          stroke: colour(l.colour),
          width: 1.75,
          ...(l.dash ? { dash: l.dash } : {}),
          ...(l.fill ? { fill: `color-mix(in srgb, ${colour(l.colour)} 14%, transparent)` } : {}),
          points: { show: times.length < 2, size: 4 },
          // Without a cursor the newest value stands there.
          value: (u: uPlot, v: number | null, at: number) => unit(v ?? (u.cursor.idx == null ? (u.data[at]?.at(-1) ?? null) : null)),
        })),
      ],
      hooks: {
        drawClear: [shade],
        setSelect: [(u) => {
          if (u.select.width < 6) return;
          const [from, to] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          change({ from: String(Math.floor(from)), to: String(Math.ceil(to)), range: null });
        }],
      },
    }, latest.current, home);
    plot.current = made;
    const fit = new ResizeObserver(() => made.setSize({ width: home.clientWidth, height }));
    fit.observe(home);
    return () => {
      fit.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, dark, unit, height, scale?.min, scale?.max, title, times.length < 2]);

  useEffect(() => plot.current?.setData(data), [data]);

  const move = (event: React.KeyboardEvent) => {
    const u = plot.current;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!u || by === undefined || times.length === 0) return;
    event.preventDefault();
    const to = Math.max(0, Math.min(times.length - 1, (u.cursor.idx ?? times.length) + by));
    u.setCursor({ left: u.valToPos(times[to] as number, "x"), top: 10 });
  };

  return (
    <figure className="chart">
      <figcaption>{title}</figcaption>
      <div ref={box} role="group" aria-label={`${title}: ${summary}`} tabIndex={0} onKeyDown={move} onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })} />
    </figure>
  );
}
