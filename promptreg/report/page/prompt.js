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
