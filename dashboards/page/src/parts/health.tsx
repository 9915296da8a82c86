// Health as a shape, a word and a colour: never a colour alone.
import type { Word } from "../api.ts";

export const WORDS: Word[] = ["healthy", "degraded", "impaired", "critical", "unknown"];

export const wordOf = (level: number | null | undefined): Word => (level === null || level === undefined ? "unknown" : (WORDS[level] ?? "unknown"));

// Worst first; unknown stands between degraded and healthy, for it is no good news.
export const RANK: Record<Word, number> = { critical: 0, impaired: 1, degraded: 2, unknown: 3, healthy: 4 };

const SHAPES: Record<Word, React.ReactNode> = {
  healthy: <><circle cx="8" cy="8" r="7" /><path className="cut" d="M4.6 8.3l2.4 2.3 4.4-4.8" /></>,
  degraded: <><path d="M8 1.4 15.3 14.4H.7Z" /><path className="cut" d="M8 6v4M8 12v.4" /></>,
  impaired: <><path d="M8 .6 15.4 8 8 15.4.6 8Z" /><path className="cut" d="M8 4.6v4M8 11v.4" /></>,
  critical: <><path d="M5 .9h6L15.1 5v6L11 15.1H5L.9 11V5Z" /><path className="cut" d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2" /></>,
  unknown: <><circle className="ring" cx="8" cy="8" r="6.3" /><path className="mark" d="M6.2 6.4a1.9 1.9 0 1 1 2.6 1.9c-.6.3-.8.7-.8 1.3M8 11.6v.3" /></>,
};

export function Shape({ word, size = 14 }: { word: Word; size?: number }) {
  return <svg className={`shape ${word}`} viewBox="0 0 16 16" width={size} height={size} aria-hidden="true">{SHAPES[word]}</svg>;
}

export function HealthWord({ word, size }: { word: Word; size?: number }) {
  return <span className={`health ${word}`}><Shape word={word} {...(size === undefined ? {} : { size })} />{word}</span>;
}
