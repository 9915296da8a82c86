// The page in a real browser, against a real `golden`: GOLDEN=path/to/golden node test/run.mjs [ONLY=part of a test's name]
//
// Two processes are started. `shop` is the demo, with a release that fails, and two more versions of overrides published into it; `bare` begins
// empty, gets hostile names and thousands of services, is killed and comes back. Bounds are wide, for machines may be busy; on a quiet one
// all of it takes two to three minutes, the shop's timetable included.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import axe from "axe-core";
import { ARTEFACTS, command, end, eventually, folder, golden, HOME, open, post, requestsSeen, run, test } from "./harness.mjs";

const freePort = () => new Promise((found) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => found(port));
  });
});

const rules = join(folder, "rules");
async function publish(files, to) {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(rules, path, ".."), { recursive: true });
    writeFileSync(join(rules, path), content);
  }
  await command(["overrides", "publish", rules, "--to", to]);
}

const CART = (health) => `owner: team-shop@example.com
criticality: high
health: |
  ${health}
objectives:
  availability: 99.9%
  latency: {threshold: 100ms, share: 99%}
`;

const data = join(folder, "shop");
const shop = await golden(["--demo", "--flip", "--data", data, "--listen", "127.0.0.1:0"]);
// The second version: the first one is what a demo publishes of its own.
await publish({ "shop/cart.yaml": CART("requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3") }, join(data, "bundles"));
const settings = join(folder, "bare.yaml");
const bareRules = join(folder, "bare-bundles");
writeFileSync(settings, `overrides: {from: ${bareRules}, poll: 1s}\npipeline: {window: 10s, bound: 1s, hold: 5s}\nruntime: {commit_interval: 100ms}\nlog: {partitions: 2}\npage: {trace_link: 'https://traces.example.com/{trace_id}'}\n`);
const port = await freePort();
const startBare = () => golden(["--config", settings, "--data", join(folder, "bare"), "--listen", `127.0.0.1:${port}`]);
let bare = await startBare();

const headline = (page) => page.locator("h1").first().innerText();
const settled = (page) => page.waitForFunction(() => document.querySelectorAll(".note.wait").length === 0 && document.querySelector("h1") !== null, null, { timeout: 60_000 });
const rows = (page) => page.locator(".services .row");
const stateOf = (page, name) => page.locator(".services .row", { has: page.locator(`a[href="/?service=${name}"]`) }).locator(".state").innerText();

// The word for a page that hears of what is new by the stream, and by nothing else.
const live = (page) => page.locator(".fresh.live").getByText("Live", { exact: true }).waitFor();
// A time as the page writes it; browsers of tests are in UTC.
const clock = (iso) => new Date(iso).toISOString().slice(11, 19);

// Names that would do harm if they were not taken as text. Control and bidirectional characters are refused at the door, so none of those.
const HOSTILE = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "שלום עולם", "a/../../b?c=d&e#f", "javascript:alert(1)", "%2e%2e%2f", "x".repeat(256), "ünïcødé 名前 🛒"];

test("a fleet without services says how to send the first event", async () => {
  const page = await open(bare.url, "/");
  await page.getByText("No service yet").waitFor();
  await clean(page, "no service yet");
  assert.ok((await page.locator("pre").first().innerText()).includes(`${bare.url}/api/v1/events`));
  await page.goto(`${bare.url}/?view=pipeline`);
  await page.locator("#flow").waitFor();
  // From here on hostile names are on their way.
  const now = Date.now() / 1000;
  await post(bare.url, HOSTILE.flatMap((service) => [0, 1].map((n) => ({ service, timestamp: now, operation: service.slice(0, 100), latency_ms: 10 + n, status: 200, trace_id: "4bf92f3577b34da6a3ce929d0e0e4736", span_id: "00f067aa0ba902b7" }))));
});

test("a health change is seen without a reload, and a newcomer finds out why and tries another rule", async () => {
  // The link that is printed is the one that is opened.
  assert.equal(shop.link, `${shop.url}/`);
  const page = await open(shop.url, new URL(shop.link).pathname, { failing: /backtest$/ });
  await eventually("all services", 90, async () => (await rows(page).count()) >= 7);
  await live(page);
  await page.evaluate(() => { window.here = true; });
  await eventually("payment turns critical", 150, async () => (await stateOf(page, "payment")).includes("critical"));
  assert.match(await headline(page), /critical/);
  assert.match(await page.title(), /^\d+ critical/);
  assert.equal(await page.evaluate(() => window.here), true, "it was not loaded again");
  await live(page);
  await page.screenshot({ path: join(ARTEFACTS, "walk-fleet.jpg"), quality: 80, type: "jpeg" });

  await page.getByRole("rowheader").getByRole("link", { name: "payment" }).click();
  await settled(page);
  // On a slow machine the incident may be over by now; then its window is gone to, as a person would.
  if ((await page.locator(".answer.critical").count()) === 0) await page.getByRole("button", { name: "Why?" }).first().click();
  await page.locator(".answer.critical").waitFor();
  assert.match(await page.locator(".because").innerText(), /^Availability is [\d.]+ %, not above 99 %\.$/);
  assert.match(await page.locator("#why .walk").innerText(), /availability > 99\.0/);
  assert.match(await page.locator("#why .most").first().innerText(), /errors?/);
  await page.screenshot({ path: join(ARTEFACTS, "walk-service.jpg"), quality: 80, type: "jpeg" });

  await page.getByRole("button", { name: "Try another rule" }).click();
  await page.locator(".whatif > textarea").fill("requestCount < 60 ? 0 : availabilty > 10 ? 0 : 3");
  await page.keyboard.press("Control+Enter");
  await page.getByText("did you mean `availability`?").waitFor();
  await clean(page, "a refused draft");
  await page.locator(".whatif > textarea").fill("requestCount < 60 ? 0 : availability > 10 ? 0 : 3");
  await page.getByRole("button", { name: "Try on the last 24 h" }).click();
  const result = page.getByRole("region", { name: "What would have changed" });
  await result.waitFor();
  assert.match(await result.locator("h3").innerText(), /^\d+ windows? of \d+ would have been judged otherwise$/);
  const critical = result.locator("tr", { hasText: "critical" }).first().locator("td");
  assert.notEqual(await critical.nth(0).innerText(), await critical.nth(1).innerText());
  await page.locator(".yaml summary").click();
  assert.match(await page.locator(".yaml pre").innerText(), /availability > 10/);
  await page.getByRole("button", { name: "Copy the YAML" }).click();
  await page.getByText("Copied").waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^owner: .*\nhealth: \|\n {2}requestCount < 60 \? 0 : availability > 10 \? 0 : 3\n$/);
  assert.ok(new URL(page.url()).searchParams.get("try").includes("availability > 10"), "the draft stands in the address");
  await page.locator("#rule").scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(ARTEFACTS, "walk-what-if.jpg"), quality: 80, type: "jpeg" });
  // A second version of the team's rule, so that there is something to compare.
  await publish({
    "shop/cart.yaml": CART("requestCount < 60 ? 0 : latencyP99 > 500ms ? 2 : availability > 99.5 ? 0 : 3"),
    // A promise, and no rule of its own: so pictures of it show a budget.
    "shop/payment.yaml": "owner: team-shop@example.com\nobjectives:\n  availability: 99.5%\n",
  }, join(data, "bundles"));
});

// What a row of the fleet must say of a service, written here once more.
function expected(s) {
  const digits = (value, n) => value.toLocaleString("en", { minimumFractionDigits: n, maximumFractionDigits: n });
  const rate = (v) => `${digits(v, Number.isInteger(v) || v >= 100 ? 0 : v < 10 ? 2 : 1)}/s`;
  const ms = (v) => (v === null ? "–" : v >= 1000 ? `${digits(v / 1000, 2)} s` : `${digits(v, v < 1 ? 2 : v < 10 ? 1 : 0)} ms`);
  const percent = (v) => (v === null ? "–" : v === 1 ? "100 %" : `${digits(Math.floor(v * 10000 + 1e-9) / 100, 2)} %`);
  const share = (100 * s.errors) / s.requests;
  const last = (list) => list.slice(-20);
  const [windows, errors] = [last(s.recent.requests).length, last(s.recent.errors).reduce((a, b) => a + b, 0)];
  const [most, many] = [Math.max(1, ...last(s.recent.requests)), (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`];
  return {
    Requests: rate(s.requests_per_second), Errors: s.requests === 0 ? "–" : s.errors === 0 ? "0 %" : `${digits(share, share < 10 ? 2 : 1)} %`,
    Availability: percent(s.availability_ratio), p95: ms(s.p95_ms), p99: ms(s.p99_ms), Complete: percent(s.completeness),
    health: s.health.state, trail: `${many(windows, "window")}, ${many(errors, "error")}, at most ${many(most, "request")} in one`,
  };
}

// What it says.
const row = (page, name) => page.locator(".services .row", { has: page.locator(`a[href="/?service=${name}"]`) }).evaluate((r) => ({
  ...Object.fromEntries([...r.querySelectorAll("[data-title]")].map((c) => [c.dataset.title, c.textContent])),
  health: r.querySelector(".health").textContent, trail: r.querySelector(".spark").getAttribute("aria-label"),
}));

test("what the fleet shows is what the API says, number by number", async () => {
  const page = await open(shop.url, "/?sort=service", { width: 1600 });
  await eventually("services", 60, async () => (await rows(page).count()) >= 7);
  for (const name of ["frontend", "payment", "cart"]) {
    // A window may come between the two looks.
    await eventually(`the same numbers of ${name}`, 60, async () => {
      const { services } = await shop.get("/api/v1/services");
      assert.deepEqual(await row(page, name), expected(services.find((one) => one.service === name)));
      return true;
    });
  }
});

// Services that are made up, so that each column has something to sort by, something unknown, and something below one.
const base = (service, more = {}) => ({
  namespace: "", service, window_start: "2026-01-01T00:00:00Z", window_end: "2026-01-01T00:01:00Z", revision: 0, requests: 600, requests_per_second: 10, errors: 0,
  availability_ratio: 1, p50_ms: 5, p95_ms: 20, p99_ms: 40, saturation_ratio: null, saturated_resource: null, health: { level: 0, state: "healthy", reason: "rule", previous: 0 },
  completeness: 1, stale: false, team: "", criticality: "", swimlanes: [], regions: [], recent: { starts: [0, 60], requests: [500, 600], errors: [0, 3], p99_ms: [1, 2], levels: [0, 0] }, ...more,
});
const health = (level, state, reason = "rule") => ({ level, state, reason, previous: 0 });
const MADE_UP = [
  base("alpha", { team: "t2", swimlanes: ["b"], regions: ["eu"], requests_per_second: 30, requests: 1800, errors: 9, availability_ratio: 0.995, p95_ms: 25, p99_ms: 300, health: health(1, "degraded"), completeness: 0.5 }),
  base("beta", { team: "t1", swimlanes: ["a"], regions: ["us"], requests_per_second: 20, requests: 1200, errors: 600, availability_ratio: 0.5, p95_ms: null, p99_ms: null, health: health(3, "critical"), completeness: 0.9123 }),
  base("gamma", { team: "t3", swimlanes: ["c"], regions: ["ap"], requests_per_second: 5, requests: 300, errors: 0, p95_ms: 10, p99_ms: 100, health: health(null, "unknown", "stale"), stale: true }),
  base("delta", { requests_per_second: 0, requests: 0, availability_ratio: null, p95_ms: 2000, p99_ms: 2500, health: health(2, "impaired"), completeness: 0.99999 }),
  base("epsilon", { requests_per_second: 40, requests: 2400, errors: 1, availability_ratio: 0.9999, p95_ms: 15, p99_ms: 90 }),
];
const madeUp = { "/api/v1/services": { services: MADE_UP, total: MADE_UP.length } };

test("each column sorts both ways, and what is unknown comes last", async () => {
  const page = await open(shop.url, "/", { width: 1920, answers: madeUp });
  await eventually("services", 60, async () => (await rows(page).count()) === 5);
  const names = async () => (await page.locator(".services .row").evaluateAll((all) => all.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((r) => r.querySelector("a").textContent))).map((n) => n[0]).join("");
  // By column: as the first click on it puts them, and as the second does.
  const orders = {
    Service: ["abdeg", "gedba"], Team: ["bagde", "gabde"], Swimlane: ["bagde", "gabde"], Region: ["gabde", "bagde"], Requests: ["eabgd", "dgbae"],
    Errors: ["baedg", "dgeab"], Availability: ["baegd", "geabd"], p95: ["daegb", "geadb"], p99: ["dageb", "egadb"], Complete: ["abdeg", "egdba"],
  };
  assert.equal(await names(), "bdage", "the worst first, unless told");
  for (const [column, [first, second]] of Object.entries(orders)) {
    const head = page.getByRole("columnheader", { name: column });
    for (const [order, turn] of [[first, 1], [second, 2]]) {
      await head.getByRole("button").click();
      await eventually(`click ${turn} on ${column} gives ${order}, not ${await names()}`, 5, async () => (await names()) === order);
      assert.match(await head.getAttribute("aria-sort"), /^(as|des)cending$/);
    }
  }
  await page.getByRole("columnheader", { name: "Health" }).getByRole("button").click();
  await eventually("the worst first", 5, async () => (await names()) === "bdage");
  await page.getByRole("columnheader", { name: "Health" }).getByRole("button").click();
  await eventually("the best first", 5, async () => (await names()) === "egadb");
});

test("a service that is silent, or whose input is not whole, is said to be so", async () => {
  const page = await open(shop.url, "/", { width: 1920, answers: madeUp });
  await eventually("services", 60, async () => (await rows(page).count()) === 5);
  assert.equal((await row(page, "alpha")).Complete, "50.00 %");
  assert.equal((await row(page, "beta")).Complete, "91.23 %");
  assert.equal((await row(page, "delta")).Complete, "99.99 %", "cut, never rounded to all of it");
  assert.equal((await row(page, "epsilon")).Complete, "100 %");
  assert.match(await stateOf(page, "gamma"), /unknown silent/);
  assert.equal(await page.locator(".sums div", { hasText: "Input seen" }).locator("dd").innerText(), "50.00 %", "the least of all");
  for (const s of MADE_UP.filter((s) => s.service !== "epsilon")) assert.deepEqual(await row(page, s.service), expected(s));
  assert.equal((await row(page, "epsilon")).Errors, "0.04 %");
});

test("while the stream is refused the page polls, and still sees what changes", async () => {
  const page = await open(shop.url, "/", { block: "**/api/v1/stream*", failing: /stream/ });
  await page.getByText("Live, by polling").waitFor();
  assert.equal(await page.locator(".fresh.live").count(), 0);
  await eventually("services", 60, async () => (await rows(page).count()) >= 7);
  const age = () => page.locator(".spark").first().getAttribute("aria-label");
  const first = await page.locator(".services").innerText();
  await eventually("new numbers", 60, async () => (await page.locator(".services").innerText()) !== first);
  assert.ok(await age());
});

test("filter, sort and range stand in the address, and an address shows the same", async () => {
  const page = await open(shop.url, "/");
  await eventually("services", 60, async () => (await rows(page).count()) >= 7);
  await page.getByRole("searchbox").fill("ca");
  await eventually("two are left", 60, async () => (await rows(page).count()) === 2);
  await page.getByRole("columnheader", { name: "p99" }).getByRole("button").click();
  assert.equal(page.url(), `${shop.url}/?q=ca&sort=-p99`);
  const names = () => page.locator(".services .name").allInnerTexts();
  const before = (await names()).sort();
  await page.reload();
  await eventually("the same rows", 60, async () => JSON.stringify((await names()).sort()) === JSON.stringify(before));
  await page.getByRole("button", { name: /^healthy/ }).click();
  assert.match(page.url(), /state=healthy/);
  await page.goBack();
  assert.doesNotMatch(page.url(), /state=/);
  await page.getByRole("searchbox").fill("no such thing");
  await page.getByText("No service is like that").waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await eventually("all again", 60, async () => (await rows(page).count()) >= 7);

  await page.goto(`${shop.url}/?service=payment&range=15m`);
  await settled(page);
  assert.equal(await page.getByRole("button", { name: "15m" }).getAttribute("aria-pressed"), "true");
  const plot = page.locator(".u-over").first();
  await plot.scrollIntoViewIfNeeded();
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.8, box.y + 40, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/from=\d+&to=\d+|to=\d+.*from=\d+/);
  await settled(page);
  assert.equal(await page.locator(".ranges [aria-pressed=true]").count(), 1);
});

test("everything can be done by keys", async () => {
  const page = await open(shop.url, "/?sort=service");
  await eventually("services", 60, async () => (await rows(page).count()) >= 7);
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  await clean(page, "help");
  await page.keyboard.press("Escape");
  await eventually("the help is gone", 5, async () => (await page.getByRole("dialog").count()) === 0);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "catalog");
  await page.keyboard.press("Enter");
  await page.waitForURL(/service=catalog/);
  await page.keyboard.press("3");
  await page.waitForURL(/range=6h/);
  await settled(page);
  await page.keyboard.press("e");
  await page.locator(".whatif > textarea").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.waitForURL(`${shop.url}/`);
  await page.keyboard.press("p");
  await page.waitForURL(/view=pipeline/);
  await page.keyboard.press("/");
  await page.waitForURL(`${shop.url}/`);
  await page.keyboard.type("pay");
  await page.waitForURL(/q=pay/);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  const dark = () => page.evaluate(() => document.documentElement.dataset.theme ?? "system");
  await page.keyboard.press("t");
  assert.equal(await dark(), "light");
  await page.keyboard.press("t");
  assert.equal(await dark(), "dark");
  await page.reload();
  assert.equal(await dark(), "dark", "it is remembered");
});

test("any range can be asked for by keys, and values are told by keys", async () => {
  await eventually("payment was well and was not", 200, async () => (await shop.get("/api/v1/services/payment/timeline")).spans?.length >= 2);
  const page = await open(shop.url, "/?service=payment&range=15m");
  await settled(page);
  await page.keyboard.press("6");
  await page.waitForURL(/range=30d/);
  await page.keyboard.press("7");
  await page.waitForURL(/range=1y/);
  await eventually("the choice shows", 10, async () => (await page.getByRole("button", { name: "1y" }).getAttribute("aria-pressed")) === "true");
  await settled(page);
  await eventually("a year of signals", 60, async () => (await page.locator(".charts canvas").count()) >= 3);
  assert.equal(await page.locator(".note.bad").count(), 0);

  await page.goto(`${shop.url}/?service=payment&range=15m`);
  await settled(page);
  // From and to, without a mouse.
  const summary = page.locator(".between summary");
  await summary.focus();
  await page.keyboard.press("Enter");
  const { watermark } = await shop.get("/api/v1/status");
  const [from, to] = [-300, 0].map((s) => new Date(Date.parse(watermark) + s * 1000).toISOString().slice(0, 19));
  await page.getByLabel("From", { exact: true }).fill(to);
  await page.getByLabel("To", { exact: true }).fill(from);
  await page.keyboard.press("Enter");
  await page.getByText("“From” must lie before “To”.").waitFor();
  await page.getByLabel("From", { exact: true }).fill(from);
  await page.getByLabel("To", { exact: true }).fill(to);
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(`from=${Date.parse(`${from}Z`) / 1000}&to=${Date.parse(`${to}Z`) / 1000}`));
  await settled(page);
  await clean(page, "from and to");

  // Health over time: one stop of the tab key, arrows from stretch to stretch, Enter explains.
  await page.goto(`${shop.url}/?service=payment&range=15m`);
  await settled(page);
  assert.ok((await page.locator(".strip .hit").count()) >= 2);
  assert.equal(await page.locator(".strip .hit[tabindex='0']").count(), 1);
  await page.locator(".strip .hit[tabindex='0']").focus();
  await page.keyboard.press("Home");
  const said = () => page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  const first = await said();
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await said(), first);
  // A window that comes in between changes both.
  await eventually("what it says is seen as well", 10, async () => (await page.locator(".strip p").innerText()) === (await said()));
  await page.keyboard.press("Enter");
  await page.waitForURL(/at=\d+/);

  // The heat map: arrows go from cell to cell.
  await page.goto(`${shop.url}/?service=payment&range=15m`);
  await settled(page);
  await page.locator(".heatmap canvas").focus();
  const cell = () => page.locator(".heatmap p").innerText();
  await eventually("a cell is told", 10, async () => /^\d\d:\d\d:\d\d: [\d,]+ requests? of [\d.]+ m?s to [\d.]+ m?s$/.test(await cell()));
  const before = await cell();
  await page.keyboard.press("ArrowUp");
  await eventually("another cell", 10, async () => (await cell()) !== before);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowLeft");
  await eventually("an earlier step", 10, async () => (await cell()).slice(0, 8) !== before.slice(0, 8));
  await page.locator(".chart [tabindex='0']").first().focus();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  const at = () => page.locator(".chart .u-legend .u-value").first().innerText();
  const here = await at();
  await page.keyboard.press("ArrowLeft");
  await eventually("an earlier value", 5, async () => (await at()) !== here);
});

test("every part of a service shows something", async () => {
  const page = await open(shop.url, "/?service=payment&range=15m");
  await settled(page);
  await page.locator(".charts canvas").nth(3).waitFor();
  assert.equal(await page.locator(".note.bad").count(), 0);
  assert.ok((await page.locator(".strip rect").count()) >= 2, "health over time has stretches");
  assert.ok((await page.locator("#parts tbody tr").count()) >= 3, "operations");
  assert.ok((await page.locator("#traces tbody tr").count()) >= 1, "traces");
  assert.match(await page.locator(".heatmap canvas").getAttribute("aria-label"), /most requests take [\d.]+ ms to [\d.]+ ms/);
  const drawn = await page.locator(".heatmap canvas").evaluate((c) => new Set(c.getContext("2d").getImageData(0, 0, c.width, c.height).data).size);
  assert.ok(drawn > 10, "the heat map is not blank");
  const { total } = (await shop.get("/api/v1/services/payment/range?grouping=service_operation")).groups[0];
  assert.ok(total.latency.p99_ms > 0);
  await page.getByRole("button", { name: "Look for this service" }).click();
  await page.locator("#apart .named").waitFor();
  await page.getByRole("button", { name: "Why?" }).first().click();
  await page.waitForURL(/at=\d+/);
  await page.getByText("in the window of").waitFor();
  await page.locator(".answer.critical").waitFor();
});

test("the rule of a team is shown with what its versions changed, and the budget of what it promises", async () => {
  await eventually("the newest version in force", 120, async () => (await shop.get("/api/v1/services/cart/explain")).rule.version === 3);
  const page = await open(shop.url, "/?service=cart&range=15m");
  await settled(page);
  assert.match(await page.locator("#rule .expression").innerText(), /latencyP99 > 500ms/);
  assert.match(await page.locator("#rule").innerText(), /shop\/cart\.yaml.*version 3/);
  await page.locator("#rule .versions button[aria-expanded=true]").waitFor();
  await clean(page, "versions");
  assert.equal(await page.locator("#rule .versions .add").count(), 1);
  assert.equal(await page.locator("#rule .versions .del").count(), 1);
  assert.match(await page.locator("#budget").innerText(), /99\.90 % of requests do not fail/);
  assert.match(await page.locator(".facts").innerText(), /team team-shop@example\.com/);
  await page.keyboard.press("e");
  await page.locator(".whatif > textarea").fill("0");
  await page.locator(".yaml summary").click();
  const file = await page.locator(".yaml .diff").innerText();
  assert.match(file, /\+ {3}0/);
  assert.match(file, /objectives:/);
});

test("the pipeline shows its flow, its dead letters, and each flip with its receipt", async () => {
  const page = await open(shop.url, "/?view=pipeline");
  await page.getByText("Everything flows").waitFor();
  await eventually("rates", 60, async () => /[\d.]+\/s/.test(await page.locator(".stage.source").innerText()));
  for (const stage of ["FOLD", "CLOSE", "ROUTER", "History", "Metrics"]) {
    await eventually(`${stage} reads`, 60, async () => /reads\s+[\d.,]+( k)?\/s\s+not yet read\s+[\d,]+ records?/.test(await page.locator(".stage", { hasText: stage }).first().innerText()));
  }
  await eventually("the watermark that the API gives", 60, async () => {
    const shown = await page.locator("#flow .aside").innerText();
    return shown === `windows are closed up to ${clock((await shop.get("/api/v1/status")).watermark)}`;
  });
  assert.ok((await page.locator("#letters tbody tr").count()) >= 1);
  await eventually("both flips have receipts", 240, async () => (await page.getByRole("button", { name: /Receipt of flip/ }).count()) === 2);
  await page.getByRole("button", { name: "Receipt of flip 1" }).click();
  await page.getByText("Clean: nothing lost, nothing doubled.").waitFor();
  await page.getByRole("button", { name: "Verify against the public topic" }).click();
  await page.getByText(/Read again: all \d+ lines agree/).waitFor();
  assert.ok((await page.locator("#history tbody tr").count()) >= 1, "how large the history is");
});

test("a service that nobody knows is said to be unknown, with names that are near", async () => {
  const page = await open(shop.url, "/?service=paymant", { failing: /explain/ });
  await page.getByText("There is no such service").waitFor();
  await clean(page, "unknown service");
  await page.getByRole("link", { name: "payment" }).click();
  await page.locator(".answer").waitFor();
});

const problem = (status, title, detail, more = {}) => [status, { title, detail, ...more }];

test("a pipeline with a task that failed, and one that has no event yet, say so", async () => {
  const task = (stage, n, state, error = null) => ({ pipeline: "golden-signals.blue.1", stage, task: n, state, error });
  const lag = (stage, position, records) => ({ pipeline: "golden-signals.blue.1", stage, topic: `t-${stage}`, partition: 0, position, records });
  let asked = 0;
  const status = (tasks, more) => ({ version: "1", watermark: null, waits_for: null, tasks, deployments: [{ colour: "blue", epoch: 1, decoded: 0, dead_letters: 0 }], lag: [], ...more });
  const broken = status([task("fold", 0, "running"), task("close", 0, "failed", "disk full at offset 7"), task("close", 1, "stopped")], { watermark: "2026-01-01T10:20:30Z" });
  const page = await open(bare.url, "/?view=pipeline", { failing: /router/, answers: {
    ...madeUp, "/api/v1/router": problem(404, "no router", "this process has no router"),
    // A thousand offsets in each second that passes, by the clock of whoever asks.
    "/api/v1/status": () => { asked += 1; return { ...broken, lag: [lag("fold", asked === 1 ? 0 : Math.round(Date.now() % 1e9), 3), lag("close", 50, 1234)] }; },
  } });
  await page.getByText("2 tasks of 3 stopped").waitFor();
  assert.match(await page.locator(".headline").innerText(), /close 0: disk full at offset 7/);
  assert.match(await page.locator(".headline").innerText(), /Not yet read\s+1,237 records/);
  assert.match(await page.locator(".stage", { hasText: "FOLD" }).innerText(), /not yet read\s+3 records/);
  assert.match(await page.locator(".stage", { hasText: "CLOSE" }).innerText(), /running\s+0 of 2/);
  assert.equal(await page.locator("#flow .aside").innerText(), "windows are closed up to 2026-01-01 10:20:30");
  await eventually("rates by positions", 30, async () => /reads\s+[\d.,]+( [kMG])?\/s/.test(await page.locator(".stage", { hasText: "FOLD" }).innerText()));
  assert.match(await page.locator(".stage", { hasText: "CLOSE" }).innerText(), /reads\s+0\/s/, "a position that stands is no progress");
  assert.match(await page.locator("#router").innerText(), /This process has no router\./);
  await clean(page, "a broken pipeline");

  for (const [said, words] of [
    [status([task("fold", 0, "running")]), "It runs, and no event has come yet"],
    [status([task("fold", 0, "restoring"), task("close", 0, "running")]), "1 task of 2 not yet running"],
    [status([task("fold", 0, "starting")], { waits_for: "the broker at localhost:9092" }), "Waits for the broker at localhost:9092"],
  ]) {
    const other = await open(bare.url, "/?view=pipeline", { failing: /router/, answers: {
      ...madeUp, "/api/v1/router": problem(404, "no router", ""), "/api/v1/status": said, "/api/v1/dead-letters": { dead_letters: [], searched: 0, without_bytes: 0, more: false },
    } });
    await other.getByText(words).waitFor();
    await other.getByText("Nothing was refused.").waitFor();
  }
});

// Answers about one service that is made up; parts of them are replaced by tests.
function answersOf(more = {}) {
  const of = (what) => `/api/v1/services/alpha/${what}`;
  const at = { from: "2026-01-01T00:00:00Z", to: "2026-01-01T00:15:00Z", step_seconds: 60 };
  const explained = {
    service: "alpha", namespace: "", window_start: "2026-01-01T00:00:00Z", window_end: "2026-01-01T00:01:00Z", revision: 0, health: health(1, "degraded"),
    rule: { expression: "1", default: true, version: 0, path: "", line: 0, owner: "", published_by: "", published_at: "", commit: "", sha256: "x" },
    explanation: { result: 1, failure: null, comparisons: [], variables: [], branches: [] }, fallback: null, agrees: true, contributors: {},
  };
  return { explained, answers: {
    ...madeUp, [of("explain")]: explained, [of("timeline")]: { ...at, spans: [], changes: 0 }, [of("range")]: (request) => ({ ...at, window_seconds: 60, grouping: new URL(request.url()).searchParams.get("grouping") ?? "service", groups: [], other_groups: 0 }),
    [of("heatmap")]: { ...at, bounds_ms: [1, 2], columns: [], max_count: 0 }, [of("exemplars")]: { exemplars: [] }, [of("slo")]: { slos: [] },
    "/api/v1/late": { lines: [], next_from: null }, "/api/v1/dead-letters": { dead_letters: [], searched: 7, without_bytes: 2, more: false }, ...more,
  } };
}

test("a range without anything says so in every part, and nothing is called healthy for it", async () => {
  const { answers } = answersOf();
  const page = await open(bare.url, "/?service=alpha&from=1000000000&to=1000003600", { answers });
  await settled(page);
  for (const [part, words] of [
    ["#timeline", "No window was published in this range."], ["#signals", "No window was published in this range."], ["#heat", "No event of this range had a duration."],
    ["#traces", "No event of this range named a trace."], ["#budget", "This service promises nothing yet"], ["#apart", "Nothing came too late in this range."],
  ]) await page.locator(part).getByText(words).waitFor();
  assert.doesNotMatch(await page.locator("#timeline").innerText(), /healthy/i);
  await page.getByRole("button", { name: "Look for this service" }).click();
  await page.getByText("None of 7 dead letters names this service.").waitFor();
  await page.getByText("2 were kept without bytes, so nobody can tell of whom.").waitFor();
  await clean(page, "an empty range");
  await page.setViewportSize({ width: 320, height: 640 });
  await reflows(page, "an empty range at 320");
});

test("more late lines than fit are said to be more, and their sum is called a part", async () => {
  const line = (n) => ({ service: "alpha", window_start: new Date(1.7e12 + n * 10_000).toISOString(), window_end: new Date(1.7e12 + n * 10_000 + 10_000).toISOString(), events: 2 });
  const asked = [];
  const { answers } = answersOf({ "/api/v1/late": (request) => {
    asked.push(new URL(request.url()).searchParams);
    return { lines: Array.from({ length: 2000 }, (_, n) => line(n)), next_from: "2026-01-01T00:10:00Z" };
  } });
  const page = await open(bare.url, "/?service=alpha&from=1000000000&to=1000003600", { answers });
  await page.getByText("At least 4,000 events in 2,000 windows of arrival.").waitFor();
  await page.getByText("There are more from 2026-01-01 00:10:00 on: narrow the range to see them.").waitFor();
  assert.deepEqual(["service", "namespace", "from", "to"].map((name) => asked.at(-1).get(name)), ["alpha", "", "1000000000", "1000003600"]);
});

test("a service that is silent, incomplete, or whose rule failed says so in a sentence", async () => {
  const e = answersOf().explained;
  const failed = { result: null, failure: "division by zero", comparisons: [], variables: [], branches: [] };
  const fallback = { result: 3, failure: null, comparisons: [{ at: { start: 0, end: 19, text: "availability > 99.0" }, left: 80, sign: ">", right: 99, holds: false, distance: 19 }], variables: [], branches: [] };
  for (const [health_, more, words] of [
    [health(null, "unknown", "stale"), {}, "Nothing was published for a while"],
    [health(null, "unknown", "incomplete"), {}, "Part of the input of this window is missing, so it cannot be called healthy."],
    [health(3, "critical", "rule_error"), { explanation: failed, fallback }, "The team's rule failed (division by zero); the default rule decided: Availability is 80 %, not above 99 %."],
  ]) {
    const one = base("alpha", { health: health_, stale: health_.reason === "stale" });
    const { answers } = answersOf({ "/api/v1/services": { services: [one], total: 1 }, "/api/v1/services/alpha/explain": { ...e, ...more, health: health_ } });
    const page = await open(bare.url, "/?service=alpha", { answers });
    await page.locator(`.answer.${health_.state} .because`, { hasText: words }).waitFor();
    await clean(page, health_.reason);
  }
});

test("a part that is refused says why, one that is busy is asked for again, and the others stay", async () => {
  let busy = 2;
  const { answers } = answersOf({
    "/api/v1/services/alpha/range": problem(422, "the question is too large", "more than 20000 values: ask for a shorter range (from, to)"),
    "/api/v1/services/alpha/slo": () => (busy-- > 0 ? problem(429, "too many at once", "4 questions are under way", { retry_after: 1 }) : { slos: [] }),
    "/api/v1/late": problem(503, "not ready", "restoring history 3", { retry_after: 30 }),
  });
  const page = await open(bare.url, "/?service=alpha", { answers, failing: /range/ });
  await page.locator("#signals .note.bad").getByText("Signals: the question is too large").waitFor();
  await page.locator("#signals .note.bad").getByText("ask for a shorter range").waitFor();
  await page.locator("#apart").getByText("golden is busy; late events will be asked for again in a moment.").waitFor();
  await page.locator("#budget").getByText("This service promises nothing yet").waitFor();
  assert.ok(busy < 0, "it was refused twice, and asked for again");
  await page.locator("#timeline").getByText("No window was published").waitFor();
  await clean(page, "refused parts");
});

test("a draft that nothing can be tried on, and one that must wait, say so", async () => {
  const replies = [{ reports: [] }, problem(429, "too many at once", "one backtest at a time", { retry_after: 2 })];
  const { answers } = answersOf({ "/api/v1/overrides/backtest": () => replies.shift() });
  const page = await open(bare.url, "/?service=alpha&try=0", { answers, failing: /backtest/ });
  const again = page.getByRole("button", { name: "Try on the last 24 h" });
  await again.click();
  await page.getByText("there is no window of this service in the last 24 hours").waitFor();
  await again.click();
  await page.getByText("Another backtest is running").waitFor();
  await clean(page, "a backtest that must wait");
});

test("hostile names are text", async () => {
  await eventually("their windows are closed", 90, async () => (await bare.get("/api/v1/services?limit=100")).services.length >= HOSTILE.length);
  const page = await open(bare.url, "/");
  await eventually("rows", 60, async () => (await rows(page).count()) === HOSTILE.length);
  const names = await page.locator(".services .name bdi").allTextContents();
  assert.deepEqual(names.sort(), [...HOSTILE].sort());
  assert.equal(await page.locator(".services script, .services img, .services svg[onload]").count(), 0);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  for (const name of HOSTILE) {
    await page.goto(`${bare.url}/?${new URLSearchParams({ service: name })}`);
    await page.locator(".answer").waitFor();
    assert.equal(await page.locator(".answer .of").textContent(), name);
    await settled(page);
    assert.equal(await page.locator(".note.bad").count(), 0, name);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, name);
  }
  for (const name of [HOSTILE[0], HOSTILE[7], HOSTILE[3]]) {
    await page.goto(`${bare.url}/?${new URLSearchParams({ service: name })}`);
    await settled(page);
    await clean(page, `hostile name ${name.slice(0, 20)}`);
    for (const width of [390, 320]) {
      await page.setViewportSize({ width, height: 844 });
      await reflows(page, `${name.slice(0, 20)} at ${width}`);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  }
  await page.goto(bare.url);
  await eventually("rows", 60, async () => (await rows(page).count()) === HOSTILE.length);
  await clean(page, "hostile names in the fleet");
  await page.goto(`${bare.url}/?${new URLSearchParams({ service: HOSTILE[0] })}`);
  await settled(page);
  const trace = page.locator("#traces a").first();
  assert.equal(await trace.getAttribute("href"), "https://traces.example.com/4bf92f3577b34da6a3ce929d0e0e4736");
});

test("what did not count is that of this service alone, and its rule is that of its namespace", async () => {
  const now = Date.now() / 1000;
  const event = (service, more = {}) => ({ service, timestamp: now, operation: "GET /", latency_ms: 5, status: 200, ...more });
  await publish({ "shop/depot.yaml": `namespace: eu\n${CART("requestCount < 60 ? 0 : availability > 97.0 ? 0 : 3")}` }, bareRules);
  await post(bare.url, [
    event("depot", { namespace: "eu" }), event("orders", { namespace: "eu" }), event("orders", { namespace: "us" }), event("pay"), event("payment"),
    ...[1, 2, 3].map((n) => event("orders", { namespace: "eu", timestamp: now - 7200 - n })), event("orders", { namespace: "us", timestamp: now - 7200 }),
  ]);
  // Items that cannot be read are kept as they came, and told to whoever sent them.
  const refused = await fetch(`${bare.url}/api/v1/events`, {
    method: "POST", headers: { "content-type": "application/x-ndjson" },
    body: [event("pay"), { service: "pay", timestamp: "yesterday" }, { service: "payment", timestamp: "yesterday" }, { service: "payment", timestamp: "today", operation: "GET /pay" }].map((e) => JSON.stringify(e)).join("\n"),
  });
  assert.equal((await refused.json()).rejected_total, 3);
  await eventually("they are dead letters", 60, async () => (await bare.get("/api/v1/dead-letters")).dead_letters.length >= 3);
  await eventually("both services are known", 240, async () => (await bare.get("/api/v1/services?q=pay")).services.length === 2 && (await bare.get("/api/v1/services?q=depot")).services.length === 1);
  const lateOf = async (namespace) => (await bare.get(`/api/v1/late?service=orders&namespace=${namespace}`)).lines.reduce((sum, l) => sum + l.events, 0);
  await eventually("they are in the late ledger", 240, async () => (await lateOf("eu")) === 3 && (await lateOf("us")) === 1);
  // Their windows of arrival lie in the range that is shown once a later one is known.
  await eventually("a later window of both", 240, async () => {
    const { services } = await bare.get("/api/v1/services?q=orders");
    return services.length === 2 && services.every((s) => Date.parse(s.window_start) > now * 1000);
  });
  const page = await open(bare.url, "/?service=orders", { failing: /explain|exemplars|slo|shadow|overrides/ });
  await page.getByText("Services of several namespaces have this name").waitFor();
  await clean(page, "a name in several namespaces");
  await page.getByRole("link", { name: "us", exact: true }).click();
  await page.waitForURL(/namespace=us/);
  await eventually("its late event", 30, async () => /^1 event in 1 window of arrival\.$/m.test(await page.locator("#apart").innerText()));
  assert.match(await page.locator(".facts").innerText(), /namespace us/);
  await page.locator(".side").getByRole("link", { name: "eu", exact: true }).click();
  await eventually("the three of the other namespace", 30, async () => /^3 events in \d windows? of arrival\.$/m.test(await page.locator("#apart").innerText()));
  await page.goto(`${bare.url}/?service=orders&namespace=eu&from=${Math.floor(now) - 9000}&to=${Math.floor(now) - 8000}`);
  await page.locator("#apart").getByText("Nothing came too late in this range.").waitFor();
  await page.goto(`${bare.url}/?service=orders&namespace=nowhere`);
  await page.getByText("There is no such service in this namespace").waitFor();
  assert.deepEqual(await page.locator(".note a").allInnerTexts(), ["eu", "us", "All services"]);

  await page.goto(`${bare.url}/?service=pay`);
  await page.getByRole("button", { name: "Look for this service" }).click();
  await page.locator("#apart .named").waitFor();
  assert.match(await page.locator("#apart .named").innerText(), /^1 dead letter whose bytes name this service\./);
  assert.equal(await page.locator("#apart .named tbody tr").count(), 1, "none of `payment`, and none whose operation has it in its name");
  await page.goto(`${bare.url}/?service=payment`);
  await page.getByRole("button", { name: "Look for this service" }).click();
  await eventually("those of `payment`", 30, async () => (await page.locator("#apart .named tbody tr").count()) === 2);

  // The address says nothing of a namespace; there is one service of this name.
  await page.goto(`${bare.url}/?service=depot`);
  await page.locator("#rule .versions").waitFor();
  assert.match(await page.locator("#rule .versions .diff").first().innerText(), /\+ namespace: eu/);
  assert.match(await page.locator("#rule").innerText(), /Version 1\s+from/);
  await settled(page);
  await page.keyboard.press("e");
  await page.locator(".whatif > textarea").fill("0");
  await page.locator(".yaml summary").click();
  assert.match(await page.locator(".yaml summary").innerText(), /shop\/depot\.yaml/);
  await page.getByRole("button", { name: "Copy the YAML" }).click();
  await page.getByText("Copied").waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, /^namespace: eu\nowner: team-shop@example\.com\ncriticality: high\nhealth: \|\n {2}0\nobjectives:/, "the team's file, with another rule");
  await clean(page, "versions and a draft of a namespace");
});

test("five thousand services stay smooth", async () => {
  const now = Date.now() / 1000;
  const all = Array.from({ length: 5000 }, (_, n) => ({ service: `service-${String(n).padStart(4, "0")}`, timestamp: now, operation: "GET /", latency_ms: 5 + (n % 90), status: n % 50 === 0 ? 500 : 200 }));
  for (let at = 0; at < all.length; at += 1000) await post(bare.url, all.slice(at, at + 1000));
  await eventually("all have a window", 120, async () => (await bare.get("/api/v1/services?limit=1")).total >= 5000);
  const page = await open(bare.url, "/?sort=service&q=service-");
  await eventually("rows", 60, async () => /5,0\d\d services/.test(await headline(page)) && (await rows(page).count()) > 10);
  assert.ok((await rows(page).count()) < 100, "only what is near the screen exists");
  // Scrolls through all of them, a step in each frame. What a frame costs is taken in processor time of the page, for machines may be busy.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  const spent = async () => (await devtools.send("Performance.getMetrics")).metrics.find((m) => m.name === "TaskDuration").value;
  const before = await spent();
  const steps = 120;
  await page.evaluate(async (steps) => {
    const high = document.documentElement.scrollHeight;
    for (let n = 0; n <= steps; n++) {
      window.scrollTo(0, (high * n) / steps);
      await new Promise(requestAnimationFrame);
    }
  }, steps);
  const frame = ((await spent()) - before) * 1000 / steps;
  console.log(`       a frame of scrolling through 5,000 services takes ${frame.toFixed(1)} ms of processor time`);
  // Every step shows other rows. A screen of sixty rows is drawn anew in a few frames at most, on a machine that does other things as well.
  assert.ok(frame < 60, `${frame} ms`);
  // A new window of all of them, by the stream: read, kept, sorted and drawn.
  await page.evaluate(() => window.scrollTo(0, 0));
  await live(page);
  const newest = () => page.locator(".services .row", { hasText: "service-0000" }).locator(".spark").getAttribute("aria-label");
  let seen = await newest();
  const [beforeAll, windows] = [await spent(), 3];
  for (let n = 0; n < windows; n++) {
    const later = Date.now() / 1000;
    for (let at = 0; at < all.length; at += 1000) await post(bare.url, all.slice(at, at + 1000).map((e) => ({ ...e, timestamp: later })));
    await eventually("a further window", 120, async () => (await newest()) !== seen);
    seen = await newest();
  }
  // They may come in several events; what all of them took is what counts.
  await eventually("the newest window of the last one, too", 60, async () => {
    const { services } = await bare.get("/api/v1/services?q=service-0000");
    return (await newest()) === expected(services[0]).trail;
  });
  const update = ((await spent()) - beforeAll) * 1000 / windows;
  console.log(`       a new window of 5,000 services takes ${update.toFixed(0)} ms of processor time, all that the page does meanwhile included`);
  assert.ok(update < 3000, `${update} ms`);
  await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
  await page.locator(".name", { hasText: "service-4999" }).waitFor();
  const begun = Date.now();
  await page.getByRole("searchbox").fill("service-4321");
  await eventually("one is left", 5, async () => (await rows(page).count()) === 1);
  assert.ok(Date.now() - begun < 2000);
});

test("when golden is away the page says so, keeps what it knows, and goes on by itself", async () => {
  const page = await open(bare.url, "/?q=service-00", { failing: /./ });
  await eventually("rows", 60, async () => (await rows(page).count()) > 10);
  await bare.kill();
  await page.getByText("golden does not answer.").waitFor();
  assert.ok((await rows(page).count()) > 10, "what was known stays");
  await clean(page, "golden is away");
  await page.locator(".services .name a").first().click();
  await page.getByText("No answer: the service cannot be loaded").waitFor();
  await page.goBack();
  bare = await startBare();
  await eventually("it is there again", 60, async () => (await page.getByText("golden does not answer.").count()) === 0);
  await eventually("rows", 60, async () => (await rows(page).count()) > 10);
});

async function clean(page, where) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  assert.deepEqual(violations.map((v) => `${where}: ${v.impact}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(", ")}`), []);
}

// Nothing is cut off or needs to be scrolled sideways.
async function reflows(page, what) {
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${what} scrolls sideways`);
}

// Pictures of what a page shows now, light and dark, at three widths; axe must find nothing in them, and nothing may scroll sideways.
async function photograph(page, name) {
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    for (const [width, height] of [[1280, 800], [1920, 1080], [390, 844]]) {
      await page.setViewportSize({ width, height });
      await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${name} scrolls sideways at ${width} by ${over}`);
      await page.evaluate(() => window.scrollTo(0, 0));
      await page.screenshot({ path: join(ARTEFACTS, `${name}-${theme}-${width}.jpg`), quality: 45, type: "jpeg", fullPage: true });
      await clean(page, `${name}, ${theme}, ${width}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  // A window of 1280 pixels that somebody enlarged four times.
  await page.setViewportSize({ width: 320, height: 640 });
  await reflows(page, `${name} at 320`);
  await clean(page, `${name}, 320`);
  await page.setViewportSize({ width: 1280, height: 900 });
}

test("axe finds nothing in any view, and each is photographed, light and dark, at 390, 1280 and 1920", async () => {
  const page = await open(shop.url, "/");
  await eventually("rows", 60, async () => (await rows(page).count()) >= 7);
  await photograph(page, "fleet");
  await page.goto(`${shop.url}/?service=payment&range=15m`);
  await settled(page);
  await page.getByRole("button", { name: "Why?" }).first().click();
  await page.locator(".answer.critical").waitFor();
  await settled(page);
  await photograph(page, "service");
  await page.goto(`${shop.url}/?service=payment&range=15m&try=requestCount+%3C+60+%3F+0+%3A+availability+%3E+30+%3F+0+%3A+3`);
  await settled(page);
  await page.getByRole("button", { name: "Try on the last 24 h" }).click();
  await page.getByRole("region", { name: "What would have changed" }).waitFor();
  await photograph(page, "what-if");
  await page.goto(`${shop.url}/?view=pipeline`);
  await eventually("rates", 60, async () => /[\d.]+\/s/.test(await page.locator(".stage.source").innerText()));
  await settled(page);
  await photograph(page, "pipeline");
});

test("every picture that the documents show is there", () => {
  const docs = join(HOME, "../../docs");
  const shown = [...readFileSync(join(docs, "page.md"), "utf8").matchAll(/\]\((screenshots\/[^)]+\.jpg)\)/g)].map(([, file]) => file);
  assert.ok(shown.length >= 4);
  const every = ["fleet", "service", "what-if", "pipeline"].flatMap((view) => ["light", "dark"].flatMap((theme) => [390, 1280, 1920].map((width) => `screenshots/${view}-${theme}-${width}.jpg`)));
  for (const file of new Set([...shown, ...every])) {
    const bytes = readFileSync(join(docs, file));
    assert.ok(bytes.length > 10_000 && bytes.length < 500_000, `${file}: ${bytes.length} bytes`);
  }
});

test("the committed files are what the sources give", async () => {
  const out = join(folder, "dist");
  const built = spawnSync(process.execPath, [join(HOME, "node_modules/vite/bin/vite.js"), "build", "--outDir", out, "--emptyOutDir", "--logLevel", "error"], { cwd: HOME, encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  for (const file of ["index.html", ...readdirSync(join(out, "assets")).map((name) => `assets/${name}`)]) {
    assert.ok(readFileSync(join(out, file)).equals(readFileSync(join(HOME, "dist", file))), `${file} is another one: run make page`);
  }
});

test("what the page is made of has a permissive licence, and what only builds or tests it at least a free one", () => {
  const { packages } = JSON.parse(readFileSync(join(HOME, "package-lock.json"), "utf8"));
  const licences = Object.entries(packages).filter(([path]) => path !== "").map(([path, { license, dev }]) => ({ path, license, dev: dev ?? false }));
  const shipped = licences.filter((l) => !l.dev);
  assert.deepEqual(shipped.map((l) => [l.path, l.license]).sort(), ["react", "react-dom", "scheduler", "uplot"].map((name) => [`node_modules/${name}`, "MIT"]));
  assert.deepEqual(licences.filter((l) => !["MIT", "Apache-2.0", "ISC", "0BSD", "BSD-3-Clause", "MPL-2.0"].includes(l.license)), []);
});

test("nothing of the API that the page needs was left out of these tests", async () => {
  const needed = ["GET /api/v1/services", "GET /api/v1/stream", "GET /api/v1/page", "GET /api/v1/services/{service}/explain", "GET /api/v1/services/{service}/range", "GET /api/v1/services/{service}/heatmap", "GET /api/v1/services/{service}/timeline", "GET /api/v1/services/{service}/exemplars", "GET /api/v1/services/{service}/slo", "GET /api/v1/overrides/{service}", "POST /api/v1/overrides/backtest", "GET /api/v1/late", "GET /api/v1/dead-letters", "GET /api/v1/router/receipts/{id}", "GET /api/v1/history"];
  const seen = requestsSeen();
  assert.deepEqual(needed.filter((path) => !seen.includes(path)), []);
});

let good = false;
try {
  good = await run();
} finally {
  end();
}
process.exit(good ? 0 : 1);
