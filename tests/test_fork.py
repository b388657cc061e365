"""Forks with busy or waiting threads, in pools, and without Python's hooks: nothing is lost, hangs or breaks."""

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from promptreg import Registry
from tests.remote import run_program
from tests.test_storage_sqlite import raw

PAUSE_SECONDS = 1.0  # that a fork may take on a busy machine; one that waited for a writer would take far longer


def run(name: str, *arguments: object, seconds: float) -> dict[str, Any]:
    """Run one of the programs in `tests/forks.py`."""
    return run_program("tests.forks", name, *arguments, seconds=seconds)


def assert_forks_lose_nothing(folder: Path, forks: int, seconds: float) -> None:
    report = run("busy", folder, forks, seconds=seconds)
    assert report["errors"] == []
    assert report["reads"] > forks
    for history, written in zip(report["histories"], report["written"], strict=True):
        assert history["numbers"] == list(range(1, len(history["numbers"]) + 1))
        assert history["parent"] == written > 0
    assert [history["children"] for history in report["histories"]] == [2 * forks, 2 * forks, 0]
    for name in ("a.db", "b.db"):
        with closing(raw(str(folder / name))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    print(f"a fork took {report['median'] * 1000:.1f} ms (median), {report['longest'] * 1000:.1f} ms (longest)")
    assert report["median"] < PAUSE_SECONDS
    assert report["longest"] < 5 * PAUSE_SECONDS


@pytest.mark.slow
def test_forks_with_busy_threads_lose_nothing(tmp_path: Path) -> None:
    """After 20 forks with three busy threads every write is stored, and there was no error, hang or pause."""
    assert_forks_lose_nothing(tmp_path, 20, 120)


@pytest.mark.stress
def test_many_forks_with_busy_threads_lose_nothing(tmp_path: Path) -> None:
    """The same holds for 200 forks."""
    assert_forks_lose_nothing(tmp_path, 200, 600)


@pytest.mark.slow
def test_a_fork_does_not_wait_for_a_waiting_writer(tmp_path: Path) -> None:
    """While a thread waits for another process's lock, forks wait for nothing and children read; then it writes."""
    report = run("waiting", tmp_path, seconds=120)
    assert report["longest"] < 5 * PAUSE_SECONDS
    assert report["still_waiting"]
    assert (report["seen"], report["outcome"]) == (["0"] * 3, [2])


@pytest.mark.slow
def test_a_child_does_not_wait_for_a_queued_thread_of_its_parent(tmp_path: Path) -> None:
    """If a thread is in the queue at the fork, the child writes long before its `busy_timeout` is over."""
    report = run("queued", tmp_path, seconds=120)
    assert report["made"] in {2, 3}
    assert report["history"] == {"numbers": [1, 2, 3], "children": 1, "parent": 1}


@pytest.mark.slow
def test_forked_pools_can_use_a_registry_opened_before(tmp_path: Path) -> None:
    """Each worker's write is stored, with `multiprocessing` and with `concurrent.futures`."""
    report = run("pools", tmp_path, seconds=60)
    assert (report["pooled"], report["own"]) == (list(range(2, 42)), 42)
    assert report["numbers"] == list(range(1, 43))


def test_a_process_forked_without_the_hooks_gets_an_error_about_it(tmp_path: Path) -> None:
    """Writes, uncached reads, cached ones 60 ms later and opening the file again are `StorageError`s about the fork.

    A thread of the parent holds a connection at that time; closing doesn't touch it, and the parent keeps working.
    """
    report = run("without_hooks", tmp_path, seconds=60)
    assert report["child"].pop("connections left") == 1
    for call, (kind, message) in report["child"].items():
        assert kind == "StorageError", (call, message)
        assert "fork" in message, call
    assert (report["after"], report["text"]) == (2, "parent")
    with closing(raw(str(tmp_path / "a.db"))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM prompts").fetchone() == (3,)


def opening_and_forking(path: str, forks: int) -> tuple[list[int], int]:
    """Fork while two threads open and close registries of one file; return the children's statuses and the versions."""
    ended = []
    with Registry(path) as registry:
        registry.create("greet", "0")
        stop = threading.Event()

        def opening() -> None:
            while not stop.is_set():
                Registry(path, create=False).close()

        threads = [threading.Thread(target=opening) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(forks):
            child = os.fork()
            if child == 0:
                try:
                    registry.update("greet", template=f"child {number}")
                    os._exit(0)
                finally:
                    os._exit(1)
            registry.update("greet", template=f"parent {number}")
            ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stop.set()
        for thread in threads:
            thread.join()
        return ended, registry.get("greet@latest").version


@pytest.mark.slow
def test_forking_while_other_threads_open_registries_loses_nothing(path: str) -> None:
    """No connection that is being opened is inherited by a child, and no child hangs."""
    program = f"from tests.test_fork import opening_and_forking; print(opening_and_forking({path!r}, 30))"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert done.stdout.strip() == str(([0] * 30, 61)), done.stderr
