"""Opening a registry in PostgreSQL: who makes and migrates its schema, with which rights, and what is refused."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from promptreg import (
    InvalidInputError,
    Registry,
    SchemaTooNewError,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageReadOnlyError,
)
from promptreg.storage.postgres import connecting
from tests.places import MARGIN
from tests.postgres import split_target
from tests.test_postgres_url import said

pytestmark = pytest.mark.postgres

Execute = Callable[..., list[Any]]


@pytest.fixture
def execute(postgres_target: str) -> Iterator[Execute]:
    """A function that executes statements as a superuser; `$.` is the schema of the target."""
    import psycopg

    url, schema = split_target(postgres_target)
    with psycopg.connect(url, autocommit=True) as connection:

        def run(*statements: str) -> list[Any]:
            for statement in statements:
                cursor = connection.execute(statement.replace("$.", f'"{schema}".').replace("$schema", schema))  # type: ignore[call-overload]
            return [] if cursor.description is None else cursor.fetchall()

        yield run


@pytest.fixture
def role(postgres_target: str, execute: Execute) -> Iterator[str]:
    """A role without any rights."""
    name = f"role_{postgres_target[-12:]}"
    execute(f"CREATE ROLE {name} LOGIN PASSWORD 's3cret'")
    yield name
    execute(f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


def target_of(role: str, target: str) -> str:
    """Return the same target for another role, with a password that an error must not repeat."""
    return target.replace("postgres@", f"{role}:s3cret@")


@contextmanager
def refused(kind: type[StorageError], reason: str) -> Iterator[list[str]]:
    """Expect the block to raise this error, which holds no password; add its message to the list."""
    messages: list[str] = []
    with pytest.raises(kind) as caught:
        yield messages
    assert caught.value.details["reason"] == reason
    assert "s3cret" not in said(caught.value).replace("target_of", "")
    messages.append(caught.value.message)


def test_a_registry_has_no_path_and_tells_where_it_is(postgres_target: str) -> None:
    """`path` is None, and the `repr` has the location, without user and parameters."""
    with Registry(postgres_target) as registry:
        assert registry.path is None
        assert "postgres@" not in repr(registry)
        assert split_target(postgres_target)[1] in repr(registry)


def test_the_first_to_open_makes_the_schema(postgres_target: str) -> None:
    """What one has written, another one reads."""
    with Registry(postgres_target) as first, Registry(postgres_target) as second:
        first.create("greet", "Hello")
        assert second.render("greet").text == "Hello"


def test_without_create_a_schema_that_is_absent_is_an_error(postgres_target: str, execute: Execute) -> None:
    """It is `StorageError`, as with files, and makes nothing."""
    with refused(StorageError, "missing_schema"):
        Registry(postgres_target, create=False)
    assert execute("SELECT FROM pg_namespace WHERE nspname = '$schema'") == []
    Registry(postgres_target).close()
    Registry(postgres_target, create=False).close()


OPEN = """
import json, sys
from promptreg import Registry
sys.stdin.readline()
with Registry(sys.argv[1], busy_timeout=30) as registry:
    registry.save("greet", "Hello")
    print(json.dumps(registry._core.storage.signal.stamp is not None))
"""


def test_eight_processes_open_a_new_schema_at_once(postgres_target: str) -> None:
    """One of them makes it; all of them read and write then, and the stored data is whole."""
    opening = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, postgres_target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    for process in opening:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in opening]
    assert [json.loads(output) for output in outputs] == [True] * 8
    with Registry(postgres_target, create=False) as registry:
        assert [event.action for event in registry.events()] == ["create", "publish"]
        assert registry.verify() == []


def test_whoever_opens_waits_for_another_that_makes_the_schema(postgres_target: str, execute: Execute) -> None:
    """No longer than `busy_timeout`, then it is `StorageBusyError`; when the other one is done, it opens."""
    import psycopg

    from promptreg.storage.postgres.making import _lock_of

    url, schema = split_target(postgres_target)
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (_lock_of(schema),))
        began = time.monotonic()
        with refused(StorageBusyError, "busy"):
            Registry(postgres_target, busy_timeout=1)
        assert time.monotonic() - began < 1 + MARGIN
        release = threading.Timer(0.3, other.rollback)
        release.start()
        Registry(postgres_target, busy_timeout=10).close()
        release.join()


def test_a_newer_schema_is_noticed_by_an_older_process(postgres_target: str, execute: Execute) -> None:
    """Its next read, write and cold read raise `SchemaTooNewError`, as opening does."""
    with Registry(postgres_target) as registry:
        registry.create("greet", "Hello")
        execute("UPDATE $.registry SET schema_version = 9999")
        for call in (
            lambda: registry.history("greet"),
            lambda: registry.get("greet@1"),
            lambda: registry.update("greet", template="2"),
            lambda: Registry(postgres_target),
        ):
            with refused(SchemaTooNewError, "schema_too_new"):
                call()
        execute("UPDATE $.registry SET schema_version = 1")
        assert registry.update("greet", template="2").version == 2


def test_an_older_schema_is_migrated_by_opening_only(postgres_target: str, execute: Execute) -> None:
    """A registry that is open says `old_schema`."""
    with Registry(postgres_target) as registry:
        execute("UPDATE $.registry SET schema_version = 0")
        with refused(StorageError, "old_schema"):
            registry.history("greet")


def test_a_schema_with_other_tables_is_refused_and_unchanged(postgres_target: str, execute: Execute) -> None:
    """A table of another application, with a name of ours or with that of `registry` itself, stays as it is."""
    execute("CREATE SCHEMA $schema", "CREATE TABLE $.prompts (a int)")
    with refused(StorageError, "not_a_registry"):
        Registry(postgres_target)
    execute("DROP TABLE $.prompts", "CREATE TABLE $.registry (a int)")
    with refused(StorageError, "not_a_registry"):
        Registry(postgres_target)
    assert execute("SELECT relname FROM pg_class WHERE relnamespace = '$schema'::regnamespace") == [("registry",)]
    execute(
        "DROP TABLE $.registry",
        "CREATE TABLE $.registry (identity text, revision int, stamp text, schema_version int)",
        "INSERT INTO $.registry VALUES ('x', 1, 'y', NULL)",
    )
    with refused(StorageError, "not_a_registry"):
        Registry(postgres_target)


def test_an_empty_schema_that_was_made_before_is_used(postgres_target: str, execute: Execute, role: str) -> None:
    """A role needs no right to make schemas where an administrator has made it one."""
    execute(f"CREATE SCHEMA $schema AUTHORIZATION {role}")
    with Registry(target_of(role, postgres_target)) as registry:
        registry.create("greet", "Hello")


GRANTS = (
    "GRANT USAGE ON SCHEMA $schema TO {}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA $schema TO {}",
)


def test_a_current_schema_needs_usage_and_dml(postgres_target: str, execute: Execute, role: str) -> None:
    """With nothing else granted, every verb works."""
    Registry(postgres_target).close()
    execute(*(grant.format(role) for grant in GRANTS))
    with Registry(target_of(role, postgres_target)) as registry:
        registry.create("greet", "Hello", tags=["a"])
        registry.update("greet", template="Hi", is_production=False)
        registry.publish("greet")
        registry.rollback("greet", reason="as before")
        registry.discard(registry.update("greet", template="x", is_production=False).name)
        assert [prompt.name for prompt in registry.search("hello")] == ["greet"]
        assert registry.verify() == []
        registry.delete("greet")


def test_functions_need_no_grant(postgres_target: str, execute: Execute, role: str) -> None:
    """Though the owner lets nobody else execute what it makes."""
    owner = f"owner_{postgres_target[-12:]}"
    execute(
        f"CREATE ROLE {owner} LOGIN PASSWORD 's3cret'",
        f"GRANT CREATE ON DATABASE postgres TO {owner}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    )
    try:
        Registry(target_of(owner, postgres_target)).close()
        execute(*(grant.format(role) for grant in GRANTS))
        with Registry(target_of(role, postgres_target)) as registry:
            registry.create("greet", "Hello")
            assert registry.update("greet", template="Hi").version == 2
    finally:
        execute(f"DROP OWNED BY {owner} CASCADE", f"DROP ROLE {owner}")


def test_making_a_schema_needs_create_and_the_error_says_so(postgres_target: str, execute: Execute, role: str) -> None:
    """With CREATE on the database it is made."""
    with refused(StorageReadOnlyError, "permission") as messages:
        Registry(target_of(role, postgres_target))
    assert f'GRANT CREATE ON DATABASE "postgres" TO "{role}"' in messages[0]
    execute(f"GRANT CREATE ON DATABASE postgres TO {role}")
    Registry(target_of(role, postgres_target)).close()


def test_a_role_that_may_not_read_or_write_is_told_what_to_grant(
    postgres_target: str, execute: Execute, role: str
) -> None:
    """Without USAGE nothing opens; with SELECT alone it reads, and a write is `StorageReadOnlyError`."""
    Registry(postgres_target).close()
    with refused(StorageError, "permission") as messages:
        Registry(target_of(role, postgres_target))
    schema = split_target(postgres_target)[1]
    assert f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}"' in messages[0]
    assert f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema}" TO "{role}"' in messages[0]
    execute(GRANTS[0].format(role), f"GRANT SELECT ON ALL TABLES IN SCHEMA $schema TO {role}")
    with Registry(target_of(role, postgres_target)) as registry:
        assert len(registry.list()) == 0
        with refused(StorageReadOnlyError, "permission"):
            registry.create("greet", "Hello")


def test_a_role_that_only_reads_by_default_opens_and_reads(postgres_target: str, execute: Execute, role: str) -> None:
    """A write is `StorageReadOnlyError`; so is making the schema, and nothing is made."""
    execute(f"ALTER ROLE {role} SET default_transaction_read_only = on", f"GRANT CREATE ON DATABASE postgres TO {role}")
    with refused(StorageReadOnlyError, "read_only"):
        Registry(target_of(role, postgres_target))
    with Registry(postgres_target) as registry:
        registry.create("greet", "Hello")
    execute(*(grant.format(role) for grant in GRANTS))
    with Registry(target_of(role, postgres_target)) as registry:
        assert registry.render("greet").text == "Hello"
        with refused(StorageReadOnlyError, "read_only"):
            registry.update("greet", template="2")


def test_a_schema_that_the_server_keeps_for_itself_is_invalid_input(postgres_target: str) -> None:
    """A name that begins with `pg_` is no name for a schema of ours."""
    with pytest.raises(InvalidInputError, match="keeps the name pg_prompts for itself"):
        Registry(postgres_target.replace("promptreg_schema=", "promptreg_schema=pg_prompts&x=").partition("&x=")[0])


def test_a_role_without_a_connection_left_is_told_what_to_raise(
    postgres_target: str, execute: Execute, role: str
) -> None:
    """It is `StorageBusyError`, so that the call is tried again."""
    execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    with refused(StorageBusyError, "busy") as messages:
        Registry(target_of(role, postgres_target), busy_timeout=0.1)
    assert "max_connections" in messages[0]


def test_a_connection_that_the_server_has_left_a_moment_later_is_waited_for(
    postgres_target: str, execute: Execute, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a break, of which the server may learn later; so the outcome of a commit is found out then too."""
    Registry(postgres_target).close()
    execute(*(grant.format(role) for grant in GRANTS), f"ALTER ROLE {role} CONNECTION LIMIT 0")
    lifting = SimpleNamespace(sleep=lambda _: execute(f"ALTER ROLE {role} CONNECTION LIMIT -1"))
    monkeypatch.setattr(connecting, "time", lifting)
    with Registry(target_of(role, postgres_target)) as registry:
        assert registry.create("greet", "Hello").version == 1


def test_a_wrong_database_or_role_is_refused_by_the_server(postgres_target: str) -> None:
    """It is `StorageError` with the reason `refused`, and what the server said is in the message."""
    for target, fact in (
        (postgres_target.replace("/postgres?", "/nowhere_s3cret?"), "does not exist"),
        (postgres_target.replace("postgres@", "nobody_at_all:s3cret@"), "does not exist"),
    ):
        with pytest.raises(StorageError, match=fact) as caught:
            Registry(target)
        assert caught.value.details == {"reason": "refused"}


def test_a_database_that_is_not_in_utf_8_is_refused(postgres_target: str, execute: Execute) -> None:
    """The error names the encoding; nothing is made in it."""
    name = f"latin_{postgres_target[-12:]}"
    execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        with refused(StorageError, "encoding") as messages:
            Registry(postgres_target.replace("/postgres?", f"/{name}?"))
        assert "LATIN1" in messages[0]
    finally:
        execute(f"DROP DATABASE {name}")


def test_an_older_server_is_refused(postgres_target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names both versions, and leaves nothing open."""
    monkeypatch.setattr("promptreg.storage.postgres.connecting.OLDEST_SERVER", 99)
    with refused(StorageError, "old_server") as messages:
        Registry(postgres_target)
    assert "99 or later" in messages[0]


def test_several_hosts_are_tried_in_their_order(postgres_target: str) -> None:
    """A host that is absent is passed over, and `target_session_attrs` chooses among the others."""
    url, _, rest = postgres_target.partition("@")
    hosts, _, rest = rest.partition("/")
    both = f"{url}@127.0.0.1:1,{hosts}/{rest}"
    with Registry(f"{both}&target_session_attrs=read-write", busy_timeout=4) as registry:
        registry.create("greet", "Hello")
    with refused(StorageError, "refused"):
        Registry(f"{both}&target_session_attrs=standby", busy_timeout=4)


def test_a_schema_that_is_dropped_while_open_is_a_storage_error(postgres_target: str, execute: Execute) -> None:
    """The reason is `removed`, for reads and writes."""
    with Registry(postgres_target) as registry:
        execute("DROP SCHEMA $schema CASCADE")
        for call in (registry.list, lambda: registry.create("greet", "Hello")):
            with refused(StorageError, "removed"):
                call()


def test_a_revision_that_no_commit_has_is_damage(postgres_target: str, execute: Execute) -> None:
    """For who has the registry open, also where the server tells it unasked, and for who opens it."""
    with Registry(postgres_target) as registry:
        registry.create("greet", "Hello")
        execute("UPDATE $.registry SET revision = -5")
        with Registry(postgres_target) as other:
            for each in (other, registry):
                with pytest.raises(StorageCorruptError):
                    each.update("greet", template="Hi")
                with pytest.raises(StorageCorruptError):
                    _read_for_a_second(each)


def _read_for_a_second(registry: Registry) -> None:
    for _ in range(100):
        registry.get("greet")
        time.sleep(0.01)


def test_no_function_or_operator_of_another_schema_is_called(postgres_target: str, execute: Execute, role: str) -> None:
    """A search path that puts other definitions before PostgreSQL's own changes nothing."""
    Registry(postgres_target).close()
    evil = f"evil_{postgres_target[-12:]}"
    raising = "LANGUAGE plpgsql AS $body$ BEGIN RAISE EXCEPTION 'called'; END $body$"
    execute(
        f"CREATE SCHEMA {evil}",
        f"CREATE FUNCTION {evil}.evil_eq(text, text) RETURNS boolean {raising}",
        f"CREATE OPERATOR {evil}.= (LEFTARG = text, RIGHTARG = text, FUNCTION = {evil}.evil_eq)",
        f"CREATE FUNCTION {evil}.count(text) RETURNS bigint {raising}",
        f"CREATE FUNCTION {evil}.lower(text) RETURNS text {raising}",
        *(grant.format(role) for grant in GRANTS),
        f"GRANT USAGE ON SCHEMA {evil} TO {role}",
        f"ALTER ROLE {role} SET search_path = {evil}, pg_catalog",
    )
    try:
        with Registry(target_of(role, postgres_target)) as registry:
            registry.create("greet", "Hello", tags=["a"])
            registry.update("greet", template="Hi")
            assert registry.get("greet@1").version == 1
            assert [prompt.name for prompt in registry.get_many(["greet", "greet@1"])] == ["greet", "greet"]
            assert [prompt.name for prompt in registry.list(tag="a", prefix="gr")] == ["greet"]
            assert [prompt.name for prompt in registry.search("hi")] == ["greet"]
            assert registry.verify() == []
    finally:
        execute(f"DROP SCHEMA {evil} CASCADE")
