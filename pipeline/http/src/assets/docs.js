// Shows the OpenAPI description of this server. Texts are set as text, never as markup.
"use strict";

function add(parent, tag, text, look) {
  const node = parent.appendChild(document.createElement(tag));
  if (text) node.textContent = text;
  if (look) node.className = look;
  return node;
}

function pair(list, term, meaning) {
  const dt = add(list, "dt");
  add(dt, "code", term);
  if (meaning) add(list, "dd", meaning);
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
  for (const text of [what.summary, what.description]) if (text) add(parent, "p", text);
  section(parent, "Parameters", (what.parameters || []).map((p) => [p.name + (p.required ? " (required)" : ""), p.description]));
  const body = what.requestBody;
  if (body) section(parent, "Body", Object.keys(body.content).map((type, at) => [type, at === 0 ? body.description : ""]));
  const answers = Object.entries(what.responses || {}).map(([status, r]) => {
    const types = Object.entries(r.content || {}).map(([type, c]) => [type, typeOf(c.schema)].filter(Boolean).join(": "));
    return [status, [r.description, ...types].filter(Boolean).join(" · ")];
  });
  section(parent, "Answers", answers);
}

function show(description) {
  document.getElementById("about").textContent = description.info.description + " Version " + description.info.version + ".";
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
    if (schema.description) add(part, "p", schema.description);
    const fields = Object.entries(schema.properties || {}).map(([field, s]) => [field + ": " + typeOf(s), s.description]);
    section(part, "Fields", fields);
  }
}

fetch("/api/openapi.json").then((answer) => answer.json()).then(show).catch(() => {
  document.getElementById("about").textContent = "The description could not be read; load the page again.";
});
