// The live table of services. Texts from outside are set as text, never as markup.
"use strict";

const EVERY = 2000;
const DEAD_EVERY = 10000;
const DEAD_LIMIT = 100;
const SVG = "http://www.w3.org/2000/svg";
// Name, classes, and the title that a narrow screen shows above the value.
const FIELDS = [
  ["health", "", ""], ["rate", "number", "Requests/s"], ["errors", "number", "Errors"], ["availability", "number", "Availability"],
  ["p50", "number", "p50"], ["p99", "number", "p99"], ["trail", "spare", ""], ["window", "number", "Window"],
];

const rows = new Map();
const byId = (id) => document.getElementById(id);

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function number(value, digits) {
  return value === null ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

function millis(value) {
  if (value === null) return "–";
  if (value >= 10000) return number(value / 1000, 1) + " s";
  return number(value, value < 10 ? 2 : value < 100 ? 1 : 0) + " ms";
}

// Cut, not rounded: 99.996 % is not 100 %.
function percent(ratio) {
  if (ratio === null) return "–";
  return ratio === 1 ? "100 %" : number(Math.floor(ratio * 10000 + 1e-9) / 100, 2) + " %";
}

function errorsOf(service) {
  if (service.errors === 0 || service.requests === 0) return number(service.errors, 0);
  const share = (100 * service.errors) / service.requests;
  return number(service.errors, 0) + " (" + (share < 0.1 ? "< 0.1" : number(share, 1)) + " %)";
}

function keyOf(service) {
  return service.namespace + "\u0000" + service.service;
}

function newRow(service) {
  const row = document.createElement("tr");
  const name = row.appendChild(document.createElement("th"));
  row.setAttribute("role", "row");
  name.scope = "row";
  name.setAttribute("role", "rowheader");
  if (service.namespace) {
    const namespace = name.appendChild(document.createElement("span"));
    namespace.className = "namespace";
    namespace.textContent = service.namespace + " / ";
  }
  const link = name.appendChild(document.createElement("a"));
  link.textContent = service.service;
  link.href = "/api/v1/services/" + encodeURIComponent(service.service) + "/signals?namespace=" + encodeURIComponent(service.namespace);
  const cells = {};
  for (const [field, look, title] of FIELDS) {
    cells[field] = row.appendChild(document.createElement("td"));
    cells[field].setAttribute("role", "cell");
    cells[field].className = look;
    if (title) cells[field].dataset.name = title;
  }
  cells.word = cells.health.appendChild(document.createElement("span"));
  return { row, cells, state: null };
}

function draw(cell, recent) {
  const drawn = JSON.stringify(recent);
  if (cell.dataset.drawn === drawn) return;
  cell.dataset.drawn = drawn;
  const most = Math.max(1, ...recent.map((r) => r.requests));
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 120 24");
  svg.setAttribute("aria-hidden", "true");
  recent.forEach((window, at) => {
    const x = 120 - 4 * (recent.length - at);
    for (const [kind, count] of [["requests", window.requests], ["errors", window.errors]]) {
      const height = count === 0 ? 0 : Math.max(1, (24 * count) / most);
      const bar = svg.appendChild(document.createElementNS(SVG, "rect"));
      bar.setAttribute("class", kind);
      bar.setAttribute("x", x);
      bar.setAttribute("y", 24 - height);
      bar.setAttribute("width", 3);
      bar.setAttribute("height", height);
    }
  });
  cell.replaceChildren(svg);
}

function update(entry, service, news) {
  const { cells } = entry;
  const state = service.health.state;
  const known = ["healthy", "degraded", "impaired", "critical"].includes(state);
  cells.word.className = "health " + (known ? state : "unknown");
  const why = service.health.reason === "rule" ? "" : " (" + service.health.reason.replace("_", " ") + ")";
  set(cells.word, state + why);
  if (entry.state !== null && entry.state !== state) news.push(service.service + " is " + state);
  entry.state = state;
  set(cells.rate, number(service.requests_per_second, service.requests_per_second < 100 ? 2 : 0));
  set(cells.errors, errorsOf(service));
  set(cells.availability, percent(service.availability_ratio));
  set(cells.p50, millis(service.p50_ms));
  set(cells.p99, millis(service.p99_ms));
  draw(cells.trail, service.recent);
  set(cells.window, new Date(service.window_start).toLocaleTimeString("en-GB"));
  cells.window.title = service.window_start + " to " + service.window_end;
}

// Worst first; what is not known stands between degraded and healthy.
function worst(service) {
  return service.health.level === null ? 0.5 : service.health.level;
}

function show(answer) {
  const news = [];
  const services = answer.services.slice().sort((a, b) => worst(b) - worst(a) || keyOf(a).localeCompare(keyOf(b)));
  const body = byId("rows");
  const seen = new Set();
  services.forEach((service, at) => {
    const key = keyOf(service);
    seen.add(key);
    if (!rows.has(key)) rows.set(key, newRow(service));
    const entry = rows.get(key);
    update(entry, service, news);
    if (body.children[at] !== entry.row) body.insertBefore(entry.row, body.children[at] || null);
  });
  for (const [key, entry] of rows) {
    if (!seen.has(key)) {
      entry.row.remove();
      rows.delete(key);
    }
  }
  byId("empty").hidden = services.length > 0;
  byId("services").hidden = services.length === 0;
  const shown = services.length < answer.total ? services.length + " of " + answer.total : String(answer.total);
  tell(shown + (answer.total === 1 ? " service" : " services") + ", " + new Date().toLocaleTimeString("en-GB"), false);
  if (news.length > 0) set(byId("news"), news.slice(0, 5).join(", "));
}

function tell(text, alarm) {
  set(byId("state"), text);
  byId("state").className = alarm ? "alarm" : "quiet";
}

async function read(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(10000) });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.json();
}

async function services() {
  try {
    show(await read("/api/v1/services"));
  } catch (error) {
    tell("No answer; trying again. The table shows what was known before.", true);
  }
  setTimeout(services, EVERY);
}

async function deadLetters() {
  try {
    const count = (await read("/api/v1/dead-letters?limit=" + DEAD_LIMIT)).dead_letters.length;
    set(byId("dead"), "(" + count + (count === DEAD_LIMIT ? "+" : "") + ")");
  } catch (error) {
    set(byId("dead"), "");
  }
  setTimeout(deadLetters, DEAD_EVERY);
}

byId("curl").textContent =
  "curl " + location.origin + "/api/v1/events -H 'content-type: application/json' \\\n" +
  "  -d '{\"service\":\"shop\",\"timestamp\":'$(date +%s)',\"latency_ms\":12.5,\"status\":200}'";
byId("otel").textContent = "OTEL_EXPORTER_OTLP_ENDPOINT=" + location.origin + " OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf";
services();
deadLetters();
