"""`registry.head()` and `verify(head=…)`: a hash that is kept elsewhere proves that no event before it was changed."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from promptreg import Actor, ForbiddenError, InvalidInputError, Registry, Role, StorageCorruptError
from promptreg.rules.names import Reference
from promptreg.storage.hashing import EVENT_COLUMNS, GENESIS, link_of
from promptreg.storage.rows import VERSION_COLUMNS, version_row
from promptreg.storage.sqlite import integrity, verification
from tests.full import exported, imported
from tests.test_storage_sqlite import drop_checks, raw

NOT_THERE = re.compile("the head [0-9a-f]{64} is not in the chain of events: ")


def fill(registry: Registry) -> list[str]:
    """Write some events, and return the head before the first and after each call."""
    calls: list[Callable[[], object]] = [
        lambda: registry.create("greet", "One"),
        lambda: registry.update("greet", template="Two"),
        lambda: registry.scope(namespace="other").create("greet", "Other"),
        lambda: registry.rollback("greet", reason="x"),
        lambda: registry.scope(namespace="other").delete("greet"),
    ]
    return [registry.head(), *(_after(call, registry) for call in calls)]


def _after(call: Callable[[], object], registry: Registry) -> str:
    call()
    return registry.head()


@contextmanager
def forging(registry: Registry) -> Iterator[sqlite3.Connection]:
    """Yield a connection that may change events, and then give every event the hashes that fit."""
    registry.close()
    with closing(raw(registry.path)) as connection:
        drop_checks(connection, "events")
        yield connection
        link, seq = GENESIS, 0
        columns = ", ".join(column for column in EVENT_COLUMNS if column not in {"prev", "hash"})
        for row in connection.execute(f"SELECT {columns} FROM events ORDER BY seq").fetchall():
            hash_ = link_of(link, *row)
            connection.execute("UPDATE events SET prev = ?, hash = ? WHERE seq = ?", (link, hash_, row[0]))
            link, seq = hash_, row[0]
        connection.execute("UPDATE registry SET last_event = ?, last_hash = ?", (seq, link))


def test_the_head_is_64_zeros_before_the_first_event(registry: Registry) -> None:
    """And it is in the chain of every registry, as nothing is before it."""
    assert registry.head() == "0" * 64
    assert registry.verify(head="0" * 64) == []
    registry.create("greet", "Hello")
    assert registry.verify(head="0" * 64) == []


def test_the_head_is_64_hexadecimal_digits_that_change_with_each_event(registry: Registry) -> None:
    """Of any namespace; what writes no event, and another view, leave it as it is."""
    heads = fill(registry)
    assert len({*heads}) == len(heads)
    assert all(re.fullmatch("[0-9a-f]{64}", head) for head in heads)
    registry.save("greet", "One")
    assert registry.head() == heads[-1] == registry.scope(namespace="other").head()


def test_every_earlier_head_is_in_the_chain(registry: Registry) -> None:
    """Whatever was written, rolled back and deleted since."""
    assert [registry.verify(head=head) for head in fill(registry)] == [[]] * 6


def test_an_export_and_its_import_keep_the_head(registry: Registry) -> None:
    """So what was kept of the one proves the same of the other."""
    heads = fill(registry)
    with imported(exported(registry)) as other:
        assert other.head() == heads[-1]
        assert other.verify(head=heads[2]) == []


@pytest.mark.parametrize("head", ["1" * 64, "f" * 64])
def test_a_head_of_no_event_is_reported_alone(registry: Registry, head: str) -> None:
    """As is the head of another registry."""
    fill(registry)
    (line,) = registry.verify(head=head)
    assert NOT_THERE.match(line)
    assert head in line
    with Registry(":memory:") as other:
        fill(other)
        (line,) = registry.verify(head=other.head())
    assert NOT_THERE.match(line)


# The statement, and whether what was kept after event 2, and after event 5, is in the chain then.
FORGERIES = {
    "an event that was changed": ("UPDATE events SET actor = 'mallory' WHERE seq = 3", True, False),
    "one after all that were kept": ("UPDATE events SET actor = 'mallory' WHERE seq = 6", True, True),
    "events that were cut": ("DELETE FROM events WHERE seq > 3", True, False),
    "every event that was cut": ("DELETE FROM events", False, False),
}


@pytest.mark.parametrize(("statement", "has_first", "has_second"), FORGERIES.values(), ids=FORGERIES)
def test_a_head_that_was_kept_proves_that_the_record_was_forged(
    registry: Registry, statement: str, has_first: bool, has_second: bool
) -> None:
    """Though every hash was made to fit: what was changed or cut before a head, it no longer leads to."""
    registry.create("a", "One")
    first = registry.head()
    registry.update("a", template="Two")
    registry.set_label("a", "x", 1)
    second = registry.head()
    registry.create("late", "Three")
    with forging(registry) as connection:
        connection.execute("DELETE FROM event_details WHERE seq > 3")
        connection.execute(statement)
    with Registry(registry.path) as forged:
        for head, is_in_chain in ((first, has_first), (second, has_second)):
            lines = [line for line in forged.verify(head=head) if NOT_THERE.match(line)]
            assert len(lines) == (0 if is_in_chain else 1)


def test_without_the_head_such_a_forgery_is_whole(registry: Registry) -> None:
    """This is what the head is for: the last event was changed, and its hash with it."""
    registry.create("a", "One")
    head = registry.head()
    with forging(registry) as connection:
        connection.execute("UPDATE events SET actor = 'mallory' WHERE seq = 2")
    with Registry(registry.path) as forged:
        assert forged.verify() == []
        (line,) = forged.verify(head=head)
    assert NOT_THERE.match(line)


def test_a_hash_that_was_put_back_is_reported_with_its_event(registry: Registry) -> None:
    """The hash that was kept is there again, and no longer that of its event."""
    heads = fill(registry)
    with forging(registry) as connection:
        connection.execute("UPDATE events SET actor = 'mallory' WHERE seq = 1")
    with closing(raw(registry.path)) as connection:
        connection.execute("UPDATE events SET hash = ? WHERE seq = 2", (heads[1],))
    with Registry(registry.path) as forged:
        assert forged.verify(head=heads[1])[0] == "event 2 is not what was written"


def test_an_absent_head_is_the_first_line_of_however_many(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than 1,000 lines only the number is reported, and never in its place."""
    fill(registry)
    monkeypatch.setattr("promptreg.storage.problems.MAX_PROBLEMS", 1)
    with forging(registry) as connection:
        drop_checks(connection, "versions")
        connection.execute("UPDATE versions SET title = 'x'")
    with Registry(registry.path) as damaged:
        lines = damaged.verify(head="1" * 64)
    assert NOT_THERE.match(lines[0])
    assert lines[1] == "and 2 more"


def test_the_head_is_looked_for_in_slices(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any size, and between two of them nothing is held."""
    heads = fill(registry)
    monkeypatch.setattr(verification, "SLICE_SECONDS", 0.0)
    for batch in (1, 2, 3):
        monkeypatch.setattr(integrity, "BATCH", batch)
        assert [registry.verify(head=head) for head in heads] == [[]] * 6
        assert NOT_THERE.match(registry.verify(head="1" * 64)[0])


def test_a_version_that_was_forged_with_its_hash_is_found_by_an_import(registry: Registry) -> None:
    """As the page about backup says: it replays the record, whose content hashes the head stands for."""
    registry.create("greet", "Hello")
    registry.update("greet", template="Good day")
    with registry._core.storage.read() as reader:
        (container,) = reader.find("default", [Reference("greet", is_id=False)])
        assert container is not None
        (record, _) = reader.versions(container, before=None, limit=2)
    registry.close()
    forged = record._replace(snapshot=record.snapshot._replace(category="forged"))
    with closing(raw(registry.path)) as connection:
        drop_checks(connection, "versions")
        written = dict(zip(VERSION_COLUMNS, version_row(container.id, forged), strict=True))
        connection.execute("UPDATE versions SET category = :category, hash = :hash WHERE version = 2", written)
    with Registry(registry.path) as opened:
        assert opened.verify(head=opened.head()) == []
        with pytest.raises(InvalidInputError, match="content_hash: is not the hash of the content"):
            imported(exported(opened))


NO_HEADS = ["", "0", "0" * 63, "0" * 65, "G" * 64, "A" * 64, f"{'0' * 64}\n", 0, b"0" * 64, []]


def test_what_is_no_head_is_invalid(registry: Registry) -> None:
    """It is refused with every other bad argument, before `ForbiddenError`, and is not quoted."""
    head: Any
    for head in NO_HEADS:
        for view in (registry, registry.scope(actor=Actor("eve"))):
            with pytest.raises(InvalidInputError) as caught:
                view.verify(head=head, progress=0)  # type: ignore[arg-type]
            assert [error["field"] for error in caught.value.details["errors"]] == ["head", "progress"], head
            assert caught.value.message.startswith("head: must be what head() returned: 64 of 0-9 a-f; progress: ")


def test_rule_17_the_application_and_org_admins_read_the_head(registry: Registry) -> None:
    """As the head is of every namespace."""
    fill(registry)
    for role in (None, Role.TEAM_MEMBER, Role.TEAM_EDITOR, Role.TEAM_ADMIN):
        with pytest.raises(ForbiddenError) as caught:
            registry.scope(actor=Actor("eve", role)).head()
        assert caught.value.details == {"names": [], "action": "read"}
        assert caught.value.message.startswith("The actor may not read the head of a registry;")
    assert registry.scope(actor=Actor("olga", Role.ORG_ADMIN)).head() == registry.head()


def test_a_record_that_was_cut_has_no_head(registry: Registry) -> None:
    """The registry's row names the last event that was written: nobody keeps the hash of an earlier one instead."""
    fill(registry)
    registry.close()
    with closing(raw(registry.path)) as connection:
        drop_checks(connection, "events")
        connection.execute("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    with Registry(registry.path) as cut, pytest.raises(StorageCorruptError) as caught:
        cut.head()
    assert caught.value.details == {"reason": "damaged"}
