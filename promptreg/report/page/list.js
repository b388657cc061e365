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
