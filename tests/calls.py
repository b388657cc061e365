"""The calls of the state machine: every verb, on the registry and on the model, with the arguments of both.

A call has the arguments of all verbs, of which each uses some. The registry's results are translated into the model's
form, so that both sides can be compared with `==`.
"""

from random import Random
from types import SimpleNamespace

from promptreg import Grant, Prompt, Role, Version
from tests import model

# The callers: an id, a role, groups, and the namespace in which the role is held.
PEOPLE = {
    "application": (None, None, (), "a"),
    "editor": ("eda", Role.TEAM_EDITOR, (), "a"),
    "team admin": ("tom", Role.TEAM_ADMIN, (), "a"),
    "org admin": ("oda", Role.ORG_ADMIN, (), "a"),
    "member": ("mia", Role.TEAM_MEMBER, (), "a"),
    "owner without role": ("eda", None, (), "a"),
    "editor elsewhere": ("ben", Role.TEAM_EDITOR, (), "b"),
    "granted by name": ("gus", None, (), "a"),
    "granted by group": ("gil", None, ("legal",), "a"),
    "stranger": ("sam", None, (), "a"),
}
NAMESPACES = ["a", "b"]
NAMES = ["alpha", "beta", "çay/2.1"]
LABELS = ["production", "latest", "staging", "eu", "nope"]

TEMPLATES = [
    "Hello",
    "Hello {{ who }}",
    "Hello {{ who }}, hello\n",
    "Merhaba <b>{{ who }}</b>",
    [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Greet {{ who }}"}],
    "LOUD {{ who }}",
    "Hello {% if %}",
]
FIELDS = [
    *({"template": template} for template in [*TEMPLATES[:-2] * 3, *TEMPLATES, TEMPLATES[-2]]),
    {"title": "A greeting"},
    {"title": "Selam"},
    {"description": "says hello"},
    {"category": "writing"},
    {"category": ""},
    {"tags": ["fun", "warm"]},
    {"tags": ["warm", "fun", "warm"]},
    {"tags": ["fun"]},
    {"config": {"model": "m", "stop": ["."]}},
    {"config": None},
    {"meta": {"n": 1}},
    {"meta": {"n": 1.5}},
    {"meta": None},
    {"variables": [{"name": "who", "type": "string", "required": False, "default": "you"}]},
    {"variables": None},
    {"examples": [{}]},
    {"examples": [{"who": "Ana"}]},
    {"examples": []},
]
GRANTS = [
    {},
    {"user:gus": "write"},
    {"user:gus": "read", "group:legal": "write"},
    {"group:legal": "read", "user:ben": "write", "user:eda": "read"},
    {"anyone": "read"},
]


STATUSES = [None, ["active"], ["archived"], ["disabled", "archived"], ["active", "disabled", "archived"]]
SHOWN = [{}, {}, {"tag": ["fun"]}, {"tag": ["warm", "fun"]}, {"category": "writing"}, {"category": ""}]
FILTERS = [
    {},
    {},
    {},
    {"created_by": "eda"},
    {"prefix": "al"},
    {"prefix": "ç"},
    *({"label": label} for label in LABELS),
]
ACTIONS = [None, None, ["publish"], ["create", "delete"], ["update", "edit", "archive"]]
TEXTS = ["hello", "HELLO who", "greet", "çay", "fun hello", "be greeting", "selam", "says", "alpha", "nothing"]
VERSIONS = [
    *range(1, 11),
    *["unpublished"] * 6,
    *["latest"] * 4,
    "production",
    "production",
    "staging",
    "staging",
    "eu",
    "nope",
]
VALUES = [{}, {"who": "Ana"}, {"who": "{{ who }} {% if %} <&>", "more": 1}]


def pick(seed):
    """Return a caller, a namespace, and every argument that a verb may accept, with mostly valid values."""
    among = Random(seed).choice

    def reference():
        """Return an index into the list of existing prompts, and how to refer to that prompt."""
        return among([0, 0, 0, 1, 2, 3]), among(
            [*["name"] * 14, *["id"] * 6, "hidden", "hidden", "elsewhere", "absent"]
        )

    by = among([*PEOPLE, *["application", "editor", "team admin", "org admin"] * 5]), among(["a", "a", "a", "a", "b"])
    return by, {
        "name": reference(),
        "many": [reference() for _ in range(among([0, 0, 1, 2, 3]))],
        "fresh": among(NAMES),
        "fields": {**among(FIELDS), **among([{}, {}, *FIELDS])},
        "version": among([None] * 5 + VERSIONS),
        "other": among(VERSIONS),
        "way": among(["@", "version", "label"]),
        "grants": among([None, None, *GRANTS]),
        "message": among([None, None, "Again", "Shorter"]),
        "live": among([True, True, False]),
        "expected": among([None] * 24 + [0, 1, 2, 3]),
        "read": among([None] * 12 + [*range(4)]),
        "label": among(["staging", "eu"]),
        "target": among(["active", "disabled", "disabled"] * 3 + ["archived", "archived", "deleted"]),
        "statuses": among(STATUSES),
        "shown": among(SHOWN),
        "filters": among(FILTERS),
        "actions": among(ACTIONS),
        "text": among(TEXTS),
        "limit": among([1, 2, 100]),
        "after": among([0, 3, 20]),
        "values": among(VALUES),
        "on_conflict": among(["draft", "draft", "publish", "error"]),
        "release": among([None, None, None, 1, 2, 3]),
    }


# Calls that are invalid in every state and for every actor.
INVALID = {
    "create": lambda v: v.create("Alpha", "Hello"),
    "save": lambda v: v.save("alpha@1", "Hello"),
    "seed": lambda v: v.seed("alpha", "Hello", on_conflict="ask"),
    "get": lambda v: v.get("alpha@1", version=1),
    "render": lambda v: v.render("alpha", version=1, label="staging"),
    "update": lambda v: v.update("alpha", title=None),
    "edit": lambda v: v.update("alpha", version=1, expected_version=1),
    "rename": lambda v: v.update("alpha@1", new_name="beta"),
    "grant": lambda v: v.update("alpha", access_grants=[("anyone", "write")]),
    "publish": lambda v: v.publish("alpha", 0),
    "publish many": lambda v: v.publish(["alpha@1", "beta", "alpha@2"]),
    "rollback": lambda v: v.rollback("alpha", reason=" "),
    "rollback many": lambda v: v.rollback(["alpha"], reason="x", expected_production={"beta": 1}),
    "check": lambda v: v.check("alpha@1", 1),
    "set_status": lambda v: v.set_status(["alpha", "beta@1"], "active"),
    "dry run": lambda v: v.set_status("alpha", "draft", dry_run=True),
    "archive": lambda v: v.archive("alpha@1"),
    "restore": lambda v: v.restore(""),
    "enable": lambda v: v.enable("alpha@1"),
    "disable": lambda v: v.disable(None),
    "delete": lambda v: v.delete("alpha@1"),
    "discard": lambda v: v.discard("alpha@1", 1),
    "set_label": lambda v: v.set_label("alpha@1", "eu", 1),
    "remove_label": lambda v: v.remove_label("alpha", "17"),
    "get_many": lambda v: v.get_many(["alpha", "Beta"]),
    "iterate": lambda v: v.iterate(label="17"),
    "history": lambda v: v.history("alpha", limit=0),
    "diff": lambda v: v.diff("alpha", 1, 1.0),
    "list": lambda v: v.list(status="deleted"),
    "search": lambda v: v.search(" "),
    "events": lambda v: v.events(after=-1),
}


def read(prompt, number, hashes):
    """Return the content of one of a prompt's versions, if it was read before, and the registry's hash of it."""
    if number is None or prompt is None:
        return None, None
    contents = [model.canonical(version["content"]) for version in prompt["versions"].values()]
    says = contents[number % len(contents)]
    found = hashes.get(("hash of", says))
    return (None, None) if found is None else (says, found)


def placed(world, asking, asked, last, hashes):
    """Return the arguments of a call with names or ids of this world as its references; `last` is the last one."""
    here = [p for p in world["prompts"] if p["namespace"] == asking["namespace"]]
    elsewhere = [p for p in world["prompts"] if p not in here]
    among = {"absent": [], "elsewhere": elsewhere, "hidden": here}

    def reference(place):
        number, kind = place
        if kind == "last":
            return last
        prompts = among.get(kind, model.readable(world, asking) or here)
        return prompts[number % len(prompts)]["name" if kind == "name" else "id"] if prompts else "absent"

    def version(chosen):
        prompt = next((p for p in here if call.name in (p["name"], p["id"])), None)
        if prompt is None or (not isinstance(chosen, int) and chosen != "unpublished"):
            return chosen
        numbers = sorted(prompt["versions"])
        if chosen == "unpublished":
            return max((n for n in numbers if prompt["versions"][n]["state"] != "published"), default="latest")
        return numbers[chosen % len(numbers)] if chosen < 10 else prompt["last"] + 1

    call = SimpleNamespace(**asked)
    call.name, call.many = reference(call.name), [reference(place) for place in call.many]
    call.version, call.other = version(call.version), version(call.other)
    call.says, call.hash = read(next((p for p in here if call.name in (p["name"], p["id"])), None), call.read, hashes)
    call.content = {name: model.EMPTY[name] if value is None else value for name, value in call.fields.items()}
    return call


def passed(**arguments):
    """Return the arguments that are passed: those that are not None."""
    return {name: value for name, value in arguments.items() if value is not None}


def chosen(verb, call, **more):
    """Choose a version with @ or with an argument, or none."""
    if call.version is None:
        return verb(call.name, **more)
    if call.way == "@":
        return verb(f"{call.name}@{call.version}", **more)
    takes_label = verb.__name__ in ("get", "render") and isinstance(call.version, str)
    return verb(call.name, **{call.way if takes_label else "version": call.version}, **more)


def grants(call):
    """Return grants as a caller passes them: values or pairs."""
    return [Grant(*pair) if i % 2 else pair for i, pair in enumerate(call.grants.items())]


def first(call):
    """Return the fields of a first version, which needs a template."""
    return {"template": "Hello {{ who }}", **call.fields}


def saved(call, fields, **more):
    """Return the keyword arguments of `create`, `save` and `update`."""
    live = {} if call.live else {"is_production": False}
    shared = call.grants if call.grants is None else grants(call)
    return {**fields, **live, **passed(commit_message=call.message, access_grants=shared, **more)}


def seeded(view, call):
    more = passed(commit_message=call.message, release=call.release)
    shared = {} if call.grants is None else {"access_grants": grants(call)}
    return view.seed(call.name, **first(call), **shared, **more, on_conflict=call.on_conflict)


def seed(world, asking, call):
    extra = call.grants, call.message, call.on_conflict, call.release
    return model.seed(world, asking, call.name, {**first(call), **call.content}, *extra)


def updated(view, call):
    expected = {"expected_version": call.expected, "expected_hash": call.hash}
    return view.update(call.name, **saved(call, call.fields, new_name=call.new_name, **expected))


def update(world, asking, call):
    extra = call.grants, call.message, call.live, call.new_name, call.expected, call.says
    return model.update(world, asking, call.name, call.content, *extra)


def labelled(view, call):
    if call.way == "@":
        return view.set_label(f"{call.name}@{call.other}", call.label)
    return view.set_label(call.name, call.label, call.other)


def pages(view, call):
    """Return the names and versions that `list` returns, page by page."""
    asked = {"status": call.statuses, "limit": call.limit, **call.shown, **call.filters}
    listed = [view.list(**asked)]
    while listed[-1].next:
        assert len(listed[-1]) == call.limit
        listed.append(view.list(**asked, after=listed[-1].next))
    return [(prompt.name, prompt.version) for page in listed for prompt in page]


def found(view, call):
    """Return the names that `search` finds, and the number of them within the limit."""
    within = view.search(call.text, status=call.statuses, **call.shown, limit=call.limit)
    every = [prompt.name for prompt in view.search(call.text, status=call.statuses, **call.shown, limit=100)]
    assert {prompt.name for prompt in within} <= set(every)
    return sorted(every), len(within)


def count_events(view, call):
    """Return the number of events, and check that those after one, and those below one, are a part of all."""
    every = view.events(call.about, action=call.actions, limit=10_000)
    asked = {"action": call.actions, "after": call.after, "limit": call.limit}
    assert view.events(call.about, **asked) == [e for e in every if e.seq > call.after][: call.limit]
    below = [e for e in every[::-1] if call.after == 0 or e.seq < call.after]
    assert view.events(call.about, newest_first=True, **asked) == below[: call.limit]
    return len(every)


def status_set(view, call):
    update = view.set_status(call.many or call.name, call.target, dry_run=call.is_dry)
    assert (update.dry_run, update.updated_prompts) == (call.is_dry, len(update.updated))
    return update.updated, update.skipped


def several(call):
    """Return the arguments of a call about several prompts: a version for all, or one with @ for each or the first."""
    references = [
        name if version is None or call.way == "version" else f"{name}@{version}" for name, version in versioned(call)
    ]
    return (references, call.version) if call.way == "version" else (references,)


def versioned(call):
    """Return these prompts, each with the version that it chooses."""
    return [(name, None if call.way == "label" and i else call.version) for i, name in enumerate(call.many)]


def expected_live(call):
    """Return what is expected of the first of several prompts, by the reference to it, if anything."""
    return None if call.expected is None or not call.many else {call.many[0]: call.expected}


def rendered(view, call):
    result = chosen(view.render, call, **call.values)
    return result.text, [message["content"] for message in result.messages]


def render(world, asking, call):
    texts = model.render(world, asking, call.name, call.version, call.values)
    return "\n\n".join(texts), texts


def search(world, asking, call):
    names = [prompt["name"] for prompt, _ in model.search(world, asking, call.text, call.statuses, **call.shown)]
    return names, min(len(names), call.limit)


def versioned_names(call):
    """Return names, of which every second chooses a version."""
    chosen = "" if call.version is None else f"@{call.version}"
    return [f"{name}{chosen}" if i % 2 else name for i, name in enumerate(call.many)]


def iterated(view, call):
    return [
        (prompt.name, prompt.version) for prompt in view.iterate(status=call.statuses, **call.shown, **call.filters)
    ]


def listed(world, asking, call):
    found = model.listing(world, asking, call.statuses, **call.shown, **call.filters)
    return [(prompt["name"], number) for prompt, number in found]


def history(world, asking, call):
    prompt, numbers = model.history(world, asking, call.name, call.limit, call.version)
    return [described_version(prompt, number) for number in numbers]


# A verb, or a form of it: the call of the registry and that of the model; v: view, w: world, a: caller, c: call.
CALLS = {
    "create": (
        lambda v, c: v.create(c.fresh, **saved(c, first(c))),
        lambda w, a, c: model.create(w, a, c.fresh, {**first(c), **c.content}, c.grants, c.message, c.live),
    ),
    "save": (
        lambda v, c: v.save(c.name, **saved(c, first(c))),
        lambda w, a, c: model.save(w, a, c.name, {**first(c), **c.content}, c.grants, c.message, c.live),
    ),
    "seed": (seeded, seed),
    **dict.fromkeys(["update", "draft", "rename", "grant"], (updated, update)),
    "edit": (
        lambda v, c: chosen(v.update, c, **c.fields, **passed(commit_message=c.message, expected_hash=c.hash)),
        lambda w, a, c: model.edit(w, a, c.name, c.version, c.content, c.message, c.says),
    ),
    "publish": (
        lambda v, c: chosen(v.publish, c, **passed(expected_production=c.expected, expected_hash=c.hash)),
        lambda w, a, c: model.publish(w, a, c.name, c.version, c.expected, c.says),
    ),
    "rollback": (
        lambda v, c: chosen(v.rollback, c, reason="too long", **passed(expected_production=c.expected)),
        lambda w, a, c: model.rollback(w, a, c.name, c.version, c.expected),
    ),
    "publish many": (
        lambda v, c: v.publish(*several(c), **passed(expected_production=expected_live(c))),
        lambda w, a, c: model.publish_all(
            w, a, versioned(c), {n: (e, None) for n, e in (expected_live(c) or {}).items()}
        ),
    ),
    "rollback many": (
        lambda v, c: v.rollback(*several(c), reason="too early", **passed(expected_production=expected_live(c))),
        lambda w, a, c: model.rollback_all(
            w, a, versioned(c), {n: (e, None) for n, e in (expected_live(c) or {}).items()}
        ),
    ),
    "check": (lambda v, c: len(chosen(v.check, c)), lambda w, a, c: model.check(w, a, c.name, c.version)),
    "discard": (
        lambda v, c: chosen(v.discard, c),
        lambda w, a, c: model.discard(w, a, c.name, c.version),
    ),
    "set_label": (
        lambda v, c: (
            v.set_label(f"{c.name}@{c.other}", c.label) if c.way == "@" else v.set_label(c.name, c.label, c.other)
        ),
        lambda w, a, c: model.set_label(w, a, c.name, c.label, c.other),
    ),
    "remove_label": (
        lambda v, c: v.remove_label(c.name, c.label),
        lambda w, a, c: model.remove_label(w, a, c.name, c.label),
    ),
    "archive": (lambda v, c: v.archive(c.name), lambda w, a, c: model.archive(w, a, c.name)),
    "restore": (lambda v, c: v.restore(c.name), lambda w, a, c: model.restore(w, a, c.name)),
    "enable": (lambda v, c: v.enable(c.name), lambda w, a, c: model.restore(w, a, c.name)),
    "disable": (lambda v, c: v.disable(c.name), lambda w, a, c: model.disable(w, a, c.name)),
    "delete": (lambda v, c: v.delete(c.name), lambda w, a, c: model.delete(w, a, c.name)),
    **dict.fromkeys(
        ["set_status", "dry run"],
        (status_set, lambda w, a, c: model.set_status(w, a, c.many or [c.name], c.target, dry_run=c.is_dry)),
    ),
    "get": (lambda v, c: chosen(v.get, c), lambda w, a, c: model.get(w, a, c.name, c.version)),
    "get_many": (
        lambda v, c: v.get_many(versioned_names(c)),
        lambda w, a, c: model.get_many(w, a, [(name, c.version if i % 2 else None) for i, name in enumerate(c.many)]),
    ),
    "render": (rendered, render),
    "history": (lambda v, c: v.history(c.name, limit=c.limit, before=c.version), history),
    "diff": (
        lambda v, c: bool(v.diff(c.name, c.version or 1, c.other)),
        lambda w, a, c: model.differs(w, a, c.name, c.version or 1, c.other),
    ),
    "list": (pages, listed),
    "iterate": (iterated, listed),
    "search": (found, search),
    "events": (count_events, lambda w, a, c: len(model.events(w, a, c.about, c.actions))),
    "namespaces": (lambda v, c: v.namespaces(), lambda w, a, c: model.namespaces(w, a)),
}


def shape(verb, call):
    """Set the arguments of a call so that it is this form of the verb."""
    call.is_dry = verb == "dry run"
    call.about = None if call.version is None else call.name
    call.new_name = call.fresh if verb == "rename" else None
    if verb == "edit":
        call.version = call.version or "latest"
    elif verb == "draft":
        call.live, call.grants = False, None
    elif verb == "update":
        call.live, call.grants = True, None
    elif verb == "grant":
        call.grants = call.grants or {}
    return call


# Comparing

VERSION = ["version", "name", "state", "kind", "template", "title", "description", "category", "config", "meta"]
VERSION += ["examples", "commit_message", "author", "base_version"]
CONTAINER = ["id", "namespace", "status", "is_active", "labels", "production_version", "latest_version", "created_by"]


def described(prompt, number):
    """Return the fields of a prompt resolved to a version, as the model has them."""
    version, container = described_version(prompt, number), {"name": prompt["name"], "access_grants": prompt["grants"]}
    return {
        **version,
        **container,
        "id": prompt["id"],
        "namespace": prompt["namespace"],
        "status": model.status(prompt),
        "is_active": model.status(prompt) == "active",
        "labels": model.labels(prompt),
        "production_version": prompt["stack"][-1] if prompt["stack"] else None,
        "latest_version": max(prompt["versions"]),
        "created_by": prompt["owner"],
    }


def described_version(prompt, number):
    """Return the fields of a version alone, as the model has them."""
    version = prompt["versions"][number]
    content = version["content"]
    reads = any("{{ who }}" in text for text in model.sources(content))
    effective = [("who", "string", False, "you")] if content["variables"] else [("who", "any", True, None)] * reads
    return {
        **{field: content[field] for field in content if field not in ("variables", "tags")},
        "tags": set(content["tags"]),
        "variables": effective,
        "kind": "text" if isinstance(content["template"], str) else "chat",
        "version": number,
        "state": version["state"],
        "is_published": version["state"] == "published",
        "has_failed": version["state"] == "failed",
        "name": version["name"],
        "access_grants": version["grants"],
        "commit_message": version["message"],
        "author": version["author"],
        "base_version": version["base"] if version["base"] in prompt["versions"] else None,
    }


def seen(value):
    """Return the same fields of a prompt or version that a verb returned; return other results unchanged."""
    if isinstance(value, list):
        return [seen(item) for item in value]
    if not isinstance(value, Version):
        return value
    fields = VERSION + CONTAINER * isinstance(value, Prompt)
    return {
        **{field: getattr(value, field) for field in fields},
        "tags": set(value.tags),
        "variables": [(v.name, v.type, v.required, v.default) for v in value.variables],
        "access_grants": {grant.principal: grant.permission for grant in value.access_grants},
        "is_published": value.published_at is not None,
        "has_failed": bool(value.failure),
    }


def expected(answer):
    """Return what `seen` must return for the result of the model."""
    match answer:
        case [(dict(), int()), *_]:
            return [expected(item) for item in answer]
        case (dict() as prompt, int() as number):
            return described(prompt, number)
        case [(dict(), int()), *_]:
            return [described(prompt, number) for prompt, number in answer]
    return answer
