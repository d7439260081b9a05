/** The small pieces that every part of the page is made of. */
import type { Level } from "./health";

export function Badge({ level, text, id }: { level: Level; text: string; id?: string }) {
  return (
    <span className={`badge ${level}`} data-testid={id}>
      {text}
    </span>
  );
}

export function Row({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div className="row">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A titled part of the page; `id` is also its address, as in /positions. */
export function Card(props: { title: string; id: string; note?: string; children: React.ReactNode }) {
  return (
    <section className="card" id={props.id} aria-labelledby={`${props.id}-title`}>
      <h2 id={`${props.id}-title`}>
        {props.title}
        {props.note && <small>{props.note}</small>}
      </h2>
      {props.children}
    </section>
  );
}

export function Quiet({ children }: { children: React.ReactNode }) {
  return <p className="quiet">{children}</p>;
}
