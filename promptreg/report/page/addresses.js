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
