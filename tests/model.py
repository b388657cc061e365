"""The rules (promptreg/docs/rules.md) over plain dictionaries: no storage, no cache, no library code.

A world is `{"prompts", "events", "writes"}`; a prompt, its versions and an event are dictionaries too.
A view is a caller in a namespace: `{"id", "role", "groups", "namespace"}`, with id None for the application.
A verb first checks, in the order of rule 18, and raises `Refused` with the error's code; then it changes the world
and returns the prompt and the number of the version that the call resolves to. `None` means: not passed. The id of a
new prompt is None until `identify` sets the one that the registry has created.
"""

import json
import re

# Rule 17: its table, a line for each row.
EVERYBODY = {"team_member", "team_editor", "team_admin", "org_admin", "owner", "write", "read"}
CHANGERS = {"team_editor", "team_admin", "org_admin", "owner", "write"}
KEEPERS = {"team_admin", "org_admin", "owner"}
ADMINS = {"team_admin", "org_admin"}
TABLE = {
    "read": EVERYBODY,
    "create": {"team_editor", "team_admin", "org_admin"},
    **dict.fromkeys(["update", "publish", "rollback", "label", "discard", "disable", "enable"], CHANGERS),
    **dict.fromkeys(["rename", "grant"], KEEPERS),
    **dict.fromkeys(["archive", "restore", "delete"], ADMINS),
}

EMPTY = {"description": "", "category": "", "tags": [], "variables": [], "config": {}, "meta": {}, "examples": []}
SYNTAX_ERROR = "{% if %}"
UNPUBLISHABLE = "LOUD"


class Refused(Exception):
    """The call is refused with this code, and nothing changes, except by rule 9."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def new_world():
    return {"prompts": [], "events": [], "writes": 0}


# Reading


def may(view, action, prompt):
    if view["id"] is None:
        return True
    principals = {"anyone", f"user:{view['id']}", *(f"group:{group}" for group in view["groups"])}
    standings = {permission for principal, permission in prompt["grants"].items() if principal in principals}
    standings |= {view["role"]} | ({"owner"} if prompt["owner"] == view["id"] else set())
    return bool(standings & TABLE[action])


def readable(world, view):
    """Return every prompt of the namespace that the actor may read, sorted by name."""
    here = [p for p in world["prompts"] if p["namespace"] == view["namespace"] and may(view, "read", p)]
    return sorted(here, key=lambda p: p["name"])


def find(world, view, reference):
    for prompt in readable(world, view):
        if reference in (prompt["name"], prompt["id"]):
            return prompt
    raise Refused("not_found")


def need(view, action, prompt):
    if not may(view, action, prompt):
        raise Refused("forbidden")


def choose(prompt, selector):
    """Return the version number that a number or a label selects; None selects production."""
    if selector in (None, "production"):
        if not prompt["stack"]:
            raise Refused("no_production_version")
        return prompt["stack"][-1]
    number = labels(prompt).get(selector, selector)
    if number not in prompt["versions"]:
        raise Refused("version_not_found")
    return number


def labels(prompt):
    live = {"production": prompt["stack"][-1]} if prompt["stack"] else {}
    return {**prompt["labels"], "latest": max(prompt["versions"]), **live}


def shown(prompt):
    """Return the production version, else the latest: the base of an update, and the one that listings show."""
    return prompt["stack"][-1] if prompt["stack"] else max(prompt["versions"])


def status(prompt):
    return "archived" if prompt["archived"] else "disabled" if prompt["disabled"] else "active"


def get(world, view, reference, selector=None):
    prompt = find(world, view, reference)
    return prompt, choose(prompt, selector)


def get_many(world, view, references):
    """Return each prompt and number; every name is looked for first, then every version, then production."""
    found = [(find(world, view, name), selector) for name, selector in references]
    for prompt, selector in found:
        if selector not in (None, "production"):
            choose(prompt, selector)
    return [(prompt, choose(prompt, selector)) for prompt, selector in found]


def render(world, view, reference, selector=None, values=()):
    """Return the texts of the messages."""
    prompt, number = get(world, view, reference, selector)
    if prompt["disabled"]:
        raise Refused("prompt_disabled")
    return texts(prompt["versions"][number]["content"], dict(values))


def texts(content, values):
    """Render a template, in which only `{{ who }}` is not text."""
    for variable in content["variables"]:
        values = {variable["name"]: variable["default"], **values}
    if any("{{ who }}" in text for text in sources(content)) and "who" not in values:
        raise Refused("missing_variables")
    return [text.replace("{{ who }}", values.get("who", "")) for text in sources(content)]


def sources(content):
    template = content["template"]
    return [template] if isinstance(template, str) else [message["content"] for message in template]


def history(world, view, reference, limit, before=None):
    prompt = find(world, view, reference)
    end = None if before is None else before if isinstance(before, int) else choose(prompt, before)
    return prompt, [n for n in sorted(prompt["versions"], reverse=True) if end is None or n < end][:limit]


def differs(world, view, reference, old, new):
    prompt = find(world, view, reference)
    old, new = (prompt["versions"][choose(prompt, selector)]["content"] for selector in (old, new))
    return not same(old, new)


def listing(world, view, statuses=None, tag=(), category=None, created_by=None, prefix="", label=None):
    """Return the prompts that `list` returns, in order, each with the number of the version that it shows."""
    found = []
    for prompt in readable(world, view):
        number = shown(prompt) if label is None else labels(prompt).get(label)
        content = None if number is None else prompt["versions"][number]["content"]
        if (
            content is not None
            and status(prompt) in (statuses or ["active", "disabled"])
            and {*tag} <= {*content["tags"]}
            and (category is None or category == content["category"])
            and (created_by is None or created_by == prompt["owner"])
            and prompt["name"].startswith(prefix)
        ):
            found.append((prompt, number))
    return found


def search(world, view, text, statuses=None, **filters):
    return [(p, n) for p, n in listing(world, view, statuses, **filters) if words(text) <= words(searched(p))]


def searched(prompt):
    content = prompt["versions"][shown(prompt)]["content"]
    return " ".join([prompt["name"], content["title"], content["description"], *content["tags"], *sources(content)])


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def events(world, view, reference=None, actions=None):
    """Return the events that the actor may see; those of a deleted prompt require a role."""
    only = None if reference is None else find(world, view, reference)
    seen = [p["id"] for p in readable(world, view)]
    sees_all = view["id"] is None or view["role"] is not None
    return [
        event
        for event in world["events"]
        if event["namespace"] == view["namespace"]
        and (sees_all or event["id"] in seen)
        and (only is None or event["id"] == only["id"])
        and (actions is None or event["action"] in actions)
    ]


def namespaces(world, view):
    """Return the namespaces; a role applies in the view's namespace, that of an org admin in all."""
    names = set()
    for prompt in world["prompts"]:
        is_here = prompt["namespace"] == view["namespace"] or view["role"] == "org_admin"
        if may(view if is_here else {**view, "role": None}, "read", prompt):
            names.add(prompt["namespace"])
    return sorted(names)


# Writing


def wrote(world, view, prompt, *actions, version=None):
    """Record one write: the prompt is touched, and each action has an event."""
    world["writes"] += 1
    prompt["touched"] = world["writes"]
    who = {"actor": view["id"], "namespace": prompt["namespace"], "id": prompt["id"], "name": prompt["name"]}
    world["events"] += [{"write": world["writes"], "action": action, "version": version, **who} for action in actions]


def canonical(content):
    tags = {"tags": sorted(set(content["tags"]))} if "tags" in content else {}
    return json.dumps({**content, **tags}, sort_keys=True)


def same(one, other):
    return canonical(one) == canonical(other)


def passes(content):
    """Return whether, by rule 9, each example renders and the publish check of the tests does not raise."""
    return not failures(content)


def failures(content):
    """Return how many examples and publish checks fail."""
    failing = int(any(UNPUBLISHABLE in text for text in sources(content)))
    for example in content["examples"]:
        try:
            texts(content, example)
        except Refused:
            failing += 1
    return failing


def vet(content, is_production):
    if any(SYNTAX_ERROR in text for text in sources(content)):
        raise Refused("template_syntax_error")
    if is_production and not passes(content):
        raise Refused("publish_check_failed")


def require_free(world, view, name):
    if any((p["namespace"], p["name"]) == (view["namespace"], name) for p in world["prompts"]):
        raise Refused("name_taken")


def require_unarchived(prompt):
    if prompt["archived"]:
        raise Refused("prompt_archived")


def put(view, prompt, number, content, message, base, is_production):
    prompt["versions"][number] = {
        "state": "published" if is_production else "draft",
        "content": content,
        "name": prompt["name"],
        "grants": prompt["grants"],
        "message": message,
        "author": view["id"],
        "base": base,
    }
    prompt["last"] = number
    if is_production:
        prompt["stack"].append(number)


def create(world, view, name, fields, grants=None, message=None, is_production=True):
    if view["id"] is not None and view["role"] not in TABLE["create"]:
        raise Refused("forbidden")
    require_free(world, view, name)
    content = {"title": name, **EMPTY, **fields}
    vet(content, is_production)
    prompt = {
        "id": None,
        "namespace": view["namespace"],
        "name": name,
        "owner": view["id"],
        "grants": grants or {},
        "labels": {},
        "versions": {},
        "stack": [],
        "archived": False,
        "disabled": False,
        "seed": None,
    }
    put(view, prompt, 1, content, message or "Initial version", None, is_production)
    world["prompts"].append(prompt)
    wrote(world, view, prompt, "create", *["grant"] * bool(grants), *["publish"] * is_production, version=1)
    return prompt, 1


def identify(world, identity):
    """Set the id that the registry chose on the prompt that was just created, and on its events."""
    for made in [*world["prompts"], *world["events"]]:
        made["id"] = made["id"] or identity


def save(world, view, reference, fields, grants=None, message=None, is_production=True):
    try:
        find(world, view, reference)
    except Refused:
        if re.fullmatch("[0-9a-f-]{36}", reference):
            raise
        return create(world, view, reference, fields, grants, message, is_production)
    return update(world, view, reference, fields, grants, message, is_production, is_save=True)


def update(
    world,
    view,
    reference,
    fields,
    grants=None,
    message=None,
    is_production=True,
    new_name=None,
    expected=None,
    says=None,
    is_save=False,
):
    prompt = find(world, view, reference)
    need(view, "update", prompt)
    renames = new_name is not None and new_name != prompt["name"]
    regrants = grants is not None and grants != prompt["grants"]
    for action in ["rename"] * renames + ["grant"] * regrants:
        need(view, action, prompt)
    if not is_save:
        require_unarchived(prompt)
    base, latest = shown(prompt), max(prompt["versions"])
    if expected not in (None, base):
        raise Refused("version_conflict")
    require_content(prompt, base, says)
    if renames:
        require_free(world, view, new_name)
    old = prompt["versions"][base]["content"]
    content = {**old, **fields}
    if not (renames or regrants):
        if not is_production and same(content, prompt["versions"][latest]["content"]):
            return prompt, latest
        if same(content, old):
            if not is_production or prompt["stack"] or not fields:
                return prompt, base
            require_unarchived(prompt)
            vet(content, is_production)
            return go_live(world, view, prompt, base)
    require_unarchived(prompt)
    vet(content, is_production)
    prompt["name"] = new_name or prompt["name"]
    prompt["grants"] = prompt["grants"] if grants is None else grants
    number = prompt["last"] + 1
    put(view, prompt, number, content, message or "", base, is_production)
    actions = ["rename"] * renames + ["grant"] * regrants + ["publish"] * is_production
    wrote(world, view, prompt, "update", *actions, version=number)
    return prompt, number


def seed(world, view, reference, fields, grants, message, on_conflict, release):
    """Keep with the prompt the fields, the release, and the draft as it was written, if one was."""
    kept = {"fields": fields, "release": release, "draft": None, "wrote": None}
    try:
        prompt = find(world, view, reference)
    except Refused:
        prompt, number = save(world, view, reference, fields, grants, message)
        prompt["seed"] = kept
        return prompt, number
    need(view, "update", prompt)
    base, last = shown(prompt), prompt["seed"]
    if prompt["archived"]:
        return prompt, base
    if last and None not in (release, last["release"]) and release < last["release"]:
        return prompt, base
    if last and same(fields, last["fields"]):
        if release is not None and release != last["release"]:
            prompt["seed"] = {**last, "release": release}
            world["writes"] += 1
        return prompt, base
    old = prompt["versions"][base]["content"]
    content = {**old, **fields}
    is_theirs = not last or not same({name: old[name] for name in last["fields"]}, last["fields"])
    before = [n for n in sorted(prompt["versions"], reverse=True) if had_been_live(prompt, n, content)]
    if not prompt["stack"]:
        update(world, view, reference, fields, None, message)
    elif same(content, old):
        world["writes"] += 1
    elif not is_theirs or on_conflict == "publish":
        go_live(world, view, prompt, before[0]) if before else update(world, view, reference, fields, None, message)
    elif on_conflict == "error":
        raise Refused("conflict")
    else:
        kept["draft"], kept["wrote"] = seed_draft(world, view, prompt, content, message)
    prompt["seed"] = kept
    return prompt, shown(prompt)


def had_been_live(prompt, number, content):
    version = prompt["versions"][number]
    return version["state"] == "published" and same(version["content"], content)


def seed_draft(world, view, prompt, content, message):
    """Edit the draft of the last seed, or make one; return its number and what was written, or neither."""
    own, latest = (prompt["seed"] or {}).get("draft"), max(prompt["versions"])
    version = prompt["versions"].get(own)
    if version and version["state"] != "published" and draft_of(version) == prompt["seed"]["wrote"]:
        writes = world["writes"]
        edit(world, view, prompt["id"], own, content, message)
        if world["writes"] == writes:
            world["writes"] += 1
        else:
            version["base"] = shown(prompt)
    elif same(content, prompt["versions"][latest]["content"]):
        world["writes"] += 1
        return None, None
    else:
        _, own = update(world, view, prompt["id"], content, None, message, is_production=False)
    return own, draft_of(prompt["versions"][own])


def draft_of(version):
    return canonical(version["content"]), version["message"]


def require_content(prompt, number, says):
    """Refuse if the version that the caller has read has changed, which the registry detects by its hash."""
    if says is not None and says != canonical(prompt["versions"][number]["content"]):
        raise Refused("version_conflict")


def go_live(world, view, prompt, number):
    prompt["versions"][number]["state"] = "published"
    prompt["stack"].append(number)
    wrote(world, view, prompt, "publish", version=number)
    return prompt, number


def edit(world, view, reference, selector, fields, message=None, says=None):
    """Update a version in place."""
    prompt = find(world, view, reference)
    need(view, "update", prompt)
    number = choose(prompt, selector)
    require_unarchived(prompt)
    version = prompt["versions"][number]
    if version["state"] == "published":
        raise Refused("version_not_modifiable")
    require_content(prompt, number, says)
    content = {**version["content"], **fields}
    if same(content, version["content"]) and message in (None, version["message"]):
        return prompt, number
    vet(content, is_production=False)
    kept = version["message"] if message is None else message
    version.update(content=content, state="draft", message=kept)
    wrote(world, view, prompt, "edit", version=number)
    return prompt, number


def unpublished(prompt):
    return [number for number, version in prompt["versions"].items() if version["state"] != "published"]


def live(prompt):
    return prompt["stack"][-1] if prompt["stack"] else 0


def publish(world, view, reference, selector=None, expected=None, says=None):
    return publish_all(world, view, [(reference, selector)], {reference: (expected, says)})[0]


def publish_all(world, view, chosen, expected):
    """Publish the versions that references choose; what is expected is by reference: a number and a content."""
    found = each(chosen, lambda reference, selector: publishable(world, view, reference, selector, expected))
    moving = [(prompt, number) for prompt, number in found if number != live(prompt)]
    versions = [(prompt, number, prompt["versions"][number]) for prompt, number in moving]
    failing = [(p, n, v) for p, n, v in versions if v["state"] != "published" and not passes(v["content"])]
    for prompt, number, version in failing:
        version["state"] = "failed"
        wrote(world, view, prompt, "check_failed", version=number)
    if failing:
        raise Refused("publish_check_failed")
    for prompt, number in moving:
        go_live(world, view, prompt, number)
    return found


KINDS = [
    *[["not_found"], ["forbidden"], ["version_not_found", "no_production_version"]],
    *[["prompt_archived"], ["conflict"], ["version_conflict"]],
]


def each(chosen, decide):
    """Return what is decided of each prompt, once; raise the first kind of refusal that any of them has."""
    decided, codes = {}, []
    for reference, selector in chosen:
        try:
            prompt, *rest = decide(reference, selector)
            if decided.setdefault(prompt["id"], (prompt, *rest))[1] != rest[0]:
                codes.append("validation_error")
        except Refused as refusal:
            codes.append(refusal.code)
    for kind in [*KINDS, ["validation_error"]]:
        if set(kind) & set(codes):
            raise Refused(next(code for code in codes if code in kind))
    return list(decided.values())


def publishable(world, view, reference, selector, expected):
    prompt = find(world, view, reference)
    need(view, "publish", prompt)
    number = None if selector is None else choose(prompt, selector)
    require_unarchived(prompt)
    if number is None:
        drafts = unpublished(prompt)
        if len(drafts) > 1 or (not drafts and live(prompt) != max(prompt["versions"])):
            raise Refused("conflict")
        number = drafts[0] if drafts else live(prompt)
    require_live(prompt, expected)
    for _, says in said(prompt, expected):
        require_content(prompt, number, says)
    return prompt, number


def said(prompt, expected):
    """Return what is expected of a prompt, by its name or its id."""
    return [expected[known] for known in (prompt["name"], prompt["id"]) if known in expected]


def require_live(prompt, expected):
    if any(number not in (None, live(prompt)) for number, _ in said(prompt, expected)):
        raise Refused("version_conflict")


def rollback(world, view, reference, selector=None, expected=None):
    return rollback_all(world, view, [(reference, selector)], {reference: (expected, None)})[0]


def rollback_all(world, view, chosen, expected):
    found = each(chosen, lambda reference, selector: earlier(world, view, reference, selector, expected))
    for prompt, number, kept in found:
        if number != live(prompt):
            prompt["stack"] = kept
            wrote(world, view, prompt, "rollback", version=number)
    return [(prompt, number) for prompt, number, _ in found]


def earlier(world, view, reference, selector, expected):
    """Return the version that a prompt goes back to, and the stack of publications afterwards."""
    prompt = find(world, view, reference)
    need(view, "rollback", prompt)
    number = None if selector is None else choose(prompt, selector)
    require_unarchived(prompt)
    stack = prompt["stack"]
    if number is None:
        if len(stack) < 2:
            raise Refused("conflict")
        number = stack[-2]
        kept = stack[:-1]
    elif prompt["versions"][number]["state"] != "published":
        raise Refused("conflict")
    elif number in stack:
        kept = stack[: len(stack) - stack[::-1].index(number)]
    else:
        kept = [*stack, number]
    require_live(prompt, expected)
    return prompt, number, kept


def check(world, view, reference, selector=None):
    """Return how many reasons there are why a version could not be published."""
    prompt = find(world, view, reference)
    drafts = unpublished(prompt)
    if selector is None and len(drafts) > 1:
        raise Refused("conflict")
    number = choose(prompt, selector) if selector is not None else drafts[0] if drafts else live(prompt)
    return prompt["archived"] + failures(prompt["versions"][number]["content"])


def discard(world, view, reference, selector=None):
    prompt = find(world, view, reference)
    need(view, "discard", prompt)
    number = None if selector is None else choose(prompt, selector)
    require_unarchived(prompt)
    if number is None:
        if len(unpublished(prompt)) != 1:
            raise Refused("conflict")
        (number,) = unpublished(prompt)
    if prompt["versions"][number]["state"] == "published":
        raise Refused("version_not_modifiable")
    if number in prompt["labels"].values() or len(prompt["versions"]) == 1:
        raise Refused("conflict")
    del prompt["versions"][number]
    wrote(world, view, prompt, "discard", version=number)
    return prompt, shown(prompt)


def set_label(world, view, reference, label, selector):
    prompt = find(world, view, reference)
    need(view, "label", prompt)
    number = choose(prompt, selector)
    require_unarchived(prompt)
    if prompt["labels"].get(label) != number:
        prompt["labels"][label] = number
        wrote(world, view, prompt, "set_label", version=number)
    return prompt, shown(prompt)


def remove_label(world, view, reference, label):
    prompt = find(world, view, reference)
    need(view, "label", prompt)
    if label not in prompt["labels"]:
        raise Refused("version_not_found")
    require_unarchived(prompt)
    number = prompt["labels"].pop(label)
    wrote(world, view, prompt, "remove_label", version=number)
    return prompt, shown(prompt)


ACTIONS = {"archived": "archive", "deleted": "delete", "disabled": "disable"}


def set_status(world, view, references, target, *, dry_run=False):
    """Return the names of the prompts that change, and of those that have the status already."""
    prompts = []
    for reference in references:
        prompt = find(world, view, reference)
        prompts += [] if prompt in prompts else [prompt]
    moving = [p for p in prompts if status(p) != target]
    for prompt in moving:
        need(view, status_action(prompt, target), prompt)
    if target in ("disabled", "deleted"):
        for prompt in moving:
            require_unarchived(prompt)
    updated, skipped = ([p["name"] for p in prompts if (p in moving) is moves] for moves in (True, False))
    for prompt in [] if dry_run else moving:
        move(world, view, prompt, status_action(prompt, target))
    return updated, skipped


def status_action(prompt, target):
    """Return the verb to which a status change corresponds."""
    return ACTIONS.get(target) or ("restore" if prompt["archived"] else "enable")


def move(world, view, prompt, action):
    if action in ("archive", "restore"):
        prompt["archived"] = action == "archive"
    elif action in ("disable", "enable"):
        prompt["disabled"] = action == "disable"
    wrote(world, view, prompt, action)
    if action == "delete":
        world["prompts"].remove(prompt)
        for event in world["events"]:
            if event["id"] == prompt["id"] and event["action"] != "delete":
                event["name"] = None


def archive(world, view, reference, target="archived"):
    set_status(world, view, [reference], target)
    prompt = find(world, view, reference)
    return prompt, shown(prompt)


def restore(world, view, reference):
    return archive(world, view, reference, "active")


def disable(world, view, reference):
    return archive(world, view, reference, "disabled")


def delete(world, view, reference):
    set_status(world, view, [reference], "deleted")
