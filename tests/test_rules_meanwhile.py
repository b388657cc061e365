"""Rule 9 during checks: changes are reported exactly, unrelated changes refuse nothing, and no reason is lost."""

import sqlite3
from collections.abc import Callable

import pytest

from promptreg import (
    Actor,
    NameTakenError,
    NotFoundError,
    NotModifiableError,
    Prompt,
    PublishCheckError,
    Registry,
    StorageBusyError,
    VersionConflictError,
    VersionNotFoundError,
)
from promptreg.rules.lifecycle import plan_create
from promptreg.rules.outcomes import Author
from promptreg.rules.publishing import plan_check_failed
from promptreg.rules.version_fields import Draft, read_edit
from tests.refusals import prepare
from tests.storages import storage_of


def discard_staging(registry: Registry) -> None:
    """Discard the draft of `prepare`."""
    registry.remove_label("x", "staging")
    registry.discard("x", 2)


def rename(registry: Registry) -> None:
    """Rename x, without publishing anything."""
    registry.update("x", new_name="z", is_production=False)


def refuse(prompt: Prompt) -> None:
    """Raise for every prompt."""
    raise ValueError("no")


def meanwhile(monkeypatch: pytest.MonkeyPatch, path: str, change: Callable[[Registry], object]) -> None:
    """Make another registry change the prompt right before the next write transaction begins."""
    storage_class = storage_of(path)
    write = storage_class.write

    def overtaken(storage):
        monkeypatch.setattr(storage_class, "write", write)
        with Registry(path) as other:
            change(other)
        return write(storage)

    monkeypatch.setattr(storage_class, "write", overtaken)


def overtaking(path: str, change: Callable[[Registry], object], reason: str | None = None) -> Registry:
    """Return a registry during whose checks another one makes a change; the check fails if there is a reason."""

    def check(prompt: Prompt) -> None:
        with Registry(path) as other:
            change(other)
        if reason is not None:
            raise ValueError(reason)

    return Registry(path, publish_checks=[check])


def test_rule_9_an_edit_during_the_checks_is_a_conflict(registry, path):
    """A draft that is edited during its checks is not published, and the error has both hashes."""
    prepare(registry)
    checked = registry.get("x@2").content_hash
    with overtaking(path, lambda r: r.update("x@2", title="Other")) as slow:
        with pytest.raises(VersionConflictError) as caught:
            slow.publish("x", 2)
        edited = slow.get("x@2")
        assert (slow.get("x").version, edited.state, edited.title) == (1, "draft", "Other")
        assert caught.value.details == {"expected": checked, "actual": edited.content_hash, "field": "content_hash"}
        assert slow.events("x")[-1].action == "edit"


def make_live(registry: Registry) -> None:
    """Publish another version of x."""
    registry.update("x", title="Other")


def disable(registry: Registry) -> None:
    """Disable x."""
    registry.set_status("x", "disabled")


def move_label(registry: Registry) -> None:
    """Move the label of the draft to another one."""
    registry.set_label("x", "staging", registry.update("x", title="Other", is_production=False).version)


# The change of another registry, the field that differs then, the expected and the actual value, and the call.
CHANGES = {
    "an update of an update's base": (make_live, "production", 1, 3, lambda r: r.update("x", template="three")),
    "an update of a rename's base": (make_live, "production", 1, 3, lambda r: r.update("x", new_name="y")),
    "an update of what is replaced": (make_live, "production", 1, 3, lambda r: r.publish("x", 2)),
    "a rollback": (lambda r: r.rollback("twice", reason="r"), "production", 2, 1, lambda r: r.publish("twice", 3)),
    "a first publication": (lambda r: r.publish("never", 1), "production", 0, 1, lambda r: r.publish("never", 2)),
    "a rename": (rename, "name", "x", "z", lambda r: r.publish("x", 2)),
    "a rename under an update": (rename, "name", "x", "z", lambda r: r.update("x", title="T")),
    "a rename, asked for by id": (rename, "name", "x", "z", lambda r: r.publish(f"{r.get('x').id}@2")),
    "a rename under a rename": (rename, "name", "x", "z", lambda r: r.update("x", new_name="y")),
    "disabled": (disable, "status", "active", "disabled", lambda r: r.publish("x", 2)),
    "disabled under an update": (disable, "status", "active", "disabled", lambda r: r.update("x", title="T")),
    "a label that moves": (move_label, "version", 2, 3, lambda r: r.publish("x@staging")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_rule_9_a_change_during_the_checks_is_reported(registry, path, change):
    """What the checks have read is compared again, and the details name the field that differs and both values."""
    prepare(registry)
    registry.create("twice", "one")
    registry.update("twice", template="two")
    registry.update("twice", template="three", is_production=False)
    registry.create("never", "one", is_production=False)
    registry.update("never", template="two", is_production=False)
    others, field, expected, actual, call = CHANGES[change]
    with Registry(path) as twin, overtaking(path, others) as slow:
        with pytest.raises(VersionConflictError) as caught:
            call(slow)
        assert caught.value.details == {"expected": expected, "actual": actual, "field": field}
        assert str(expected) in caught.value.message
        assert str(actual) in caught.value.message
        assert all("T" not in (v.title, v.name) for p in twin.list() for v in twin.history(p.name))
        assert "three" not in {p.template for p in twin.list()}


@pytest.mark.parametrize(
    ("change", "call", "error"),
    [
        (
            lambda r: r.update("x", title="Other"),
            lambda r: r.update("x", template="three", expected_version=1),
            VersionConflictError,
        ),
        (
            lambda r: r.update("x", title="Other"),
            lambda r: r.publish("x", 2, expected_production=1),
            VersionConflictError,
        ),
        (lambda r: r.archive("x"), lambda r: r.publish("x", 2), NotModifiableError),
        (lambda r: r.create("y", "one"), lambda r: r.update("x", new_name="y"), NameTakenError),
        (lambda r: r.create("y", "one"), lambda r: r.create("y", "two"), NameTakenError),
        (lambda r: r.set_status("x", "deleted"), lambda r: r.publish("x", 2), NotFoundError),
        (discard_staging, lambda r: r.publish("x", 2), VersionNotFoundError),
        (discard_staging, lambda r: r.publish("x"), VersionNotFoundError),
        (discard_staging, lambda r: r.publish("x@staging"), VersionNotFoundError),
    ],
)
def test_rule_9_a_refusal_that_arose_during_the_checks_applies(registry, path, change, call, error):
    """A change that forbids the publication refuses it after the checks, and only that change is stored."""
    prepare(registry)
    with Registry(path) as twin, overtaking(path, change) as slow:
        with pytest.raises(error) as caught:
            call(slow)
        assert type(caught.value) is error
        assert caught.value.details.get("expected") != caught.value.details.get("actual", "none")
        if error is NotFoundError:
            assert caught.value.details == {"names": ["x"]}
            return
        assert [v.title for v in twin.history("x")].count("Other") <= 1
        assert "three" not in [v.template for v in twin.history("x")]
        assert twin.get("x@production").template == "one"


def test_rule_9_the_new_name_of_a_hidden_prompt_is_not_revealed(registry, path):
    """An actor that may no longer read the prompt when it is renamed gets NotFoundError without the new name."""
    prepare(registry)
    registry.update("x", access_grants=[("user:ana", "write")], is_production=False)
    change = overtaking(path, lambda r: r.update("x", new_name="secret", access_grants=[], is_production=False))
    with change as slow, pytest.raises(NotFoundError) as caught:
        slow.scope(actor=Actor("ana")).publish("x", 2)
    assert (type(caught.value), caught.value.details) == (NotFoundError, {"names": ["x"]})


NO_CONFLICT = {
    "another draft": lambda r: r.update("x", title="Other", is_production=False),
    "a label": lambda r: r.set_label("x", "eu", 1),
    "its own label": lambda r: r.remove_label("x", "staging"),
    "a grant": lambda r: r.update("x", access_grants=[("user:bo", "read")], is_production=False),
    "a commit message": lambda r: r.update("x@2", commit_message="Better"),
    "another prompt": lambda r: r.create("y", "one"),
    "nothing, after all": lambda r: (r.set_status("x", "disabled"), r.set_status("x", "active")),
}


@pytest.mark.parametrize("change", NO_CONFLICT)
@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.publish("x", 2),
        lambda r: r.publish("x"),
        lambda r: r.publish("x", expected_production=1),
        lambda r: r.update("x", template="three"),
        lambda r: r.update("x", template="three", expected_version=1),
        lambda r: r.save("x", "three"),
    ],
)
def test_rule_9_unrelated_changes_during_the_checks_refuse_nothing(registry, path, change, call):
    """Another draft, a label, a grant or a message saved during a slow check refuses nothing, and is not lost."""
    prepare(registry)
    times = []
    with Registry(path) as other:

        def check(prompt: Prompt) -> None:
            times.append(prompt.version)
            NO_CONFLICT[change](other)

        with Registry(path, publish_checks=[check]) as slow:
            made = call(slow)
    assert len(times) == 1
    assert registry.get("x") == made
    assert (made.state, made.template in {"two", "three"}) == ("published", True)
    assert [e.action for e in registry.events("x")][-1] == "publish"
    if change == "a grant":
        assert [grant.principal for grant in made.access_grants] == ["user:bo"]
    if change == "a label":
        assert made.labels["eu"] == 1
    if change == "a commit message":
        assert registry.get("x@2").commit_message == "Better"
    numbers = [v.version for v in registry.history("x")]
    assert numbers == sorted(set(numbers), reverse=True)


@pytest.mark.parametrize(("first", "asked", "others"), [("one", "one", "two"), ("one", "two", "two")])
def test_rule_9_if_nothing_is_live_another_draft_is_no_conflict_either(registry, path, first, asked, others):
    """The content that was passed and checked goes live, although a draft that was saved meanwhile is the base now."""
    registry.create("x", first, is_production=False)
    change = overtaking(path, lambda r: r.update("x", template=others, is_production=False))
    with change as slow:
        made = slow.update("x", template=asked)
    assert (made.template, made.state, registry.get("x")) == (asked, "published", made)
    assert [v.version for v in registry.history("x") if v.state == "published"] == [made.version]


def test_rule_9_examples_compare_the_content_alone(registry, path, monkeypatch):
    """If only examples were checked, which render the template, a rename or a publication is no conflict."""
    registry.create("x", "one")
    registry.update("x", template="two {{ n }}", examples=[{"n": 1}], is_production=False)
    meanwhile(monkeypatch, path, lambda r: (r.set_status("x", "disabled"), r.update("x", template="three")))
    assert registry.publish("x", 2).production_version == 2
    assert [v.state for v in registry.history("x")] == ["published"] * 3


def test_rule_9_two_concurrent_publications_publish_once(registry, path):
    """If another registry published the version during the checks, nothing is written, and nothing refused."""
    prepare(registry)
    with overtaking(path, lambda r: r.publish("x", 2)) as slow:
        assert slow.publish("x").production_version == 2
    assert [e.action for e in registry.events("x")].count("publish") == 2


def test_rule_9_a_version_that_was_live_before_runs_no_checks(registry, path, monkeypatch):
    """Publishing a version that was live before runs no checks, so that no change meanwhile is a conflict."""
    prepare(registry)
    registry.publish("x", 2)
    with Registry(path, publish_checks=[refuse]) as checking:
        meanwhile(monkeypatch, path, lambda r: (r.set_label("x", "eu", 1), r.update("x", template="three")))
        assert checking.publish("x", 1).production_version == 1


def test_rule_9_a_version_that_became_the_target_meanwhile_is_checked(registry, path, monkeypatch):
    """If a label moves from a version that was live to a draft before the write, the draft is checked first."""
    prepare(registry)
    registry.update("x@2", template="one", title="T")  # which compiles as the other does
    registry.set_label("x", "staging", 1)
    registry.update("x", template="three")
    with Registry(path, publish_checks=[refuse]) as checking:
        meanwhile(monkeypatch, path, lambda r: r.set_label("x", "staging", 2))
        with pytest.raises(PublishCheckError):
            checking.publish("x@staging")
    assert (registry.get("x").version, registry.get("x@2").state) == (3, "failed")


# The reasons are reported, whatever happens to the version

BECOMES = {
    "nothing": (lambda r: None, "failed"),
    "discarded": (discard_staging, None),
    "edited": (lambda r: r.update("x@2", title="Other"), "draft"),
    "published": (lambda r: r.publish("x", 2), "published"),
    "published and rolled back": (lambda r: (r.publish("x", 2), r.rollback("x", reason="r")), "published"),
    "archived": (lambda r: r.archive("x"), "draft"),
    "deleted": (lambda r: r.set_status("x", "deleted"), None),
    "renamed": (lambda r: r.update("x", new_name="y", is_production=False), "failed"),
    "disabled": (lambda r: r.set_status("x", "disabled"), "failed"),
    "beside another draft": (lambda r: r.update("x", title="Other", is_production=False), "failed"),
    "under another version": (lambda r: r.update("x", template="three"), "failed"),
    "hidden": (lambda r: r.update("x", access_grants=[]), "draft"),
    "not the actor's to change": (lambda r: r.update("x", access_grants=[("user:ana", "read")]), "draft"),
}


@pytest.mark.parametrize("becomes", BECOMES)
@pytest.mark.parametrize(
    "call", [lambda r: r.publish("x", 2), lambda r: r.publish("x"), lambda r: r.publish("x", 2, expected_production=1)]
)
def test_rule_9_the_reasons_are_never_lost(registry, path, becomes, call):
    """The caller gets the reasons of a failed check; the version is marked if it still has the checked content."""
    prepare(registry)
    registry.update("x", access_grants=[("user:ana", "write")])
    registry.rollback("x", reason="r")
    change, state = BECOMES[becomes]
    with Registry(path) as twin, overtaking(path, change, "too loud") as slow:
        identity = twin.get("x").id
        with pytest.raises(PublishCheckError) as caught:
            call(slow.scope(actor=Actor("ana")))
        assert caught.value.details["reasons"] == ["check: too loud"]
        assert caught.value.__cause__ is None
        found = twin.get(identity, version=2, default=None)
        assert (found and found.state) == state
        marks = [e.details for e in twin.events(limit=1000) if e.action == "check_failed"]
        assert marks == ([{"reasons": ["check: too loud"]}] if state == "failed" else [])


def test_rule_9_a_version_that_is_live_by_then_is_never_marked():
    """The rule itself never marks a published version, whatever triggers the storage has."""
    author = Author("ana", "2026-01-01T00:00:00.000000+00:00")
    container, live, *_ = plan_create(
        "id", "default", "x", Draft(read_edit(template="one", most=1_000), "", True), author
    )
    assert plan_check_failed(container, live, live, ["no"], author).changes == ()
    draft = live._replace(state="draft", published_at=None)
    marked = plan_check_failed(container, draft, draft, ["no"], author)
    assert (marked.version.state, marked.version.failure) == ("failed", ["no"])


@pytest.mark.sqlite
def test_rule_9_a_mark_that_can_not_be_stored_loses_no_reason(registry, path):
    """If others lock the database, the reasons are raised with the error that prevented the mark as their cause."""
    prepare(registry)
    holder = sqlite3.connect(path, isolation_level=None)

    def check(prompt: Prompt) -> None:
        holder.execute("BEGIN IMMEDIATE")
        raise ValueError("too loud")

    with Registry(path, publish_checks=[check], busy_timeout=0.05) as slow:
        with pytest.raises(PublishCheckError) as caught:
            slow.publish("x", 2)
        assert caught.value.details["reasons"] == ["check: too loud"]
        assert type(caught.value.__cause__) is StorageBusyError
        assert caught.value.__cause__.__context__ is None
        holder.execute("ROLLBACK")
        assert slow.get("x@2").state == "draft"
        assert slow.update("x@2", title="T").title == "T"
    holder.close()


def test_rule_9_examples_added_meanwhile_are_checked_too(registry, path, monkeypatch):
    """An update that fails examples stored by another writer since it was planned does not go live."""
    registry.create("x", "Hello")
    meanwhile(monkeypatch, path, lambda r: r.update("x", examples=[{}]))
    with pytest.raises(PublishCheckError):
        registry.update("x", template="Hello {{ n }}")
    assert (registry.get("x").version, registry.get("x").template) == (2, "Hello")
