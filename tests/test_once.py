"""Calls that are made once: a script that runs twice, or twice at once, for how long, and what is stored.

`test_rules_once.py` has the rules of each verb.
"""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from typing import Any

import pytest

from promptreg import Registry, StorageCorruptError, StorageError
from tests.conftest import Ticking
from tests.faulty import IOERR_READ, install
from tests.full import exported, imported
from tests.storages import everything

Unchanged = Callable[[], AbstractContextManager[None]]

DEPLOY = """
import json, sys
from promptreg import Registry

with Registry(sys.argv[1], busy_timeout=30) as registry:
    deploy = registry.once("deploy-42")
    sys.stdin.read(1)  # until all are to begin
    made = [
        deploy.create("greet", "Hello", tags=["x", "y"]),
        deploy.update("greet", template="Hi", is_production=False),
        deploy.set_label("greet@2", "spring"),
        deploy.save("ask", "Why?"),
        *deploy.publish(["greet@spring", "ask"]),
        deploy.rollback("greet", reason="Too short"),
        deploy.update("greet", new_name="welcome"),
        deploy.disable("welcome"),
    ]
    status = deploy.set_status(["welcome", "ask"], "active")
    deploy.delete("old")
    print(json.dumps([[(prompt.id, prompt.version) for prompt in made], status.model_dump()]))
"""


def deployed(path: str, times: int) -> list[str]:
    """Run the script so many times at once, and return what each prints."""
    command = [sys.executable, "-c", DEPLOY, path]
    scripts = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(times)
    ]
    for script in scripts:
        assert script.stdin is not None
        script.stdin.write("x")
        script.stdin.flush()
    printed = [script.communicate()[0] for script in scripts]
    assert [script.returncode for script in scripts] == [0] * times
    return printed


def test_a_deploy_script_may_run_twice(registry: Registry, path: str, unchanged: Unchanged) -> None:
    """The second run writes nothing, returns the same versions, and leaves what people have done since."""
    registry.create("old", "Old")
    (first,) = deployed(path, 1)
    events = [event.action for event in registry.events(limit=1000)]
    assert (events.count("create"), events.count("rollback"), events.count("delete")) == (3, 1, 1)
    assert registry.get("welcome").template == "Hello"
    registry.update("welcome", template="By people")
    with unchanged():
        (second,) = deployed(path, 1)
    (made, status), (made_again, status_again) = json.loads(first), json.loads(second)
    assert status == status_again
    assert [made_again[2], made_again[8]] == [[made[2][0], 4], [made[8][0], 4]]  # what is shown now
    assert [pair for i, pair in enumerate(made) if i not in {2, 8}] == [
        pair for i, pair in enumerate(made_again) if i not in {2, 8}
    ]


@pytest.mark.slow
def test_a_deploy_script_may_run_twice_at_once(registry: Registry, path: str) -> None:
    """Each of its calls is made by one of the two, and both go on with what that wrote."""
    registry.create("old", "Old")
    printed = deployed(path, 2)
    assert len(operations(path)) == 10
    assert [[pair[0] for pair in json.loads(each)[0]] for each in printed].count(
        [pair[0] for pair in json.loads(printed[0])[0]]
    ) == 2
    events = [event.action for event in registry.events(limit=1000)]
    assert (events.count("create"), events.count("rollback"), events.count("delete")) == (3, 1, 1)
    assert [version.version for version in registry.history("welcome")] == [3, 2, 1]
    assert registry.verify() == []


# For how long


@pytest.mark.sqlite
def test_a_call_is_remembered_for_a_day(path: str) -> None:
    """By the registry's clock: less than 24 hours later it is a repeat, from then on another call."""
    clock = Ticking()
    with Registry(path, clock=clock) as registry:
        call: Callable[[], Any] = lambda: registry.once("op").update("x", template="Two")  # noqa: E731
        registry.create("x", "One")
        call()
        registry.rollback("x", reason="x")
        clock.now += timedelta(hours=24, seconds=-10)
        assert (call().version, registry.get("x").version) == (2, 1)
        clock.now += timedelta(seconds=20)
        assert (call().version, registry.get("x").version) == (3, 3)
        registry.rollback("x", reason="x")
        assert (call().version, registry.get("x").version) == (3, 1)


@pytest.mark.sqlite
def test_what_is_older_than_a_day_is_deleted_by_the_next_call_that_is_made_once(path: str) -> None:
    """So the table holds a day at most, and a write without an id does not touch it."""
    clock = Ticking()
    with Registry(path, clock=clock) as registry:
        for number in range(3):
            registry.once(f"op{number}").create(f"x{number}", "One")
        clock.now += timedelta(days=1)
        registry.create("y", "One")
        assert len(operations(path)) == 3
        registry.once("op").create("z", "One")
        assert len(operations(path)) == 1


# What is stored


def operations(path: str) -> list[tuple[Any, ...]]:
    """Return the rows of the table, oldest first."""
    return sorted(everything(path)["operations"], key=lambda row: str(row[1]))


def test_only_hashes_ids_numbers_and_actions_are_stored(registry: Registry, path: str) -> None:
    """No name, text, actor or operation id, so rule 15 holds."""
    view = registry.once("secret-operation")
    made = view.create("secret-name", "secret text", config={"secret": "value"}, tags=["secret"])
    view.set_status("secret-name", "disabled")
    rows = operations(path)
    assert [json.loads(result) for _, _, result, _ in rows] == [
        [[made.id, 1, "create", "publish"]],
        [[made.id, None, "disable"]],
    ]
    assert all(len(key) == len(hash_) == 64 for key, _, _, hash_ in rows)
    assert "secret" not in repr(rows)


@pytest.mark.sqlite
def test_a_write_without_an_id_writes_no_more_than_before(
    registry: Registry, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No statement of it reads or writes the table of operations."""
    seen: list[str] = []
    faults = install(monkeypatch)
    monkeypatch.setattr(faults, "before", lambda connection, statement: seen.append(statement))
    with Registry(path) as other:
        other.create("x", "One"), other.publish("x"), other.delete("x")
        assert not [statement for statement in seen if "operations" in statement]
        other.once("op").create("x", "One")
    assert [statement.split()[0] for statement in seen if "operations" in statement] == [
        "SELECT",
        "DELETE",
        "INSERT",
    ]


@pytest.mark.sqlite
def test_a_call_is_remembered_in_the_transaction_of_its_write(
    registry: Registry, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it can't be remembered, nothing is written."""
    faults = install(monkeypatch)
    with Registry(path) as other:
        with faults.failing("INSERT INTO operations", IOERR_READ), pytest.raises(StorageError):
            other.once("op").create("x", "One")
        assert other.get("x", default=None) is None
        assert other.once("op").create("x", "One").version == 1


@pytest.mark.sqlite
def test_a_damaged_row_is_an_error_and_never_a_wrong_answer(registry: Registry, path: str) -> None:
    """`verify` reports it as well."""
    registry.once("op").create("x", "One")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE operations SET result = replace(result, ',1,', ',2,')")
    with pytest.raises(StorageCorruptError, match="operation"):
        registry.once("op").create("x", "One")
    ((key, *_),) = operations(path)
    assert registry.verify() == [f"the operation {key!r} is not what was written"]


def test_a_full_export_leaves_operations_out(registry: Registry) -> None:
    """In another registry the same call is another call."""
    registry.once("op").create("x", "One")
    registry.delete("x")
    with imported(exported(registry)) as other:
        assert other.once("op").create("x", "One").version == 1
        assert exported(registry) != exported(other)


# Two at once


def test_threads_that_make_the_same_call_at_once_write_once(registry: Registry, path: str) -> None:
    """All return the same; the others find, within the write, that one of them was faster."""
    both = threading.Barrier(2)

    def meet(prompt: Any) -> None:
        both.wait(30)

    with Registry(path, publish_checks=[meet]) as checked:  # so both plan a version before either writes
        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(lambda _: checked.once("op").create("x", "One"), range(2)))
        assert made[0] == made[1]
        with ThreadPoolExecutor(2) as pool:
            updated = list(pool.map(lambda _: checked.once("op").update("x", template="Two"), range(2)))
        assert [prompt.version for prompt in updated] == [2, 2]
        assert [event.action for event in checked.events()] == ["create", "publish", "update", "publish"]


def test_many_threads_that_change_nothing_at_once_are_remembered_once(registry: Registry, path: str) -> None:
    """Each call is one row, and none is an error."""
    registry.create("x", "One")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: registry.once(f"op{n % 2}").update("x", template="One").version, range(32)))
    assert (set(made), len(operations(path))) == ({1}, 2)


def test_a_view_works_on_both_sides_of_a_fork(registry: Registry) -> None:
    """A child repeats what its parent has done."""
    view = registry.once("op")
    made = view.create("x", "One")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if view.create("x", "One") == made else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert view.create("x", "One") == made
