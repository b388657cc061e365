"""Everything out of a registry, and everything in: one file of JSON Lines, the same for every database.

`export_full` and `import_full` are inverse: an export of what was imported has equal bytes. `promptreg/docs/export.md`
has the format.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from hashlib import sha256
from io import TextIOBase
from secrets import token_hex
from typing import IO, Any, TypeAlias

from promptreg.entries import Counts, Dump, Entry
from promptreg.errors import InvalidInputError, SchemaTooNewError, StorageCorruptError
from promptreg.files.full_history import History
from promptreg.files.full_lines import FORMAT, End, Head, end_line, entry_line, head_line, read_line
from promptreg.registry import Registry
from promptreg.rules.inputs import MAX_METADATA_BYTES, MAX_STORED, Progress, read_progress

Place: TypeAlias = str | os.PathLike[str] | IO[bytes]
"""The path of a file, or a file that is open in binary mode."""

MAX_LINE = 6 * MAX_STORED + 16 * MAX_METADATA_BYTES  # bytes: each character as an escape, and all that is beside
BATCH = 1_000  # lines between two reports of the progress


def export_full(registry: Registry, out: Place, *, progress: Progress | None = None) -> Counts:
    """Write everything that the registry holds, of all namespaces, to a file; return how much that was.

    `out` is a path or a file that is open in binary mode, such as `sys.stdout.buffer`. At a path it is written beside
    and then takes the place of the file that may be there, so that file is always whole. `progress(done, total)` is
    called with numbers of lines.

    All of it is of one moment. The database is first copied into a temporary file without a name, in one read
    transaction at the disk's speed, and read from there: while it is written, however slowly, no writer, fork,
    checkpoint or erasing waits. The copy takes as much room as the database, in the folder for temporary files
    (`SQLITE_TMPDIR`).

    Only for the application and org admins: raises `ForbiddenError` for others, `InvalidInputError` where the file
    can't be written or is a database, and `StorageCorruptError` where the registry is damaged, so what was exported can
    be imported.

    >>> from io import BytesIO
    >>> file = BytesIO()
    >>> with Registry(":memory:") as registry:
    ...     _ = registry.create("greet", "Hello")
    ...     export_full(registry, file)
    Counts(prompts=1, versions=1, events=2, deletions=0)
    >>> file.getvalue().splitlines()[0]
    b'{"promptreg":{"format":1,"prompts":1,"versions":1,"events":2,"deletions":0}}'
    """
    report = read_progress(progress)

    def consume(dump: Dump) -> Counts:
        with _opened_to_write(out, registry.path) as write:
            return _write(dump, write, report)

    return registry._dump(consume)


def import_full(registry: Registry, source: Place, *, progress: Progress | None = None) -> Counts:
    """Read everything that `export_full` wrote into a registry that holds nothing; return how much that was.

    `source` is a path or a file that is open in binary mode, such as `sys.stdin.buffer`. `progress(done, total)` is
    called with numbers of lines. Afterwards the registry reads as the one that was exported: the same ids, numbers,
    times and events, of which importing adds none.

    The file may come from anywhere. Each line is checked, and that the events lead to what there is; what no registry
    could have written is refused, with the number of the line. Templates are compiled when they are first rendered, and
    one that the policy forbids is refused then. All lines are read first, without any lock, and then written in one
    transaction: all or nothing, also where the process is killed. Meanwhile they take about twice the room of the file
    in the folder for temporary files.

    Only for the application and org admins: raises `ForbiddenError` for others, `ConflictError` for a registry that has
    any event, before anything is read, `SchemaTooNewError` for a file of a newer release, and `InvalidInputError`.

    >>> from io import BytesIO
    >>> file = BytesIO()
    >>> with Registry(":memory:") as registry:
    ...     _ = registry.create("greet", "Hello")
    ...     _ = export_full(registry, file)
    >>> _ = file.seek(0)
    >>> with Registry(":memory:") as registry:
    ...     _ = import_full(registry, file)
    ...     registry.render("greet").text, len(registry.events())
    ('Hello', 2)
    """
    report = read_progress(progress)
    lines = _Lines(source, report)
    registry._load(lines.entries())
    report(sum(lines.counts), sum(lines.counts))
    return lines.counts


# Writing


def _write(dump: Dump, write: Callable[[bytes], object], report: Progress) -> Counts:
    hashed, total = sha256(), sum(dump.counts)

    def put(line: str) -> None:
        data = line.encode()
        hashed.update(data)
        write(data)

    with closing(History()) as history:
        put(head_line(dump.counts))
        for done, entry in enumerate(_checked(dump, history)):
            put(entry_line(entry))
            if not done % BATCH:
                report(done, total)
    put(end_line(End(history.counts, history.last_hash, hashed.hexdigest())))
    report(total, total)
    return history.counts


def _checked(dump: Dump, history: History) -> Iterator[Entry]:
    """Yield the entries; raise `StorageCorruptError` where they don't fit together, as no import would take them."""
    place = 1
    try:
        for place, entry in enumerate(dump.entries, 2):
            history.add(place, entry)
            yield entry
        history.finish(place + 1)
        if history.counts != dump.counts:
            raise InvalidInputError.of(f"line {place + 1}", "there are not as many entries as were counted")
    except InvalidInputError as error:
        raise StorageCorruptError(
            f"What the registry holds does not fit together, and no import would take it ({error.message}); verify()"
            " may say more, and a copy restores it.",
            reason="damaged",
        ) from error


@contextmanager
def _opened_to_write(out: Place, database: str) -> Iterator[Callable[[bytes], object]]:
    """Yield what writes to the file; what was at its path stays there until all is written."""
    if not isinstance(out, str | os.PathLike):
        yield partial(_write_whole, _method_of(out, "out", "write"))
        return
    with _translating("out", "written"):
        path = os.fsdecode(out)
        is_new = not os.path.exists(path)
        if is_new or os.path.isfile(path):
            path = os.path.realpath(path)
            part = f"{path}.{token_hex(4)}.part"
        else:  # a device or pipe stays; that behind /dev/stdout has no other path
            part = path
        if part != path and not is_new:
            _require_no_database(path, database)
        file = open(part, "wb" if part == path else "xb")  # noqa: SIM115 (closed below, before it is renamed)
    try:
        yield _translated(file.write)
        with _translating("out", "written"):
            _put_in_place(file, part, path, is_new=is_new)
    except BaseException:
        with suppress(OSError):
            file.close()
        if part != path:
            with suppress(OSError):
                os.unlink(part)
        raise


def _require_no_database(path: str, own: str) -> None:
    """Refuse to put an export in the place of a database, and above all of the one that is exported."""
    # That one is not even opened: closing it again would drop SQLite's locks.
    is_database = os.path.exists(own) and os.path.samefile(path, own)
    if not is_database:
        with open(path, "rb") as file:
            is_database = file.read(len(_DATABASE)) == _DATABASE
    if is_database:
        raise InvalidInputError.of("out", "is a database, which an export would replace; give it another file")


def _put_in_place(file: IO[bytes], part: str, path: str, *, is_new: bool) -> None:
    file.flush()
    if part != path:
        os.fsync(file.fileno())
    file.close()
    if part != path:
        if not is_new:
            shutil.copymode(path, part)
        os.replace(part, path)


def _write_whole(write: Callable[[bytes], object], data: bytes) -> None:
    """Write the data; an unbuffered file may take a part of it at a time."""
    while data:
        written = write(data)
        data = data[written:] if isinstance(written, int) else b""


def _translated(write: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def translated(data: bytes) -> None:
        try:
            write(data)
        except OSError as error:
            raise _unusable("out", "written", error) from error

    return translated


# Reading


class _Lines:
    """The lines of a file, each checked by itself and with those before it."""

    def __init__(self, source: Place, report: Progress) -> None:
        self._source, self._report = source, report
        self._hashed = sha256()
        self._number = 0
        self.counts = Counts(0, 0, 0, 0)

    def entries(self) -> Iterator[Entry]:
        """Yield all entries; raise `InvalidInputError` unless the file is whole, and ends with its last line."""
        with _opened_to_read(self._source) as readline, closing(History()) as history:
            self._begin(self._next(readline))
            total = sum(self.counts)
            while not isinstance(found := self._next(readline), End):
                if isinstance(found, Head):
                    raise self._refused("another export begins here; a file holds one")
                history.add(self._number, found)
                yield found
                if not self._number % BATCH:
                    self._report(min(self._number, total), total)
            self._end(found, history)
            if readline(1):
                self._number += 1
                raise self._refused("nothing may follow the last line of the export")

    def _next(self, readline: Callable[[int], object]) -> Head | Entry | End:
        """Return what the next line holds."""
        data = readline(MAX_LINE + 1)
        self._number += 1
        if not isinstance(data, bytes):
            raise InvalidInputError.of("source", "must be open in binary mode")
        text = self._decoded(data)
        try:
            found = read_line(text)
        except InvalidInputError as error:
            raise error.within(f"line {self._number}") from None
        if not isinstance(found, End):
            self._hashed.update(data)
        return found

    def _decoded(self, data: bytes) -> str:
        known = next((what for begin, what in _OTHERS.items() if data.startswith(begin)), None)
        if known is not None and self._number == 1:
            raise self._refused(known)
        if len(data) > MAX_LINE:
            raise self._refused(f"is longer than {MAX_LINE:,} bytes, which no prompt takes")
        if not data.endswith(b"\n"):
            raise self._refused("the file was cut short: it ends here, and not with the last line of an export")
        if data.endswith(b"\r\n"):
            raise self._refused("ends with \\r\\n; the file was converted on its way, and must be copied as binary")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._refused(f"is not UTF-8 at byte {error.start + 1}") from None

    def _begin(self, head: Head | Entry | End) -> None:
        if not isinstance(head, Head):
            raise self._refused("is not the first line of a full export")
        if head.format > FORMAT:
            raise SchemaTooNewError(
                f"The file has format {head.format}; this promptreg knows {FORMAT}: upgrade it.",
                reason="schema_too_new",
            )
        self.counts = head.counts

    def _end(self, end: End, history: History) -> None:
        history.finish(self._number)
        if not history.counts == end.counts == self.counts:
            raise self._refused("lines are missing: there are not as many as the first and the last one say")
        if history.last_hash != end.last_hash:
            raise self._refused("the last event is not the one that the file says")
        if self._hashed.hexdigest() != end.sha256:
            raise self._refused("the file was changed: its lines have another SHA-256 than it says")

    def _refused(self, reason: str) -> InvalidInputError:
        return InvalidInputError.of(f"line {self._number}", reason)


_DATABASE = b"SQLite format 3\0"
_OTHERS = {
    b"\xff\xfe": "is UTF-16, as > of PowerShell writes it; let the export write its file itself",
    b"\xfe\xff": "is UTF-16; an export is UTF-8",
    b"\xef\xbb\xbf": "begins with a byte order mark, which no export does; copy the file as binary",
    b"\x1f\x8b": "is compressed; decompress it first",
    _DATABASE: "is a database; open it with Registry(path), or --db",
}
"""How files of other kinds begin, and what to say of them."""


@contextmanager
def _opened_to_read(source: Place) -> Iterator[Callable[[int], object]]:
    """Yield what reads a line of at most so many bytes."""
    if not isinstance(source, str | os.PathLike):
        yield _method_of(source, "source", "readline")
        return
    with _translating("source", "read"):
        file = open(source, "rb")  # noqa: SIM115 (closed below)
    with file:

        def readline(most: int) -> bytes:
            try:
                return file.readline(most)
            except OSError as error:
                raise _unusable("source", "read", error) from error

        yield readline


def _method_of(file: object, field: str, name: str) -> Callable[[Any], object]:
    method: Callable[[Any], object] | None = getattr(file, name, None)
    if isinstance(file, TextIOBase) or not callable(method):
        raise InvalidInputError.of(field, f"must be a path, or a file that is open in binary mode and has {name}()")
    return method


@contextmanager
def _translating(field: str, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # a path with NUL is a ValueError
        raise _unusable(field, what, error) from error


def _unusable(field: str, what: str, error: OSError | ValueError) -> InvalidInputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return InvalidInputError.of(field, f"the file can't be {what}: {reason}")
