"""`import_full`: everything that `export_full` wrote, into a registry that holds nothing."""

from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256

from promptreg.dump import Counts, Entry
from promptreg.errors import InvalidInputError, SchemaTooNewError
from promptreg.files.full.history import History
from promptreg.files.full.lines import BATCH, FORMAT, End, Head, read_line
from promptreg.files.full.opening import Place, opened_to_read
from promptreg.files.overwriting import DATABASE
from promptreg.registry import Registry
from promptreg.rules.inputs import MAX_METADATA_BYTES, MAX_STORED, Progress, read_progress

MAX_LINE = 6 * MAX_STORED + 16 * MAX_METADATA_BYTES  # bytes: each character as an escape, and all that is beside


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
    >>> from promptreg.files.full import export_full
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


class _Lines:
    """The lines of a file, each checked by itself and with those before it."""

    def __init__(self, source: Place, report: Progress) -> None:
        self._source, self._report = source, report
        self._hashed = sha256()
        self._number = 0
        self.counts = Counts(0, 0, 0, 0)

    def entries(self) -> Iterator[Entry]:
        """Yield all entries; raise `InvalidInputError` unless the file is whole, and ends with its last line."""
        with opened_to_read(self._source) as readline, closing(History()) as history:
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


_OTHERS = {
    b"\xff\xfe": "is UTF-16, as > of PowerShell writes it; let the export write its file itself",
    b"\xfe\xff": "is UTF-16; an export is UTF-8",
    b"\xef\xbb\xbf": "begins with a byte order mark, which no export does; copy the file as binary",
    b"\x1f\x8b": "is compressed; decompress it first",
    DATABASE: "is a database; open it with Registry(path), or --db",
}
"""How files of other kinds begin, and what to say of them."""
