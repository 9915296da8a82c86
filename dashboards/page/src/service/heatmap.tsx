// Where latencies lie over time: each column a step, each row a bin of durations, the stronger its colour the more requests. Counts, so nothing is averaged.
import { useEffect, useRef, useState } from "react";
import type { HeatmapAnswer } from "../api.ts";
import { clock, many, millis, seconds } from "../text.ts";
import { colour, useDark } from "../theme.ts";

const LEFT = 62;
const BOTTOM = 24;
const HEIGHT = 220;

interface Grid { rows: number[]; from: number; to: number; columns: Map<number, number[]>; steps: number }

// Only the bins that something fell into, with one on each side.
function grid(a: HeatmapAnswer): Grid {
  let [low, high] = [a.bounds_ms.length, -1];
  for (const c of a.columns) c.counts.forEach((n, i) => { if (n > 0) { low = Math.min(low, i); high = Math.max(high, i); } });
  const first = Math.min(...a.columns.map((c) => seconds(c.start)));
  const [from, to] = [Number.isFinite(first) ? first : seconds(a.from), seconds(a.to)];
  low = Math.max(0, low - 1);
  high = Math.min(a.bounds_ms.length - 1, high + 1);
  const rows = Array.from({ length: Math.max(0, high - low + 1) }, (_, n) => low + n);
  const columns = new Map(a.columns.map((c) => [Math.round((seconds(c.start) - from) / a.step_seconds), c.counts]));
  return { rows, from, to, columns, steps: Math.max(1, Math.ceil((to - from) / a.step_seconds)) };
}

export function Heatmap({ answer }: { answer: HeatmapAnswer }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  // The cell that is told: a step, and a row from below.
  const [at, setAt] = useState<{ step: number; row: number } | null>(null);
  const dark = useDark();
  const g = grid(answer);

  useEffect(() => {
    const home = canvas.current?.parentElement;
    if (!home) return;
    const fit = new ResizeObserver(() => setWidth(home.clientWidth));
    fit.observe(home);
    return () => fit.disconnect();
  }, []);

  useEffect(() => {
    const c = canvas.current;
    const ctx = c?.getContext("2d");
    if (!c || !ctx || width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    [c.width, c.height] = [width * ratio, HEIGHT * ratio];
    ctx.scale(ratio, ratio);
    ctx.clearRect(0, 0, width, HEIGHT);
    const [wide, tall] = [(width - LEFT) / g.steps, (HEIGHT - BOTTOM) / Math.max(1, g.rows.length)];
    ctx.fillStyle = colour("heat");
    for (const [step, counts] of g.columns) {
      g.rows.forEach((bin, n) => {
        const count = counts[bin] ?? 0;
        if (count === 0) return;
        ctx.globalAlpha = 0.12 + 0.88 * Math.sqrt(count / Math.max(1, answer.max_count));
        ctx.fillRect(LEFT + step * wide, HEIGHT - BOTTOM - (n + 1) * tall, Math.max(1, wide - (wide > 4 ? 1 : 0)), Math.max(1, tall - (tall > 4 ? 1 : 0)));
      });
    }
    ctx.globalAlpha = 1;
    ctx.fillStyle = colour("quiet");
    ctx.font = "11px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    const every = Math.max(1, Math.ceil(g.rows.length / 7));
    g.rows.forEach((bin, n) => {
      if (n % every === 0) ctx.fillText(millis(answer.bounds_ms[bin]), LEFT - 8, HEIGHT - BOTTOM - (n + 1) * tall + 1);
    });
    ctx.textAlign = "center";
    const labels = Math.max(2, Math.floor((width - LEFT) / 110));
    for (let n = 0; n < labels; n++) {
      const x = LEFT + ((n + 0.5) / labels) * (width - LEFT);
      ctx.fillText(clock(Math.round(g.from + ((n + 0.5) / labels) * (g.to - g.from))).slice(-8), x, HEIGHT - BOTTOM / 2);
    }
  }, [answer, width, dark]);

  const bin = at === null ? undefined : g.rows[at.row];
  const told = at === null || bin === undefined ? null
    : `${clock(g.from + at.step * answer.step_seconds)}: ${many(g.columns.get(at.step)?.[bin] ?? 0, "request")} of ${millis(bin === 0 ? 0 : (answer.bounds_ms[bin - 1] ?? 0))} to ${millis(answer.bounds_ms[bin])}`;

  const point = (x: number, y: number) => {
    if (x < LEFT || y > HEIGHT - BOTTOM) return setAt(null);
    return setAt({ step: Math.floor(((x - LEFT) / (width - LEFT)) * g.steps), row: Math.floor(((HEIGHT - BOTTOM - y) / (HEIGHT - BOTTOM)) * g.rows.length) });
  };
  // The fullest cell of a step is where one looks first.
  const fullest = (step: number) => g.rows.reduce((best, bin, row) => ((g.columns.get(step)?.[bin] ?? 0) > (g.columns.get(step)?.[g.rows[best] ?? 0] ?? 0) ? row : best), 0);
  const enter = () => at ?? { step: g.steps - 1, row: fullest(g.steps - 1) };
  const move = (event: React.KeyboardEvent) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by || g.rows.length === 0) return;
    event.preventDefault();
    const { step, row } = enter();
    const within = (n: number, most: number) => Math.max(0, Math.min(most, n));
    setAt({ step: within(step + (by[0] ?? 0), g.steps - 1), row: within(row + (by[1] ?? 0), g.rows.length - 1) });
  };

  const sums = new Map<number, number>();
  for (const c of answer.columns) c.counts.forEach((n, i) => sums.set(i, (sums.get(i) ?? 0) + n));
  const [most] = [...sums].sort((a, b) => b[1] - a[1])[0] ?? [0];
  const words = `most requests take ${millis(most === 0 ? 0 : answer.bounds_ms[most - 1])} to ${millis(answer.bounds_ms[most])}`;
  if (answer.columns.length === 0) return <p className="quiet">No event of this range had a duration.</p>;
  return (
    <div className="heatmap">
      <canvas
        ref={canvas} style={{ width: "100%", height: HEIGHT }} role="img" aria-label={`Latency heat map: ${words}`} tabIndex={0}
        onMouseMove={(e) => { const box = e.currentTarget.getBoundingClientRect(); point(e.clientX - box.left, e.clientY - box.top); }}
        onMouseLeave={() => setAt(null)} onFocus={() => g.rows.length > 0 && setAt(enter())} onBlur={() => setAt(null)} onKeyDown={move}
      />
      {at !== null && bin !== undefined && (
        <span
          className="cell" aria-hidden="true"
          style={{ left: LEFT + (at.step * (width - LEFT)) / g.steps, width: (width - LEFT) / g.steps, top: HEIGHT - BOTTOM - ((at.row + 1) * (HEIGHT - BOTTOM)) / g.rows.length, height: (HEIGHT - BOTTOM) / g.rows.length }}
        />
      )}
      <p className="quiet" aria-live="polite">{told ?? `${words[0]?.toUpperCase()}${words.slice(1)}. The stronger the colour, the more: at most ${many(answer.max_count, "request")} in a cell.`}</p>
    </div>
  );
}
