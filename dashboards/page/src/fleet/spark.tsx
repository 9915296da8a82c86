// The last windows of a service as bars: requests, and on them in red the share that failed. Two paths, for there are many of these.
import type { RecentWindows } from "../api.ts";
import { many } from "../text.ts";

const WIDTH = 5;

export function Spark({ recent, slots, height = 26 }: { recent: RecentWindows; slots: number; height?: number }) {
  const errorsOf = recent.errors.slice(-slots);
  const last = recent.requests.slice(-slots).map((requests, n) => ({ requests, errors: errorsOf[n] ?? 0 }));
  const most = Math.max(1, ...last.map((w) => w.requests));
  const errors = last.reduce((sum, w) => sum + w.errors, 0);
  let [all, bad] = ["", ""];
  const bar = (n: number, top: number, tall: number) => `M${(slots - last.length + n) * WIDTH} ${top.toFixed(1)}h${WIDTH - 1}v${tall.toFixed(1)}h${1 - WIDTH}z`;
  last.forEach((w, n) => {
    const tall = w.requests === 0 ? 1 : Math.max(2, (w.requests / most) * height);
    all += bar(n, height - tall, tall);
    // A single error in a thousand must still show.
    if (w.errors > 0) bad += bar(n, height - tall, Math.min(tall, Math.max(2, (w.errors / Math.max(1, w.requests)) * tall)));
  });
  return (
    <svg
      className="spark" width={slots * WIDTH} height={height} viewBox={`0 0 ${slots * WIDTH} ${height}`} role="img"
      aria-label={`${many(last.length, "window")}, ${many(errors, "error")}, at most ${many(most, "request")} in one`}
    >
      <path className="all" d={all} />
      <path className="bad" d={bad} />
    </svg>
  );
}
