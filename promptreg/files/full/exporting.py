"""`export_full`: everything of a registry as one file of JSON Lines."""

from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256

from promptreg.dump import Counts, Dump, Entry
from promptreg.errors import InvalidInputError, StorageCorruptError
from promptreg.files.full.history import History
from promptreg.files.full.lines import BATCH, End, end_line, entry_line, head_line
from promptreg.files.full.opening import Place, opened_to_write
from promptreg.registry import Registry
from promptreg.rules.inputs import Progress, read_progress


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
        with opened_to_write(out, registry.path) as write:
            return _write(dump, write, report)

    return registry._dump(consume)


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
