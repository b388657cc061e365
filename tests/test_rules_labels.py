"""Rule 8, labels, references, and the events of each verb."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from promptreg import (
    Actor,
    InvalidInputError,
    NotFoundError,
    Prompt,
    PublishCheckError,
    Registry,
    VersionNotFoundError,
)
from tests.refusals import prepare, refused


@pytest.fixture
def refuses(registry, unchanged) -> Callable[..., None]:
    """Return `refused` for the registry of this test."""
    return partial(refused, registry, unchanged)


def actions(registry: Registry, call: Callable[[Registry], object]) -> list[tuple[str, int | None]]:
    """Return the actions and versions of the events that a call writes."""
    last = max([event.seq for event in registry.events(limit=10_000)], default=0)
    call(registry)
    return sorted((event.action, event.version) for event in registry.events(after=last))


# Rule 8, labels and references


@pytest.mark.parametrize("version", [3, 2**70, "nightly", "elsewhere", "Staging"])
def test_rule_8_an_unknown_version_or_label_is_not_found(registry, refuses, version):
    """Every verb raises VersionNotFoundError for an absent version, one of another prompt, and an unknown label."""
    prepare(registry)
    registry.create("y", "one")
    for n in (2, 3, 4):
        registry.update("y", template=f"t{n}")
    registry.set_label("y", "elsewhere", 4)
    for call in (
        lambda r: r.get("x", version=version),
        lambda r: r.get(f"x@{version}"),
        lambda r: r.render("x", version=version),
        lambda r: r.publish("x", version),
        lambda r: r.rollback("x", version, reason="r"),
        lambda r: r.discard("x", version),
        lambda r: r.update("x", version=version, template="new"),
        lambda r: r.set_label("x", "staging", version),
        lambda r: r.diff("x", 1, version),
    ):
        refuses(call, VersionNotFoundError, "version_not_found", name="x", version=version)


def test_labels_choose_versions_in_every_verb(registry):
    """A label or a number chooses a version with @ or as an argument, by name and by id."""
    prepare(registry)
    prompt = registry.get("x@staging")
    assert prompt.labels == {"staging": 2, "production": 1, "latest": 2}
    chosen = [registry.get(f"{prompt.id}@staging"), registry.get("x", label="staging"), registry.get("x", version=2)]
    chosen += [registry.get("x", version="latest"), registry.render("x@staging").prompt]
    assert chosen == [prompt] * 5
    assert registry.update("x@staging", template="edited").version == 2
    assert registry.publish("x@staging").production_version == 2
    assert registry.rollback("x", reason="r").version == 1
    assert registry.rollback("x@staging", reason="r").version == 2
    assert registry.diff("x", "staging", "production") == ""


@pytest.mark.parametrize(
    "call",
    [
        lambda r, i: r.set_label("x@2", "eu"),
        lambda r, i: r.set_label("x@staging", "eu"),
        lambda r, i: r.set_label("x@latest", "eu"),
        lambda r, i: r.set_label(f"{i}@2", "eu"),
        lambda r, i: r.set_label("x", "eu", 2),
        lambda r, i: r.set_label("x", "eu", "staging"),
        lambda r, i: r.set_label("x", label="eu", version="latest"),
    ],
)
def test_labels_are_set_by_any_reference(registry, call):
    """The version is passed once, with @ or as an argument, as a number or a label."""
    prepare(registry)
    result = call(registry, registry.get("x").id)
    assert (result.version, result.labels["eu"], registry.get("x@eu").version) == (1, 2, 2)


def test_labels_can_be_moved_and_removed(registry, path, unchanged):
    """Setting a label moves only this label, even to a version with another label; other registries' caches see it."""
    prepare(registry)
    with Registry(path) as other:
        assert other.get("x@staging").version == 2
        live = registry.set_label("x", "staging", "production")
        assert (live.version, live.labels["staging"], other.get("x@staging").version) == (1, 1, 1)
        with unchanged():
            registry.set_label("x", "staging", 1)
        registry.update("x", template="three", new_name="y")
        assert (other.get("y@staging").version, other.get("y@latest").version) == (1, 3)
        assert registry.remove_label("y", "staging").labels == {"production": 3, "latest": 3}
        with pytest.raises(VersionNotFoundError):
            other.get("y@staging")


@pytest.mark.parametrize("label", ["a", "x" * 50, "canary-eu", "v1.2", "0x", "Production-2", "-", "_"])
def test_well_formed_labels_are_accepted(registry, label):
    """Any label of the allowed characters is accepted, and its case matters."""
    prepare(registry)
    registry.set_label("x", label, 2)
    assert registry.get(f"x@{label}").version == 2


@pytest.mark.parametrize(
    "label", ["", " ", "a b", "x" * 51, "12", "production", "LATEST", "Latest", "é", "a@b", "a\n", "\0", None, 7, b"a"]
)
def test_malformed_or_reserved_labels_are_refused(registry, refuses, label):
    """Malformed labels, and reserved ones in any case, can't be set or removed."""
    prepare(registry)
    refuses(lambda r: r.set_label("x", label, 1), InvalidInputError, "validation_error")
    refuses(lambda r: r.remove_label("x", label), InvalidInputError, "validation_error")


def test_unknown_labels_can_not_be_removed(registry, refuses):
    """Removing an unknown label raises VersionNotFoundError, and for an unknown prompt NotFoundError."""
    prepare(registry)
    refuses(lambda r: r.remove_label("x", "no"), VersionNotFoundError, "version_not_found", name="x", version="no")
    refuses(lambda r: r.remove_label("no", "staging"), NotFoundError, "not_found", names=["no"])
    refuses(lambda r: r.set_label("no", "staging", 1), NotFoundError, "not_found", names=["no"])


MALFORMED = {
    "an @ where no version is chosen": [
        lambda r: r.create("x@1", "t"),
        lambda r: r.save("x@1", "t"),
        lambda r: r.history("x@1"),
        lambda r: r.diff("x@1", 1, 2),
        lambda r: r.events("x@1"),
        lambda r: r.archive("x@1"),
        lambda r: r.restore("x@1"),
        lambda r: r.set_status(["x@1"], "disabled"),
        lambda r: r.remove_label("x@1", "staging"),
    ],
    "a version chosen twice": [
        lambda r: r.get("x@1", version=1),
        lambda r: r.get("x@staging", label="staging"),
        lambda r: r.get("x", version=2, label="staging"),
        lambda r: r.render("x@1", version=1),
        lambda r: r.publish("x@2", 2),
        lambda r: r.rollback("x@1", 1, reason="r"),
        lambda r: r.discard("x@2", "staging"),
        lambda r: r.update("x@2", version=2, template="new"),
        lambda r: r.set_label("x@1", "l", 1),
        lambda r: r.set_label("x@staging", "l", version="staging"),
        lambda r: r.set_label(f"{r.get('x').id}@1", "l", 2),
    ],
    "no version chosen": [lambda r: r.set_label("x", "l"), lambda r: r.set_label("x", "l", None)],
    "no version": [lambda r, v=v: r.publish("x", v) for v in (0, -1, True, 1.0, "1", "", "a b", b"1", [1])],
    "no reference": [lambda r, n=n: r.publish(n) for n in ("x@", "x@0", "x@a b", "@1", "x@1@2", "X@1", "", None, 1)],
    "no expected_production": [
        lambda r, e=e, c=c: c(r, e)
        for e in (None, -1, False, "1", 1.0)
        for c in (
            lambda r, e: r.publish("x", 2, expected_production=e),
            lambda r, e: r.rollback("x", reason="r", expected_production=e),
        )
    ],
    "no expected_hash": [
        lambda r, h=h, n=n: r.publish(n, expected_hash=h)
        for h in (None, "", "x" * 64, 1, b"0" * 64)
        for n in ("x", "no")
    ],
}


@pytest.mark.parametrize("flaw", MALFORMED)
def test_malformed_references_and_two_versions_are_refused(registry, refuses, flaw):
    """An @ where no version can be chosen, two versions, and invalid numbers or labels are invalid input."""
    prepare(registry)
    for call in MALFORMED[flaw]:
        refuses(call, InvalidInputError, "validation_error")


# Events


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda r: r.create("y", "t"), [("create", 1), ("publish", 1)]),
        (lambda r: r.create("y", "t", is_production=False), [("create", 1)]),
        (lambda r: r.save("y", "t"), [("create", 1), ("publish", 1)]),
        (lambda r: r.save("x", "three"), [("publish", 3), ("update", 3)]),
        (lambda r: r.save("x", "one"), []),
        (lambda r: r.update("x", template="three"), [("publish", 3), ("update", 3)]),
        (lambda r: r.update("x", template="three", is_production=False), [("update", 3)]),
        (lambda r: r.update("x", new_name="y"), [("publish", 3), ("rename", 3), ("update", 3)]),
        (
            lambda r: r.update("x", access_grants=[("anyone", "read")], is_production=False),
            [("grant", 3), ("update", 3)],
        ),
        (
            lambda r: r.update("x", new_name="y", access_grants=[("anyone", "read")], title="T"),
            [("grant", 3), ("publish", 3), ("rename", 3), ("update", 3)],
        ),
        (lambda r: r.update("x@2", template="edited"), [("edit", 2)]),
        (lambda r: r.update("x@2", template="two"), []),
        (lambda r: r.publish("x", 2), [("publish", 2)]),
        (lambda r: r.publish("x", 1), []),
        (lambda r: (r.publish("x", 2), r.rollback("x", reason="r")), [("publish", 2), ("rollback", 1)]),
        (lambda r: (r.remove_label("x", "staging"), r.discard("x", 2)), [("discard", 2), ("remove_label", 2)]),
        (lambda r: r.set_label("x", "canary", 1), [("set_label", 1)]),
        (lambda r: r.get("x"), []),
    ],
)
def test_events_of_each_verb(registry, call, expected):
    """Each verb writes one event for each of its actions, with the version; a call without a change writes none."""
    prepare(registry)
    assert actions(registry, call) == expected


def test_events_record_who_what_and_when(registry):
    """Events have actor, name, ids and times, are numbered consecutively, and include those before a rename."""
    ana = registry.scope(actor=Actor("ana", "team_admin"))
    made = ana.create("x", "the secret words", description="the secret words")
    registry.update("x", new_name="y", commit_message="the secret words")
    recorded = registry.events("y")
    assert [event.seq for event in recorded] == list(range(recorded[0].seq, recorded[0].seq + len(recorded)))
    assert {event.prompt_id for event in recorded} == {made.id}
    assert [event.actor for event in recorded if event.version == 1] == ["ana"] * 2
    assert [event.actor for event in recorded if event.version == 2] == [None] * 3
    assert [event.at for event in recorded][:2] == [made.created_at] * 2
    assert "secret" not in repr([event.details for event in recorded])
    assert registry.events(made.id, after=recorded[1].seq, limit=1) == [recorded[2]]
    assert all(event.namespace == "default" for event in recorded)


@pytest.mark.parametrize(
    ("edit", "fields"),
    [
        ({"commit_message": "Better"}, ["commit_message"]),
        ({"commit_message": "Better", "title": "T", "template": "new"}, ["template", "title", "commit_message"]),
        ({"title": "T", "commit_message": "First"}, ["title"]),
    ],
)
def test_an_edit_records_every_field_that_it_changed(registry, edit, fields):
    """The event has the names of the changed fields, including the commit message, and never their values."""
    registry.create("x", "one", is_production=False, commit_message="First")
    made = registry.update("x@1", **edit)
    event = registry.events("x")[-1]
    assert event.action == "edit"
    assert event.details == {"fields": fields, "content_hash": made.content_hash}


@pytest.mark.sqlite
def test_a_failed_check_records_its_reasons_until_the_prompt_is_deleted(registry, path):
    """The event keeps the reasons even if the version is edited; deleting the prompt clears them."""

    def refuse(prompt: Prompt) -> None:
        raise ValueError(f"too {'loud' if prompt.template == 'one' else 'low'}")

    registry.create("x", "one", is_production=False)
    with Registry(path, publish_checks=[refuse]) as checking:
        for template in ("one", "two"):
            checking.update("x@1", template=template)
            with pytest.raises(PublishCheckError):
                checking.publish("x")
    registry.update("x@1", template="three")
    recorded = [event.details for event in registry.events("x") if event.action == "check_failed"]
    assert recorded == [{"reasons": ["refuse: too loud"]}, {"reasons": ["refuse: too low"]}]
    registry.set_status("x", "deleted")
    assert [(e.action, e.details) for e in registry.events() if e.action != "delete"] == [
        (action, {}) for action in ("create", "check_failed", "edit", "check_failed", "edit")
    ]
    assert b"too loud" not in b"".join(file.read_bytes() for file in Path(path).parent.iterdir())
