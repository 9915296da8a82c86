// The overlay that lists the keys.
import { useEffect, useRef } from "react";

const KEYS: [string, string][] = [
  ["/", "search services, from any view"],
  ["j  k", "next and previous row"],
  ["Enter", "open the row"],
  ["Esc", "out of a field; then back to the fleet"],
  ["f", "fleet"],
  ["p", "pipeline"],
  ["1 … 7", "on a service: last 15 minutes, hour, 6 hours, day, week, 30 days, year"],
  ["←  →", "on a chart, the heat map or health over time: the values of the next step"],
  ["e", "on a service: try another rule"],
  ["t", "theme: system, light, dark"],
  ["?", "this help"],
];

export function Help({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="help-title" onClick={(e) => e.target === dialog.current && dialog.current?.close()}>
      <div className="help">
        <h2 id="help-title">Keys</h2>
        <dl>
          {KEYS.map(([key, does]) => <div key={key}><dt>{key.split("  ").map((k) => <kbd key={k}>{k}</kbd>)}</dt><dd>{does}</dd></div>)}
        </dl>
        <p className="quiet">Every view, range, filter and sort stands in the address: copy it to show somebody the same. <a href="/assets/licences.txt">Licences</a></p>
        <button type="button" onClick={() => dialog.current?.close()}>Close</button>
      </div>
    </dialog>
  );
}
