// The signals of a service over time.
import { useMemo } from "react";
import type { HealthSpan, Point, RangeAnswer } from "../api.ts";
import { Chart, type Line } from "../parts/chart.tsx";
import { millis, perSecond, percent, seconds } from "../text.ts";

interface Drawn { times: number[]; at: (Point | null)[]; step: number }

// Steps without windows are left out by the API; here they become gaps, never zeros.
export function onGrid(answer: RangeAnswer, points: Point[]): Drawn {
  const step = answer.step_seconds;
  const from = seconds(answer.from);
  const byStep = new Map(points.map((p) => [Math.floor((seconds(p.start) - from) / step), p]));
  const steps = Math.max(0, Math.ceil((seconds(answer.to) - from) / step));
  const times = Array.from({ length: steps }, (_, n) => from + n * step);
  const at = times.map((_, n) => byStep.get(n) ?? null);
  const first = at.findIndex((p) => p !== null);
  // What lies before the first window is not drawn at all.
  return first <= 0 ? { times, at, step } : { times: times.slice(first), at: at.slice(first), step };
}

const ofPoint = (drawn: Drawn, value: (p: Point) => number | null | undefined) => drawn.at.map((p) => (p === null ? null : (value(p) ?? null)));

// Per second of the windows that were there, not of the whole step: the newest step is not over.
const rate = (window: number, count: (p: Point) => number) => (p: Point) => count(p) / Math.max(1, p.windows * window);

export function Signals({ answer, spans }: { answer: RangeAnswer; spans: HealthSpan[] }) {
  const drawn = useMemo(() => onGrid(answer, answer.groups[0]?.points ?? []), [answer]);
  const w = answer.window_seconds;
  const lines = useMemo(() => {
    const line = (label: string, ink: string, value: (p: Point) => number | null | undefined, more: Partial<Line> = {}): Line =>
      ({ label, colour: ink, values: ofPoint(drawn, value), ...more });
    return {
      requests: [line("Requests", "ink-a", rate(w, (p) => p.requests), { fill: true }), line("Errors", "critical", rate(w, (p) => p.errors), { fill: true, dash: [4, 2] })],
      latency: [
        line("p50", "ink-c", (p) => p.latency?.p50_ms, { dash: [2, 3] }), line("p95", "ink-b", (p) => p.latency?.p95_ms, { dash: [6, 3] }),
        line("p99", "ink-a", (p) => p.latency?.p99_ms),
      ],
      availability: [line("Availability", "ink-a", (p) => p.availability_ratio)],
      saturation: [line("Saturation", "ink-a", (p) => p.saturation_ratio, { fill: true })],
    };
  }, [drawn, w]);
  const last = drawn.at.findLast((p) => p !== null);
  const least = Math.min(1, ...drawn.at.map((p) => p?.availability_ratio ?? 1));
  const saturated = lines.saturation[0]?.values.some((v) => v !== null);
  const latency = lines.latency[0]?.values.some((v) => v !== null);
  const floor = Math.max(0, least - Math.max(0.005, (1 - least) * 0.15));
  if (!last) return <p className="quiet">No window was published in this range.</p>;
  return (
    <div className="charts">
      <Chart title="Requests and errors" times={drawn.times} lines={lines.requests} unit={perSecond} spans={spans} summary={`${perSecond(rate(w, (p) => p.requests)(last))} requests last`} />
      {latency && <Chart title="Latency" times={drawn.times} lines={lines.latency} unit={millis} spans={spans} summary={`p99 last ${millis(last.latency?.p99_ms)}`} />}
      <Chart title="Availability" times={drawn.times} lines={lines.availability} unit={percent} spans={spans} scale={{ min: floor, max: 1 }} summary={`last ${percent(last.availability_ratio)}, at least ${percent(least)}`} />
      {saturated && <Chart title="Saturation" times={drawn.times} lines={lines.saturation} unit={percent} spans={spans} summary={`last ${percent(last.saturation_ratio)}`} />}
    </div>
  );
}
