"""The contract of `promptreg/storage/base.py`, run against every storage of `tests/storages.py`."""

import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from promptreg import ConflictError, StorageError
from promptreg.bases import SyncBase, place
from promptreg.clock import moment, new_id, system_clock
from promptreg.dump import DeletionEntry, Entry, EventEntry, PromptEntry
from promptreg.jsonvalues import FrozenDict, canonical
from promptreg.records import Audience, Change, Container, EventQuery, NewEvent, Operation, Query, VersionRecord
from promptreg.rules.lifecycle import plan_create, plan_discard, plan_update
from promptreg.rules.names import Reference
from promptreg.rules.outcomes import Author
from promptreg.rules.statuses import plan_statuses
from promptreg.rules.version_fields import Draft, read_edit
from promptreg.storage.base import ChangeReport, Position, Reader, Storage, Writer
from promptreg.storage.hashing import GENESIS, commitment_of, link_of
from tests.storages import CASES, STORAGES, StorageCase

AUTHOR = Author("ana", "2026-01-01T00:00:00.000000+00:00")
EVERYBODY = Audience(sees_all=True)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[StorageCase]:
    with STORAGES[request.param](request) as made:
        yield made


@pytest.fixture
def storage(case: StorageCase, tmp_path: Path) -> Iterator[Storage]:
    opened = case.open(tmp_path)
    yield opened
    opened.close()


def creation(name: str, template: str = "Hello", *, is_live: bool = True) -> Change:
    draft = Draft(read_edit(most=1_000, template=template), "", is_live)
    outcome = plan_create(new_id(), "default", name, draft, AUTHOR)
    assert outcome.change is not None
    return outcome.change


def add_version(writer: Writer, name: str, template: str, *, is_live: bool = True) -> int:
    container = named(writer, name)
    assert container is not None
    base = version(writer, container, container.last_version)
    assert base is not None
    outcome = plan_update(container, base, base, Draft(read_edit(most=1_000, template=template), "", is_live), AUTHOR)
    writer.apply(outcome.changes)
    return outcome.version.number


def named(reader: Reader, name: str) -> Container | None:
    (container,) = reader.find("default", [Reference(name, is_id=False)])
    return container


def version(reader: Reader, container: Container, number: int) -> VersionRecord | None:
    newest = reader.versions(container, before=number + 1, limit=1)
    return newest[0] if newest and newest[0].number == number else None


def found(storage: Storage, name: str) -> Container | None:
    with storage.read() as reader:
        return named(reader, name)


def revision(storage: Storage) -> int:
    with storage.read() as reader:
        return reader.snapshot.revision


def changes(storage: Storage, since: Position | None) -> ChangeReport:
    """Return what a check reports; again where a busy server did not answer it in time."""
    end = time.monotonic() + 30
    while True:
        with storage.monitor() as changes_since:
            report = changes_since(since)
        if not report.is_unavailable or time.monotonic() > end:
            return report
        time.sleep(0.05)


def test_what_is_written_is_read_back_equal(storage: Storage) -> None:
    """Containers, versions, publications and events are read as they were written."""
    change = creation("greet")
    with storage.write() as writer:
        writer.apply([change])
    with storage.read() as reader:
        container = named(reader, "greet")
        assert container == change.after
        by_id = Reference(change.subject.id, is_id=True)
        assert reader.find("default", [by_id]) == [container]
        assert reader.find("other", [by_id]) == [None]
        assert reader.find("default", []) == []
        assert reader.find("default", [by_id, Reference("x", is_id=False), by_id]) == [container, None, container]
        assert container is not None
        assert version(reader, container, 1) == change.added
        assert version(reader, container, 2) is None
        assert reader.versions(container, before=None, limit=9) == [change.added]
        assert reader.version_numbers(container, "publications") == [1]
        assert reader.query(Query("default", EVERYBODY, ("active",), 9)) == [(container, change.added)]
        assert reader.namespaces(EVERYBODY, None) == ["default"]
        events = reader.events(EventQuery("default", EVERYBODY, 9, prompt_id=container.id))
    assert [(e.seq, e.action, e.name, e.at.isoformat(timespec="microseconds")) for e in events] == [
        (1, "create", "greet", AUTHOR.now),
        (2, "publish", "greet", AUTHOR.now),
    ]


def test_a_look_up_finds_what_a_transaction_finds(storage: Storage) -> None:
    """Prompts by name or id, each with a version by number or label, or the one that is live; and the revision."""
    with storage.write() as writer:
        writer.apply([creation("greet"), creation("draft", is_live=False)])
        add_version(writer, "greet", "Two", is_live=False)
        add_version(writer, "greet", "Three")
    with storage.read() as reader:
        greet, draft = named(reader, "greet"), named(reader, "draft")
        assert greet is not None
        assert draft is not None
        one, two, three = (version(reader, greet, number) for number in (1, 2, 3))
        first = version(reader, draft, 1)
        revision = reader.snapshot.revision
    by_name, by_id = Reference("greet", is_id=False), Reference(draft.id, is_id=True)
    expected = {
        (by_name, None): (greet, three),
        (by_name, "production"): (greet, three),
        (by_name, "latest"): (greet, three),
        (by_name, 2): (greet, two),
        (by_name, 1): (greet, one),
        (by_name, 4): (greet, None),
        (by_name, 10**30): (greet, None),
        (by_name, "canary"): (greet, None),
        (by_id, None): (draft, None),
        (by_id, "latest"): (draft, first),
        (Reference("none", is_id=False), 1): (None, None),
    }
    assert storage.look_up("default", [*expected]) == (revision, [*expected.values()])
    for wanted, pair in expected.items():
        assert storage.look_up("default", [wanted]) == (revision, [pair])
    assert storage.look_up("other", [(by_name, None), (by_id, 1)]) == (revision, [(None, None)] * 2)
    assert storage.look_up("default", []) == (revision, [])


def test_unpublished_versions_are_listed_and_a_discarded_base_reads_as_none(storage: Storage) -> None:
    """Only drafts are listed, newest first; a version whose base was discarded has the base None."""
    with storage.write() as writer:
        writer.apply([creation("x", is_live=False)])
        add_version(writer, "x", "two", is_live=False)
        add_version(writer, "x", "three")
        writer.apply([creation("y")])
    with storage.write() as writer:
        container = named(writer, "x")
        assert container is not None
        assert writer.version_numbers(container, "unpublished") == [2, 1]
        first = version(writer, container, 1)
        assert first is not None
        writer.apply([plan_discard(container, first, [3, 2], AUTHOR)])
    with storage.read() as reader:
        assert reader.version_numbers(container, "unpublished") == [2]
        assert [v.base_version for v in reader.versions(container, before=None, limit=9)] == [2, None]
        made = version(reader, container, 2)
        assert made is not None
        assert made.base_version is None
        other = named(reader, "y")
        assert other is not None
        assert reader.version_numbers(other, "unpublished") == []


def test_a_reader_sees_one_snapshot(case: StorageCase, storage: Storage) -> None:
    """A commit during a read transaction is not seen by it, and is seen by the next."""

    def write() -> None:
        with storage.write() as writer:
            writer.apply([creation("later")])

    with storage.read() as reader:
        before = reader.snapshot
        thread = threading.Thread(target=write)
        thread.start()
        if case.is_concurrent:
            thread.join()
        assert named(reader, "later") is None
        assert reader.snapshot == before
    thread.join()
    assert found(storage, "later") is not None


def test_what_a_writer_read_stays_true_until_it_commits(storage: Storage) -> None:
    """Writers that read before they write never use a number twice, and lose no version."""
    with storage.write() as writer:
        writer.apply([creation("counted")])
    numbers: list[int] = []

    def work(worker: int) -> None:
        for turn in range(10):
            with storage.write() as writer:
                number = add_version(writer, "counted", f"{worker} {turn}")
            numbers.append(number)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(2, 42))
    container = found(storage, "counted")
    assert container is not None
    assert container.last_version == 41


def test_an_exception_rolls_back(storage: Storage) -> None:
    """Leaving `write()` by an exception rolls back rows and revision."""
    before = revision(storage)
    with suppress(ZeroDivisionError), storage.write() as writer:
        writer.apply([creation("lost")])
        raise ZeroDivisionError
    assert found(storage, "lost") is None
    assert revision(storage) == before


def test_a_write_is_atomic(storage: Storage) -> None:
    """When the second of two changes is refused, the first is rolled back."""
    with storage.write() as writer:
        writer.apply([creation("taken")])
    before = revision(storage)
    with pytest.raises(ConflictError), storage.write() as writer:
        writer.apply([creation("first"), creation("taken")])
    assert found(storage, "first") is None
    assert revision(storage) == before


def test_a_change_may_add_several_versions_to_a_new_prompt(storage: Storage) -> None:
    """As an import makes them: all are there, the live one among them, and the row of the prompt is written once."""
    change = creation("greet", is_live=False)
    first, after = change.added, change.after
    assert first is not None
    assert after is not None
    drafts = [first._replace(number=number, base_version=number - 1) for number in (2, 3)]
    live = first._replace(state="published", published_at=AUTHOR.now)
    imported = after._replace(latest_version=3, last_version=3, production_version=1, publications=1)
    before = revision(storage)
    with storage.write() as writer:
        writer.apply([change._replace(after=imported, added=drafts[1], earlier=(live, drafts[0]), published=1)])
    assert revision(storage) == before + 1
    with storage.read() as reader:
        container = named(reader, "greet")
        assert container == imported
        assert reader.versions(container, before=None, limit=9) == [drafts[1], drafts[0], live]
        assert reader.version_numbers(container, "publications") == [1]
        assert reader.query(Query("default", EVERYBODY, ("active",), 9, text="Hello")) == [(container, live)]
    problems: list[str] = [problem for step in storage.verify() for problem in step.problems]
    assert problems == []


def test_a_second_version_with_the_same_number_is_a_conflict(storage: Storage) -> None:
    """The database itself refuses a duplicate (prompt, version), published or draft."""
    change = creation("greet")
    assert change.added is not None
    assert change.after is not None
    with storage.write() as writer:
        writer.apply([change])
    for state in ("published", "draft"):
        again = Change(change.after, change.after, (), AUTHOR.now, added=change.added._replace(state=state))
        with pytest.raises(ConflictError), storage.write() as writer:
            writer.apply([again])


def test_the_revision_grows_with_each_change_and_only_then(storage: Storage) -> None:
    """A write raises the revision by one; a write that applies nothing, and a read, do not."""
    start = revision(storage)
    with storage.write():
        pass
    assert revision(storage) == start
    with storage.write() as writer:
        writer.apply([creation("a"), creation("b")])
        assert writer.snapshot.revision == start + 1
    assert revision(storage) == start + 1
    with storage.read() as reader:
        assert reader.snapshot.revision == start + 1


def test_an_operation_is_remembered_for_a_day_with_what_it_wrote(storage: Storage) -> None:
    """It is found by its key once its transaction has committed, also where it changed nothing, and in no other way."""
    now = moment(system_clock)
    with storage.write() as writer:
        assert writer.operation("one", now) is None
        writer.apply([creation("greet")], Operation("one", now, "[1]"))
    with suppress(ZeroDivisionError), storage.write() as writer:
        writer.apply([creation("lost")], Operation("lost", now, "[]"))
        raise ZeroDivisionError
    before = revision(storage)
    with storage.write() as writer:
        assert writer.apply([], Operation("nothing", now, "[2]")) is None
    assert revision(storage) == before + 1
    with storage.read() as reader:
        assert [reader.operation(key, now) for key in ("one", "nothing", "lost")] == ["[1]", "[2]", None]
    problems: list[str] = [problem for step in storage.verify() for problem in step.problems]
    assert problems == []


def test_a_second_operation_with_the_same_key_is_a_conflict(storage: Storage) -> None:
    """The database itself refuses it, so two transactions can't both write what is to be written once."""
    now = moment(system_clock)
    with storage.write() as writer:
        writer.apply([creation("greet")], Operation("one", now, "[1]"))
    with pytest.raises(ConflictError), storage.write() as writer:
        writer.apply([creation("again")], Operation("one", now, "[2]"))
    assert found(storage, "again") is None
    with storage.read() as reader:
        assert reader.operation("one", now) == "[1]"


def test_a_write_tells_the_first_event_that_it_wrote(storage: Storage) -> None:
    """By number and hash, by which the event is found in the chain once it has committed, and only then."""
    with storage.write() as writer:
        first = writer.apply([creation("a"), creation("b")])
        assert first is not None
        assert writer.has_event(first)
    lost = None
    with suppress(ZeroDivisionError), storage.write() as writer:
        second = writer.apply([creation("c")])
        lost = writer.apply([creation("d")])
        raise ZeroDivisionError
    assert (first[0], second and second[0], lost and lost[0]) == (1, 5, 7)
    with storage.read() as reader:
        assert reader.has_event(first)
        assert lost is not None
        for link in (lost, (first[0], lost[1]), (2, first[1]), (0, GENESIS), (10**30, first[1])):
            assert not reader.has_event(link)


def test_a_closed_storage_is_a_storage_error(storage: Storage) -> None:
    """After `close` every call raises StorageError."""
    storage.close()
    with pytest.raises(StorageError, match="closed"), storage.monitor():
        pass
    with pytest.raises(StorageError, match="closed"), storage.read():
        pass
    with pytest.raises(StorageError, match="closed"), storage.write():
        pass


def test_a_transaction_that_an_interrupt_left_open_is_released(storage: Storage) -> None:
    """`release_after(error)` rolls an interrupted write back, so that other threads can write, even if it is kept."""

    def torn() -> None:
        transaction = storage.write()
        transaction.__enter__().apply([creation("lost")])
        raise KeyboardInterrupt

    def write() -> None:
        with storage.write() as writer:
            writer.apply([creation("kept")])

    kept: list[BaseException] = []
    try:
        torn()
    except KeyboardInterrupt as error:
        kept.append(error)
        storage.release_after(error)
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert found(storage, "lost") is None
    assert found(storage, "kept") is not None


def test_both_sides_of_a_fork_keep_working(case: StorageCase, storage: Storage) -> None:
    """A child forked from an open storage, and its parent, read and write, and nothing is lost."""
    with storage.write() as writer:
        writer.apply([creation("shared")])
    children = []
    for worker in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                with storage.write() as writer:
                    add_version(writer, "shared", f"child {worker}")
                os._exit(0 if found(storage, "shared") else 1)
            finally:
                os._exit(2)
        children.append(child)
        with storage.write() as writer:
            add_version(writer, "shared", f"parent {worker}")
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0, 0, 0]
    container = found(storage, "shared")
    assert container is not None
    own_versions = 9 if case.is_shared else 5
    assert container.last_version == own_versions


def test_the_stamp_differs_from_a_positions_once_anything_has_changed(storage: Storage) -> None:
    """A write changes the live stamp before it returns; a check that finds nothing new keeps the position."""
    first = changes(storage, None)
    assert first.stamp == first.position.stamp
    again = changes(storage, first.position)
    assert (again.position.stamp, again.changed) == (first.position.stamp, frozenset())
    assert changes(storage, again.position).position is again.position
    with storage.write() as writer:
        writer.apply([creation("new")])
    assert first.stamp != again.position.stamp
    assert changes(storage, again.position).position.revision == again.position.revision + 1


def test_a_check_reports_the_changes_since_a_position(storage: Storage) -> None:
    """It reports ids and names of the prompts written since, an empty set if there are none, or None without one."""
    kept, changed = creation("kept"), creation("changed")
    with storage.write() as writer:
        writer.apply([kept, changed])
    first = changes(storage, None)
    assert first.changed is None
    with storage.write() as writer:
        add_version(writer, "changed", "again")
    with storage.write() as writer:
        writer.apply([creation("added")])
    container = found(storage, "added")
    assert container is not None
    ids = {changed.subject.id, container.id}
    assert changes(storage, first.position).changed == ids | {("default", "changed"), ("default", "added")}
    now = changes(storage, first.position).position
    assert changes(storage, now).changed == frozenset()


def test_a_change_by_another_storage_is_noticed_as_soon_as_the_profile_says(
    case: StorageCase, storage: Storage, tmp_path: Path
) -> None:
    """After `staleness` seconds the stamp differs or the last check has expired, and a check reports the change."""
    assert storage.profile.staleness >= 0
    assert storage.profile.check_interval > 0
    if not case.is_shared:
        return
    checked_at, report = time.monotonic(), changes(storage, None)
    with closing(case.open(tmp_path)) as other, other.write() as writer:
        writer.apply([creation("new")])
    time.sleep(storage.profile.staleness)
    has_expired = time.monotonic() > checked_at + storage.profile.check_interval
    assert has_expired or report.stamp != report.position.stamp
    assert ("default", "new") in (changes(storage, report.position).changed or ())


def test_a_query_finds_by_every_filter(storage: Storage) -> None:
    """All of them must match; tags and category of the version that is shown, which a label chooses."""
    with storage.write() as writer:
        writer.apply([creation(name) for name in ("a/1", "a/2", "b")])
        edit = read_edit(most=1_000, template="Two", tags=["x", "y"], category="c")
        for name in ("a/1", "b"):
            container = named(writer, name)
            assert container is not None
            base = version(writer, container, 1)
            assert base is not None
            outcome = plan_update(container, base, base, Draft(edit, "", is_production=False), AUTHOR)
            writer.apply(outcome.changes)
            labelled = outcome.container._replace(labels=FrozenDict({"eu": 2}))
            writer.apply([Change(outcome.container, labelled, (), AUTHOR.now)])
    every = Query("default", EVERYBODY, ("active",), 9)
    with storage.read() as reader:

        def found(**filters: Any) -> list[tuple[str, int]]:
            shown = reader.query(every._replace(**filters))
            return [(container.name, record.number) for container, record in shown]

        assert found() == [("a/1", 1), ("a/2", 1), ("b", 1)]
        assert found(prefix="a/") == [("a/1", 1), ("a/2", 1)]
        assert found(prefix="a/", after="a/1") == [("a/2", 1)]
        assert found(label="eu") == [("a/1", 2), ("b", 2)]
        assert found(label="latest") == [("a/1", 2), ("a/2", 1), ("b", 2)]
        assert found(label="production") == found()
        assert found(label="nope") == found(tags=("x",)) == found(category="c") == found(created_by="eve") == []
        assert found(label="eu", tags=("y", "x"), category="c", created_by="ana", prefix="b") == [("b", 2)]
        assert found(label="eu", tags=("x", "z")) == []
        assert sorted(found(text="hello")) == found()
        assert found(text="hello", prefix="b") == [("b", 1)]


def test_events_are_listed_from_either_end_and_by_action(storage: Storage) -> None:
    """`after` is above or below it, 0 is the end that they begin at, and `actions` None are all."""
    with storage.write() as writer:
        writer.apply([creation(name) for name in ("a", "b")])
    with storage.read() as reader:

        def found(**filters: Any) -> list[int]:
            return [event.seq for event in reader.events(EventQuery("default", EVERYBODY, **{"limit": 9, **filters}))]

        assert found() == [1, 2, 3, 4]
        assert found(newest_first=True) == [4, 3, 2, 1]
        assert found(newest_first=True, limit=1) == [4]
        assert found(newest_first=True, after=3) == [2, 1]
        assert found(after=3) == [4]
        assert found(actions=("create",)) == [1, 3]
        assert found(actions=("create",), newest_first=True, after=3) == [1]
        assert found(actions=("delete",)) == found(actions=()) == []


def emptied(case: StorageCase, tmp_path: Path) -> Storage:
    """Open another, empty database of the same kind."""
    folder = tmp_path / "other"
    folder.mkdir()
    return case.open(folder)


def entries(storage: Storage) -> list[Entry]:
    with storage.dump() as dump:
        return [*dump.entries]


def filled(storage: Storage) -> None:
    """Write prompts with drafts, discarded versions, labels and bases of synchronisations, and a deleted one."""
    with storage.write() as writer:
        writer.apply([creation("x", is_live=False), creation("y"), creation("gone"), creation("z")])
    with storage.write() as writer:
        add_version(writer, "x", "two", is_live=False)
        add_version(writer, "x", "three")
        add_version(writer, "y", "two")
    with storage.write() as writer:
        container, gone = named(writer, "x"), named(writer, "gone")
        assert container is not None
        assert gone is not None
        first = version(writer, container, 1)
        assert first is not None
        writer.apply([plan_discard(container, first, [3, 2], AUTHOR)])
        writer.apply(plan_statuses([gone], "deleted", None, AUTHOR).changes)


def test_a_dump_is_everything_in_order(storage: Storage) -> None:
    """Prompts as they were created, each with its versions, oldest first; then events; then deletions; all counted."""
    filled(storage)
    with storage.dump() as dump:
        found = [*dump.entries]
    with storage.read() as reader:
        containers = [named(reader, name) for name in "xyz"]
        expected: list[Entry] = []
        for container in containers:
            assert container is not None
            versions = reader.versions(container, before=None, limit=9)
            stack = tuple(reader.version_numbers(container, "publications"))
            expected += [PromptEntry(container, stack, len(versions)), *reversed(versions)]
        events = reader.events(EventQuery("default", EVERYBODY, 99))
    assert found[: len(expected)] == expected
    described = [e for e in found if isinstance(e, EventEntry)]
    assert [(e.seq, e.action, e.name, e.version, e.details or {}) for e in described] == [
        (e.seq, e.action, e.name, e.version, e.details) for e in events
    ]
    link = GENESIS
    for e in described:
        link = link_of(link, e.seq, e.at, e.actor, e.action, e.namespace, e.prompt_id, e.version, e.commitment)
        assert e.hash == link
        assert e.salt is None or commitment_of(e.salt, e.name or "", canonical(e.details)) == e.commitment
    deletions = found[len(expected) + len(described) :]
    assert [e.prompt_id for e in deletions if isinstance(e, DeletionEntry)] == [described[-1].prompt_id]
    assert dump.counts == (3, 5, len(described), 1)


def test_what_is_loaded_is_what_was_dumped(case: StorageCase, storage: Storage, tmp_path: Path) -> None:
    """The dump of a database that a dump was loaded into is equal, and the revision is one higher."""
    filled(storage)
    with closing(emptied(case, tmp_path)) as other:
        before, position = revision(other), changes(other, None).position
        other.load(entries(storage))
        assert entries(other) == entries(storage)
        assert revision(other) == before + 1
        assert ("default", "x") in (changes(other, position).changed or {("default", "x")})
        assert [step.problems for step in other.verify() if step.problems] == []
        with other.read() as reader:
            found = reader.query(Query("default", EVERYBODY, ("active",), 9, text="three"))
            assert [container.name for container, _ in found] == ["x"]


def test_nothing_can_be_loaded_twice(case: StorageCase, storage: Storage, tmp_path: Path) -> None:
    """Into a database with an event nothing is loaded, and not even the first entry is taken."""
    filled(storage)
    before = entries(storage)
    with pytest.raises(ConflictError):
        storage.load(raising())
    assert entries(storage) == before


def raising() -> Iterator[Entry]:
    raise AssertionError("no entry may be taken")
    yield


def test_a_load_that_is_cut_short_writes_nothing(case: StorageCase, storage: Storage, tmp_path: Path) -> None:
    """Entries that raise leave the database as empty as it was; others can write while they come."""
    filled(storage)
    with closing(emptied(case, tmp_path)) as other:

        def some() -> Iterator[Entry]:
            yield from entries(storage)[:4]
            assert revision(other) == before
            raise ZeroDivisionError

        before = revision(other)
        with pytest.raises(ZeroDivisionError):
            other.load(some())
        assert entries(other) == []
        assert revision(other) == before


def test_a_load_after_others_have_written_is_a_conflict(case: StorageCase, storage: Storage, tmp_path: Path) -> None:
    """What is committed while the entries come stays, and nothing is loaded."""
    filled(storage)
    with closing(emptied(case, tmp_path)) as other:

        def late() -> Iterator[Entry]:
            yield from entries(storage)
            with other.write() as writer:
                writer.apply([creation("first")])

        with pytest.raises(ConflictError):
            other.load(late())
        assert [e.container.name for e in entries(other) if isinstance(e, PromptEntry)] == ["first"]


def test_a_dump_is_of_one_moment_and_stops_nobody(storage: Storage) -> None:
    """While its entries are taken, writers commit and forks happen, and the entries stay those of the beginning."""
    filled(storage)
    before = entries(storage)
    with storage.dump() as dump:
        first = next(dump.entries)
        with storage.write() as writer:
            add_version(writer, "x", "later")
            writer.apply([creation("later")])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os._exit(0 if found(storage, "later") else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert [first, *dump.entries] == before
    assert len(entries(storage)) > len(before)


def test_names_near_are_those_that_sort_next_to_a_name(storage: Storage) -> None:
    """They are of the namespace, on both sides of the name, at most `limit`, and readable by the audience."""
    with storage.write() as writer:
        writer.apply([creation(name) for name in "abcdefgh"])
    with storage.read() as reader:
        assert sorted(reader.names_near("default", EVERYBODY, "dd", limit=100)) == list("abcdefgh")
        for name, limit, expected in (
            ("dd", 4, "cdef"),
            ("dd", 1, "e"),
            ("z", 3, "fgh"),
            ("0", 3, "abc"),
            ("g", 4, "efgh"),
        ):
            assert sorted(reader.names_near("default", EVERYBODY, name, limit=limit)) == list(expected), (name, limit)
        assert reader.names_near("other", EVERYBODY, "dd", limit=100) == []
        nobody = Audience(sees_all=False, actor="eve", principals=("user:eve", "anyone"))
        assert reader.names_near("default", nobody, "dd", limit=100) == []
        owner = nobody._replace(actor="ana")
        assert len(reader.names_near("default", owner, "dd", limit=100)) == 8


def synchronised(writer: Writer, name: str, *places: tuple[str, str, str]) -> None:
    """Store that a prompt was synchronised: from each source, for the target, under the name."""
    container = named(writer, name)
    assert container is not None
    after = container
    for source, target, file in places:
        after = after.synchronised(target, SyncBase(source, file, 1, "0" * 64))
    writer.apply([Change(container, after, (), AUTHOR.now)])


def test_prompts_are_found_by_the_source_that_they_were_synchronised_from(storage: Storage) -> None:
    """For any target, of the namespace, by name; each has its bases, and a change without events writes them."""
    with storage.write() as writer:
        writer.apply([creation(name) for name in "dcba"])
        synchronised(writer, "c", ("f00d", "", "file"))
        synchronised(writer, "a", ("beef", "", "a"), ("f00d", "eu", "a"))
        synchronised(writer, "b", ("beef", "", "b"))
        assert [container.name for container in writer.synced("default", "f00d").containers] == ["a", "c"]
    with storage.read() as reader:
        first, second = reader.synced("default", "f00d").containers
        assert [*(first.synced or {})] == ["", "eu"]
        assert second.synced == {"": SyncBase("f00d", "file", 1, "0" * 64)}
        assert second == named(reader, "c")
        assert len(reader.synced("default", "beef").containers) == 2
        assert reader.synced("other", "f00d").containers == reader.synced("default", "f00").containers == []
        assert reader.synced("default", "f00d").deleted == frozenset()
        assert len(reader.events(EventQuery("default", EVERYBODY, 100))) == 8


def test_the_places_of_deleted_prompts_are_kept(storage: Storage) -> None:
    """Those of every target, under the name in the folder; of a prompt that was never synchronised there is none."""
    with storage.write() as writer:
        writer.apply([creation(name) for name in "abc"])
        synchronised(writer, "a", ("beef", "", "file"), ("f00d", "eu", "a"))
        synchronised(writer, "b", ("f00d", "", "b"))
    with storage.write() as writer:
        deleted = [container for name in "ac" if (container := named(writer, name)) is not None]
        event = NewEvent("delete", None)
        writer.apply([Change(container, None, (event,), AUTHOR.now) for container in deleted])
    expected = {place("default", "beef", "", "file"), place("default", "f00d", "eu", "a")}
    with storage.read() as reader:
        assert reader.synced("default", "f00d").deleted == reader.synced("other", "x").deleted == expected
        assert [container.name for container in reader.synced("default", "f00d").containers] == ["b"]


def test_the_head_is_the_hash_of_the_last_event(storage: Storage) -> None:
    """Before the first it is that of no event; a write sees its own events, once they are applied."""
    with storage.read() as reader:
        assert reader.head() == GENESIS
    with storage.write() as writer:
        writer.apply([creation("a")])
        last = writer.head()
    with storage.read() as reader:
        assert reader.head() == last != GENESIS
    assert [entry.hash for entry in entries(storage) if isinstance(entry, EventEntry)][-1] == last


def test_verifying_says_first_that_a_head_is_of_no_event(storage: Storage) -> None:
    """Every earlier one is of an event, and the one before all events is too."""
    with storage.write() as writer:
        writer.apply([creation("a")])
    with storage.read() as reader:
        kept = reader.head()
    with storage.write() as writer:
        add_version(writer, "a", "later")
    for head, found in ((kept, 0), (GENESIS, 0), ("1" * 64, 1)):
        problems: list[str] = [problem for step in storage.verify(head) for problem in step.problems]
        assert len(problems) == found
