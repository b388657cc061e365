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
