"""Connections to one database: opened with the right settings, one a thread, closed around forks."""

import itertools
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from promptreg.errors import PromptregError, StorageError
from promptreg.storage.base import StorageSettings
from promptreg.storage.sqlite.failures import SYSTEMS, DriverError, is_applications
from promptreg.storage.sqlite.files import FileIdentity
from promptreg.storage.sqlite.gate import FORKS, Gate, Stay
from promptreg.storage.sqlite.system import uri_path

if TYPE_CHECKING:
    from sqlite_utils import Database

T = TypeVar("T")

# On macOS a sync reaches the disk only with `fullfsync`, which changes nothing elsewhere. A statement is undone from
# memory: one that deletes would put what it deletes into a temporary file. No connection makes a checkpoint unless it
# is told to, by who has the writers' turn (see `queue.py`).
SETTINGS = (
    "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA recursive_triggers = ON;"
    " PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA fullfsync = ON; PRAGMA wal_autocheckpoint = 0"
)
LOG_PAGES = 1_000  # in the log, from which on a commit writes it back; SQLite's own default
SLICE = 0.05  # seconds that SQLite waits at a time, for nobody may fork meanwhile


_NUMBERS = itertools.count()


class Handle:
    """One connection; no two of a process have the same number."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._process = os.getpid()
        self.number = next(_NUMBERS)
        self.is_in_memory = False  # so that each side of a fork goes on with its own copy
        self.taken: object = None  # what the file was, where what is read is of that moment only
        self.may_be_interrupted = False  # by a fork, which does not wait for what can begin again
        self._log_pages = 0

    @property
    def database(self) -> "Database":
        """The connection as sqlite-utils takes it, which takes 40 ms to load, and no usual read or write needs it."""
        from sqlite_utils import Database  # noqa: PLC0415

        return Database(self.connection, execute_plugins=False)

    def close(self) -> None:
        """Close the connection, unless it is of another process, behind whose back this one was forked."""
        if self._is_own():
            self.connection.close()
        else:
            _INHERITED.append(self.connection)

    def let_closing_checkpoint(self) -> None:
        """Let closing write the log back into the file and remove it, if this is the last connection of all."""
        if self._is_own():
            _checkpoint_on_close(self.connection, may=True)

    def let_commits_checkpoint(self, may: bool) -> None:
        """Let a commit write a long log back into the file, or not; at first it may not."""
        pages = LOG_PAGES if may else 0
        if pages != self._log_pages:
            self.connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
            self._log_pages = pages

    def roll_back(self) -> None:
        """Leave no transaction open; one of another process is that one's."""
        if self.connection.in_transaction and self._is_own():
            self.connection.execute("ROLLBACK")

    def require_own(self) -> None:
        """Raise `StorageError` where this process was forked in the middle of the call that uses the connection."""
        if not self._is_own():
            raise forked()

    def _is_own(self) -> bool:
        return self.is_in_memory or self._process == os.getpid()

    def __del__(self) -> None:
        self.close()


def _checkpoint_on_close(connection: sqlite3.Connection, *, may: bool) -> None:
    """Say whether closing may write the log back.

    Before Python 3.12 SQLite can't be told; there it does so where it can lock the whole file, so nobody else is
    connected at all, and no commit can be under way.
    """
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, not may)


_INHERITED: list[sqlite3.Connection] = []  # never to be touched, so kept


def forked() -> StorageError:
    """Give the refusal of a process that must not use what it has of another one."""
    return StorageError(
        "This process was forked behind Python's hooks, or in the middle of a call; open the registry in it.",
        reason="fork",
    )


def file_uri(path: str, options: str) -> str:
    """Give how SQLite is told an absolute path, and how to open what is there."""
    return f"file://{uri_path(path)}?{options}"


def connect(uri: str, settings: StorageSettings) -> Handle:
    """Open a connection with our settings; transactions are begun by us alone.

    Nothing here makes SQLite read the schema, which takes 0.5 ms.
    """
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=min(settings.busy_timeout, SLICE),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        connection.executescript(SETTINGS)
        _checkpoint_on_close(connection, may=False)
        return Handle(connection)
    except BaseException:
        connection.close()
        raise


class _Lease:
    """A thread's hold on its connection: it goes with the thread, whose connection is then to be closed."""

    def __init__(self, handle: Handle, ended: list[Handle]) -> None:
        self.handle = handle
        self._ended = ended

    def __del__(self) -> None:
        self._ended.append(self.handle)


class Watching(NamedTuple):
    """What gives the connection to watch with, and this thread's usual one; the same where one is shared.

    `another` gives one that has read nothing yet, for whoever asks to close.
    """

    watcher: Callable[[], Handle]
    usual: Callable[[], Handle]
    another: Callable[[], Handle]


class Connections:
    """A connection for each thread that asks, and one to watch with; a single one, used in turn, where it is shared."""

    def __init__(
        self,
        file: FileIdentity,
        opener: Callable[[], Handle],
        watcher_opener: Callable[[], Handle],
        first: Handle,
        *,
        is_shared: bool,
        translated: Callable[[DriverError], PromptregError],
    ) -> None:
        """Begin with a connection that is open already, which is this thread's, or the shared one.

        `translated` returns our error for one of the driver's or the system's.
        """
        self._file = file
        self._translated = translated
        self._path = file.path
        self._opener = opener
        self._watcher_opener = watcher_opener
        self._gate = Gate()
        self._shut: Stay | None = None  # for a fork
        self._turn = threading.RLock()
        self._threads = threading.local()
        self._handles: set[Handle] = set()  # held here, so that no collector takes one apart
        self._ended: list[Handle] = []  # of threads that are no more
        self._watcher: Handle | None = None
        self.is_closed = False
        self._pid = os.getpid()
        self._is_shared = is_shared
        self._shared: Handle | None = None
        if is_shared:
            self._shared = first
        else:
            self._handles.add(first)
            self._threads.lease = _Lease(first, self._ended)
        self.after_fork_in_child: Callable[[], None] = lambda: None
        FORKS.watch(self)

    def use(self) -> AbstractContextManager[Handle]:
        """Hold this thread's connection; raise `StorageError` once closed, and ours for the driver's."""
        return self._in_turn(self._kept) if self._is_shared else self._inside(self._kept)

    def watch(self) -> AbstractContextManager[Watching]:
        """Give what gives the connections to watch with, held by one thread at a time; the file may be gone."""
        return self._in_turn(lambda: Watching(self._watching, self._usual, self._watcher_opener))

    def renew(self) -> None:
        """Put another connection in the place of the shared one; its turn must be held."""
        last, self._shared = self._shared, self._opener()
        if last is not None:
            last.close()

    @contextmanager
    def _inside(self, given: Callable[[], T]) -> Iterator[T]:
        """Hold what is given, inside the gate; all in one layer, as each takes 1 µs of every read and write."""
        gate, stay = self._gate, None
        try:
            self._require_process()
            stay = gate.enter()
            if self.is_closed:
                raise StorageError(f"The registry of {self._path} is closed; open a new one.", reason="closed")
            yield given()
        except SYSTEMS as error:
            if is_applications(error):
                raise
            raise self._translated(error) from error
        finally:
            gate.leave(stay)

    @contextmanager
    def _in_turn(self, given: Callable[[], T]) -> Iterator[T]:
        with self._inside(lambda: self._turn) as turn, turn:
            yield given()

    def require_outside(self) -> None:
        """Raise `StorageError` where this thread is in the middle of a call."""
        self._gate.require_outside()

    def require_free(self) -> None:
        """Raise `StorageError` where this process, or this thread at this moment, can't use a connection.

        The process first, as who was inside the gate in another one never leaves it.
        """
        self._require_process()
        self._gate.require_outside()

    def _require_process(self) -> None:
        if self._pid != os.getpid():
            raise forked()

    def close(self, *, may_checkpoint: bool) -> None:
        """Close every connection, of every thread, once those at work are done; none of another process."""
        if self._pid != os.getpid():
            self.is_closed = True
            return
        shut = None
        try:
            shut = self._gate.shut()
            self.is_closed = True
            self._close_all(may_checkpoint=may_checkpoint)
            if self._shared is not None:
                self._shared.close()
        finally:
            self._gate.open(shut)
        FORKS.forget(self)  # last, as a fork waits for the gate while nobody is forgotten

    def reconnect(
        self, opener: Callable[[], Handle] | None = None, watcher_opener: Callable[[], Handle] | None = None
    ) -> None:
        """Close every connection once those at work are done; the next uses connect anew, each thread by `opener`."""
        shut = None
        try:
            shut = self._gate.shut()
            self._close_all()
            if opener is not None and watcher_opener is not None:
                if self._shared is not None:
                    self._shared.close()
                self._opener, self._watcher_opener, self._is_shared, self._shared = opener, watcher_opener, False, None
        finally:
            self._gate.open(shut)

    def close_dropped(self) -> None:
        """Close every connection of a storage that nobody has any more, as who has the turn."""
        if self._pid == os.getpid():
            self._close_all(may_checkpoint=True)

    def before_fork(self) -> None:
        """Shut the gate and close; a `:memory:` database goes on as a copy on each side.

        Not in the middle of a call of this thread, which goes on in the parent; nor in a process that refuses already.
        """
        if self._pid != os.getpid() or self._gate.is_inside() or self._gate.is_being_shut():
            return
        shut = None
        try:
            shut = self._gate.shut(self._interrupt)
            self._close_all()
            self._shut = shut
        finally:
            if self._shut is None:
                self._gate.open(shut)

    def after_fork(self, *, is_child: bool) -> None:
        """Open the gate again, in a child with locks that no lost thread holds; nothing where it was not shut."""
        if self._shut is None:
            return
        if is_child:
            self._pid = os.getpid()
            self._gate = Gate()
            self._turn = threading.RLock()
            self.after_fork_in_child()
        else:
            self._gate.open(self._shut)
        self._shut = None

    def abandon(self) -> None:
        """Leave all that an error may have left this thread holding; what another call of it is in stays."""
        if self._gate.is_inside() or self._pid != os.getpid():
            return
        if self._in_transaction():
            self._own().connection.rollback()
        if self._is_shared and self._owns_turn() and self._shared is not None:
            self._shared.connection.rollback()
        with suppress(RuntimeError):  # that it is not this thread's
            while True:
                self._turn.release()
        self._gate.heal()

    def is_held(self) -> bool:
        """Tell whether this thread holds anything here."""
        return self._gate.is_inside() or self._gate.is_shut() or self._owns_turn() or self._in_transaction()

    def _in_transaction(self) -> bool:
        lease: _Lease | None = getattr(self._threads, "lease", None)
        return lease is not None and lease.handle.connection.in_transaction

    def _owns_turn(self) -> bool:
        return bool(self._turn._is_owned())  # type: ignore[attr-defined]

    def _interrupt(self) -> None:
        for handle in list(self._handles):
            if handle.may_be_interrupted:
                handle.connection.interrupt()

    def _own(self) -> Handle:
        lease: _Lease | None = getattr(self._threads, "lease", None)
        if lease is None:
            lease = self._threads.lease = _Lease(self._opened(self._opener), self._ended)
        return lease.handle

    def _kept(self) -> Handle:
        self._file.require_unchanged()
        return self._usual()

    def _usual(self) -> Handle:
        return self._one() if self._is_shared else self._own()

    def _one(self) -> Handle:
        if self._shared is None:
            self._shared = self._opener()
        return self._shared

    def _watching(self) -> Handle:
        if self._is_shared:
            return self._one()
        if self._watcher is None:
            self._watcher = self._opened(self._watcher_opener)
        return self._watcher

    def _opened(self, opener: Callable[[], Handle]) -> Handle:
        """Open a connection; the file may have been replaced at that very moment."""
        with suppress(IndexError):  # as another thread may be taking them too
            while True:
                self._discard(self._ended.pop())
        handle = opener()
        try:
            self._file.require_unchanged()
        except BaseException:
            handle.close()
            raise
        self._handles.add(handle)
        self._file.record_wal()
        return handle

    def _discard(self, ended: Handle) -> None:
        self._handles.discard(ended)
        if not self._handles:
            self._file.forget_wal()
        ended.close()

    def _close_all(self, *, may_checkpoint: bool = False) -> None:
        self._file.forget_wal()
        handles, self._handles = self._handles, set()
        self._ended, self._threads, self._watcher = [], threading.local(), None
        if self._shared is not None and not self._shared.is_in_memory:
            handles.add(self._shared)
            self._shared = None
        for handle in handles:
            if may_checkpoint:
                handle.let_closing_checkpoint()
            handle.close()
