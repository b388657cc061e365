"""What other sessions of the server do to a call: locks, deadlocks, time limits, settings; and errors of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from promptreg import Registry, StorageBusyError, StorageError, StorageFullError, StorageReadOnlyError
from tests.conftest import until
from tests.places import BUSY, MARGIN
from tests.postgres import connected, split_target
from tests.test_postgres_connections import timed

pytestmark = pytest.mark.postgres


@pytest.fixture
def registry(postgres_target: str) -> Iterator[Registry]:
    with Registry(postgres_target, busy_timeout=BUSY) as opened:
        opened.create("greet", "1")
        yield opened


@pytest.fixture
def patient(postgres_target: str) -> Iterator[Registry]:
    """A registry that would wait long, so that a busy machine ends no call."""
    with Registry(postgres_target, busy_timeout=30) as opened:
        opened.create("greet", "1")
        yield opened


@contextmanager
def session(target: str) -> Iterator[Callable[..., list[Any]]]:
    """Yield a function that executes statements in one transaction, which is rolled back at the end."""
    import psycopg

    url, schema = split_target(target)
    with closing(psycopg.connect(url)) as connection:

        def execute(*statements: str) -> list[Any]:
            for statement in statements:
                cursor = connection.execute(statement.replace("$.", f'"{schema}".'))
            if statements[-1:] == ("COMMIT",):
                connection.commit()
            return [] if cursor.description is None else cursor.fetchall()

        yield execute


LOCKS = {
    "row": ("SELECT * FROM $.registry FOR UPDATE",),
    "table": ("LOCK TABLE $.prompts IN ACCESS EXCLUSIVE MODE",),
    "events": ("LOCK TABLE $.events IN ACCESS EXCLUSIVE MODE",),
    "head": ("LOCK TABLE $.registry IN ACCESS EXCLUSIVE MODE",),
}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_write_that_waits_for_a_lock_is_busy_in_time(registry: Registry, postgres_target: str, lock: str) -> None:
    """It is `StorageBusyError` within `busy_timeout`, writes nothing, and works when the lock is gone."""
    with session(postgres_target) as other:
        other(*LOCKS[lock])
        outcome, seconds = timed(lambda: registry.update("greet", template="2"))
        assert isinstance(outcome, StorageBusyError)
        assert seconds < BUSY + MARGIN
    assert registry.get("greet@latest").version == 1
    assert registry.update("greet", template="2").version == 2


def test_a_read_that_waits_for_a_lock_is_busy_in_time(registry: Registry, postgres_target: str) -> None:
    """It is `StorageBusyError` within `busy_timeout`, as where an administrator rewrites a table."""
    with session(postgres_target) as other:
        other(*LOCKS["table"])
        outcome, seconds = timed(registry.list)
        assert isinstance(outcome, StorageBusyError)
        assert seconds < BUSY + MARGIN
    assert [prompt.name for prompt in registry.list()] == ["greet"]


def test_a_write_that_waits_shortly_for_a_lock_is_written(patient: Registry, postgres_target: str) -> None:
    """A lock that goes in time costs a wait and nothing else."""
    with ExitStack() as stack:
        other = stack.enter_context(session(postgres_target))
        other(*LOCKS["row"])
        timer = threading.Timer(BUSY / 3, other, ["COMMIT"])
        timer.start()
        assert patient.update("greet", template="2").version == 2
        timer.join()


def test_a_large_write_may_take_longer_than_a_wait(registry: Registry, postgres_target: str) -> None:
    """`busy_timeout` limits the wait for others and for a sign of the server, and not what the write does itself."""
    names = [f"p{number}" for number in range(120)]
    for name in names:
        registry.create(name, "1", is_production=False)
    with session(postgres_target) as other:
        other(
            "CREATE FUNCTION $.slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_catalog.pg_sleep(0.02); RETURN new; END'",
            "CREATE TRIGGER slow BEFORE INSERT ON $.publications FOR EACH ROW EXECUTE FUNCTION $.slow()",
            "COMMIT",
        )
    published, seconds = timed(lambda: registry.publish(names))
    assert seconds > 2 * BUSY
    assert [prompt.production_version for prompt in published] == [1] * len(names)
    assert registry.events(limit=1000, action="publish")[-1].name == names[-1]


def raising(target: str, code: str, times: int, table: str = "events") -> None:
    """Make the server raise this error at the next insertions into a table, each rolled back as it would be."""
    with session(target) as other:
        other(
            "CREATE SEQUENCE IF NOT EXISTS $.failures",
            "SELECT setval('$.failures', 1, false)",
            "CREATE OR REPLACE FUNCTION $.fail() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN"
            f" IF nextval('$.failures') <= {times} THEN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}';"
            " END IF; RETURN NEW; END $body$",
            f"CREATE OR REPLACE TRIGGER failing BEFORE INSERT ON $.{table} FOR EACH ROW EXECUTE FUNCTION $.fail()",
            "COMMIT",
        )


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_serialization_failures_and_deadlocks_are_retried(patient: Registry, postgres_target: str, code: str) -> None:
    """The call writes once, and its caller learns nothing of them."""
    raising(postgres_target, code, 2)
    assert patient.update("greet", template="2").version == 2
    assert [event.action for event in patient.events()] == ["create", "publish", "update", "publish"]
    assert patient.verify() == []


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_serialization_failures_and_deadlocks_without_end_are_busy(
    registry: Registry, postgres_target: str, code: str
) -> None:
    """Retries end within `busy_timeout`, in `StorageBusyError`; nothing was written."""
    raising(postgres_target, code, 1_000_000)
    outcome, seconds = timed(lambda: registry.update("greet", template="2"))
    assert isinstance(outcome, StorageBusyError)
    assert seconds < BUSY + MARGIN
    assert registry.get("greet@latest").version == 1


def is_waited_for(target: str) -> bool:
    """Return whether a session waits for a lock that another one holds on a table of the target."""
    waiting = (
        "SELECT count(*) FROM pg_locks w JOIN pg_locks l ON l.pid = w.pid JOIN pg_class c ON c.oid = l.relation"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT w.granted AND n.nspname = %s"
    )
    with connected(target) as connection:
        (count,) = connection.execute(waiting, (split_target(target)[1],)).fetchone() or (0,)
    return bool(count)


def test_a_real_deadlock_is_retried_or_busy(registry: Registry, postgres_target: str) -> None:
    """A session that locks rows in the opposite order deadlocks with a write; the write is done once, or not at all."""
    with session(postgres_target) as other, Registry(postgres_target, busy_timeout=30) as patient:
        other("SET LOCAL deadlock_timeout = '10s'", "SELECT * FROM $.prompts FOR UPDATE")
        outcomes: list[Any] = []
        writer = threading.Thread(target=lambda: outcomes.append(timed(lambda: patient.update("greet", template="2"))))
        writer.start()
        until(
            lambda: is_waited_for(postgres_target)
        )  # the write holds the row of the registry, and waits for the prompt's
        other("SELECT * FROM $.registry FOR UPDATE", "COMMIT")  # which the server breaks by ending one of both
        writer.join(60)
    ((outcome, seconds),) = outcomes
    assert seconds < 30 + MARGIN
    is_done = not isinstance(outcome, Exception)
    assert is_done or isinstance(outcome, StorageBusyError)
    assert registry.get("greet@latest").version == 1 + is_done
    assert registry.verify() == []


ERRORS = {
    "57014": StorageBusyError,  # query_canceled: statement_timeout
    "55P03": StorageBusyError,  # lock_not_available
    "53100": StorageFullError,  # disk_full
    "25006": StorageReadOnlyError,  # read_only_sql_transaction
    "42501": StorageReadOnlyError,  # insufficient_privilege
    "XX001": StorageError,  # data_corrupted
    "58030": StorageError,  # io_error
    "54000": StorageError,  # program_limit_exceeded
}


@pytest.mark.parametrize("code", ERRORS)
def test_each_error_of_the_server_is_ours(registry: Registry, postgres_target: str, code: str) -> None:
    """It has the class that tells a caller what to do, the driver's error as its cause; nothing was written."""
    raising(postgres_target, code, 1_000_000)
    outcome, seconds = timed(lambda: registry.update("greet", template="2"))
    assert type(outcome) is ERRORS[code] or ERRORS[code] is StorageError
    assert isinstance(outcome, StorageError)
    assert outcome.__cause__ is not None
    assert outcome.details["reason"]
    assert seconds < BUSY + MARGIN
    assert registry.get("greet@latest").version == 1


SETTINGS = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "idle_in_transaction_session_timeout": "2s",  # less would end a read of a process that a busy machine stops
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "search_path": "pg_temp",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-5",
    "lock_timeout": "1ms",
    "row_security": "off",
    "xmlbinary": "hex",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_default_of_a_role_or_database_changes_what_a_registry_does(
    postgres_url: str, postgres_target: str, setting: str
) -> None:
    """Whatever sessions begin with, everything is written, read and found alike."""
    import psycopg

    role = f"test_{postgres_target[-12:]}"
    url, schema = split_target(postgres_target)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
        connection.execute(f"ALTER ROLE {role} SET {setting} = '{SETTINGS[setting]}'")
        try:
            target = url.replace("postgres@", f"{role}@") + f"?promptreg_schema={schema}"
            with Registry(target) as registry, Registry(postgres_target) as plain:
                registry.create(
                    "greet", "Grüße \\ {{ n }} 漢字 '", tags=["a", "b"], config={"x": 1.1}, meta={"null": None}
                )
                assert plain.get("greet") == registry.get("greet")
                plain.update("greet", template="2")
                until(lambda: registry.get("greet").version == 2)
                assert [prompt.name for prompt in registry.search("2")] == ["greet"]
                assert [event.at for event in registry.events()] == [event.at for event in plain.events()]
                registry.delete("greet")
                assert registry.verify() == []
        finally:
            connection.execute(f"DROP OWNED BY {role} CASCADE")
            connection.execute(f"DROP ROLE {role}")
