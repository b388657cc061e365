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
