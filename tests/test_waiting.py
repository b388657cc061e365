"""`revision` and `wait_for` carry read-your-writes to another process; `freshness="strict"` returns nothing stale."""

import threading
import time
from pathlib import Path

import pytest

from promptreg import Actor, InvalidInputError, Registry, StorageBusyError, StorageError, waiting
from tests.remote import Remote

MARGIN = 3.0  # seconds that a call may take longer, on a busy machine


def test_the_revision_grows_with_each_write_and_is_that_of_every_registry(path: str) -> None:
    """After a write it is higher, in each registry of the database and each view; a refused write changes nothing."""
    with Registry(path) as registry, Registry(path) as other:
        seen = [registry.revision]
        for write in (
            lambda: registry.create("greet", "Hello"),
            lambda: other.update("greet", template="Hi"),
            lambda: registry.scope(actor=Actor("ana", "org_admin")).archive("greet"),
        ):
            write()
            seen.append(registry.revision)
            assert other.revision == registry.scope(namespace="support").revision == seen[-1]
        assert seen == sorted(set(seen))
        with pytest.raises(InvalidInputError):
            registry.create("A B", "Hello")
        assert registry.revision == seen[-1]


def test_waiting_for_what_is_there_returns_none_at_once(registry: Registry) -> None:
    """Also with no time to wait, on a view, and for a lower revision."""
    registry.create("greet", "Hello")
    view = registry.scope(namespace="support", actor=Actor("ana"))
    waited = [view.wait_for(revision, timeout=0) for revision in range(registry.revision + 1)]  # type: ignore[func-returns-value]
    assert waited == [None] * (registry.revision + 1)


@pytest.mark.parametrize("max_staleness", [0, 60])
def test_after_waiting_cached_reads_see_what_another_process_has_written(path: str, max_staleness: float) -> None:
    """Whatever `max_staleness` allows, the read after `wait_for` is of that revision or a later one."""
    with Registry(path, max_staleness=max_staleness) as registry, Remote(path) as other:
        registry.create("greet", "0")
        for number in range(1, 6):
            registry.get("greet")
            other.call("update", "greet", template=str(number))
            registry.wait_for(other.call("revision"))
            assert registry.get("greet").template == str(number)


def test_waiting_ends_when_another_thread_has_written(path: str) -> None:
    """The write comes while it waits."""
    with Registry(path) as registry, Registry(path) as other:
        registry.create("greet", "0")
        wanted = registry.revision + 1
        writer = threading.Timer(0.1, lambda: other.update("greet", template="1"))
        writer.start()
        registry.wait_for(wanted, timeout=30)
        assert registry.get("greet").template == "1"
        writer.join()


@pytest.mark.parametrize("given", [{"timeout": 0.05}, {"timeout": None}, {}], ids=str)
def test_a_revision_that_does_not_come_is_busy_when_the_time_is_over(path: str, given: dict[str, float]) -> None:
    """The time is `timeout`, or else `busy_timeout`; the error says when to try again."""
    with Registry(path, busy_timeout=0.05) as registry:
        registry.create("greet", "Hello")
        begin = time.monotonic()
        with pytest.raises(StorageBusyError, match=r"did not reach revision 9 within 0\.05 s") as caught:
            registry.wait_for(9, **given)
        assert 0.05 <= time.monotonic() - begin < 0.05 + MARGIN
        assert caught.value.details["retry_after"] > 0


def test_nothing_is_held_while_it_sleeps(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it sleeps this very thread reads, writes, and even closes: no lock and no connection is held."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        registry.save("greet", f"Hello {len(pauses)}")
        assert registry.get("greet").template == f"Hello {len(pauses)}"

    monkeypatch.setattr(waiting.time, "sleep", sleep)
    registry.wait_for(registry.revision + 3)
    assert len(pauses) == 3
    assert min(pauses) > 0
    monkeypatch.setattr(waiting.time, "sleep", lambda _: registry.close())
    with pytest.raises(StorageError, match="closed"):
        registry.wait_for(10**6)


def test_bad_arguments_of_waiting_are_reported_together(registry: Registry) -> None:
    """Both are named in one error."""
    with pytest.raises(InvalidInputError) as caught:
        registry.wait_for(-1, timeout=-1)
    assert [flaw["field"] for flaw in caught.value.details["errors"]] == ["revision", "timeout"]


def test_a_closed_registry_has_no_revision(path: str) -> None:
    """It is `StorageError`, as every call on it is."""
    registry = Registry(path)
    registry.close()
    with pytest.raises(StorageError, match="closed"):
        _ = registry.revision


# freshness="strict"


def test_strict_reads_see_at_once_what_another_process_has_written(path: str) -> None:
    """The first read after the other process's call has returned sees its change."""
    with Registry(path, freshness="strict") as registry, Remote(path) as other:
        registry.create("greet", "0")
        for number in range(1, 6):
            assert registry.get("greet").template == str(number - 1)
            other.call("update", "greet", template=str(number))
            assert registry.render("greet").text == str(number)


def test_strict_freshness_with_older_reads_is_invalid_input(path: str) -> None:
    """`max_staleness` allows what `freshness="strict"` forbids."""
    with pytest.raises(InvalidInputError, match="freshness: can't be 'strict'") as caught:
        Registry(path, freshness="strict", max_staleness=0.01)
    assert [flaw["field"] for flaw in caught.value.details["errors"]] == ["freshness"]


@pytest.mark.sqlite
def test_a_strict_registry_whose_file_is_gone_is_busy_and_returns_nothing_stale(path: str, tmp_path: Path) -> None:
    """A cached read is `StorageBusyError`, or the default; when the file is back, it is the prompt."""
    with Registry(path, freshness="strict") as registry:
        registry.create("greet", "Hello")
        registry.get("greet")
        Path(path).rename(tmp_path / "aside.db")
        time.sleep(0.06)
        for read in (registry.get, registry.render):
            with pytest.raises(StorageBusyError, match="freshness='strict'"):
                read("greet")
        assert registry.get("greet", default=None) is None
        assert registry.render("greet", default="Default").text == "Default"
        (tmp_path / "aside.db").rename(path)
        time.sleep(0.06)
        assert registry.get("greet").template == "Hello"


@pytest.mark.sqlite
def test_waiting_for_a_file_that_is_gone_ends_with_the_time(path: str, tmp_path: Path) -> None:
    """What is stale has not been seen; when the file is back, it has."""
    with Registry(path) as registry:
        registry.create("greet", "Hello")
        registry.get("greet")
        Path(path).rename(tmp_path / "aside.db")
        time.sleep(0.06)
        with pytest.raises(StorageBusyError):
            registry.wait_for(1, timeout=0.05)
        (tmp_path / "aside.db").rename(path)
        registry.wait_for(1)
