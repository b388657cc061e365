"""What every storage promises (promptreg/storage/base.py); each storage behind the seam runs these tests."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from promptreg import ConflictError, StorageError
from promptreg.clock import new_id
from promptreg.records import Audience, Change, Container, Query
from promptreg.rules.edits import Draft, read_edit
from promptreg.rules.lifecycle import Author, plan_create, plan_discard, plan_update
from promptreg.rules.names import Reference
from promptreg.storage.base import Mark, News, Storage, StorageSettings, Writer
from promptreg.storage.sqlite.sidecar import revision_of
from promptreg.storage.sqlite.storage import SQLiteStorage

Opener = Callable[[], Storage]
AUTHOR = Author("ana", "2026-01-01T00:00:00.000000+00:00")
EVERYBODY = Audience(sees_all=True)


def sqlite_file(folder: Path) -> Storage:
    return SQLiteStorage(StorageSettings(str(folder / "contract.db"), True, "full", 30.0))


def sqlite_memory(folder: Path) -> Storage:
    return SQLiteStorage(StorageSettings(":memory:", True, "full", 30.0))


@pytest.fixture(params=[sqlite_file, sqlite_memory])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    opened = request.param(tmp_path)
    yield opened
    opened.close()


def creation(name: str, template: str = "Hello", *, is_live: bool = True) -> Change:
    outcome = plan_create(new_id(), "default", name, Draft(read_edit(template=template), "", is_live), AUTHOR)
    assert outcome.change is not None
    return outcome.change


def add_version(writer: Writer, name: str, template: str, *, is_live: bool = True) -> int:
    container = writer.find("default", Reference(name, is_id=False))
    assert container is not None
    base = writer.version(container, container.last_version)
    assert base is not None
    outcome = plan_update(container, base, base, Draft(read_edit(template=template), "", is_live), AUTHOR)
    writer.apply(outcome.changes)
    return outcome.version.number


def found(storage: Storage, name: str) -> Container | None:
    with storage.read() as reader:
        return reader.find("default", Reference(name, is_id=False))


def revision(storage: Storage) -> int:
    with storage.read() as reader:
        return reader.revision


def news(storage: Storage, since: Mark | None) -> News:
    with storage.watch() as watch:
        return watch.news(since)


def test_what_is_written_reads_back_equal(storage: Storage) -> None:
    """Containers, versions, publications and events come back as they were given."""
    change = creation("greet")
    with storage.write() as writer:
        writer.apply([change])
    with storage.read() as reader:
        container = reader.find("default", Reference("greet", is_id=False))
        assert container == change.after
        assert reader.find("default", Reference(change.subject.id, is_id=True)) == container
        assert reader.find("other", Reference(change.subject.id, is_id=True)) is None
        assert container is not None
        assert reader.version(container, 1) == change.added
        assert reader.versions(container, before=None, limit=9) == [change.added]
        assert reader.publications(container) == [1]
        assert reader.query(Query("default", EVERYBODY, ("active",), 9)) == [(container, change.added)]
        assert reader.namespaces(EVERYBODY, None) == ["default"]
        events = reader.events("default", EVERYBODY, prompt_id=container.id, after=0, limit=9)
    assert [(e.seq, e.action, e.name, e.at.isoformat(timespec="microseconds")) for e in events] == [
        (1, "create", "greet", AUTHOR.now),
        (2, "publish", "greet", AUTHOR.now),
    ]


def test_unpublished_versions_are_listed_and_a_discarded_base_reads_as_none(storage: Storage) -> None:
    """Drafts are told newest first, published ones not; what was made from a discarded version has no base."""
    with storage.write() as writer:
        writer.apply([creation("x", is_live=False)])
        add_version(writer, "x", "two", is_live=False)
        add_version(writer, "x", "three")
        writer.apply([creation("y")])
    with storage.write() as writer:
        container = writer.find("default", Reference("x", is_id=False))
        assert container is not None
        assert writer.unpublished(container) == [2, 1]
        first = writer.version(container, 1)
        assert first is not None
        writer.apply([plan_discard(container, first, [3, 2], AUTHOR)])
    with storage.read() as reader:
        assert reader.unpublished(container) == [2]
        assert [v.base_version for v in reader.versions(container, before=None, limit=9)] == [2, None]
        made = reader.version(container, 2)
        assert made is not None
        assert made.base_version is None
        other = reader.find("default", Reference("y", is_id=False))
        assert other is not None
        assert reader.unpublished(other) == []


def test_unpublished_versions_are_found_however_many_there_are(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked for some at a time, every draft is found once, the first and the last included."""
    with storage.write() as writer:
        writer.apply([creation("x", is_live=False)])
        for number in range(2, 8):
            add_version(writer, "x", f"t{number}", is_live=number in {3, 4, 6})
        container = writer.find("default", Reference("x", is_id=False))
    assert container is not None
    for at_once in (1, 2, 3, 7, 100):
        monkeypatch.setattr("promptreg.storage.sqlite.reader.MAX_SCANNED", at_once)
        with storage.read() as reader:
            assert reader.unpublished(container) == [7, 5, 2, 1]


def test_a_reader_sees_one_moment(storage: Storage) -> None:
    """What commits while a reader looks is not seen by that look, and is seen by the next."""

    def write() -> None:
        with storage.write() as writer:
            writer.apply([creation("later")])

    with storage.read() as reader:
        before = reader.revision
        thread = threading.Thread(target=write)
        thread.start()
        if storage.path != ":memory:":
            thread.join()
        assert reader.find("default", Reference("later", is_id=False)) is None
        assert reader.revision == before
    thread.join()
    assert found(storage, "later") is not None


def test_what_a_writer_read_stays_true_until_it_commits(storage: Storage) -> None:
    """Writers that read before they write never give one number twice, and lose none."""
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


def test_an_exception_keeps_nothing(storage: Storage) -> None:
    """A `with` left by an exception keeps neither rows nor the revision."""
    before = revision(storage)
    with suppress(ZeroDivisionError), storage.write() as writer:
        writer.apply([creation("lost")])
        raise ZeroDivisionError
    assert found(storage, "lost") is None
    assert revision(storage) == before


def test_changes_are_kept_whole_or_not_at_all(storage: Storage) -> None:
    """When the second of two changes is refused, the first is not kept."""
    with storage.write() as writer:
        writer.apply([creation("taken")])
    before = revision(storage)
    with pytest.raises(ConflictError), storage.write() as writer:
        writer.apply([creation("first"), creation("taken")])
    assert found(storage, "first") is None
    assert revision(storage) == before


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
    """One write is one more; a write that applies nothing, and any read, leave it."""
    start = revision(storage)
    with storage.write():
        pass
    assert revision(storage) == start
    with storage.write() as writer:
        writer.apply([creation("a"), creation("b")])
        assert writer.revision == start + 1
    assert revision(storage) == start + 1
    with storage.read() as reader:
        assert reader.revision == start + 1


def test_a_closed_storage_is_a_storage_error(storage: Storage) -> None:
    """After close every call says so, with an error of ours."""
    storage.close()
    with pytest.raises(StorageError, match="closed"), storage.watch():
        pass
    with pytest.raises(StorageError, match="closed"), storage.read():
        pass
    with pytest.raises(StorageError, match="closed"), storage.write():
        pass


def test_both_sides_of_a_fork_go_on(storage: Storage) -> None:
    """A child forked from an open storage reads and writes, and so does its parent, with nothing lost."""
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
    own_versions = 5 if storage.path == ":memory:" else 9
    assert container.last_version == own_versions


def test_the_page_differs_from_the_token_once_anything_has_changed(storage: Storage) -> None:
    """A write shows on the stamp before it returns; a look that finds nothing new says so, from then on by the mark."""
    with storage.watch() as watch:
        first, stamp = watch.news(None).mark, watch.stamp
        assert stamp == first.stamp
        mark, changed, _ = watch.news(first)
        assert (mark.stamp, changed) == (first.stamp, frozenset())
        assert watch.news(mark).mark is mark
    with storage.write() as writer:
        writer.apply([creation("new")])
    assert stamp != mark.stamp
    assert news(storage, mark).mark.revision == mark.revision + 1


def test_the_news_is_what_has_changed_since_a_mark(storage: Storage) -> None:
    """Ids, and names in their namespaces, of what was written since; nothing where nothing was; all where it is new."""
    kept, changed = creation("kept"), creation("changed")
    with storage.write() as writer:
        writer.apply([kept, changed])
    first = news(storage, None)
    assert first.changed is None
    with storage.write() as writer:
        add_version(writer, "changed", "again")
    with storage.write() as writer:
        writer.apply([creation("added")])
    container = found(storage, "added")
    assert container is not None
    ids = {changed.subject.id, container.id}
    assert news(storage, first.mark).changed == ids | {("default", "changed"), ("default", "added")}
    now = news(storage, first.mark).mark
    assert news(storage, now).changed == frozenset()


def test_what_is_read_was_shown_before(storage: Storage) -> None:
    """A writer that dies behind its commit publishes nothing; the first reader of what it wrote does."""
    mark = news(storage, None).mark
    board = storage.signal  # type: ignore[attr-defined]
    shown = board.read()
    with storage.write() as writer:
        writer.apply([creation("new")])
    board.publish(mark.revision)  # as if the writer had died before
    assert found(storage, "new") is not None
    assert revision_of(board.read()) == mark.revision + 1
    assert board.read() != shown


def test_what_a_look_tells_was_shown_before(storage: Storage) -> None:
    """The same of a look for changes: others see on the stamp what it tells before anybody can use it."""
    mark = news(storage, None).mark
    board = storage.signal  # type: ignore[attr-defined]
    with storage.write() as writer:
        writer.apply([creation("new")])
    board.publish(mark.revision)  # as if the writer had died before
    now = news(storage, mark).mark
    assert now.revision == mark.revision + 1
    assert now.stamp == board.read()
    assert revision_of(now.stamp) == now.revision


def test_a_revision_that_is_shown_again_is_another_page(storage: Storage) -> None:
    """Behind a restored backup one number may stand for two states, so no two publications look the same."""
    with storage.watch() as watch:
        mark, stamp = watch.news(None).mark, watch.stamp
        assert stamp == mark.stamp
        storage.signal.publish(mark.revision)  # type: ignore[attr-defined]
        assert stamp != mark.stamp


def test_names_near_are_those_that_sort_next_to_a_name(storage: Storage) -> None:
    """Of the namespace, on both sides, as many as are asked for at most, and only what the audience may read."""
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
