// What the tests of the page share: golden as a process, a browser that watches what the page does, and a plain list of tests.
//
// Every request of every page must be one of the API's description or a file of the page; every message of the browser on its console (a
// policy that was broken, an exception) fails the test in which it came. What fails leaves a picture in artefacts/.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

// With DIST the files of the page are taken from there and not from the program, so that what was just built can be tried: DIST=dist.
const DIST = process.env.DIST ? resolve(process.env.DIST) : null;
export const HOME = join(import.meta.dirname, "..");
export const ARTEFACTS = process.env.ARTEFACTS ?? join(HOME, "artefacts");
const GOLDEN = process.env.GOLDEN ?? "golden";
mkdirSync(ARTEFACTS, { recursive: true });

export const folder = mkdtempSync(join(tmpdir(), "golden-page-"));
const running = new Set();

// Ends everything that was started; the folders go too.
export function end() {
  for (const child of running) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

// Waits for something to be so, and gives it.
export async function eventually(what, seconds, so) {
  const deadline = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < deadline) {
    try {
      const found = await so();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    await new Promise((go) => setTimeout(go, 150));
  }
  throw new Error(`not within ${seconds} s: ${what}${last ? ` (${last.message})` : ""}`);
}

// A `golden run`; gives the address of its page as it is printed for people, once all is printed.
export async function golden(args) {
  const child = spawn(GOLDEN, ["run", ...args], { stdio: ["ignore", "ignore", "pipe"], cwd: folder });
  running.add(child);
  let said = "";
  const link = await new Promise((found, failed) => {
    child.stderr.on("data", (bytes) => {
      said = (said + bytes).slice(-20_000);
      const [page, last] = [/services\s+(http:\S+)/.exec(said), /send events to\s+http:\S+\n/.exec(said)];
      if (page && last) found(page[1]);
    });
    child.on("exit", (code) => failed(new Error(`golden ended with ${code}: ${said}`)));
  });
  const url = new URL(link).origin;
  return {
    link,
    url,
    get: async (path) => (await fetch(url + path)).json(),
    kill: () => new Promise((gone) => {
      running.delete(child);
      child.on("exit", gone);
      child.kill("SIGKILL");
    }),
  };
}

export async function command(args) {
  const child = spawn(GOLDEN, args, { stdio: ["ignore", "pipe", "pipe"], cwd: folder });
  let said = "";
  child.stdout.on("data", (bytes) => { said += bytes; });
  child.stderr.on("data", (bytes) => { said += bytes; });
  const code = await new Promise((ended) => child.on("exit", ended));
  if (code !== 0) throw new Error(`golden ${args.join(" ")}: ${said}`);
}

export async function post(url, events) {
  const answer = await fetch(`${url}/api/v1/events`, { method: "POST", headers: { "content-type": "application/x-ndjson" }, body: events.map((e) => JSON.stringify(e)).join("\n") });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
let troubles = [];
let pages = [];
const seen = new Set();

function matcher(openapi) {
  const templates = Object.entries(openapi.paths).map(([path, methods]) => [new RegExp(`^${path.replace(/\{[^}]+\}/g, "[^/]+")}$`), methods, path]);
  return (method, path) => templates.find(([form, methods]) => form.test(path) && methods[method.toLowerCase()])?.[2];
}

// Opens the page in a window of its own. `failing`: addresses whose answers may be no success. `answers`: what is answered in place of the
// server, by path: a body, or `[status, body]`, or a function of the request that gives one of these, or nothing to let it through. The stream
// is refused then, as it would bring something else.
export async function open(url, path, { width = 1280, height = 900, theme = "light", failing = null, block = null, answers = null } = {}) {
  const openapi = await (await fetch(`${url}/api/openapi.json`)).json();
  const described = matcher(openapi);
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, timezoneId: "UTC", locale: "en-GB", reducedMotion: "reduce" });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  page.on("request", (request) => {
    const at = new URL(request.url());
    if (at.origin !== url) return troubles.push(`asked elsewhere: ${request.url()}`);
    if (at.pathname === "/" || at.pathname.startsWith("/assets/")) return undefined;
    const known = described(request.method(), at.pathname);
    if (!known) return troubles.push(`not in the description of the API: ${request.method()} ${at.pathname}`);
    return seen.add(`${request.method()} ${known}`);
  });
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    // Too much at once is no trouble: the page asks again.
    if (/status of (429|503)/.test(message.text())) return;
    if (failing?.test(message.location().url) && message.text().startsWith("Failed to load resource")) return;
    troubles.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => troubles.push(`exception: ${error.stack}`));
  if (DIST) {
    await context.route((at) => at.pathname === "/" || at.pathname.startsWith("/assets/page"), async (route) => {
      const name = new URL(route.request().url()).pathname;
      await route.fulfill({ response: await route.fetch(), body: readFileSync(join(DIST, name === "/" ? "index.html" : name)) });
    });
  }
  if (block) await context.route(block, (route) => route.fulfill({ status: 503, contentType: "application/problem+json", body: '{"title":"too many","status":503,"detail":"too many streams"}' }));
  for (const [path, answer] of Object.entries(answers ?? {})) {
    await context.route((at) => at.pathname === path, async (route) => {
      const said = typeof answer === "function" ? answer(route.request()) : answer;
      if (said === undefined) return route.continue();
      const [status, body] = Array.isArray(said) ? said : [200, said];
      return route.fulfill({ status, contentType: status < 400 ? "application/json" : "application/problem+json", body: JSON.stringify(status < 400 ? body : { type: "about:blank", status, ...body }) });
    });
  }
  if (answers) await context.route("**/api/v1/stream*", (route) => route.fulfill({ status: 503, contentType: "application/problem+json", body: '{"title":"too many","status":503,"detail":"too many streams"}' }));
  pages.push(page);
  await page.goto(url + path);
  return page;
}

// What the pages asked for, as in the description of the API.
export const requestsSeen = () => [...seen].sort();

const tests = [];
export const test = (name, work) => tests.push({ name, work });

export async function run() {
  const only = process.env.ONLY;
  let failed = 0;
  const begun = Date.now();
  const wanted = tests.filter(({ name }) => !only || name.includes(only));
  for (const { name, work } of wanted) {
    const at = Date.now();
    [troubles, pages] = [[], []];
    let error = null;
    try {
      await work();
      if (troubles.length > 0) throw new Error([...new Set(troubles)].slice(0, 5).join("\n"));
    } catch (e) {
      error = e;
    }
    if (error) {
      failed += 1;
      const file = join(ARTEFACTS, `failed-${name.replace(/\W+/g, "-").slice(0, 60)}.png`);
      await pages.at(-1)?.screenshot({ path: file }).catch(() => undefined);
      console.log(`FAILED ${name}\n${error.stack}\n${[...new Set(troubles)].slice(0, 5).join("\n")}\nsee ${file}`);
    } else {
      console.log(`ok     ${name} (${((Date.now() - at) / 1000).toFixed(1)} s)`);
    }
    for (const page of pages) await page.context().close().catch(() => undefined);
  }
  await browser.close();
  console.log(`${wanted.length - failed} of ${wanted.length} hold, ${((Date.now() - begun) / 1000).toFixed(0)} s`);
  return failed === 0;
}
