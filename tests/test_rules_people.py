"""Rules 17 and 18: the permissions of every verb, cell by cell, what is hidden, and the order of refusals."""

import re
from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from promptreg import (
    UNSET,
    Actor,
    ConflictError,
    ForbiddenError,
    Grant,
    InvalidInputError,
    MissingVariablesError,
    NameTakenError,
    NoProductionVersionError,
    NotFoundError,
    NotModifiableError,
    PromptDisabledError,
    PromptregError,
    PublishCheckError,
    Registry,
    Role,
    StorageError,
    TemplateSyntaxError,
    UnauthorizedError,
    VersionConflictError,
    VersionNotFoundError,
)
from tests.reports import data_of
from tests.storages import copy_registry, everything, target_of

ALL = ["active", "disabled", "archived"]
PROMPTS = ("on", "off", "kept")
LONE = ("one", "never")  # with a single draft: beside a live version, and alone
GRANTS = [("user:walt", "write"), ("group:writers", "write"), ("user:rita", "read"), ("group:readers", "read")]
OLGA = Actor("olga")

# Each column of the table of rule 17, with its actors.
PEOPLE = {
    "member": {"member": Actor("mia", Role.TEAM_MEMBER)},
    "editor": {"editor": Actor("ed", Role.TEAM_EDITOR)},
    "team admin": {"team admin": Actor("ann", "team_admin")},
    "org admin": {"org admin": Actor("oz", "org_admin")},
    "owner": {"owner": OLGA},
    "write grant": {"user granted write": Actor("walt"), "group granted write": Actor("w", groups=["x", "writers"])},
    "read grant": {
        "user granted read": Actor("rita"),
        "group granted read": Actor("r", groups=["readers"]),
        "anyone granted read": Actor("nobody"),
    },
    "stranger": {"stranger": Actor("sam", groups=["walt", "user:walt", "anyone"])},
    "application": {"application": None},
}
TABLE = """
                 member editor team_admin org_admin owner write_grant read_grant
read             yes    yes    yes        yes       yes   yes         yes
create           -      yes    yes        yes       -     -           -
change           -      yes    yes        yes       yes   yes         -
keep             -      -      yes        yes       yes   -           -
retire           -      -      yes        yes       -     -           -
"""
COLUMNS, *ROWS = (line.split() for line in TABLE.strip().splitlines())
MAY = {
    (row, column.replace("_", " ")): cell == "yes"
    for row, *cells in ROWS
    for column, cell in zip(COLUMNS, cells, strict=True)
}
MAY |= {(row, "application"): True for row, *_ in ROWS} | {(row, "stranger"): False for row, *_ in ROWS}


class Verb(NamedTuple):
    """A call on one prompt, the row of the table that applies to it, the events that it records, and its result."""

    row: str
    prompt: str
    call: Callable[[Registry, str], object]
    events: tuple[str, ...] = ()
    returns: Callable[[object], object] = lambda result: result


VERBS = {
    "get": Verb("read", "on", lambda r, n: r.get(n)),
    "get a number": Verb("read", "on", lambda r, n: r.get(f"{n}@4")),
    "get a label": Verb("read", "on", lambda r, n: r.get(n, label="staging")),
    "get disabled": Verb("read", "off", lambda r, n: r.get(n, version=1)),
    "get archived": Verb("read", "kept", lambda r, n: r.get(n)),
    "render": Verb("read", "on", lambda r, n: r.render(n), returns=lambda x: x.text == "Second of on"),
    "render a label": Verb("read", "on", lambda r, n: r.render(f"{n}@staging"), returns=lambda x: x.version == 1),
    "render archived": Verb("read", "kept", lambda r, n: r.render(n)),
    "get many": Verb("read", "on", lambda r, n: r.get_many([n, n]), returns=lambda x: [p.version for p in x] == [2, 2]),
    "get many by label": Verb("read", "on", lambda r, n: r.get_many([f"{n}@4"]), returns=lambda x: x[0].version == 4),
    "history": Verb("read", "on", lambda r, n: r.history(n), returns=lambda x: [v.version for v in x] == [4, 3, 2, 1]),
    "diff": Verb("read", "on", lambda r, n: r.diff(n, 1, 2)),
    "check": Verb("read", "on", lambda r, n: r.check(n, 4), returns=lambda x: x == ["check: bad"]),
    "report of one": Verb(
        "read", "on", lambda r, n: r.report([n]),
        returns=lambda x: [v["version"] for v in data_of(x)["prompts"][0]["versions"]] == [4, 3, 2, 1],
    ),
    "events of one": Verb("read", "on", lambda r, n: r.events(n), returns=lambda x: x[0].action == "create"),
    "create": Verb("create", "new", lambda r, n: r.create(n, "Born"), ("create", "publish")),
    "create a draft": Verb("create", "new", lambda r, n: r.create(n, "Born", is_production=False), ("create",)),
    "create with grants": Verb(
        "create", "new", lambda r, n: r.create(n, "B", access_grants=[("anyone", "read")]),
        ("create", "grant", "publish"),
    ),
    "save anew": Verb("create", "new", lambda r, n: r.save(n, "Born"), ("create", "publish")),
    "save": Verb("change", "on", lambda r, n: r.save(n, "Saved"), ("update", "publish")),
    "save what is equal": Verb("change", "on", lambda r, n: r.save(n, "Second of on")),
    "seed anew": Verb(
        "create", "new", lambda r, n: r.seed(n, "B", access_grants=[("anyone", "read")]), ("create", "grant", "publish")
    ),
    "seed what is equal": Verb("change", "on", lambda r, n: r.seed(n, "Second of on", access_grants=[])),
    "seed over people": Verb(
        "change", "on", lambda r, n: r.seed(n, "Seeded", on_conflict="publish"), ("update", "publish")
    ),
    "seed beside people": Verb("change", "on", lambda r, n: r.seed(n, "Seeded"), ("update",)),
    "seed what was live": Verb(
        "change", "on", lambda r, n: r.seed(n, "First of on", on_conflict="publish"), ("publish",)
    ),
    "seed where nothing is live": Verb("change", "never", lambda r, n: r.seed(n, "Draft"), ("publish",)),
    "seed the archived": Verb("change", "kept", lambda r, n: r.seed(n, "Seeded")),
    "update": Verb("change", "on", lambda r, n: r.update(n, title="T"), ("update", "publish")),
    "update nothing": Verb("change", "on", lambda r, n: r.update(n)),
    "update to a draft": Verb("change", "on", lambda r, n: r.update(n, title="T", is_production=False), ("update",)),
    "edit in place": Verb("change", "on", lambda r, n: r.update(n, version=3, title="T"), ("edit",)),
    "update disabled": Verb("change", "off", lambda r, n: r.update(n, title="T"), ("update", "publish")),
    "same name and grants": Verb(
        "change", "on", lambda r, n: r.update(n, new_name="on", access_grants=r.get(n).access_grants)
    ),
    "publish": Verb("change", "on", lambda r, n: r.publish(n, 3), ("publish",)),
    "publish a label": Verb("change", "on", lambda r, n: r.publish(f"{n}@staging"), ("publish",)),
    "publish what is live": Verb("change", "on", lambda r, n: r.publish(n, 2)),
    "publish the one draft": Verb("change", "one", lambda r, n: r.publish(n), ("publish",)),
    "publish several": Verb("change", "on", lambda r, n: r.publish([f"{n}@3"]), ("publish",)),
    "publish what is expected": Verb(
        "change", "one", lambda r, n: r.publish(n, expected_production=1, expected_hash=r.get(f"{n}@2").content_hash),
        ("publish",),
    ),
    "a lone draft goes live": Verb("change", "never", lambda r, n: r.update(n, template="Draft"), ("publish",)),
    "a lone draft goes live, saved": Verb("change", "never", lambda r, n: r.save(n, "Draft"), ("publish",)),
    "update to an equal draft": Verb(
        "change", "one", lambda r, n: r.update(n, template="Draft", is_production=False),
        returns=lambda x: x.version == 2,
    ),
    "edit what is expected": Verb(
        "change", "one", lambda r, n: r.update(f"{n}@2", title="T", expected_hash=r.get(f"{n}@2").content_hash),
        ("edit",),
    ),
    "rollback": Verb("change", "on", lambda r, n: r.rollback(n, reason="why"), ("rollback",)),
    "rollback several": Verb("change", "on", lambda r, n: r.rollback([n], reason="why"), ("rollback",)),
    "rollback what is expected": Verb(
        "change", "on", lambda r, n: r.rollback(n, reason="why", expected_production=2), ("rollback",)
    ),
    "discard": Verb("change", "on", lambda r, n: r.discard(n, 4), ("discard",)),
    "discard the one draft": Verb("change", "one", lambda r, n: r.discard(n), ("discard",)),
    "set_label": Verb("change", "on", lambda r, n: r.set_label(n, "canary", 2), ("set_label",)),
    "set_label by reference": Verb("change", "on", lambda r, n: r.set_label(f"{n}@2", "canary"), ("set_label",)),
    "set_label where it is": Verb("change", "on", lambda r, n: r.set_label(n, "staging", 1)),
    "remove_label": Verb("change", "on", lambda r, n: r.remove_label(n, "staging"), ("remove_label",)),
    "disable": Verb("change", "on", lambda r, n: r.set_status(n, "disabled"), ("disable",)),
    "disable by its verb": Verb("change", "on", lambda r, n: r.disable(n), ("disable",)),
    "disable, dry": Verb("change", "on", lambda r, n: r.set_status(n, "disabled", dry_run=True)),
    "enable": Verb("change", "off", lambda r, n: r.set_status([n], "active"), ("enable",)),
    "enable by its verb": Verb("change", "off", lambda r, n: r.enable(n), ("enable",)),
    "restore, which enables": Verb("change", "off", lambda r, n: r.restore(n), ("enable",)),
    "rename": Verb("keep", "on", lambda r, n: r.update(n, new_name="other"), ("update", "rename", "publish")),
    "grant": Verb("keep", "on", lambda r, n: r.update(n, access_grants=[]), ("update", "grant", "publish")),
    "grant in a save": Verb(
        "keep", "on", lambda r, n: r.save(n, "Second of on", access_grants=[]), ("update", "grant", "publish")
    ),
    "rename with a draft": Verb(
        "keep", "on", lambda r, n: r.update(n, new_name="other", is_production=False), ("update", "rename")
    ),
    "archive": Verb("retire", "on", lambda r, n: r.archive(n), ("archive",)),
    "archive disabled": Verb("retire", "off", lambda r, n: r.set_status(n, "archived"), ("archive",)),
    "archive, dry": Verb("retire", "on", lambda r, n: r.set_status(n, "archived", dry_run=True)),
    "restore": Verb("retire", "kept", lambda r, n: r.restore(n), ("restore",)),
    "restore by status": Verb("retire", "kept", lambda r, n: r.set_status(n, "active"), ("restore",)),
    "restore, dry": Verb("retire", "kept", lambda r, n: r.set_status(n, "active", dry_run=True)),
    "delete": Verb("retire", "on", lambda r, n: r.set_status(n, "deleted"), ("delete",)),
    "delete by its verb": Verb(
        "retire", "on", lambda r, n: r.delete(n), ("delete",), returns=lambda x: x is None
    ),
    "delete disabled": Verb("retire", "off", lambda r, n: r.set_status([n], "deleted"), ("delete",)),
    "delete, dry": Verb("retire", "on", lambda r, n: r.set_status(n, "deleted", dry_run=True)),
}  # fmt: skip
NAMED = {title: verb for title, verb in VERBS.items() if verb.row != "create"}
LISTINGS = {
    "list": lambda r: [p.name for p in r.list()] == ["never", "off", "on", "one"],
    "list archived": lambda r: [p.name for p in r.list(status=ALL)] == ["kept", "never", "off", "on", "one"],
    "iterate": lambda r: [p.name for p in r.iterate()] == ["never", "off", "on", "one"],
    "iterate archived": lambda r: [p.name for p in r.iterate(status="archived", label="staging")] == ["kept"],
    "search": lambda r: {p.name for p in r.search("second")} == {"on", "off"},
    "events": lambda r: {e.name for e in r.events(limit=1000)} == {*PROMPTS, *LONE},
    "namespaces": lambda r: r.namespaces() == ["default"],
    "report": lambda r: all(map(r.report().__contains__, (f'"name":"{name}","id"' for name in (*PROMPTS, *LONE)))),
}


def check(prompt) -> None:
    """Raise for a template that ends in "Bad"."""
    if str(prompt.template).endswith("Bad"):
        raise ValueError("bad")


def fill(registry: Registry, grants: list) -> None:
    """Create Olga's prompts: an active, a disabled and an archived one, each with two versions and two drafts.

    And two more with one draft each, the second of which was never live.
    """
    olga = registry.scope(actor=Actor("olga", Role.TEAM_EDITOR))
    for name in PROMPTS:
        olga.create(name, f"First of {name}", access_grants=grants)
        olga.update(name, template=f"Second of {name}")
        for draft in ("Draft {{ n }}", "Bad"):
            olga.update(name, template=draft, is_production=False)
        olga.set_label(name, "staging", 1)
    olga.create("one", "Live", access_grants=grants)
    olga.update("one", template="Draft", is_production=False)
    olga.create("never", "Draft", access_grants=grants, is_production=False)
    registry.set_status("off", "disabled")
    registry.archive("kept")


@pytest.fixture(scope="module")
def kept_open(tmp_path_factory):
    """Registries with Olga's prompts, unchanged by tests: without (False) and with (True) a grant to anyone."""
    folder = tmp_path_factory.mktemp("people")
    registries = {is_open: Registry(str(folder / f"{is_open}.db"), publish_checks=[check]) for is_open in (False, True)}
    for is_open, registry in registries.items():
        fill(registry, [*GRANTS, *([Grant("anyone", "read")] * is_open)])
        registry.close()
    registries = {
        is_open: Registry(target_of(registry), publish_checks=[check]) for is_open, registry in registries.items()
    }
    yield registries
    for registry in registries.values():
        registry.close()


@pytest.fixture
def opened(kept_open, path):
    """Return a function that opens a copy of one of these registries."""
    registries = []

    def open_copy(*, is_open: bool = False) -> Registry:
        copy_registry(target_of(kept_open[is_open]), path)
        registries.append(Registry(path, publish_checks=[check]))
        return registries[-1]

    yield open_copy
    for registry in registries:
        registry.close()


@contextmanager
def untouched(registry: Registry):
    """Fail unless the file and the results from a warm cache are unchanged."""
    before = values(registry), everything(target_of(registry))
    yield
    assert (values(registry), everything(target_of(registry))) == before


def seen_by(registry: Registry, actor: Actor | None) -> Registry:
    """Return the actor's view; the application's is the registry itself."""
    return registry if actor is None else registry.scope(actor=actor)


def values(registry: Registry) -> list:
    """Return every prompt, from the file and from the warm cache."""
    found = registry.list(status=ALL)
    return [v for p in found for v in (p, registry.get(p.name, default=None), registry.get(f"{p.id}@latest"))]


def refusal(call, *arguments) -> PromptregError:
    """Return the PromptregError that a call raises."""
    with pytest.raises(PromptregError) as caught:
        call(*arguments)
    return caught.value


# Rule 17

CELLS = [(column, who) for column, people in PEOPLE.items() for who in people]


@pytest.mark.parametrize(("column", "who"), CELLS, ids=[who for _, who in CELLS])
@pytest.mark.parametrize("title", VERBS)
def test_rule_17_every_verb_for_every_actor(opened, kept_open, title, column, who):
    """In each cell of the table the verb succeeds in the actor's name, or is refused and changes nothing."""
    verb, actor, is_open = VERBS[title], PEOPLE[column][who], who.startswith("anyone")
    if MAY[verb.row, column]:
        registry = opened(is_open=is_open) if verb.row != "read" else kept_open[is_open]
        last = registry.events(limit=1000)[-1].seq
        assert verb.returns(verb.call(seen_by(registry, actor), verb.prompt))
        recorded = [(e.action, e.actor) for e in registry.events(after=last)]
        assert recorded == [(action, actor and actor.id) for action in verb.events]
        return
    registry = kept_open[is_open]
    with untouched(registry):
        error = refusal(verb.call, seen_by(registry, actor), verb.prompt)
    # Where the actor can't read the prompt, a save or a seed is a create.
    if column == "stranger" and verb.row != "create" and not {"save", "saved", "seed"} & {*re.split(r"\W", title)}:
        assert (type(error), error.code, error.details) == (NotFoundError, "not_found", {"names": [verb.prompt]})
    else:
        assert (type(error), error.code, error.http_status) == (ForbiddenError, "forbidden", 403)
        assert error.details["names"] == [verb.prompt]
        words = {"create", "update", "disable", *verb.events, *re.split(r"\W", title)}
        assert error.details["action"] in words


@pytest.mark.parametrize(("column", "who"), CELLS, ids=[who for _, who in CELLS])
@pytest.mark.parametrize("listing", LISTINGS)
def test_rule_17_listings_for_every_actor(kept_open, listing, column, who):
    """Actors that may read the prompts find them in every listing; others find none."""
    registry = kept_open[who.startswith("anyone")]
    view = seen_by(registry, PEOPLE[column][who])
    with untouched(registry):
        assert LISTINGS[listing](view) == (column != "stranger")
    if column == "stranger":
        assert '"prompts":[]' in view.report()
        assert [*view.list(status=ALL), *view.search("second", status=ALL), *view.events(), *view.namespaces()] == []


@pytest.mark.parametrize(
    ("actor", "title", "may"),
    [
        (Actor("walt", "team_member"), "update", True),
        (Actor("walt", "team_member"), "rename", False),
        (Actor("olga", "team_member"), "rename", True),
        (Actor("olga", "team_editor"), "grant", True),
        (Actor("olga", "team_editor"), "archive", False),
        (Actor("rita", groups=["writers"]), "update", True),
        (Actor("olga", groups=["readers"]), "rename", True),
        (Actor("rita", "team_admin"), "delete", True),
        (Actor("writers"), "update", False),
        (Actor("Olga"), "update", False),
        (Actor("user:walt"), "update", False),
    ],
)
def test_rule_17_roles_ownership_and_grants_add_up(opened, unchanged, actor, title, may):
    """What a role, ownership or a grant allows is allowed, and each is compared exactly: a group's id is no user's."""
    view, verb = opened().scope(actor=actor), VERBS[title]
    if may:
        assert verb.call(view, verb.prompt)
    else:
        with unchanged():
            assert refusal(verb.call, view, verb.prompt).code in {"forbidden", "not_found"}


def test_rule_17_the_creator_of_a_prompt_owns_it(registry):
    """The creator owns its prompt without a role; an author of versions alone, and the application, own nothing."""
    ann = registry.scope(actor=Actor("ann", "team_editor"))
    assert ann.create("hers", "Hi").created_by == "ann"
    registry.scope(actor=Actor("bob", "team_editor")).update("hers", template="Ho")
    assert registry.create("ours", "Hi").created_by is None
    assert registry.scope(actor=Actor("ann")).update("hers", new_name="still_hers").created_by == "ann"
    assert registry.scope(actor=Actor("bob")).get("still_hers", default=None) is None
    for nobody in ("None", "null"):
        assert registry.scope(actor=Actor(nobody)).get("ours", default=None) is None


def test_rule_17_only_the_wider_of_two_grants_counts_and_anyone_only_reads(opened, unchanged):
    """Of two grants to one principal the wider one counts; a write grant to anyone is invalid in any spelling."""
    registry = opened()
    registry.update("on", access_grants=[("user:sam", "write"), ("user:sam", "read")])
    assert registry.scope(actor=Actor("sam")).update("on", title="T").title == "T"
    for grant in (("anyone", "write"), ("role:editor", "read"), ("user:", "read"), ("user:a", "own"), "anyone", None):
        with unchanged():
            assert type(refusal(lambda g=grant: registry.update("on", access_grants=[g]))) is InvalidInputError
            assert type(refusal(lambda g=grant: registry.create("new", "…", access_grants=[g]))) is InvalidInputError


@pytest.mark.parametrize("length", [1, 255, 256])
def test_rule_17_every_actor_and_every_group_can_have_a_grant(registry, length):
    """A grant may name the longest id that an actor or a group may have."""
    name = "a" * length
    registry.create("x", "one", access_grants=[(f"user:{name}", "write"), Grant(f"group:{name}", "read")])
    assert registry.scope(actor=Actor(name)).update("x", title="T").title == "T"
    assert registry.scope(actor=Actor("b", groups=[name])).get("x").version == 2


@pytest.mark.parametrize("name", ["a" * 257, "", " ", "\0"], ids=["257", "empty", "blank", "nul"])
def test_rule_17_a_grant_names_no_id_that_no_actor_can_have(name):
    """A principal accepts exactly the ids that actors and groups accept."""
    for make in (
        lambda: Actor(name),
        lambda: Actor("a", groups=[name]),
        lambda: Grant(f"user:{name}", "read"),
        lambda: Grant(f"group:{name}", "read"),
    ):
        assert type(refusal(make)) is InvalidInputError


# Views


@pytest.mark.parametrize(("column", "who"), CELLS, ids=[who for _, who in CELLS])
def test_rule_17_a_role_counts_in_its_namespace_alone(opened, column, who):
    """In another namespace a view keeps id and groups, and only the role org_admin; moving back restores no role."""
    registry, actor = opened(is_open=who.startswith("anyone")), PEOPLE[column][who]
    there = seen_by(registry.scope(namespace="away"), actor)
    registry.scope(namespace="away").create("away_on", "Far", access_grants=[("group:x", "read")])
    home = there.scope(namespace="default")
    has_role = actor is not None and actor.role is not None
    expected = Actor(actor.id, None, actor.groups) if has_role and column != "org admin" else actor
    assert (home.namespace, home.actor) == ("default", expected)
    assert there.scope(namespace="away").actor == there.scope().actor == actor
    is_cut = column in {"member", "editor", "team admin"}
    for title in ("get", "update", "rename", "archive"):
        verb = VERBS[title]
        if MAY[verb.row, column] and not is_cut:
            assert verb.call(home, verb.prompt)
            if title == "rename":
                registry.update("other", new_name="on")
        else:
            kind = NotFoundError if is_cut or not MAY["read", column] else ForbiddenError
            assert type(refusal(verb.call, home, verb.prompt)) is kind
    assert home.scope(namespace="away").actor == expected
    reads_away = home.scope(namespace="away").get("away_on", default=None) is not None
    assert reads_away == (column in {"application", "org admin"} or who == "group granted write")


def test_a_view_replaces_what_is_passed_and_shares_the_rest(registry):
    """A view has another namespace or actor over the same file and cache; a role that is passed applies there."""
    ana = Actor("ana", Role.TEAM_EDITOR, groups=("g",))
    view = registry.scope(namespace="support", actor=ana)
    assert (view.namespace, view.actor, view.path) == ("support", ana, registry.path)
    assert registry.scope(namespace=UNSET, actor=UNSET).namespace == "default"
    assert (registry.namespace, registry.actor) == ("default", None)
    assert view.create("reply", "Dear").namespace == "support"
    assert view.scope(actor=Actor("bob", "team_member")).get("reply").created_by == "ana"
    assert view.scope(namespace="legal", actor=ana).create("reply", "Sir").namespace == "legal"
    assert view.scope(namespace="sales").actor == Actor("ana", groups=["g"])
    assert registry.namespaces() == ["legal", "support"]
    assert view.namespaces() == ["legal", "support"]


def test_an_anonymous_user_never_becomes_the_application(opened, path, unchanged):
    """`scope(actor=None)` raises UnauthorizedError on every view, the application's included."""
    registry = opened()
    for view in (registry, registry.scope(actor=OLGA), registry.scope(namespace="away")):
        for options in ({"actor": None}, {"actor": None, "namespace": "away"}):
            with unchanged():
                error = refusal(lambda v=view, o=options: v.scope(**o))
            assert (type(error), error.code, error.http_status) == (UnauthorizedError, "unauthorized", 401)
    with Registry(path, actor=Actor("mia", "team_admin")) as governed:
        assert governed.scope(namespace="away").actor == Actor("mia")
        assert refusal(governed.scope(namespace="away").create, "new", "…").code == "forbidden"


@pytest.mark.parametrize(
    "options",
    [{"actor": who} for who in ("ana", 0, False, {"id": "ana"}, ("ana", "org_admin"))]
    + [{"namespace": where} for where in (None, "", "Away", "a b", 3, "a@b")],
    ids=repr,
)
def test_a_view_of_an_invalid_actor_or_namespace_is_refused(registry, options):
    """`scope` checks actors and namespaces when it is called."""
    assert type(refusal(lambda: registry.scope(**options))) is InvalidInputError


def test_closing_a_view_does_nothing_and_closing_the_registry_closes_all(opened):
    """After the registry is closed, every call on it and its views raises StorageError."""
    registry = opened()
    with registry.scope(actor=Actor("mia", "team_member")) as view:
        view.get("on")
    view.close()
    assert view.get("on") == registry.get("on")
    admin = registry.scope(actor=Actor("ann", "team_admin"))
    registry.close()
    registry.close()
    for each in (registry, view, admin):
        calls = [lambda v=verb, r=each: v.call(r, v.prompt) for verb in VERBS.values()]
        calls += [lambda c=listing, r=each: c(r) for listing in LISTINGS.values()]
        for call in [*calls, each.scope, lambda r=each: r.set_status([], "active")]:
            assert isinstance(refusal(call), StorageError)


# Rule 18: what may not be read is not found


@pytest.mark.parametrize("title", NAMED)
def test_rule_18_an_unreadable_prompt_is_refused_like_an_absent_one(kept_open, title):
    """Without permission the error is exactly that of an absent name or id, whatever is in the cache."""
    with Registry(target_of(kept_open[False])) as registry:
        stranger, verb = registry.scope(actor=Actor("sam")), VERBS[title]
        prompt = kept_open[False].get(f"{verb.prompt}@latest")
        absent = {prompt.name: "absent", prompt.id: "00000000-0000-7000-8000-000000000000"}
        for is_warm in (False, True):
            for hidden, unknown in absent.items():
                for choice in ("", "@1", "@4", "@staging") * is_warm:
                    registry.get(f"{hidden}{choice}", default=None)
                with untouched(kept_open[False]):
                    found, missing = refusal(verb.call, stranger, hidden), refusal(verb.call, stranger, unknown)
                message = str(found.to_dict()["error"]).replace(f"'{hidden}", f"'{unknown}")
                assert (type(found), message) == (type(missing), str(missing.to_dict()["error"]))
                assert found.details["names"] == [hidden]


def test_rule_18_the_default_is_returned_for_an_unreadable_prompt(opened):
    """Without permission the default is returned, disabled or not; an actor that may read gets the real result."""
    registry = opened()
    sam, rita = (registry.scope(actor=Actor(who)) for who in ("sam", "rita"))
    for name in PROMPTS:
        registry.get(name)
        assert sam.get(name, default="none") == "none"
        assert sam.render(name, default="Hi {{ x }}", x=1).text == "Hi 1"
    assert type(refusal(lambda: rita.render("off", default="Hi"))) is PromptDisabledError


def test_rule_18_a_bulk_call_lists_hidden_and_absent_names_alike(opened, unchanged):
    """A call on many lists unreadable names among the unknown ones, before it refuses what may not be changed."""
    registry = opened()
    registry.create("secret", "…")
    with unchanged():
        error = refusal(registry.scope(actor=Actor("rita")).set_status, ["on", "secret", "absent", "kept"], "deleted")
    assert (type(error), error.details) == (NotFoundError, {"names": ["secret", "absent"]})


def test_rule_18_hidden_prompts_are_left_out_before_any_limit(registry):
    """A limit counts only the prompts that the actor may read, however many hidden ones come first."""
    view = registry.scope(actor=Actor("rita"))
    for i in range(12):
        registry.create(f"a{i:02}", "word word word", tags=["t"])
    for name in ("x", "y"):
        registry.create(name, "A single word among many others", tags=["t"], access_grants=[("user:rita", "read")])
    for i in range(12):
        registry.scope(namespace=f"n{i:02}").create("hidden", "word")
    registry.scope(namespace="zoo").create("shown", "word", access_grants=[("anyone", "read")])
    first = view.list(limit=1, tag="t")
    second = view.list(limit=1, after=first.next)
    assert ([p.name for p in first], [p.name for p in second], second.next) == (["x"], ["y"], None)
    assert [p.name for p in view.list(limit=2)] == ["x", "y"]
    assert view.list(limit=2).next is None
    assert len(view.search("word", limit=1)) == 1
    assert {p.name for p in view.search("word", limit=2)} == {"x", "y"}
    events = view.events(limit=3)
    assert [e.name for e in events] == ["x"] * 3
    assert [e.name for e in view.events(after=events[-1].seq, limit=3)] == ["y"] * 3
    assert view.events("y", limit=1)[0].action == "create"
    assert view.namespaces() == ["default", "zoo"]
    assert len(registry.namespaces()) == 14


def test_rule_18_a_withdrawn_grant_hides_the_prompt_at_once(opened):
    """An actor that has read a prompt, from a warm cache, can't at the next call after its grant is removed."""
    registry = opened()
    rita = registry.scope(actor=Actor("rita"))
    assert rita.get("on") == registry.get("on")
    registry.update("on", access_grants=[])
    assert type(refusal(rita.get, "on")) is type(refusal(rita.history, "on")) is NotFoundError
    assert "on" not in {p.name for p in rita.list()} | {e.name for e in rita.events(limit=1000)}


# Rule 18: the order of refusals

REFUSALS: dict[str, tuple[type[PromptregError], ...]] = {
    "invalid input": (InvalidInputError,),
    "not found": (NotFoundError,),
    "forbidden": (ForbiddenError,),
    "version not found": (VersionNotFoundError, NoProductionVersionError),
    "status or state": (NotModifiableError, PromptDisabledError, ConflictError),
    "expected version": (VersionConflictError,),
    "name taken": (NameTakenError,),
    "template": (TemplateSyntaxError, MissingVariablesError),
    "checks": (PublishCheckError,),
}
HUGE = {"x": "y" * 1_100_000}
NO_HASH, WRONG = "0" * 63, "0" * 64  # an invalid content_hash, and one that no version has
BROKEN = "{% if %} Bad"
HASH = {"expected_hash": WRONG}
OLD = {"reason": "why", "expected_production": 9}
NO_TITLE, TITLE = {"title": 3}, {"title": "T"}
APP, MIA, ED = "application", "member", "editor"

# A call with two faults: the earlier, the later, the call, and an invalid and a valid argument. With the first
# argument it must be refused for the earlier fault, with the second for the later.
PAIRS = [
    ("invalid input", "not found", lambda p, x: p[APP].update("absent", **x), NO_TITLE, TITLE),
    ("invalid input", "not found", lambda p, x: p[APP].update("absent", meta=x), HUGE, {}),
    ("invalid input", "not found", lambda p, x: p[APP].render("absent", version=1, label=x), "staging", None),
    ("invalid input", "not found", lambda p, x: p[APP].set_status(["on", "absent"], x), "gone", "deleted"),
    ("invalid input", "not found", lambda p, x: p[APP].set_status(["absent", x], "deleted"), "No name", "on"),
    ("invalid input", "not found", lambda p, x: p[APP].set_label("absent", x, 1), "Latest", "canary"),
    ("invalid input", "not found", lambda p, x: p[APP].rollback("absent", reason=x), " ", "why"),
    ("invalid input", "not found", lambda p, x: p[APP].history("absent", limit=x), 0, 1),
    ("invalid input", "not found", lambda p, x: p[APP].publish("absent", expected_hash=x), NO_HASH, WRONG),
    ("invalid input", "not found", lambda p, x: p[APP].update("absent", expected_hash=x), NO_HASH, WRONG),
    ("invalid input", "not found", lambda p, x: p[APP].rollback("absent", reason="why", expected_production=x), -1, 0),
    ("invalid input", "not found", lambda p, x: p[APP].set_label("absent", "canary", x), None, 1),
    ("invalid input", "not found", lambda p, x: p[APP].update("absent@3", **x), {"expected_version": 3}, {}),
    ("invalid input", "forbidden", lambda p, x: p[MIA].set_label("on@1", "canary", x), 1, None),
    ("invalid input", "forbidden", lambda p, x: p[MIA].publish("on", expected_hash=x), NO_HASH, WRONG),
    ("invalid input", "forbidden", lambda p, x: p[MIA].update("on", **x), NO_TITLE, TITLE),
    ("invalid input", "forbidden", lambda p, x: p[MIA].create("new", "…", meta=x), HUGE, {}),
    ("invalid input", "forbidden", lambda p, x: p[MIA].set_status("on", "disabled", dry_run=x), 1, True),
    ("invalid input", "version not found", lambda p, x: p[APP].publish("on", 99, expected_production=x), -1, 2),
    ("invalid input", "version not found", lambda p, x: p[APP].get("on@99", label=x), "staging", None),
    ("invalid input", "version not found", lambda p, x: p[APP].update("on@99", meta=x), HUGE, {}),
    ("invalid input", "status or state", lambda p, x: p[APP].update("kept", **x), NO_TITLE, TITLE),
    ("invalid input", "status or state", lambda p, x: p[APP].update("on@1", is_production=x), True, False),
    ("invalid input", "status or state", lambda p, x: p[APP].update("kept", meta=x), HUGE, {}),
    ("invalid input", "status or state", lambda p, x: p[APP].render("off", x), [("a", 1)], {"a": 1}),
    ("invalid input", "expected version", lambda p, x: p[APP].update("on", expected_version=9, **x), NO_TITLE, TITLE),
    ("invalid input", "expected version", lambda p, x: p[APP].update("on", expected_version=9, meta=x), HUGE, {}),
    ("invalid input", "name taken", lambda p, x: p[APP].update("on", new_name="off", **x), NO_TITLE, TITLE),
    ("invalid input", "name taken", lambda p, x: p[APP].create("on", "…", meta=x), HUGE, {}),
    ("invalid input", "template", lambda p, x: p[APP].create("new", BROKEN, **x), NO_TITLE, TITLE),
    ("invalid input", "template", lambda p, x: p[APP].update("on", template=BROKEN, meta=x), HUGE, {}),
    ("invalid input", "checks", lambda p, x: p[APP].create("new", "Bad", **x), NO_TITLE, TITLE),
    ("invalid input", "checks", lambda p, x: p[APP].update("on", template="Bad", meta=x), HUGE, {}),
    ("not found", "forbidden", lambda p, x: p[MIA].set_status(["on", x], "deleted"), "absent", "off"),
    ("not found", "forbidden", lambda p, x: p[x].update("on", title="T"), "stranger", "reader"),
    ("not found", "version not found", lambda p, x: p[APP].get(f"{x}@99"), "absent", "on"),
    ("not found", "version not found", lambda p, x: p[x].get("on@99"), "stranger", "reader"),
    ("not found", "version not found", lambda p, x: p[APP].diff(x, 1, "nope"), "absent", "on"),
    ("not found", "version not found", lambda p, x: p[APP].remove_label(x, "nope"), "absent", "on"),
    ("not found", "status or state", lambda p, x: p[APP].set_status(["kept", x], "deleted"), "absent", "on"),
    ("not found", "status or state", lambda p, x: p[x].render("off"), "stranger", "reader"),
    ("not found", "status or state", lambda p, x: p[x].update("kept", title="T"), "stranger", "writer"),
    ("not found", "expected version", lambda p, x: p[APP].update(x, title="T", expected_version=9), "absent", "on"),
    ("not found", "expected version", lambda p, x: p[APP].publish(x, 3, expected_production=9), "absent", "on"),
    ("not found", "name taken", lambda p, x: p[x].update("on", new_name="off"), "stranger", "owner"),
    ("not found", "template", lambda p, x: p[APP].update(x, template=BROKEN), "absent", "on"),
    ("not found", "template", lambda p, x: p[x].render("on@3"), "stranger", APP),
    ("not found", "checks", lambda p, x: p[x].publish("on", 4), "stranger", "writer"),
    ("forbidden", "status or state", lambda p, x: p[x].publish("on"), MIA, "writer"),
    ("forbidden", "status or state", lambda p, x: p[x].discard("on"), "reader", "writer"),
    ("forbidden", "expected version", lambda p, x: p[x].publish("one", expected_hash=WRONG), MIA, ED),
    ("forbidden", "expected version", lambda p, x: p[x].rollback("on", **OLD), "reader", "writer"),
    ("forbidden", "checks", lambda p, x: p[x].update("bad", template="Bad"), MIA, ED),
    ("forbidden", "version not found", lambda p, x: p[x].publish("on", 99), MIA, "writer"),
    ("forbidden", "version not found", lambda p, x: p[x].set_label("on", "canary", "nope"), "reader", "writer"),
    ("forbidden", "version not found", lambda p, x: p[x].discard("on@99"), MIA, ED),
    ("forbidden", "status or state", lambda p, x: p[x].update("kept", title="T"), MIA, ED),
    ("forbidden", "status or state", lambda p, x: p[x].update("on@1", title="T"), "reader", "owner"),
    ("forbidden", "status or state", lambda p, x: p[x].set_status(["kept", "on"], "deleted"), ED, "team admin"),
    ("forbidden", "status or state", lambda p, x: p[x].set_status("kept", "disabled"), MIA, ED),
    ("forbidden", "status or state", lambda p, x: p[x].update("kept", new_name="new"), ED, "owner"),
    ("forbidden", "status or state", lambda p, x: p[x].discard("on", 2), MIA, ED),
    ("forbidden", "expected version", lambda p, x: p[x].update("on", title="T", expected_version=9), MIA, ED),
    ("forbidden", "expected version", lambda p, x: p[x].update("on", new_name="new", expected_version=9), ED, APP),
    ("forbidden", "name taken", lambda p, x: p[x].update("on", new_name="off"), ED, "owner"),
    ("forbidden", "name taken", lambda p, x: p[x].create("on", "…"), "owner", ED),
    ("forbidden", "template", lambda p, x: p[x].create("new", BROKEN), MIA, ED),
    ("forbidden", "template", lambda p, x: p[x].update("on", template=BROKEN, access_grants=[]), ED, "owner"),
    ("forbidden", "checks", lambda p, x: p[x].create("new", "Bad"), MIA, ED),
    ("forbidden", "checks", lambda p, x: p[x].publish("on", 4), "reader", "writer"),
    ("version not found", "status or state", lambda p, x: p[APP].publish("kept", x), 99, 3),
    ("version not found", "status or state", lambda p, x: p[APP].set_label("kept", "canary", x), "nope", 1),
    ("version not found", "status or state", lambda p, x: p[APP].remove_label("kept", x), "nope", "staging"),
    ("version not found", "status or state", lambda p, x: p[APP].discard("kept", x), 99, 4),
    ("version not found", "status or state", lambda p, x: p[APP].rollback("kept", x, reason="why"), 99, 1),
    ("version not found", "status or state", lambda p, x: p[APP].update("kept", version=x, title="T"), 99, 3),
    ("version not found", "status or state", lambda p, x: p[APP].render("off", version=x), "nope", 1),
    ("version not found", "expected version", lambda p, x: p[APP].publish("on", x, expected_production=9), 99, 3),
    ("version not found", "expected version", lambda p, x: p[APP].update("on", version=x, expected_hash=WRONG), 99, 3),
    ("version not found", "expected version", lambda p, x: p[APP].publish("on", x, expected_hash=WRONG), 99, 3),
    ("version not found", "expected version", lambda p, x: p[APP].rollback("on", x, **OLD), 99, 1),
    ("version not found", "template", lambda p, x: p[APP].update("on", version=x, template=BROKEN), 99, 3),
    ("version not found", "template", lambda p, x: p[APP].render("on", version=x), "nope", 3),
    ("version not found", "checks", lambda p, x: p[APP].publish("on", x), "nope", 4),
    ("status or state", "expected version", lambda p, x: p[APP].publish(x, 3, expected_production=9), "kept", "on"),
    ("status or state", "expected version", lambda p, x: p[APP].update(f"on@{x}", expected_hash=WRONG), 1, 3),
    ("status or state", "expected version", lambda p, x: p[APP].publish(x, 3, expected_hash=WRONG), "kept", "on"),
    ("status or state", "expected version", lambda p, x: p[APP].publish(x, expected_production=9), "on", "one"),
    ("status or state", "expected version", lambda p, x: p[APP].publish(x, expected_hash=WRONG), "on", "one"),
    ("status or state", "expected version", lambda p, x: p[APP].rollback("on", x, **OLD), 3, 1),
    ("status or state", "expected version", lambda p, x: p[APP].rollback(x, **OLD), "one", "on"),
    ("status or state", "expected version", lambda p, x: p[APP].rollback(x, **OLD), "kept", "on"),
    ("status or state", "checks", lambda p, x: p[APP].publish(x), "on", "bad"),
    ("status or state", "expected version", lambda p, x: p[APP].update(x, expected_version=9), "kept", "on"),
    ("status or state", "name taken", lambda p, x: p[APP].update(x, new_name="off"), "kept", "on"),
    ("status or state", "template", lambda p, x: p[APP].update(x, template=BROKEN), "kept", "on"),
    ("status or state", "template", lambda p, x: p[APP].update(f"on@{x}", template=BROKEN), 2, 3),
    ("status or state", "template", lambda p, x: p[APP].render(f"{x}@3"), "off", "on"),
    ("status or state", "checks", lambda p, x: p[APP].publish(x, 4), "kept", "on"),
    ("status or state", "checks", lambda p, x: p[APP].save(x, "Bad"), "kept", "on"),
    ("expected version", "name taken", lambda p, x: p[APP].update("on", new_name="off", expected_version=x), 9, 2),
    ("expected version", "template", lambda p, x: p[APP].update("on", template=BROKEN, expected_version=x), 9, 2),
    ("expected version", "name taken", lambda p, x: p[APP].update("on", new_name="off", **x), HASH, {}),
    ("expected version", "template", lambda p, x: p[APP].update("on@3", template=BROKEN, **x), HASH, {}),
    ("expected version", "checks", lambda p, x: p[APP].publish("on", 4, **x), HASH, {}),
    ("expected version", "checks", lambda p, x: p[APP].publish("bad", **x), HASH, {}),
    ("expected version", "checks", lambda p, x: p[APP].update("bad", template="Bad", **x), HASH, {}),
    ("expected version", "checks", lambda p, x: p[APP].publish("on", 4, expected_production=x), 0, 2),
    ("expected version", "checks", lambda p, x: p[APP].update("on", template="Bad", expected_version=x), 4, 2),
    ("name taken", "template", lambda p, x: p[APP].create(x, BROKEN), "on", "new"),
    ("name taken", "template", lambda p, x: p[APP].update("on", new_name=x, template=BROKEN), "kept", "new"),
    ("name taken", "checks", lambda p, x: p[APP].create(x, "Bad"), "kept", "new"),
    ("name taken", "checks", lambda p, x: p[APP].update("on", new_name=x, template="Bad"), "off", "new"),
    ("template", "checks", lambda p, x: p[APP].create("new", x), BROKEN, "Bad"),
    ("template", "checks", lambda p, x: p[APP].update("on", template=x, examples=[{}]), BROKEN, "{{ n }} Bad"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("earlier", "later", "call", "fault", "cure"), PAIRS, ids=[f"{a} before {b}" for a, b, *_ in PAIRS]
)
def test_rule_18_the_earlier_refusal_wins(opened, earlier, later, call, fault, cure):
    """Of two faults in one call the earlier kind is raised, and nothing changes; without it the later one is raised."""
    registry = opened()
    registry.create("bad", "Bad", is_production=False)  # the only draft, which fails its checks
    people = {column: seen_by(registry, next(iter(them.values()))) for column, them in PEOPLE.items()}
    people |= {"writer": people["write grant"], "reader": people["read grant"]}
    with untouched(registry):
        error = refusal(call, people, fault)
    assert type(error) in REFUSALS[earlier]
    assert type(refusal(call, people, cure)) in REFUSALS[later]


def test_rule_18_the_pairs_are_complete():
    """The test above has every pair of kinds of refusal that one call can have; an edit in place takes no name."""
    kinds = list(REFUSALS)
    every = {(a, b) for i, a in enumerate(kinds) for b in kinds[i + 1 :]}
    assert every - {(a, b) for a, b, *_ in PAIRS} == {("version not found", "name taken")}
