"""How transactions begin: what they see, and for how long their statements may run and wait.

What is set holds for the transaction alone. The search path is the system's own, so that no operator or function of
another schema is taken for one of PostgreSQL's.
"""

import psycopg

from promptreg.storage.postgres.heads import HEAD, Head, read_head
from promptreg.storage.postgres.sessions import COMMIT, Session
from promptreg.storage.postgres.statements import Statement

IDLE_MS = 10_000
"""For how long a process may be silent in a write: the lock of one that is stopped, or gone, is then released."""
IDLE_MS_PER_CHANGE = 5  # more, while the rows of many changes are made, for which a slow machine takes 1 ms each
MANY = 10_000  # changes; the rows of fewer are made in time, and cost no round trip
READ = Statement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
WRITE = Statement("BEGIN ISOLATION LEVEL READ COMMITTED")
SEARCH_PATH = Statement("SET LOCAL search_path = pg_catalog, pg_temp")
ANY_TIME = Statement("SET LOCAL statement_timeout = 0")
"""For work whose statements are waited for by signs of the server."""
PLAIN_NAMES = Statement("SET LOCAL quote_all_identifiers = off")
"""What makes definitions that are compared, in `verify`, the same whatever a role's settings are."""
LOCK = Statement(f"{HEAD.text} FOR UPDATE")
IDLE = Statement(f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_MS}")

# Plans are short and many: compiling one takes 100 ms, and starting workers 30 ms, also for a branch that is not taken.
PLAIN_PLANS = Statement("SET LOCAL jit = off"), Statement("SET LOCAL max_parallel_workers_per_gather = 0")


def begin_read(session: Session) -> None:
    """Begin a transaction that sees one snapshot, together with the next statements."""
    session.begin(
        READ, SEARCH_PATH, *PLAIN_PLANS, Statement(f"SET LOCAL statement_timeout = {session.milliseconds_left()}")
    )


def begin_write(session: Session) -> None:
    """Begin a transaction that may write, together with the next statements.

    It waits for others no longer than the call may; what it does itself may take longer.
    """
    session.begin(
        WRITE,
        SEARCH_PATH,
        IDLE,
        *PLAIN_PLANS,
        Statement(f"SET LOCAL statement_timeout = {session.milliseconds_of_work()}"),
        Statement(f"SET LOCAL lock_timeout = {session.milliseconds_left()}"),
    )


def allow_silence(session: Session, changes: int) -> None:
    """Let a process that writes so many changes be silent while it makes their rows."""
    if changes > MANY:
        milliseconds = IDLE_MS + changes * IDLE_MS_PER_CHANGE
        session.run(Statement(f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds}"))


def commit(session: Session, begun: Head) -> None:
    """Send what was queued, and commit.

    Where that fails only because of others, it is sent again in another transaction, if that finds the registry as this
    one did: then all that was read before is still true.
    """
    queued = session.queued()
    while True:
        try:
            session.run(COMMIT)
        except psycopg.Error as error:
            if queued is None or not session.can_retry(error):
                raise
            failure = error
        else:
            return
        session.pause()
        begin_write(session)
        if read_head(session.run(LOCK)[0].rows) != begun:
            raise failure
        session.begin_work()
        session.begin(*queued)
