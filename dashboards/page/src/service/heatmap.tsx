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
  const [at, setAt] = useState<{ x: number; y: number } | null>(null);
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

  const hover = (() => {
    if (!at || at.x < LEFT || at.y > HEIGHT - BOTTOM) return null;
    const step = Math.floor(((at.x - LEFT) / (width - LEFT)) * g.steps);
    const n = Math.floor(((HEIGHT - BOTTOM - at.y) / (HEIGHT - BOTTOM)) * g.rows.length);
    const bin = g.rows[n];
    if (bin === undefined) return null;
    const below = bin === 0 ? 0 : (answer.bounds_ms[bin - 1] ?? 0);
    return `${clock(g.from + step * answer.step_seconds)}: ${many(g.columns.get(step)?.[bin] ?? 0, "request")} of ${millis(below)} to ${millis(answer.bounds_ms[bin])}`;
  })();

  const sums = new Map<number, number>();
  for (const c of answer.columns) c.counts.forEach((n, i) => sums.set(i, (sums.get(i) ?? 0) + n));
  const [most] = [...sums].sort((a, b) => b[1] - a[1])[0] ?? [0];
  const words = answer.columns.length === 0 ? "no durations" : `most requests take ${millis(most === 0 ? 0 : answer.bounds_ms[most - 1])} to ${millis(answer.bounds_ms[most])}`;
  return (
    <div className="heatmap">
      <canvas
        ref={canvas} style={{ width: "100%", height: HEIGHT }} role="img" aria-label={`Latency heat map: ${words}`}
        onMouseMove={(e) => { const box = e.currentTarget.getBoundingClientRect(); setAt({ x: e.clientX - box.left, y: e.clientY - box.top }); }}
        onMouseLeave={() => setAt(null)}
      />
      <p className="quiet">{hover ?? `${words[0]?.toUpperCase()}${words.slice(1)}. The stronger the colour, the more: at most ${many(answer.max_count, "request")} in a cell.`}</p>
    </div>
  );
}
