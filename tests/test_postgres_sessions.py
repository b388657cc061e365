"""Sessions with a PostgreSQL server: statements in one round trip, time limits, and connections that are replaced."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest

from promptreg import Registry
from promptreg.errors import PromptregError, StorageError
from promptreg.storage.deadlines import Deadline, Patience
from promptreg.storage.postgres import compat, sessions
from promptreg.storage.postgres.connecting import Connector
from promptreg.storage.postgres.failures import Place, translate
from promptreg.storage.postgres.sessions import COMMIT, Session
from promptreg.storage.postgres.statements import Statement
from promptreg.storage.postgres.transactions import allow_silence, begin_read, begin_write
from promptreg.storage.postgres.url import read_url
from promptreg.storage.postgres.wire import LostError, UnansweredError
from tests.places import MARGIN
from tests.postgres import split_target

pytestmark = pytest.mark.postgres

BEGIN = Statement("BEGIN")
WORK = 3.0  # seconds of each wait for a sign of the server


@pytest.fixture
def session(postgres_target: str) -> Iterator[Session]:
    url = read_url(postgres_target)
    opened = Session(Connector(url).connect, url.schema, Patience(WORK))
    opened.start(Deadline(10))
    yield opened
    opened.close()


@pytest.fixture
def other(postgres_target: str) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(split_target(postgres_target)[0], autocommit=True) as connection:
        yield connection


def backend(session: Session) -> int:
    return session.connected().backend_pid


def end(other: "psycopg.Connection[Any]", session: Session) -> None:
    """End the session's connection from the server's side, and wait until it is gone."""
    pid = backend(session)
    other.execute("SELECT pg_terminate_backend(%s)", (pid,))
    while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchall():
        time.sleep(0.01)


def test_values_go_out_and_come_back_as_they_are(session: Session) -> None:
    """Texts, numbers, lists, nothing and true, by position and by name, each placeholder as often as one likes."""
    row = ("é\\'\"%", 2**62, -1, None, True, ["a", "{b,", None, ""], [1, 2])
    statement = "SELECT %s::text, %s::int8, %s::int8, %s::text, %s::bool, %s::text[], %s::int8[]"
    assert session.query(statement, row) == [row]
    assert session.query("SELECT %(b)s::text, %(a)s::int8, %(b)s::text, '%%'", {"a": 1, "b": "x"}) == [
        ("x", 1, "x", "%")
    ]
    assert session.query("SELECT '%s %% %(a)s'") == [("%s %% %(a)s",)]


def test_adapters_that_an_application_registers_change_nothing(session: Session) -> None:
    """They are for all connections of the application, which this is not."""
    from psycopg.types.string import TextLoader

    class Shouting(TextLoader):
        def load(self, data: Any) -> str:
            raise AssertionError

    default = psycopg.adapters.get_loader(25, psycopg.pq.Format.TEXT)
    assert default is not None
    psycopg.adapters.register_loader("text", Shouting)
    try:
        assert session.query("SELECT 'a'::text") == [("a",)]
    finally:
        psycopg.adapters.register_loader("text", default)


def test_psycopg_still_has_the_names_that_are_used() -> None:
    """A release of psycopg without one of them fails here."""
    assert compat.transformer().adapters.get_loader(1009, psycopg.pq.Format.TEXT) is not None
    assert compat.attempts_of({"host": "127.0.0.1,127.0.0.2"})[1]["host"] == "127.0.0.2"


def test_the_first_statement_that_fails_ends_a_batch(session: Session) -> None:
    """Its error is raised, later statements are not executed, and the session works on."""
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.run(Statement("SELECT 1"), Statement("SELECT 1/0"), Statement("SELECT pg_sleep(5)"))
    assert session.query("SELECT 2") == [(2,)]


def test_an_error_repeats_no_row(session: Session) -> None:
    """Only the first line of what the server says is in it; the others quote rows and statements."""
    begin_write(session)
    session.run(Statement("CREATE TEMPORARY TABLE t (a text UNIQUE, b int CHECK (b > 0))"))
    with pytest.raises(psycopg.IntegrityError) as caught:
        session.run(Statement("INSERT INTO t VALUES (%s, 0)", ("s3cret",)))
    assert "s3cret" not in str(caught.value) + repr(caught.value)


def test_a_transaction_ends_without_a_wait(session: Session, other: "psycopg.Connection[Any]") -> None:
    """`roll_back` sends, and the next use takes the answer; locks are gone soon after."""
    begin_write(session)
    session.run(Statement("SELECT pg_advisory_xact_lock(4711)"))
    session.roll_back()
    other.execute("SET lock_timeout = '5s'; SELECT pg_advisory_lock(4711)")
    assert session.query("SELECT 1") == [(1,)]
    assert session.is_idle()


def test_no_state_stays_in_a_connection(session: Session) -> None:
    """After reads and writes its settings are those of a new one, and nothing is prepared."""
    settings = "SELECT name, setting FROM pg_settings WHERE name LIKE '%timeout%' OR name = 'search_path' ORDER BY 1"
    before = session.query(settings)
    for begin in (begin_read, begin_write):
        for _ in range(10):
            begin(session)
            assert session.query("SHOW search_path") == [("pg_catalog, pg_temp",)]
            session.roll_back()
    begin_write(session)
    session.run(COMMIT)
    assert session.query(settings) == before
    assert session.query("SELECT count(*) FROM pg_prepared_statements") == [(0,)]


@pytest.mark.parametrize("begin", [begin_read, begin_write])
def test_a_statement_has_as_much_time_as_the_call(
    session: Session, begin: Callable[[Session], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself ends one that takes longer, which is `StorageBusyError`; the session goes on."""
    for name, earlier in (("EARLIER", 0.6), ("MOST_EARLIER", 10.0)):  # so that its error is here in time, however late
        monkeypatch.setattr(sessions, name, earlier)
    session.start(Deadline(5))
    begin(session)
    with pytest.raises(psycopg.errors.QueryCanceled) as caught:
        session.query("SELECT pg_catalog.pg_sleep(30)")
    assert type(translate(caught.value, Place("x", "y", "z"))).__name__ == "StorageBusyError"
    before = backend(session)
    session.start(Deadline(5))
    assert backend(session) == before


def test_work_in_a_write_is_no_wait_for_others(session: Session) -> None:
    """Once it holds the lock, each wait has a limit of its own, until the transaction ends."""
    session.start(Deadline(1.5))
    begin_write(session)
    session.query("SELECT 1")
    session.begin_work()
    for _ in range(2):
        assert session.query("SELECT pg_catalog.pg_sleep(1)") == [("",)]
    session.roll_back()
    with pytest.raises(UnansweredError):
        session.query("SELECT pg_catalog.pg_sleep(10)")


def test_a_process_that_makes_many_rows_may_be_silent_for_longer(session: Session) -> None:
    """Else the server would end a large write as if its process had stopped."""
    limits = {}
    for changes in (1, 20_000):
        session.start(Deadline(5))
        begin_write(session)
        allow_silence(session, changes)
        limits[changes] = session.query("SELECT pg_catalog.current_setting('idle_in_transaction_session_timeout')")
    assert limits == {1: [("10s",)], 20_000: [("110s",)]}


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_the_limit(session: Session) -> None:
    """The connection is closed then, as its answer may still come, and the next use has another one."""
    first = backend(session)
    session.start(Deadline(0.3))
    began = time.monotonic()
    with pytest.raises(UnansweredError):
        session.query("SELECT pg_catalog.pg_sleep(3)")
    assert 0.2 < time.monotonic() - began < 0.3 + MARGIN
    session.start(Deadline(5))
    assert session.query("SELECT 2") == [(2,)]
    assert backend(session) != first


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    """Connecting ends at the limit too; each address gets its share of the time."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        connector = Connector(read_url(f"postgresql://ana@127.0.0.1:{port},127.0.0.1:{port}/db"))
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="no answer came in time"):
            connector.connect(Deadline(0.6))
        assert 0.5 < time.monotonic() - began < 0.6 + MARGIN


def test_a_host_that_says_nothing_leaves_time_for_the_next_one(postgres_target: str) -> None:
    """So a machine that is gone does not hide the one that took its place."""
    url, _, rest = postgres_target.partition("@")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        target = f"{url}@127.0.0.1:{silent.getsockname()[1]},{rest}"
        pgconn = Connector(read_url(target)).connect(Deadline(4))
    pgconn.finish()


def test_an_idle_connection_that_the_server_has_ended_is_replaced_before_use(
    session: Session, other: "psycopg.Connection[Any]"
) -> None:
    """The next call does not notice."""
    first = backend(session)
    end(other, session)
    session.start(Deadline(5))
    assert session.query("SELECT 1") == [(1,)]
    assert backend(session) != first


@pytest.mark.parametrize("begin", [begin_read, begin_write, lambda session: None])
def test_a_connection_that_is_dead_at_the_first_statement_is_replaced(
    session: Session, other: "psycopg.Connection[Any]", begin: Callable[[Session], None]
) -> None:
    """Where only using it shows that, the first statements are sent again, on another one."""
    session.start(Deadline(5))
    end(other, session)
    begin(session)
    assert session.query("SELECT 1") == [(1,)]


def test_a_connection_that_is_lost_later_is_an_error(session: Session, other: "psycopg.Connection[Any]") -> None:
    """What a transaction has read does not hold in another one, and a commit may hold, so nothing is sent again."""
    begin_write(session)
    session.run(Statement("SELECT 1"))
    end(other, session)
    with pytest.raises(LostError, match="terminating connection"):
        session.run(Statement("SELECT 1"))
    session.start(Deadline(5))
    assert not session.may_have_committed
    session.begin(BEGIN)
    session.run(Statement("SELECT 1"))
    end(other, session)
    with pytest.raises(LostError):
        session.run(COMMIT)
    assert session.may_have_committed


class Interrupted(Exception):
    """What a signal handler raises."""


def interrupt(*_: object) -> None:
    raise Interrupted


def test_an_exception_between_any_two_steps_leaves_no_wrong_answer(session: Session) -> None:
    """A signal handler raises at a random moment of many exchanges; each answer is that of its own question."""
    previous = signal.signal(signal.SIGALRM, interrupt)
    answered = interrupted = 0
    try:
        begin = time.monotonic()
        while (seconds := time.monotonic() - begin) < 3 or (seconds < 60 and not answered + interrupted > 20):
            number = answered + interrupted
            with suppress(Interrupted):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + number % 13 * 0.00007)
                    session.start(Deadline(5))
                    begin_read(session)
                    for step in range(5):
                        assert session.query("SELECT %s::int8", (number * 10 + step,)) == [(number * 10 + step,)]
                    session.roll_back()
                    answered += 1
                except Interrupted:
                    interrupted += 1
                    raise
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    session.start(Deadline(5))
    assert session.query("SELECT 1") == [(1,)]
    assert answered + interrupted > 20
    assert interrupted > 0


def test_a_write_that_is_long_in_the_making_is_not_silent(
    postgres_target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is queued is sent meanwhile: the server ends transactions that say nothing for long."""
    from promptreg.storage.postgres import transactions, writer

    def slow(*args: Any) -> Any:
        time.sleep(0.2)
        return made(*args)

    made = writer.search_row
    with Registry(postgres_target) as registry:
        names = [registry.create(f"p{number}", "Hello", is_production=False).name for number in range(20)]
        for name in names:
            registry.update(name, new_name=f"{name}-new", template="Hi", is_production=False)
        monkeypatch.setattr(writer, "search_row", slow)
        monkeypatch.setattr(sessions, "SILENT", 0.01)
        monkeypatch.setattr(transactions, "IDLE", Statement("SET LOCAL idle_in_transaction_session_timeout = 2500"))
        published = registry.publish([f"{name}-new" for name in names], version="latest")
        assert [prompt.version for prompt in published] == [2] * 20
        assert registry.verify() == []


def test_large_statements_and_answers_pass_whole(session: Session) -> None:
    """Both sides may be sending at once, more than the network holds."""
    texts = [str(number) * 200_000 for number in range(8)]
    results = session.run(*(Statement("SELECT %s::text, %s::text", (text, text)) for text in texts))
    assert [result.rows for result in results] == [[(text, text)] for text in texts]


def test_every_error_becomes_ours() -> None:
    """Whatever SQLSTATE it has, it is a `PromptregError` that names the database."""
    place = Place("postgresql://h/db", "prompts", "ana")
    for state in ("08006", "0A000", "22021", "23502", "40001", "42501", "53200", "57P01", "58030", "F0000", "XX000"):
        error = psycopg.errors.lookup(state)("fact\nDETAIL: s3cret")
        ours = translate(error, place)
        assert isinstance(ours, PromptregError)
        assert "fact" in ours.message
        assert "s3cret" not in ours.message
        assert isinstance(ours, StorageError)
        assert "postgresql://h/db" in ours.message or "ana" in ours.message


def test_a_call_that_a_fork_interrupts_is_refused_in_the_child(session: Session) -> None:
    """The connection stays the parent's, and the child's next call has its own."""
    import warnings

    begin_read(session)
    pid = session.query("SELECT pg_backend_pid()")[0][0]
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            try:
                session.query("SELECT 1")
            except StorageError as error:
                said = str(error.details["reason"])
            session.start(Deadline(5))
            said += " " + str(session.query("SELECT pg_backend_pid() <> %s", (pid,))[0][0])
            session.close()
            os.write(writing, said.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"fork True"
    os.close(reading)
    os.close(writing)
    assert session.query("SELECT pg_backend_pid()") == [(pid,)]
