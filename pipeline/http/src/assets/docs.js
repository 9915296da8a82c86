// Shows the OpenAPI description of this server. Texts are set as text, never as markup.
"use strict";

function add(parent, tag, text, look) {
  const node = parent.appendChild(document.createElement(tag));
  if (text) node.textContent = text;
  if (look) node.className = look;
  return node;
}

// Text in which `…` is code.
function prose(parent, tag, text, look) {
  const node = add(parent, tag, "", look);
  text.split("`").forEach((part, at) => (at % 2 === 0 ? node.append(part) : add(node, "code", part)));
  return node;
}

function pair(list, term, meaning) {
  const dt = add(list, "dt");
  add(dt, "code", term);
  if (meaning) prose(list, "dd", meaning);
}

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map(typeOf).join(" or ");
  if (schema.type === "array" || (Array.isArray(schema.type) && schema.type.includes("array"))) return "list of " + (typeOf(schema.items) || "anything");
  return Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type || "";
}

function section(parent, title, entries) {
  if (entries.length === 0) return;
  add(parent, "p", title, "quiet");
  const list = add(parent, "dl");
  for (const [term, meaning] of entries) pair(list, term, meaning);
}

function operation(parent, method, path, what) {
  const title = add(parent, "h3");
  add(title, "span", method.toUpperCase(), "method");
  const plain = method === "get" && !path.includes("{");
  if (plain) {
    const link = add(title, "a");
    link.href = path;
    add(link, "code", path);
  } else {
    add(title, "code", path);
  }
  for (const text of [what.summary, what.description]) if (text) prose(parent, "p", text);
  section(parent, "Parameters", (what.parameters || []).map((p) => [p.name + (p.required ? " (required)" : ""), p.description]));
  const body = what.requestBody;
  if (body) section(parent, "Body", Object.keys(body.content).map((type, at) => [type, at === 0 ? body.description : ""]));
  // Statuses that mean the same stand in one line.
  const answers = new Map();
  for (const [status, r] of Object.entries(what.responses || {})) {
    const types = Object.entries(r.content || {}).map(([type, c]) => [type, typeOf(c.schema)].filter(Boolean).join(": "));
    const meaning = [r.description, ...types].filter(Boolean).join(" · ");
    answers.set(meaning, (answers.has(meaning) ? answers.get(meaning) + ", " : "") + status);
  }
  section(parent, "Answers", [...answers].map(([meaning, statuses]) => [statuses, meaning]));
}

function show(description) {
  document.getElementById("about").textContent = description.info.description + " API version " + description.info.version + ".";
  const paths = document.getElementById("paths");
  for (const tag of description.tags) {
    add(paths, "h2", tag.description);
    for (const [path, methods] of Object.entries(description.paths)) {
      for (const [method, what] of Object.entries(methods)) {
        if ((what.tags || []).includes(tag.name)) operation(add(paths, "section"), method, path, what);
      }
    }
  }
  add(paths, "h2", "Types");
  for (const [name, schema] of Object.entries(description.components.schemas)) {
    const part = add(paths, "section");
    add(add(part, "h3"), "code", name);
    if (schema.description) prose(part, "p", schema.description);
    const fields = Object.entries(schema.properties || {}).map(([field, s]) => [field + ": " + typeOf(s), s.description]);
    section(part, "Fields", fields);
  }
}

fetch("/api/openapi.json").then((answer) => answer.json()).then(show).catch(() => {
  document.getElementById("about").textContent = "The description could not be read; load the page again.";
});
