// The last windows of a service as bars: requests, and on them in red the share that failed.
import type { RecentWindow } from "../api.ts";
import { many } from "../text.ts";

const WIDTH = 5;

export function Spark({ recent, slots, height = 26 }: { recent: RecentWindow[]; slots: number; height?: number }) {
  const last = recent.slice(-slots);
  const most = Math.max(1, ...last.map((w) => w.requests));
  const errors = last.reduce((sum, w) => sum + w.errors, 0);
  const label = `${many(last.length, "window")}, ${many(errors, "error")}, at most ${many(most, "request")} in one`;
  const at = (n: number) => (slots - last.length + n) * WIDTH;
  return (
    <svg className="spark" width={slots * WIDTH} height={height} viewBox={`0 0 ${slots * WIDTH} ${height}`} role="img" aria-label={label}>
      {last.map((w, n) => {
        const tall = w.requests === 0 ? 1 : Math.max(2, (w.requests / most) * height);
        // A single error in a thousand must still show.
        const bad = w.errors === 0 ? 0 : Math.max(2, (w.errors / Math.max(1, w.requests)) * tall);
        return (
          <g key={w.window_start}>
            <rect className="all" x={at(n)} y={height - tall} width={WIDTH - 1} height={tall} />
            {bad > 0 && <rect className="bad" x={at(n)} y={height - tall} width={WIDTH - 1} height={Math.min(bad, tall)} />}
          </g>
        );
      })}
    </svg>
  );
}
