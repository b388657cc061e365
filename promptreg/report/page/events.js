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
