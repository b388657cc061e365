"use strict";

// What the reader sees of the data in this page. The address says all that is shown: #/NAME, #/NAME@3, #/NAME@2..3.
// Texts of prompts become text nodes, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const byName = new Map(data.prompts.map((prompt) => [prompt.name, prompt]));
const IDS = "title about search text active choices clear found jump prompts content skip".split(" ");
const page = Object.fromEntries(IDS.map((id) => [id, document.getElementById(id)]));

// Elements

/** Return an element with attributes and children (elements, texts, lists of them); what is null is left out. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) element.setAttribute(name, value);
  }
  element.append(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null);
}

// Invisible characters, which may hide or reorder text. Line ends, tabs and joiners stay, and so do visible signs of
// Arabic, and selectors of the variants of Mongolian letters and of emoji.
const INVISIBLE =
  /(?![\n\t\u200c\u200d\u0600-\u0605\u06dd\u180b-\u180d\u180f\ufe0e\ufe0f])[\p{Cc}\p{Cf}\p{Cs}\p{DI}\u2028\u2029]/gu;

/** Return a text as texts and elements, in which each invisible character is a sign with its code. */
function visible(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(INVISIBLE)) {
    pieces.push(text.slice(end, match.index), sign(match[0].codePointAt(0)));
    end = match.index + match[0].length;
  }
  return [...pieces, text.slice(end)];
}

/** Return the same as one text. */
function plain(pieces) {
  return pieces.map((piece) => piece.textContent ?? piece).join("");
}

function sign(code) {
  const name = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  return make("span", { class: "sign", title: name }, code < 0x20 ? String.fromCodePoint(0x2400 + code) : name);
}

/** Return a short text of a user, which keeps its own direction beside other text. */
function own(text, attributes = {}) {
  return make("bdi", attributes, visible(text));
}

/** Return a longer text of a user as it is, with all its white space. */
function block(text, attributes = {}) {
  return make("pre", { dir: "auto", ...attributes }, visible(text));
}

function hidden(text) {
  return make("span", { class: "hidden" }, text);
}

function badge(text, kind) {
  return make("span", { class: `badge ${kind}` }, visible(text));
}

/** Return a table with a caption; `heads` name its columns, and the first cell of each row names the row. */
function table(caption, heads, rows) {
  const body = rows.map(([first, ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, first), rest.map((cell) => make("td", {}, cell))),
  );
  const head = make("tr", {}, heads.map((text) => make("th", { scope: "col" }, text)));
  const title = make("caption", {}, hidden(caption));
  const all = make("table", {}, title, make("thead", {}, head), make("tbody", {}, body));
  return make("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": caption }, all);
}

/** Return a section that is built when it is first opened. */
function fold(heading, level, build) {
  const details = make("details", {}, make("summary", {}, make(level, {}, heading)));
  details.addEventListener("toggle", () => details.append(...present([build()])), { once: true });
  return details;
}

// Times

const inUTC = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
const dayInUTC = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC" });
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function time(iso, format = inUTC) {
  const at = new Date(iso);
  const text = format.format(at) + (format === inUTC ? " UTC" : "");
  return make("time", { datetime: iso, title: `${local.format(at)}, local time` }, text);
}

/** Return how two times are sorted: below 0 where the first is the earlier one. */
function compared(iso, other) {
  return Date.parse(iso) - Date.parse(other);
}

function duration(from, to) {
  const minutes = Math.max(0, Math.round((new Date(to) - new Date(from)) / 60_000));
  if (minutes < 120) return plural(minutes, "minute");
  return minutes < 2_880 ? plural(Math.round(minutes / 60), "hour") : plural(Math.round(minutes / 1_440), "day");
}

function period(from, to) {
  const until = to === null ? ["since ", time(from)] : [time(from), " to ", time(to)];
  return [...until, ` (${duration(from, to ?? data.generated_at)})`];
}

function plural(count, unit) {
  return `${count.toLocaleString("en")} ${unit}${count === 1 ? "" : "s"}`;
}

// Addresses

function address(prompt, version = null, from = null) {
  const name = encodeURIComponent(prompt.name).replaceAll("%2F", "/");
  const choice = version === null ? "" : `@${from === null ? "" : `${from}..`}${version}`;
  return `#/${name}${choice}`;
}

/** Return what the address of the page asks for: a name, or "" for the overview, and what stands behind its `@`. */
function asked() {
  const path = location.hash.startsWith("#/") ? location.hash.slice(2) : "";
  const [name, choice = ""] = decoded(path).split("@");
  return { name, choice };
}

function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Return the version and the difference that an address chooses of a prompt, and what of it is `missing`. */
function chosen(prompt, choice) {
  if (choice === "") return { version: primary(prompt), difference: null, missing: null };
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(choice) ?? [null, null, choice]; // a label may have dots too
  const number = Object.hasOwn(prompt.labels, to) ? prompt.labels[to] : Number(to);
  const version = prompt.versions.find((each) => each.version === number) ?? null;
  if (from === null) return { version, difference: null, missing: version ? null : "version" };
  const difference = version?.differences.find((each) => each.from === Number(from)) ?? null;
  return { version, difference, missing: difference ? null : "difference" };
}

/** Return the version that stands for a prompt: the one in production, else the newest. */
function primary(prompt) {
  return prompt.versions.find((version) => version.version === prompt.production_version) ?? prompt.versions[0];
}

function isUnpublished(version) {
  return version.state !== "published";
}

/** Return the versions that matter now: the one in production, those that are newer, drafts and failed ones. */
function current(prompt) {
  const shown = primary(prompt).version;
  return prompt.versions.filter((version) => version.version >= shown || isUnpublished(version));
}

// The list: search and filters

const FILTERS = {
  status: ["Status", (prompt) => [prompt.status]],
  state: ["State", (prompt) => current(prompt).map((version) => version.state)],
  label: ["Label", (prompt) => Object.keys(prompt.labels)],
  tag: ["Tag", (prompt) => primary(prompt).tags],
  category: ["Category", (prompt) => [primary(prompt).category].filter(Boolean)],
  owner: ["Created by", (prompt) => [prompt.created_by].filter(Boolean)],
};
const ORDERS = {
  name: ["Name", () => 0],
  changed: ["Last change", (one, other) => compared(other.updated_at, one.updated_at)],
};
const items = new Map(data.prompts.map((prompt) => [prompt, listed(prompt)]));
const words = new Map();

function listed(prompt) {
  const { title } = primary(prompt);
  const marks = [...statusBadges(prompt), ...new Set(prompt.versions.filter(isUnpublished).map(({ state }) => state))];
  const link = make(
    "a",
    { href: address(prompt) },
    own(prompt.name, { class: "name" }),
    marks.map((mark) => [" ", typeof mark === "string" ? badge(mark, mark) : mark]),
    isSameText(title, prompt.name) ? null : [" ", own(title, { class: "title" })],
  );
  return make("li", {}, link);
}

/** Return whether two texts have the same letters and digits, as a title and the name that was made of it. */
function isSameText(one, other) {
  const letters = (text) => folded(text).replace(/[^\p{L}\p{N}]/gu, "");
  return letters(one) === letters(other);
}

function statusBadges(prompt) {
  const words = new Set([prompt.status, ...(prompt.is_disabled ? ["disabled"] : [])]);
  return [...words].filter((word) => word !== "active").map((word) => badge(word, word));
}

/** Return a text as it is compared: without case and without marks. */
function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().toUpperCase(); // so ẞ is SS too
}

/** Return everything of a prompt that a search looks in. */
function searched(prompt) {
  if (!words.has(prompt)) {
    const texts = current(prompt).flatMap((each) => textsOf([each.title, each.description, each.tags, each.template]));
    words.set(prompt, folded([prompt.name, ...texts].join("\n")));
  }
  return words.get(prompt);
}

/** Return all texts within a value, but for the roles of messages. */
function textsOf(value) {
  if (typeof value === "string") return [value];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, each]) => (key === "role" ? [] : textsOf(each)));
}

function select(name, label, options) {
  const id = `by-${name}`;
  const all = options.map(([value, text]) => make("option", { value, dir: "auto" }, plain(visible(text))));
  return make("div", {}, make("label", { for: id }, label), make("select", { id, name }, all));
}

function filterChoices([name, [label, values]]) {
  const counts = new Map();
  for (const value of data.prompts.flatMap((prompt) => [...new Set(values(prompt))])) {
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const options = [...counts].sort().map(([value, count]) => [value, `${value} (${count})`]);
  return options.length ? select(name, label, [["", "any"], ...options]) : null;
}

/** Return the values of the filters that are set, by name. */
function filtering() {
  return [...new FormData(page.search)].filter(([name, value]) => Object.hasOwn(FILTERS, name) && value !== "");
}

function refresh() {
  const terms = folded(page.text.value).split(/\s+/).filter(Boolean);
  const filters = filtering();
  const isFound = (prompt) =>
    filters.every(([name, value]) => FILTERS[name][1](prompt).includes(value)) &&
    terms.every((term) => searched(prompt).includes(term));
  let found = 0;
  for (const [prompt, item] of items) {
    item.hidden = !isFound(prompt);
    found += item.hidden ? 0 : 1;
  }
  const all = data.prompts.length;
  const part = found === all ? "" : `${found.toLocaleString("en")} of `;
  page.found.textContent = part + plural(all, "prompt");
  page.active.textContent = filters.length ? `(${plural(filters.length, "filter")})` : "";
}

function reorder() {
  const [, compare] = ORDERS[new FormData(page.search).get("order")];
  page.prompts.append(...[...data.prompts].sort(compare).map((prompt) => items.get(prompt)));
}

function rearrange() {
  refresh();
  reorder();
}

function clear() {
  page.search.reset();
  rearrange();
}

// The overview

const MOST_CHANGES = 30;
const MOST_WAITING = 50;

function overview() {
  if (data.prompts.length === 0) return [heading("Overview"), note("There is no prompt that may be read here.")];
  return [heading("Overview"), counts(), waiting(), make("h3", {}, "Latest changes"), latestChanges()];
}

function counts() {
  const count = (status) => data.prompts.filter((prompt) => prompt.status === status).length;
  const item = (status) => make("li", {}, make("strong", {}, count(status).toLocaleString("en")), ` ${status}`);
  return make("ul", { class: "counts" }, ["active", "disabled", "archived"].filter(count).map(item));
}

function latestChanges() {
  const newest = (prompt) => prompt.events.slice(0, MOST_CHANGES).map((event) => ({ prompt, event }));
  const all = data.prompts.flatMap(newest);
  all.sort((one, other) => other.event.seq - one.event.seq);
  return eventTable("Latest changes of all prompts", all.slice(0, MOST_CHANGES), true);
}

function waiting() {
  const drafts = (prompt) => prompt.versions.filter(isUnpublished).map((version) => ({ prompt, version }));
  const all = data.prompts.flatMap(drafts);
  const more = all.length - MOST_WAITING;
  if (all.length === 0) return null;
  return [
    make("h3", {}, "Not published yet"),
    make("ul", { class: "waiting" }, all.slice(0, MOST_WAITING).map(waitingItem)),
    more > 0 ? note(`${plural(more, "more version")}: filter the list by state.`) : null,
  ];
}

function waitingItem({ prompt, version }) {
  const link = make("a", { href: address(prompt, version.version) }, own(prompt.name), ` version ${version.version}`);
  return make("li", {}, link, " ", badge(version.state, version.state), " ", own(version.commit_message ?? ""));
}

function note(text) {
  return make("p", { class: "note" }, text);
}

function heading(...children) {
  return make("h2", { tabindex: "-1", id: "heading" }, children);
}

// A prompt

function promptView(prompt, version, difference) {
  const shown = primary(prompt);
  return [
    make("p", { class: "back" }, make("a", { href: "#/" }, "All prompts")),
    make(
      "div",
      { class: "head" },
      heading(own(prompt.name)),
      shown.title === prompt.name ? null : make("p", { class: "title" }, own(shown.title)),
      make("p", { class: "marks" }, prompt.status === "active" ? badge("active", "active") : null, marks(prompt)),
      shown.description ? make("p", { dir: "auto" }, visible(shown.description)) : null,
    ),
    facts(prompt),
    make("h3", {}, "What was in production when"),
    productionBar(prompt),
    make("h3", {}, "Versions"),
    make("ol", { class: "versions" }, prompt.versions.map((each) => versionItem(prompt, each, version, difference))),
    leftOut(prompt.hidden_versions, "older version"),
    fold(`Events (${prompt.events.length.toLocaleString("en")})`, "h3", () => events(prompt)),
  ];
}

function marks(prompt) {
  return [statusBadges(prompt), labelLinks(prompt)];
}

function events(prompt) {
  const all = prompt.events.map((event) => ({ prompt, event }));
  return [eventTable("Events of this prompt, newest first", all, false), leftOut(prompt.hidden_events, "older event")];
}

function leftOut(count, unit) {
  return count ? note(`${plural(count, unit)} not in this page; promptreg report --all has them.`) : null;
}

function labelLinks(prompt) {
  const link = ([label, number]) =>
    make("a", { class: "badge label", href: address(prompt, number) }, own(label), ` → ${number}`);
  return Object.entries(prompt.labels).map(link);
}

function facts(prompt) {
  const grants = prompt.access_grants.map((grant) => make("li", {}, own(grant.principal), ` may ${grant.permission}`));
  return definitions([
    ["Created", [time(prompt.created_at), by(prompt.created_by)]],
    ["Last change", time(prompt.updated_at)],
    ["Access", grants.length ? make("ul", { class: "plain" }, grants) : null],
    ["Id", make("code", {}, prompt.id)],
  ]);
}

function definitions(pairs) {
  const given = pairs.filter(([, value]) => value !== null);
  return make("dl", {}, given.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value))));
}

function by(actor) {
  return [" by ", who(actor)];
}

function who(actor) {
  return actor === null ? make("span", { class: "quiet" }, "the application") : own(actor, { class: "actor" });
}

// What was live when

function productionBar(prompt) {
  if (prompt.timeline.length === 0) return note("No version has been in production.");
  const since = prompt.timeline[0].from;
  const spans = prompt.timeline.map(({ version, from, to }) => {
    const attributes = { class: to === null ? "now" : "past", title: titled(`version ${version}`, from, to) };
    return place(make("span", attributes, `${version}`), since, from, to);
  });
  const out = outages(prompt).filter(({ to }) => to === null || compared(to, since) > 0).map(({ word, from, to }) =>
    place(make("span", { class: word, title: titled(word, from, to) }), since, from, to),
  );
  const legend = [...new Set(out.map((element) => element.className))];
  return [
    make("div", { class: "bar", "aria-hidden": "true" }, make("div", { class: "track" }, spans, out)),
    make(
      "p",
      { class: "axis", "aria-hidden": "true" },
      time(since, dayInUTC),
      legend.map((word) => make("span", { class: `legend ${word}` }, word)),
      time(data.generated_at, dayInUTC),
    ),
    fold("As a table", "h4", () => periodTable(prompt)),
  ];
}

function titled(what, from, to) {
  return `${what}, ${plain(period(from, to))}`;
}

/** Put an element of the bar, which goes from `since` to now, at its time; `to` is null for now. */
function place(element, since, from, to) {
  const now = data.generated_at;
  const [begin, first, last, end] = [since, from, to ?? now, now].map((iso) => Date.parse(iso));
  const percent = (span) => `${(100 * Math.max(0, span)) / Math.max(1, end - begin)}%`;
  if (to === null) element.style.right = "0"; // so that it is seen however short it is
  else element.style.left = percent(first - begin);
  element.style.width = percent(last - Math.max(first, begin));
  return element;
}

/** Return when a prompt was disabled or archived. */
function outages(prompt) {
  return ["disabled", "archived"].flatMap((word) => prompt[word].map(([from, to]) => ({ word, from, to })));
}

function periodTable(prompt) {
  const link = (version) => make("a", { href: address(prompt, version) }, `Version ${version}`);
  const all = [
    ...prompt.timeline.map(({ version, from, to }) => ({ what: link(version), from, to })),
    ...outages(prompt).map(({ word, from, to }) => ({ what: `The prompt was ${word}`, from, to })),
  ];
  all.sort((one, other) => compared(one.from, other.from));
  const row = ({ what, from, to }) => {
    return [what, time(from), to === null ? "now" : time(to), duration(from, to ?? data.generated_at)];
  };
  const times = table("What was in production when, oldest first", ["What", "From", "To", "For"], all.map(row));
  return [times, leftOut(prompt.hidden_times, "older time")];
}

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
  const view = difference ? differenceView(difference) : contentView(version);
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

function contentView(version) {
  return [
    make("h5", {}, version.kind === "chat" ? "Messages" : "Template"),
    typeof version.template === "string" ? templateBlock(version.template, version.syntax) : messages(version),
    version.variables.length ? [make("h5", {}, "Variables"), variables(version.variables)] : null,
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

// A difference

function differenceView(difference) {
  const { from, to } = difference;
  const rows = JSON.parse(difference.rows);
  if (rows.length === 0) return note(`The content of versions ${from} and ${to} is equal.`);
  const head = ["", `Version ${from}`, "", `Version ${to}`].map((text) =>
    make("th", { scope: "col", role: "columnheader", class: text ? "text" : "number" }, text || hidden("Line")),
  );
  return make(
    "table",
    { class: "difference", role: "table" },
    make("caption", {}, `Changes from version ${from} to version ${to}: ${summary(rows)}`),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, head)),
    make("tbody", { role: "rowgroup" }, rows.map(differenceRow)),
  );
}

function summary(rows) {
  const count = (kind) => rows.filter((row) => row.kind === kind).length;
  const said = ["added", "removed", "changed"].filter(count).map((kind) => `${plural(count(kind), "line")} ${kind}`);
  return said.join(", ") || "no lines";
}

function differenceRow(row) {
  if (row.kind === "gap" || row.kind === "heading") {
    const text = row.kind === "gap" ? plural(row.lines, "equal line") : row.text;
    return make("tr", { class: row.kind, role: "row" }, make("td", { colspan: "4", role: "cell" }, visible(text)));
  }
  return make("tr", { class: row.kind, role: "row" }, side(row, "old", "del"), side(row, "new", "ins"));
}

function side(row, which, mark) {
  const line = row[which];
  const attributes = (kind) => ({ class: `${kind} ${which}`, role: "cell" });
  if (line === null) return [make("td", attributes("number")), make("td", attributes("text"))];
  const isWhole = row.kind === "added" || row.kind === "removed";
  const word = row.kind === "same" ? null : hidden(mark === "del" ? "Removed: " : "Added: ");
  const piece = ([text, isChanged]) => (isChanged || isWhole ? make(mark, {}, visible(text)) : visible(text));
  return [
    make("td", attributes("number"), `${line.line}`),
    make("td", { ...attributes("text"), dir: "auto" }, word, (line.pieces ?? row.old.pieces).map(piece)),
  ];
}

// Events

function eventTable(caption, list, hasNames) {
  const row = ({ prompt, event }) => [
    time(event.at),
    who(event.actor),
    event.action.replaceAll("_", " "),
    ...(hasNames ? [make("a", { href: address(prompt) }, own(prompt.name))] : []),
    event.version === null ? "" : make("a", { href: address(prompt, event.version) }, `version ${event.version}`),
    Object.entries(event.details).filter(isTelling).map(detail),
  ];
  return table(caption, ["When", "Who", "What", ...(hasNames ? ["Prompt"] : []), "Version", "Details"], list.map(row));
}

/** Return whether a detail of an event says something here: not the hash, which is the version's, nor a 0 for none. */
function isTelling([key, value]) {
  return key !== "content_hash" && !(key === "previous" && value === 0);
}

function detail([key, value]) {
  const texts = [value].flat().map((each) => (typeof each === "object" ? JSON.stringify(each) : String(each)));
  const name = make("span", { class: "quiet" }, `${key.replaceAll("_", " ")}: `);
  return make("div", {}, name, own(texts.join(", ")));
}

// What is shown

let shownName = null;

function show() {
  const { name, choice } = asked();
  const prompt = byName.get(name);
  const isFirst = shownName === null;
  const isSame = shownName === name;
  shownName = name;
  document.body.classList.toggle("reading", name !== "");
  document.title = prompt ? `${name} · ${data.title}` : data.title;
  page.content.replaceChildren(...present(view(name, prompt, choice)));
  for (const [each, item] of items) markCurrent(item.firstChild, each === prompt);
  if (prompt) reveal(items.get(prompt));
  if (!isFirst) focusOn(isSame);
  else if (choice) document.querySelector(".version.open")?.scrollIntoView();
}

function view(name, prompt, choice) {
  if (name === "") return overview();
  if (prompt === undefined) return [heading("Not in this page"), notFound("prompt", name)];
  const { version, difference, missing } = chosen(prompt, choice);
  const notice = missing ? notFound(missing, choice) : null;
  return [notice, ...promptView(prompt, version ?? primary(prompt), difference)];
}

function notFound(what, which) {
  return make("p", { class: "notice" }, `This page has no ${what} `, own(which), ".");
}

function markCurrent(link, isCurrent) {
  if (isCurrent) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}

/** Scroll the list, and not the page, to an item of it. */
function reveal(item) {
  const list = page.prompts.parentElement;
  const { top, bottom } = item.getBoundingClientRect();
  const frame = list.getBoundingClientRect();
  if (top < frame.top || bottom > frame.bottom) list.scrollTop += top - frame.top - frame.height / 2;
}

/** Focus what was asked for: the link that was followed, where the same prompt is still shown, else the heading. */
function focusOn(isSame) {
  const links = isSame ? [...page.content.querySelectorAll(".version.open a")] : [];
  const target = links.find((link) => link.hash === location.hash) ?? document.getElementById("heading");
  target.focus({ preventScroll: true });
  if (!isSame) window.scrollTo(0, 0);
  const { top, bottom } = target.getBoundingClientRect();
  if (isSame && (top < 0 || bottom > window.innerHeight)) target.scrollIntoView();
}

// Keys

function moveInList(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step === undefined || event.isComposing) return; // an input method uses the arrows itself
  const links = [...page.prompts.querySelectorAll("li:not([hidden]) a")];
  const next = links[links.indexOf(document.activeElement) + step];
  (next ?? (step < 0 ? page.text : null))?.focus();
  event.preventDefault();
}

function openFirst(event) {
  event.preventDefault();
  page.prompts.querySelector("li:not([hidden]) a")?.click();
}

/** Go to the content without changing the address, which says what is shown. */
function skip(event) {
  event.preventDefault();
  page.content.focus();
}

function shortcut(event) {
  const isTyping = event.target.closest("input, select, textarea") !== null;
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (page.text.offsetParent === null) {
    location.hash = "#/"; // on a phone, where the search stands beside the overview alone
    window.addEventListener("hashchange", () => page.text.focus(), { once: true });
  } else page.text.focus();
}

// The start

function about() {
  const reader = data.actor === null ? [] : [" for ", own(data.actor)];
  const limit = data.max_versions === null ? "" : `, the newest ${data.max_versions} versions of each`;
  const selection = data.is_selection ? ", a selection" : "";
  return ["Made ", time(data.generated_at), ...reader, ` by promptreg ${data.promptreg}${selection}${limit}`];
}

function start() {
  page.title.replaceChildren(...visible(data.title));
  page.about.append(...about());
  const orders = Object.entries(ORDERS).map(([name, [label]]) => [name, label]);
  const choices = [...Object.entries(FILTERS).map(filterChoices), select("order", "Sort by", orders)];
  page.choices.append(...present(choices));
  page.prompts.append(...items.values());
  page.search.addEventListener("input", refresh);
  page.search.addEventListener("change", rearrange);
  page.search.addEventListener("submit", openFirst);
  page.clear.addEventListener("click", clear);
  page.text.addEventListener("keydown", moveInList);
  page.prompts.addEventListener("keydown", moveInList);
  for (const link of [page.skip, page.jump]) link.addEventListener("click", skip);
  document.addEventListener("keydown", shortcut);
  window.addEventListener("hashchange", show);
  refresh();
  show();
}

start();
