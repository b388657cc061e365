// A version

function versionItem(prompt, version, opened, difference) {
  const isOpen = version === opened;
  const isLive = version.version === prompt.production_version;
  return make(
    "li",
    { class: `version ${isLive ? "live" : version.state}${isOpen ? " open" : ""}` },
    versionLine(prompt, version, { isOpen, isLive }),
    version.commit_message ? make("p", { class: "why", dir: "auto" }, visible(version.commit_message)) : null,
    make("p", { class: "quiet" }, who(version.author), ", ", time(version.version_created_at)),
    version.live.map(([from, to]) => make("p", { class: "quiet" }, "In production ", period(from, to))),
    (version.failure ?? []).map(failedCheck),
    isOpen ? panel(prompt, version, difference) : null,
  );
}

function failedCheck(reason) {
  return make("p", { class: "failure", dir: "auto" }, "Check failed: ", visible(reason));
}

function versionLine(prompt, version, { isOpen, isLive }) {
  const labels = Object.keys(prompt.labels).filter((label) => prompt.labels[label] === version.version);
  const attributes = { href: address(prompt, version.version), "aria-current": isOpen ? "true" : null };
  return make(
    "div",
    { class: "line" },
    make("h4", {}, make("a", attributes, `Version ${version.version}`)),
    isLive ? badge("in production", "live") : badge(version.state, version.state),
    labels.filter((label) => label !== "production").map((label) => badge(label, "label")),
  );
}

function panel(prompt, version, difference) {
  const view = difference ? differenceView(difference) : contentView(prompt, version);
  return make("div", { class: "panel" }, tabs(prompt, version, difference), view);
}

function tabs(prompt, version, difference) {
  const tab = (text, from, isCurrent) => {
    const href = address(prompt, version.version, from);
    return make("li", {}, make("a", { href, "aria-current": isCurrent ? "true" : null }, text));
  };
  const changes = version.differences.map((each) =>
    tab(`Changes since ${each.from}${why(each)}`, each.from, each === difference),
  );
  const all = [tab("Content", null, difference === null), ...changes];
  return make("nav", { "aria-label": `Version ${version.version}` }, make("ul", { class: "tabs" }, all));
}

/** Return why a version is compared with another one than the one before. */
function why(difference) {
  const reasons = { base: "its base", production: "in production" };
  const words = difference.is.includes("previous") ? [] : difference.is.map((reason) => reasons[reason]);
  return words.length ? ` (${words.join(", ")})` : "";
}

function contentView(prompt, version) {
  const list = JSON.parse(prompt.variables[version.variables]);
  return [
    make("h5", {}, version.kind === "chat" ? "Messages" : "Template"),
    typeof version.template === "string" ? templateBlock(version.template, version.syntax) : messages(version),
    list.length ? [make("h5", {}, "Variables"), variables(list)] : null,
    version.config ? [make("h5", {}, "Config"), block(version.config)] : null,
    version.meta ? [make("h5", {}, "Meta"), block(version.meta)] : null,
    version.examples.length ? [make("h5", {}, "Examples"), version.examples.map((example) => block(example))] : null,
    make("h5", {}, "About this version"),
    definitions([
      ["Title", own(version.title)],
      ["Description", version.description ? own(version.description) : null],
      ["Category", version.category ? own(version.category) : null],
      ["Tags", version.tags.length ? version.tags.map((tag) => [badge(tag, "tag"), " "]) : null],
      ["Syntax", version.syntax],
      ["Made from", version.base_version === null ? null : `version ${version.base_version}`],
      ["First published", version.published_at === null ? null : time(version.published_at)],
      ["Content hash", make("code", {}, version.content_hash)],
    ]),
  ];
}

function variables(list) {
  const row = (variable) => [
    own(variable.name),
    variable.type,
    variable.required ? "required" : "optional",
    variable.default === null ? "" : make("code", {}, own(variable.default)),
    (variable.enum ?? []).map((value) => [make("code", {}, own(value)), " "]),
    own(variable.description),
  ];
  const heads = ["Name", "Type", "Required", "Default", "Allowed", "Description"];
  return table("Variables of this version", heads, list.map(row));
}

function messages(version) {
  const all = version.template.map((message) => make("li", {}, messageView(message, version.syntax)));
  return make("ol", { class: "messages" }, all);
}

function messageView(message, syntax) {
  if (message.placeholder !== undefined) {
    return make("p", { class: "quiet" }, "The messages of ", own(message.placeholder, { class: "name" }));
  }
  const { role, content, cache, more } = message;
  const parts = typeof content === "string" ? [{ text: content }] : content;
  return [
    make("p", { class: "speaker" }, badge(role, "role"), cache ? badge("cache", "tag") : null),
    parts.map(({ text, json }) => (json === undefined ? templateBlock(text, syntax) : block(json))),
    more ? block(more) : null,
  ];
}

const CLOSERS = { "{{": "}}", "{%": "%}", "{#": "#}" };

/** Return a template with what Jinja reads of it marked, in one pass. */
function templateBlock(text, syntax) {
  if (syntax === "plain") return block(text);
  const pieces = [];
  let end = 0;
  const openers = /\{[{%#]/g;
  for (let match = openers.exec(text); match !== null; match = openers.exec(text)) {
    const close = text.indexOf(CLOSERS[match[0]], match.index + 2);
    if (close === -1) break;
    const kind = match[0] === "{{" ? "output" : match[0] === "{%" ? "statement" : "comment";
    pieces.push(visible(text.slice(end, match.index)));
    pieces.push(make("span", { class: kind }, visible(text.slice(match.index, close + 2))));
    end = openers.lastIndex = close + 2;
  }
  return make("pre", { dir: "auto" }, pieces, visible(text.slice(end)));
}
