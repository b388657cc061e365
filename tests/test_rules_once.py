"""Calls that are made once: `registry.once(operation_id)` writes once what is repeated within a day, whatever the verb.

Who may repeat a call, what identifies it, and what a repeat returns. `test_once.py` has processes, storage and time.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from promptreg import (
    Actor,
    ForbiddenError,
    InvalidInputError,
    NameTakenError,
    NotFoundError,
    PublishCheckError,
    Registry,
    VersionNotFoundError,
)
from promptreg.records import EventQuery
from tests.conftest import Ticking
from tests.otel import tracing

ANA = Actor("ana", "team_admin")
Unchanged = Callable[[], AbstractContextManager[None]]


def fill(registry: Registry) -> None:
    """Create prompts that every call of the table can change."""
    for name in ("a", "b"):
        registry.create(name, "One")
        registry.update(name, template="Two")
        registry.update(name, template="Three", is_production=False)
    registry.create("off", "Off"), registry.disable("off")
    registry.create("old", "Old"), registry.archive("old")
    registry.set_label("a", "staging", 1)
    registry.seed("shipped", "Shipped")


WRITES: dict[str, Callable[[Registry], Any]] = {
    "create": lambda r: r.create("new", "New", tags=["x"]),
    "save, which creates": lambda r: r.save("new", "New"),
    "save, which updates": lambda r: r.save("a", "Four"),
    "save, which changes nothing": lambda r: r.save("a", "Two"),
    "seed, which creates": lambda r: r.seed("new", "New"),
    "seed of what is live": lambda r: r.seed("a", "Two"),
    "seed beside what people made": lambda r: r.seed("a", "Five"),
    "seed of what is seeded already": lambda r: r.seed("shipped", "Shipped"),
    "update": lambda r: r.update("a", template="Four"),
    "update to a draft": lambda r: r.update("a", template="Four", is_production=False),
    "update that renames and grants": lambda r: r.update("a", new_name="z", access_grants=[("user:bo", "read")]),
    "update that changes nothing": lambda r: r.update("a", template="Two"),
    "update in place": lambda r: r.update("a@3", template="Four"),
    "publish": lambda r: r.publish("a"),
    "publish of what is live": lambda r: r.publish("a", 2),
    "publish of several": lambda r: r.publish(["b", "a"]),
    "publish of several, of which one is live": lambda r: r.publish(["b@3", "a@2"]),
    "publish of none": lambda r: r.publish([]),
    "rollback": lambda r: r.rollback("a", reason="x"),
    "rollback of several": lambda r: r.rollback(["b", "a"], reason="x"),
    "discard": lambda r: r.discard("a"),
    "set_label": lambda r: r.set_label("a", "canary", 3),
    "set_label where it is": lambda r: r.set_label("a", "staging", 1),
    "remove_label": lambda r: r.remove_label("a", "staging"),
    "set_status": lambda r: r.set_status(["a", "off", "b"], "disabled"),
    "set_status of one": lambda r: r.set_status("a", "archived"),
    "set_status, which deletes": lambda r: r.set_status(["a", "b"], "deleted"),
    "set_status of none": lambda r: r.set_status([], "disabled"),
    "archive": lambda r: r.archive("a"),
    "restore": lambda r: r.restore("old"),
    "restore of what is not archived": lambda r: r.restore("a"),
    "enable": lambda r: r.enable("off"),
    "disable": lambda r: r.disable("a"),
    "delete": lambda r: r.delete("a"),
}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a registry with the prompts of the table, to be copied."""
    file = tmp_path_factory.mktemp("stock") / "prompts.db"
    with Registry(file, clock=Ticking()) as registry:
        fill(registry)
    return file


@pytest.fixture
def stocked(database: str, path: str, clock: Ticking, stock: Path) -> Iterator[Registry]:
    """A registry with the prompts of the table."""
    if database == "sqlite":
        shutil.copyfile(stock, path)
    with Registry(path, clock=clock) as registry:
        if database != "sqlite":
            fill(registry)
        yield registry


@pytest.mark.parametrize("title", WRITES)
def test_a_repeat_writes_nothing_and_returns_the_same(stocked: Registry, title: str, unchanged: Unchanged) -> None:
    """Whatever the verb, and also where the first call changed nothing."""
    call = WRITES[title]
    first = call(stocked.once("op"))
    with unchanged():
        assert call(stocked.once("op")) == first
    assert stocked.verify() == []


@pytest.mark.slow
@pytest.mark.sqlite
@pytest.mark.parametrize("title", [title for title in WRITES if "none" not in title])
def test_a_first_call_does_what_it_does_without_once(stocked: Registry, title: str) -> None:
    """The events are those of the same call in another view."""
    before = stocked.events(limit=1000)
    WRITES[title](stocked.once("op"))
    made = [(event.action, event.version) for event in stocked.events(after=before[-1].seq, limit=1000)]
    with Registry(":memory:") as other:
        fill(other)
        seen = other.events(limit=1000)[-1].seq
        WRITES[title](other)
        assert made == [(event.action, event.version) for event in other.events(after=seen, limit=1000)]


def test_a_repeat_of_an_import_makes_nothing(stocked: Registry, unchanged: Unchanged) -> None:
    """Otherwise the names would be taken."""
    from promptreg.rules.importing import ForeignPrompt, ForeignVersion

    prompts = [ForeignPrompt("new", [ForeignVersion({"template": "New"}, "here")], production=1)]
    stocked.once("op")._import(prompts)
    with unchanged():
        stocked.once("op")._import(prompts)
    with pytest.raises(NameTakenError):
        stocked.once("another")._import(prompts)


# What identifies a call


class Declared(BaseModel):
    """Variables as a pydantic model."""

    n: int = 1


EQUAL: dict[str, tuple[Callable[[Registry], Any], Callable[[Registry], Any]]] = {
    "a default, and passed": (lambda r: r.create("x", "X"), lambda r: r.create("x", "X", category="", tags=())),
    "an explicit None title": (lambda r: r.create("x", "X"), lambda r: r.create("x", "X", title=None)),
    "is_production": (lambda r: r.update("a", title="T"), lambda r: r.update("a", title="T", is_production=True)),
    "tags in another order": (
        lambda r: r.create("x", "X", tags=["a", "b"]),
        lambda r: r.create("x", "X", tags={"b", "a"}),
    ),
    "config in another order": (
        lambda r: r.create("x", "X", config={"a": 1, "b": 2}),
        lambda r: r.create("x", "X", config={"b": 2, "a": 1}),
    ),
    "a version by @ and by number": (lambda r: r.publish("a@3"), lambda r: r.publish("a", 3)),
    "an edit by @ and by number": (lambda r: r.update("a@3", title="T"), lambda r: r.update("a", title="T", version=3)),
    "a model class and declarations": (
        lambda r: r.create("x", "{{ n }}", variables=Declared),
        lambda r: r.create(
            "x", "{{ n }}", variables=[{"name": "n", "type": "integer", "required": False, "default": 1}]
        ),
    ),
    "grants in another order": (
        lambda r: r.update("a", access_grants=[("user:a", "read"), ("user:b", "write")]),
        lambda r: r.update("a", access_grants=[{"principal": "user:b", "permission": "write"}, ("user:a", "read")]),
    ),
    "names in another order": (
        lambda r: r.set_status(["a", "b"], "disabled"),
        lambda r: r.set_status({"b", "a"}, "disabled"),
    ),
    "an iterator": (lambda r: r.publish(["a", "b"]), lambda r: r.publish(iter(["a", "b", "a"]))),
}


@pytest.mark.parametrize("title", EQUAL)
def test_equal_arguments_are_the_same_call(stocked: Registry, title: str, unchanged: Unchanged) -> None:
    """What counts is what was read of the arguments, so a call may be written in another way."""
    one, other = EQUAL[title]
    first = one(stocked.once("op"))
    with unchanged():
        assert other(stocked.once("op")) == first or "order" in title


def test_several_prompts_are_returned_in_the_order_of_the_repeat(stocked: Registry) -> None:
    """So a caller may pair them with the names that it passed."""
    assert [prompt.name for prompt in stocked.once("op").publish(["a", "b"])] == ["a", "b"]
    assert [prompt.name for prompt in stocked.once("op").publish(["b", "a"])] == ["b", "a"]


DIFFERENT: dict[str, tuple[Callable[[Registry], Any], Callable[[Registry], Any]]] = {
    "an argument": (lambda r: r.update("a", template="Four"), lambda r: r.update("a", template="Five")),
    "a value of another type": (lambda r: r.update("a", config={"n": 1}), lambda r: r.update("a", config={"n": True})),
    "None and not passed": (
        lambda r: r.update("a", config={"n": 1}, is_production=False),
        lambda r: r.update("a", config=None, is_production=False, title="T"),
    ),
    "the name": (lambda r: r.update("a", template="Four"), lambda r: r.update("b", template="Four")),
    "the verb": (lambda r: r.update("a", template="Four"), lambda r: r.disable("a")),
    "the version": (lambda r: r.set_label("a", "x", 1), lambda r: r.set_label("a", "x", 2)),
    "the operation id": (lambda r: r.update("a", title="T"), lambda r: r.once("other").rollback("a", reason="x")),
    "the actor": (lambda r: r.disable("a"), lambda r: (r.enable("a"), r.scope(actor=ANA).disable("a"))),
    "the namespace": (lambda r: r.create("x", "X"), lambda r: r.scope(namespace="away").create("x", "X")),
}


@pytest.mark.parametrize("title", DIFFERENT)
def test_another_call_with_the_same_id_is_made(stocked: Registry, title: str) -> None:
    """So one id does for all the calls of a script."""
    one, other = DIFFERENT[title]
    one(stocked.once("op"))
    seen = stocked.events(limit=1000)[-1].seq
    other(stocked.once("op"))
    assert [*stocked.events(after=seen), *stocked.scope(namespace="away").events()]


def test_none_differs_from_what_was_not_passed(stocked: Registry) -> None:
    """`None` empties a field, and what is not passed stays."""
    stocked.update("a", config={"n": 1}, title="T")
    view = stocked.once("op")
    assert view.update("a", title="Again", config=None).config == {}
    stocked.rollback("a", reason="x")
    assert view.update("a", title="Again").config == {"n": 1}
    assert view.update("a", title="Again", config=None).config == {}


def test_an_id_is_a_text_of_1_to_200_characters(registry: Registry) -> None:
    """Others are refused, and the error says so without quoting them."""
    for bad in (None, 3, "", "x" * 201, b"x", "a\0", "\ud800"):
        with pytest.raises(InvalidInputError) as caught:
            registry.once(bad)  # type: ignore[arg-type]
        assert [error["field"] for error in caught.value.details["errors"]] == ["operation_id"]
        assert "x" * 20 not in caught.value.message
    for good in ("x", "x" * 200, " ", "deploy/2026-01-01 é"):
        assert registry.once(good).save("x", "X").version == 1


# Views


def test_scope_keeps_the_id_and_once_keeps_the_rest(registry: Registry) -> None:
    """In whatever order they are called."""
    one = registry.once("op").scope(namespace="away", actor=ANA)
    other = registry.scope(actor=ANA, namespace="away").once("op")
    for view in (one, other):
        assert (view.namespace, view.actor) == ("away", ANA)
        assert view.create("x", "X").version == 1  # the second time it would be taken
    assert registry.scope(namespace="away").once("op").once("op2").scope().namespace == "away"
    with pytest.raises(NameTakenError):
        other.once("op2").create("x", "X")


def test_reads_of_the_view_are_as_ever(stocked: Registry) -> None:
    """They are current, and cached as those of the registry."""
    view = stocked.once("op")
    assert view.get("a").template == view.render("a").text == "Two"
    stocked.publish("a", 3)
    assert view.get("a").template == view.render("a").text == "Three"
    assert [prompt.name for prompt in view.list()] == [prompt.name for prompt in stocked.list()]
    assert view.get("a") is stocked.get("a")
    assert repr(view) == repr(stocked)


# What a repeat returns


def test_a_repeat_returns_the_prompt_as_it_is_now_at_the_version_written_then(stocked: Registry) -> None:
    """The container is that of now, the version that of the first call, whatever is live meanwhile."""
    made = stocked.once("op").update("a", template="Four")
    stocked.update("a", template="Five", new_name="z")
    stocked.disable("z"), stocked.set_label("z", "kept", 1)
    again = stocked.once("op").update("a", template="Four")
    assert (again.version, again.template, again.id) == (made.version, "Four", made.id) == (4, "Four", made.id)
    assert (again.name, again.production_version, again.is_disabled, again.labels["kept"]) == ("z", 5, True, 1)


def test_a_call_that_changed_nothing_is_remembered(stocked: Registry, unchanged: Unchanged) -> None:
    """So it does not write later, when it would change something."""
    assert stocked.once("op").update("a", template="Two").version == 2
    stocked.update("a", template="Four")
    with unchanged():
        again = stocked.once("op").update("a", template="Two")
    assert (again.version, again.production_version) == (2, 4)


def test_a_repeated_publish_undoes_no_rollback(stocked: Registry) -> None:
    """It returns the version that was published then, which is not live any longer."""
    stocked.once("op").publish("a", 3)
    stocked.rollback("a", reason="Too early")
    again = stocked.once("op").publish("a", 3)
    assert (again.version, again.production_version) == (3, 2)
    assert stocked.get("a").version == 2


def test_a_verb_that_writes_no_version_returns_what_is_shown_now(stocked: Registry) -> None:
    """Also `seed`, which returns what `get` returns."""
    stocked.once("op").set_label("a", "x", 1), stocked.once("op").seed("a", "Two")
    stocked.update("a", template="Four")
    assert stocked.once("op").set_label("a", "x", 1).version == 4
    assert stocked.once("op").seed("a", "Two").version == 4


def test_a_repeat_of_what_was_deleted_since_is_not_found(stocked: Registry) -> None:
    """Even where its name is in use again; the error says what to do, and nothing is written."""
    calls: list[Callable[[Registry], Any]] = [
        lambda r: r.create("new", "New"),
        lambda r: r.disable("new"),
        lambda r: r.set_status(["new", "a"], "disabled"),
        lambda r: r.rollback(["a", "b"], reason="x"),
    ]
    for call in calls:
        call(stocked.once("op"))
    stocked.set_status(["new", "a"], "deleted")
    stocked.create("new", "Another")
    seen = stocked.events(limit=1000)[-1].seq
    for call, names in zip(calls, (["new"], ["new"], ["new", "a"], ["a"]), strict=True):
        with pytest.raises(NotFoundError, match="another operation id") as caught:
            call(stocked.once("op"))
        assert caught.value.details["names"] == names
    assert stocked.events(limit=1000)[-1].seq == seen


def test_a_repeat_of_a_version_that_was_discarded_since_is_not_found(stocked: Registry) -> None:
    """The error names the version."""
    stocked.once("op").update("a", template="Four", is_production=False)
    stocked.discard("a", 4)
    with pytest.raises(VersionNotFoundError, match="no version 4"):
        stocked.once("op").update("a", template="Four", is_production=False)


def test_a_repeated_delete_returns_none_and_spares_what_has_the_name_now(stocked: Registry) -> None:
    """Also as `set_status`, which returns the same counts and names."""
    by_id = stocked.get("b").id
    status = stocked.once("op").set_status(["off", by_id], "deleted")
    assert stocked.once("op").delete("a") is None
    stocked.create("a", "Another"), stocked.create("off", "Another")
    assert stocked.once("op").delete("a") is None
    assert stocked.once("op").set_status(["off", by_id], "deleted") == status
    assert (stocked.get("a").template, stocked.get("off").template, status.updated) == (
        "Another",
        "Another",
        ["off", "b"],
    )


def test_a_repeated_deletion_reads_the_names_of_many_at_once(
    stocked: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts that were named by their ids are found among the deletions, page by page, and not one by one."""
    monkeypatch.setattr("promptreg.once.PAGE", 2)
    ids = [prompt.id for prompt in stocked.list()]
    first = stocked.once("op").set_status(ids, "deleted")
    stocked.create("later", "Later"), stocked.delete("later")
    pages: list[Any] = []
    monkeypatch.setattr("promptreg.once.EventQuery", lambda *a, **m: pages.append(a) or EventQuery(*a, **m))
    assert stocked.once("op").set_status(ids, "deleted") == first
    assert (len(pages), len(first.updated)) == (1, len(ids))


def test_a_repeated_set_status_returns_the_same_counts_and_names(stocked: Registry) -> None:
    """Though the prompts have other statuses and names now."""
    first = stocked.once("op").set_status(["b", "off", "a"], "disabled")
    stocked.enable("off"), stocked.update("a", new_name="z")
    assert stocked.once("op").set_status(["b", "off", "a"], "disabled") == first
    assert (first.updated, first.skipped, stocked.get("off").status) == (["b", "a"], ["off"], "active")


# What is not remembered


def test_a_refusal_is_not_remembered(stocked: Registry) -> None:
    """Once its reason is gone, the same call is made."""
    view = stocked.once("op")
    with pytest.raises(NameTakenError):
        view.create("a", "One")
    stocked.delete("a")
    assert view.create("a", "One").version == 1


def test_checks_that_fail_are_not_remembered_and_do_not_run_at_a_repeat(path: str) -> None:
    """A repeat needs no vetting, as nothing goes live."""
    ran: list[str] = []
    allowed: list[str] = []

    def check(prompt: Any) -> None:
        ran.append(prompt.template)
        assert prompt.template in allowed, "not allowed"

    with Registry(path, publish_checks=[check]) as registry:
        registry.create("x", "One", is_production=False)
        with pytest.raises(PublishCheckError):
            registry.once("op").publish("x", 1)
        allowed.append("One")
        for _ in range(2):
            assert registry.once("op").publish("x", 1).production_version == 1
        assert ran == ["One", "One"]
        allowed.clear()
        assert registry.once("op").publish("x", 1).production_version == 1


def test_a_dry_run_is_not_remembered(stocked: Registry) -> None:
    """It says what the real call would do now."""
    view = stocked.once("op")
    assert view.set_status("a", "disabled", dry_run=True).updated == ["a"]
    assert view.set_status("a", "disabled").updated == ["a"]
    assert view.set_status("a", "disabled", dry_run=True).skipped == ["a"]


# Who may repeat a call


@pytest.mark.sqlite
@pytest.mark.parametrize("role", ["team_member", pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("title", [t for t in WRITES if "of what is not" not in t and "none" not in t])
def test_an_actor_who_may_no_longer_do_it_is_refused(
    stocked: Registry, title: str, role: Any, unchanged: Unchanged
) -> None:
    """Permissions come first at a repeat: a member reads and may not, and without a role there is no such prompt."""
    call = WRITES[title]
    ana = stocked.scope(actor=Actor("ana", "org_admin")).once("op")
    call(ana)
    owns = "new" in {prompt.name for prompt in stocked.list(created_by="ana")}
    with unchanged():
        if owns and role is None and "create" not in title:
            return
        with pytest.raises(ForbiddenError if role is not None or owns else NotFoundError):
            call(ana.scope(actor=Actor("ana", role)))
    assert call(ana.scope(actor=Actor("ana", "team_admin"))) == call(ana)


def test_a_permission_that_the_call_took_is_needed_again(stocked: Registry) -> None:
    """An editor may update, and not repeat an update that renamed; what the call did not need is not needed."""
    admin, editor = (stocked.scope(actor=Actor("ana", role)).once("op") for role in ("team_admin", "team_editor"))
    admin.update("a", title="T", new_name="z")
    with pytest.raises(ForbiddenError) as caught:
        editor.update("a", title="T", new_name="z")
    assert (caught.value.details["action"], caught.value.details["names"]) == ("rename", ["z"])
    admin.update("b", title="T", new_name="b")
    assert editor.update("b", title="T", new_name="b").version == 4


def test_the_role_of_an_actor_is_no_part_of_a_call(stocked: Registry, unchanged: Unchanged) -> None:
    """A repeat as another role is the same call, as the id is what it was made by."""
    view = stocked.scope(actor=Actor("ana", "team_editor")).once("op")
    view.update("a", title="T")
    with unchanged():
        assert view.scope(actor=Actor("ana", "org_admin", groups=["x"])).update("a", title="T").version == 4


# Telemetry


def test_the_span_of_a_repeat_says_that_nothing_changed() -> None:
    """And has the name and the version of the prompt that it returned."""
    with Registry(":memory:") as registry, tracing() as finished:
        for _ in range(2):
            registry.once("op").create("x", "X")
    keys = ("promptreg.changed", "gen_ai.prompt.name", "gen_ai.prompt.version")
    noted = [tuple((span.attributes or {}).get(key) for key in keys) for span in finished()]
    assert noted == [(True, "x", "1"), (False, "x", "1")]
