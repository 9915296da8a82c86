// An overrides file with another health rule: the section `health` is replaced, every other byte stays. Knows no more of YAML than that.

export const defaultPath = (team: string, service: string) => `${team || "team"}/${encodeURIComponent(service).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)}.yaml`;

const block = (expression: string) => `health: |\n${expression.trim().split("\n").map((line) => `  ${line.trimEnd()}`).join("\n")}\n`;

export function newFile(expression: string, owner: string, namespace: string): string {
  return `owner: ${JSON.stringify(owner)}\n${namespace === "" ? "" : `namespace: ${JSON.stringify(namespace)}\n`}${block(expression)}`;
}

// A key at the left edge ends what came before it; blank and indented lines and comments belong to the section.
export function withHealth(content: string, expression: string): string {
  const lines = content.split("\n");
  const begin = lines.findIndex((line) => /^health\s*:/.test(line));
  if (begin < 0) return `${content.replace(/\n*$/, "\n")}${block(expression)}`;
  let end = begin + 1;
  while (end < lines.length && (/^\s/.test(lines[end] ?? "") || lines[end] === "")) end += 1;
  while (end > begin + 1 && lines[end - 1] === "") end -= 1;
  return [...lines.slice(0, begin), block(expression).trimEnd(), ...lines.slice(end)].join("\n").replace(/\n*$/, "\n");
}

export interface DiffLine { sign: " " | "+" | "-"; text: string }

// Lines that differ, by the longest common subsequence: files have at most some hundred lines.
export function diff(before: string, after: string): DiffLine[] {
  const [a, b] = [before.trimEnd().split("\n"), after.trimEnd().split("\n")];
  if (a.length * b.length > 1e6) return [...a.map((text): DiffLine => ({ sign: "-", text })), ...b.map((text): DiffLine => ({ sign: "+", text }))];
  const long = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  const at = (i: number, j: number) => long[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) (long[i] as Uint16Array)[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  }
  const out: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      out.push({ sign: " ", text: a[i] as string });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) out.push({ sign: "-", text: a[i++] as string });
    else out.push({ sign: "+", text: b[j++] as string });
  }
  return out;
}
