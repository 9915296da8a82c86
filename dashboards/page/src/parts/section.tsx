// A titled part of a view.
import type { ReactNode } from "react";

export function Section({ id, title, aside, children }: { id: string; title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section id={id} aria-labelledby={`${id}-title`} className="section">
      <header><h2 id={`${id}-title`}>{title}</h2>{aside && <div className="aside">{aside}</div>}</header>
      {children}
    </section>
  );
}
