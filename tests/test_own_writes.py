"""The file of a registry is gone: nothing is returned that this process itself has written over, not even as stale."""

import gc
import itertools
import math
import os
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from io import BytesIO
from pathlib import Path

import pytest

from promptreg import CommitUnknownError, Registry, StorageError
from promptreg.files.full import import_full
from promptreg.storage import written
from promptreg.storage.sqlite import unknown_commits
from promptreg.storage.sqlite.sidecar import Sidecar
from tests.bytecodes import At, SoftTimeLimitExceeded, raising
from tests.faulty import IOERR_FSYNC, install
from tests.forks import in_child, of_child
from tests.full import exported
from tests.test_storage_sqlite import raw

NAMES = ("changed", "kept")


def take_away(path: str) -> None:
    """Move the file away, and have every registry of this process notice it with its next read."""
    os.rename(path, path + ".aside")


def check(registry: Registry) -> None:
    """Have the next read of a registry check for changes, as it does every 50 ms."""
    registry._core.cache.generation.until = float("-inf")


@pytest.fixture
def writer(path: str) -> Iterator[Registry]:
    """A registry that writes, and has two prompts."""
    with Registry(path) as registry:
        for name in NAMES:
            registry.create(name, "1")
        yield registry


@pytest.fixture
def reader(writer: Registry, path: str) -> Iterator[Registry]:
    """Another registry of the file, in whose cache they are, and that there is no prompt `new`."""
    with Registry(path) as registry:
        assert [registry.get(name).template for name in NAMES] == ["1", "1"]
        assert registry.get("new", default=None) is None
        yield registry


def assert_not_as_before(registry: Registry, *names: str) -> None:
    """Assert that these prompts are not returned, and that another one is, as stale."""
    check(registry)
    for name in names:
        for read in [registry.get, registry.render] * 2:
            with pytest.raises(StorageError) as caught:
                read(name)
            assert caught.value.details["reason"] == "removed"
    assert (registry.get("kept").template, registry.get("kept").stale) == ("1", True)


def test_no_registry_of_a_process_returns_what_another_has_changed(
    writer: Registry, reader: Registry, path: str
) -> None:
    """They are found again once the file is back."""
    writer.update("changed", template="2")
    writer.create("new", "2")
    take_away(path)
    assert_not_as_before(reader, "changed", "new")
    os.rename(path + ".aside", path)
    assert (reader.get("changed").template, reader.get("new").template) == ("2", "2")


def test_a_child_returns_nothing_that_it_or_its_parent_has_changed(
    writer: Registry, reader: Registry, path: str
) -> None:
    """A registry that it opens itself shares what is remembered with those that it has of its parent."""
    writer.update("changed", template="2")

    def work() -> None:
        with Registry(path) as own:
            own.create("new", "2")
        take_away(path)
        assert_not_as_before(reader, "changed", "new")

    read, write = os.pipe()
    child = os.fork()
    if not child:
        in_child(work, write)
    os.close(write)
    of_child(child, read)


def test_what_was_changed_is_dropped_once(writer: Registry, reader: Registry, path: str) -> None:
    """The next stale reads copy no cache, however long the file is gone."""
    writer.update("changed", template="2")
    take_away(path)
    assert_not_as_before(reader, "changed")
    generation = reader._core.cache.generation
    assert reader.get("kept").stale
    assert reader._core.cache.generation is generation


@pytest.mark.parametrize("count", [2, 3])
def test_of_a_commit_that_has_changed_very_much_no_list_is_kept(
    writer: Registry, reader: Registry, path: str, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A hundred commits of 100,000 prompts each would take gigabytes; so nothing that was before is returned."""
    monkeypatch.setattr(written, "MAX_SUBJECTS", 2 * 2)  # an id and a name of each
    names = ["changed", *(writer.create(f"p{number}", "1").name for number in range(count - 1))]
    assert reader.get("kept").template == "1"
    writer.set_status(names, "disabled")
    take_away(path)
    if count == 2:
        assert_not_as_before(reader, "changed")
        return
    check(reader)
    with pytest.raises(StorageError, match="was removed while it was open"):
        reader.get("kept")


def test_a_revision_that_is_used_again_after_a_restore_is_another_commit(
    writer: Registry, reader: Registry, path: str, tmp_path: Path
) -> None:
    """A registry that has read nothing since has not seen it, though its own last revision has the same number."""
    older = tmp_path / "older.db"
    with closing(raw(path)) as source, closing(raw(str(older))) as copy:
        source.backup(copy)
    writer.update("changed", template="2")
    check(reader)
    assert reader.get("changed").template == "2"
    seen = reader.revision
    with closing(raw(str(older))) as copy, closing(raw(path)) as target:
        copy.backup(target)
    check(writer)
    writer.update("changed", template="3")
    assert writer.revision == seen
    take_away(path)
    assert_not_as_before(reader, "changed")


def test_what_was_loaded_after_a_commit_that_was_not_noted_yet_stays_cached(
    writer: Registry, reader: Registry, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check may see the commit before its writer goes on."""
    log, seen = writer._core.storage.publisher.own_writes, []  # type: ignore[attr-defined]
    note = log.note_written

    def note_late(*operands: object) -> None:
        check(reader)
        seen.append(reader.get("changed").template)
        note(*operands)

    monkeypatch.setattr(log, "note_written", note_late)
    writer.update("changed", template="2")
    assert seen == ["2"]
    take_away(path)
    check(reader)
    assert (reader.get("changed").template, reader.get("changed").stale) == ("2", True)


@pytest.mark.parametrize("is_published", [True, False])
def test_what_an_interrupted_write_has_changed_is_not_returned(
    writer: Registry, reader: Registry, path: str, monkeypatch: pytest.MonkeyPatch, is_published: bool
) -> None:
    """A signal handler raises after the commit, before others are shown it or right afterwards."""
    publish, calls = Sidecar.publish, itertools.count()

    def interrupted(self: Sidecar, revision: int) -> None:
        if is_published:
            publish(self, revision)
        if not next(calls):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Sidecar, "publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.update("changed", template="2")
    take_away(path)
    assert_not_as_before(reader, "changed")


COMMITTING = ("sqlite/storage.py", "sqlite/revisions.py", "sqlite/sidecar.py", "sqlite/system.py", "storage/written.py")


@pytest.mark.slow
@pytest.mark.parametrize("is_gone", [False, True], ids=["there", "gone"])
def test_wherever_a_write_is_interrupted_no_registry_returns_what_was_before(
    writer: Registry, reader: Registry, path: str, is_gone: bool
) -> None:
    """Neither as current while the file is there, though no check is due, nor as stale once it is gone."""
    gc.collect()  # so that no registry of an earlier test is closed, and interrupted, meanwhile
    with closing(raw(path)) as connection:
        for number in itertools.count():
            for registry in (writer, reader):
                check(registry)
                registry.get("changed")
                registry._core.cache.generation.until = math.inf
            at = At(number, raising, COMMITTING)
            with suppress(SoftTimeLimitExceeded):
                at.run(lambda number=number: writer.update("changed", template=f"at {number}"))
            if at.left >= 0:
                break
            stored = connection.execute("SELECT max(version) FROM versions v WHERE template LIKE '%at%'").fetchone()[0]
            if is_gone:
                take_away(path)
                check(writer)
                check(reader)
            for registry in (writer, reader):
                with suppress(StorageError) if is_gone else nullcontext():
                    assert registry.get("changed").version == (stored or 1)
            if is_gone:
                os.rename(path + ".aside", path)
    assert number > 100


def test_what_a_commit_of_unknown_outcome_may_have_changed_is_not_returned(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as it can't be settled; then what holds is returned."""
    faults = install(monkeypatch)
    with Registry(path) as writer, Registry(path) as reader:
        for name in NAMES:
            writer.create(name, "1")
            reader.get(name)
        with faults.failing("COMMIT", IOERR_FSYNC):
            with pytest.raises(CommitUnknownError):
                writer.update("changed", template="2")
            for _ in range(2):
                check(reader)
                with pytest.raises(StorageError, match="can't be settled"):
                    reader.get("changed")
                assert (reader.get("kept").template, reader.get("kept").stale) == ("1", True)
        unknown_commits.note_unknown(path)  # so that it is settled at once
        assert (reader.get("changed").template, reader.get("changed").stale) == ("1", False)


def test_what_was_imported_is_not_absent(tmp_path: Path, path: str) -> None:
    """Another registry of the process has cached that there is nothing."""
    with Registry(path) as loader, Registry(path) as reader:
        assert reader.get("greet", default=None) is None
        with Registry(tmp_path / "source.db") as source:
            source.create("greet", "Hello")
            import_full(loader, BytesIO(exported(source)))
        take_away(path)
        check(reader)
        with pytest.raises(StorageError, match="was removed while it was open"):
            reader.get("greet")
