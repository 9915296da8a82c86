// Writes what holds dist/ to its sources, and the licences of what is bundled.
//
// dist/sources.sha256 is a hash over all sources; a test of pipeline/http computes it anew. dist/assets/licences.txt is served, as licences ask.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = import.meta.dirname;
const single = ["index.html", "package.json", "package-lock.json", "seal.mjs", "tsconfig.json", "vite.config.ts"];
const below = (path) =>
  readdirSync(join(folder, path), { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? below(`${path}/${e.name}`) : [`${path}/${e.name}`]));
const paths = [...single, ...below("public"), ...below("src")].sort();

const hash = createHash("sha256");
for (const path of paths) {
  const bytes = readFileSync(join(folder, path));
  hash.update(`${path} ${bytes.length}\n`).update(bytes);
}
writeFileSync(join(folder, "dist/sources.sha256"), `${hash.digest("hex")}\n`);

const licences = ["react", "react-dom", "scheduler", "uplot"].map((name) => {
  const home = join(folder, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
  return `${name} ${version} (${license})\n\n${readFileSync(join(home, "LICENSE"), "utf8").trim()}\n`;
});
writeFileSync(join(folder, "dist/assets/licences.txt"), licences.join("\n----\n\n"));
