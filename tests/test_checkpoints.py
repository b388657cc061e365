"""Checkpoints run only while the head of the writers' queue is held for certain; otherwise they are postponed.

SQLite before 3.51.3 can damage a database if one process checkpoints while another commits. Whether a checkpoint ran
is read from the file by another process, because opening the file in this one would drop SQLite's locks.
"""

import errno
import gc
import os
import sqlite3
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from promptreg import Registry
from promptreg.storage.deadlines import Deadline
from promptreg.storage.sqlite import connections, queue
from promptreg.storage.sqlite.connecting import SCHEMA_VERSION
from promptreg.storage.sqlite.files import WAL
from promptreg.storage.sqlite.queue import queue_of
from tests.conftest import until
from tests.remote import Remote
from tests.test_migrations import SCHEMAS
from tests.test_storage_sqlite import raw
from tests.test_writers import tickets_issued

CAN_TELL_SQLITE = sys.version_info >= (3, 12)  # that closing must not write the log back


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each commit checkpoint if it may, and make a writer consider the queue stuck after a short time."""
    monkeypatch.setattr(connections, "LOG_PAGES", 1)
    monkeypatch.setattr(queue, "STUCK", 0.05)


@pytest.fixture
def other(path: str) -> Iterator[Remote]:
    """Another process, which can hold a ticket of the queue and has no connection."""
    with Remote(path) as remote:
        yield remote


def contents(path: str) -> bytes:
    """Return what changes when the database file itself, without its log, is written."""
    return subprocess.check_output(["cksum", path])


def committed(registry: Registry) -> None:
    registry.update("greet", template="Hi")


def deleted(registry: Registry) -> None:
    registry.set_status("secret", "deleted")


def read_when_due(registry: Registry) -> None:
    registry._core.storage.eraser.note()  # type: ignore[attr-defined]
    registry.history("greet")


def checked_when_due(registry: Registry) -> None:
    with registry._core.storage.monitor():
        registry._core.storage.eraser.note()  # type: ignore[attr-defined]


def closed(registry: Registry) -> None:
    registry.close()


WAYS: dict[str, Callable[[Registry], None]] = {
    way.__name__: way for way in (committed, deleted, read_when_due, checked_when_due, closed)
}


@pytest.fixture
def filled(path: str, request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry whose log has content that the file lacks; if erasing is due, only the log must be truncated."""
    with Registry(path) as made:
        made.create("greet", "Hello")
        made.create("secret", "zanzibar")
    with Registry(path, busy_timeout=1) as registry:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connections, "LOG_PAGES", 1_000_000)
            registry.create("logged", "…")
            if "due" in request.node.name:
                with closing(raw(path)) as reader:
                    reader.execute("BEGIN")
                    reader.execute("SELECT count(*) FROM versions").fetchone()
                    registry.set_status("secret", "deleted")
        registry._core.storage.eraser.due_at = None  # type: ignore[attr-defined]
        yield registry


@pytest.mark.parametrize("way", WAYS)
def test_the_head_of_the_queue_checkpoints(filled: Registry, path: str, way: str) -> None:
    """The database file is written, which shows that the tests below would notice a checkpoint."""
    before = contents(path)
    WAYS[way](filled)
    assert contents(path) != before


@pytest.mark.parametrize("way", WAYS)
def test_no_checkpoint_runs_while_another_process_holds_the_queue(
    filled: Registry, path: str, way: str, other: Remote
) -> None:
    """Each call does its work and returns soon; the log is unchanged, and the next writer checkpoints.

    Python 3.11 can't prevent the checkpoint of closing, which SQLite makes there if no other connection is open.
    """
    other.call("queue")
    before = contents(path)
    WAYS[way](filled)
    is_left = way != "closed" or CAN_TELL_SQLITE
    assert (contents(path) == before) is Path(path + WAL).exists() is is_left
    other.call("leave")
    with Registry(path) as registry:
        assert registry.get("greet").template == ("Hi" if way == "committed" else "Hello")
        registry.update("greet", template="At last")
        assert contents(path) != before
        filled.close()
    assert not Path(path + WAL).exists()


def test_a_writer_that_was_overtaken_makes_no_checkpoint(filled: Registry, path: str, other: Remote) -> None:
    """A writer that held the queue for too long no longer holds it alone, because others have overtaken it."""
    with queue_of(os.path.realpath(path)).ticket(Deadline(5)) as turn:
        assert turn.is_guarded()
        assert other.call("update", "greet", template="Hi").version == 2
        assert not turn.is_guarded()
    with queue_of(os.path.realpath(path)).ticket(Deadline(5)) as turn:
        assert turn.is_guarded()


def test_all_share_a_queue_again_after_its_file_was_removed(filled: Registry, path: str, other: Remote) -> None:
    """A process that has the removed file open does not continue with it alone."""
    committed(filled)
    os.unlink(path + queue.SUFFIX)
    other.call("queue")
    before = contents(path)
    filled.update("greet", template="Meanwhile")
    assert contents(path) == before
    other.call("leave")
    filled.update("greet", template="At last")
    assert contents(path) != before


@pytest.mark.slow
def test_no_checkpoint_runs_while_another_registry_of_the_process_holds_the_queue(filled: Registry, path: str) -> None:
    """File locks belong to a process, so all its registries of a file share one queue."""
    entered, leave = threading.Event(), threading.Event()

    def wait_in_queue() -> None:
        with queue_of(os.path.realpath(path)).ticket(Deadline(5)):
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=wait_in_queue)
    thread.start()
    assert entered.wait(60)
    before = contents(path)
    committed(filled)
    assert contents(path) == before
    leave.set()
    thread.join()
    filled.update("greet", template="At last")
    assert contents(path) != before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", ["opened", "dropped"])
def test_an_interrupted_ticket_is_released_for_other_threads(
    filled: Registry, path: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ticket is released even if a signal handler raises right before; all registries share the queue."""
    lock, interrupted = queue_of(os.path.realpath(path)), []
    release = lock.release

    def interrupt() -> None:
        monkeypatch.setattr(lock, "release", release)
        interrupted.append(True)
        raise KeyboardInterrupt

    if way == "opened":
        with closing(raw(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM prompts").fetchone()
            filled.set_status("secret", "deleted")
        monkeypatch.setattr(lock, "release", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Registry(path)
    else:
        dropped = [Registry(path)]
        monkeypatch.setattr(lock, "release", interrupt)
        dropped.clear()
        gc.collect()
    assert interrupted == [True]
    turns: list[bool] = []

    def wait_in_queue() -> None:
        with queue_of(os.path.realpath(path)).ticket(Deadline(5)) as turn:
            turns.append(turn.is_guarded())

    thread = threading.Thread(target=wait_in_queue)
    thread.start()
    thread.join()
    assert turns == [True]


def test_opening_erases_only_while_it_holds_the_queue(path: str, other: Remote) -> None:
    """What a deletion could not erase is erased by the next opening that gets the queue's lock."""
    with closing(raw(path)) as reader:
        with Registry(path, busy_timeout=1) as made:
            made.create("secret", "zanzibar")
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM versions").fetchone()
            made.set_status("secret", "deleted")
            other.call("queue")
        reader.execute("COMMIT")
        before = contents(path)
        for _ in range(2):
            with Registry(path, busy_timeout=1):
                assert contents(path) == before
        other.call("leave")
        with Registry(path):
            assert contents(path) != before
            assert b"zanzibar" not in subprocess.check_output(["cat", path, path + WAL])


def test_a_migration_makes_no_checkpoint(path: str) -> None:
    """However long the log is, the next write makes the checkpoint."""
    with closing(raw(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")
        connection.executescript(f"BEGIN; {(SCHEMAS / '1.sql').read_text(encoding='utf-8')} COMMIT")
        # More than the 1,000 pages after which SQLite checkpoints by default.
        connection.executescript("CREATE TABLE long AS SELECT zeroblob(8000000) AS a; DROP TABLE long")
        before = contents(path)
        with Registry(path) as registry:
            assert connection.execute("PRAGMA user_version").fetchone() != (1,)
            assert contents(path) == before
            registry.create("new", "Hello")
            assert contents(path) != before


def test_a_migration_waits_in_the_queue(path: str, other: Remote) -> None:
    """A migration commits like a write: opening waits while another process holds the queue."""
    with closing(raw(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {(SCHEMAS / '1.sql').read_text(encoding='utf-8')} COMMIT")
        with Remote(path, busy_timeout=600) as opener:
            opener.call("trust")
            other.call("queue")
            opener.ask("open")
            until(lambda: tickets_issued(path) == 2)
            assert connection.execute("PRAGMA user_version").fetchone() == (1,)
            other.call("leave")
            opener.answer()
            assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_forked_child_has_a_new_queue(path: str) -> None:
    """Registries of a child don't wait for a thread of the parent that was in the queue."""
    Registry(path).close()
    database = os.path.realpath(path)
    with queue_of(database).ticket(Deadline(5)):
        mine = queue_of(database)
        child = os.fork()
        if child == 0:
            os._exit(queue_of(database) is mine)
        assert os.waitpid(child, 0)[1] == 0
        assert queue_of(database) is mine


def test_a_dropped_registry_checkpoints_while_it_holds_the_queue(path: str) -> None:
    """A registry that is never closed still leaves a file that is complete without its log."""
    registry = Registry(path)
    registry.create("greet", "Hello")
    assert Path(path + WAL).exists()
    del registry
    gc.collect()
    assert not Path(path + WAL).exists()


@pytest.mark.parametrize(("failure", "is_sure"), [(errno.EMFILE, False), (errno.EIO, False), (errno.EACCES, True)])
def test_a_temporary_failure_does_not_disable_the_queue(
    filled: Registry, monkeypatch: pytest.MonkeyPatch, failure: int, is_sure: bool
) -> None:
    """No checkpoint runs then, because others may be in the queue; a queue that can't be opened has no holder."""

    def fail(*_: object) -> NoReturn:
        raise OSError(failure, os.strerror(failure))

    own = queue.WriterQueue(filled.path)
    monkeypatch.setattr(queue, "open_beside", fail)
    with own.ticket(Deadline(5)) as turn:
        assert turn.is_guarded() is is_sure


def test_a_registry_whose_queue_is_closed_before_it_ends_quietly(path: str) -> None:
    """At the end of a process, or in somebody's cycle, the queue's file may be closed first: it does not checkpoint."""
    registry = Registry(path)
    registry.create("logged", "in the log")
    storage = registry._core.storage
    kept = storage._queue._file  # type: ignore[attr-defined]
    descriptor, kept.descriptor = kept.descriptor, queue.CLOSED
    storage.__del__()  # type: ignore[attr-defined]
    kept.descriptor = descriptor
    assert registry.get("logged").version == 1
    registry.close()


def test_a_dropped_registry_is_not_part_of_a_reference_cycle(path: str) -> None:
    """It closes at once, although its results are kept, because a garbage collection would close in any order."""
    gc.disable()
    try:
        registry = Registry(path)
        registry.create("greet", "Hello {{ name }}")
        registry.create("chat", [{"role": "user", "content": "{{ text }}"}], variables=[{"name": "text"}])
        kept = [
            registry.get("greet"),
            registry.list(),
            registry.search("hello"),
            registry.history("greet"),
            registry.render("greet", name="Ana"),
            registry.render("chat", text="Hi"),
            registry.render("absent", default="Hi"),
            registry.scope(namespace="other").save("greet", "Hi"),
        ]
        storage = weakref.ref(registry._core.storage)
        del registry
        assert storage() is None
    finally:
        gc.enable()
    assert kept[0].variables[0].name == "name"


@pytest.mark.parametrize("way", ["dropped", "forked", "thread ended"])
def test_no_other_close_checkpoints(filled: Registry, path: str, way: str, other: Remote) -> None:
    """Neither a registry dropped while others write, nor connections closed for a fork or by ended threads, do.

    Except on Python 3.11, where it can't be prevented, as above.
    """
    other.call("queue")
    before = contents(path)
    if way == "dropped":
        dropped = Registry(path)
        filled.close()
        assert dropped.get("logged").version == 1
        del dropped
        gc.collect()
    elif way == "forked":
        child = os.fork()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    else:
        filled._core.storage._connections._close_all()
        thread = threading.Thread(target=lambda: filled.history("greet"))
        thread.start()
        thread.join()
        filled.history("greet")
    assert (contents(path) == before) is CAN_TELL_SQLITE
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM prompts").fetchone() == (3,)
