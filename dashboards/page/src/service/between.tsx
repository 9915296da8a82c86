// Any range by keys: from when to when, as the alternative to dragging over a chart. Times are the reader's own.
import { useState } from "react";
import { change } from "../url.ts";
import type { Range } from "./range.ts";

const two = (n: number) => String(n).padStart(2, "0");

// As a field of kind `datetime-local` writes it.
function local(time: number): string {
  const d = new Date(time * 1000);
  return `${String(d.getFullYear()).padStart(4, "0")}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

const instant = (text: string) => Math.floor(new Date(text).getTime() / 1000);

export function Between({ range }: { range: Range }) {
  const [open, setOpen] = useState(false);
  const [wish, setWish] = useState<{ from: string; to: string } | null>(null);
  const [said, setSaid] = useState("");
  // What stands there is the range that is shown, until somebody writes something else.
  const { from, to } = wish ?? { from: local(range.from), to: local(range.to) };
  const show = () => {
    const [begin, end] = [instant(from), instant(to)];
    if (!(begin > 0) || !(end > begin)) return setSaid("“From” must lie before “To”.");
    setSaid("");
    setWish(null);
    return change({ from: String(begin), to: String(end), range: null });
  };
  return (
    <details className="between" open={open} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>From … to …</summary>
      <form onSubmit={(e) => { e.preventDefault(); show(); }} noValidate>
        <label>From <input type="datetime-local" step={1} value={from} onChange={(e) => setWish({ from: e.target.value, to })} /></label>
        <label>To <input type="datetime-local" step={1} value={to} onChange={(e) => setWish({ from, to: e.target.value })} /></label>
        <button type="submit">Show</button>
        {said && <p role="alert" className="some">{said}</p>}
      </form>
    </details>
  );
}
