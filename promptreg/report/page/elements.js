"use strict";

// What the reader sees of the data in this page. The address says all that is shown: #/NAME, #/NAME@3, #/NAME@2..3.
// Texts of prompts become text nodes, never markup. `document.py` joins the files of this folder to one script.

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
