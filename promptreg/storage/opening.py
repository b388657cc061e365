"""Which storage the target of a registry means; the only module that imports one.

A target is a path, `":memory:"`, or the URL of a database. A URL's scheme is whatever stands before `://`, or one of
`SCHEMES` before `:`; a driver may follow it behind `+` or `.` (`postgresql+psycopg://`). Any other colon belongs to a
file's name (`a:b.db`) or to a drive of Windows, and an `os.PathLike` object is always a path. A URL may hold a password
in any notation, so errors repeat its scheme and nothing else; libpq's other notation, `host=… password=…`, is refused
as well, because it would become the name of a file.
"""

import os
import re
from contextlib import AbstractContextManager

from promptreg.errors import InvalidInputError
from promptreg.rules.inputs import read_filled_text
from promptreg.storage.base import Storage, StorageSettings
from promptreg.untrusted import reads_untrusted

SCHEMES = frozenset("duckdb file jdbc mariadb mongodb mssql mysql odbc oracle postgres postgresql redis sqlite".split())
POSTGRESQL = frozenset({"postgres", "postgresql"})
AS_URL = "write a database of PostgreSQL as postgresql://…"
MAX_SHOWN = 20  # characters of an unknown scheme in its error
_KEYWORD = r"(?:host|hostaddr|port|dbname|user|password|service|sslmode)\s*=\s*\S+"
_KEYWORDS = re.compile(rf"\s*{_KEYWORD}\s+{_KEYWORD}|(?:.*\s)?password\s*=")  # as psycopg's `connect` takes them
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]+):(//)?")


@reads_untrusted("target")
def read_target(value: object) -> str:
    """Return the target as text: a path, or `":memory:"`.

    Raises `InvalidInputError` for anything that is no path, and for a URL of a database that no storage serves.

    >>> read_target("prompts.db")
    'prompts.db'
    >>> read_target("mysql://user:password@host/db")
    Traceback (most recent call last):
    promptreg.errors.InvalidInputError: target: no storage has the scheme 'mysql'; pass a file's path, or ':memory:'
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise InvalidInputError.of("target", f"must be a path or ':memory:', not {type(value).__name__}")
    scheme = None if isinstance(value, os.PathLike) else _scheme(path)
    if is_postgres(path) and isinstance(value, str):
        from promptreg.storage.postgres.url import read_url  # noqa: PLC0415 (only where it is used)

        read_url(path)
    elif scheme is not None:
        raise InvalidInputError.of("target", _refusal(scheme))
    elif isinstance(value, str) and _KEYWORDS.match(value):
        raise InvalidInputError.of("target", f"must be a path or a URL, not keywords and values; {AS_URL}")
    elif _scheme(path) is not None:  # of an `os.PathLike` object
        path = os.path.join(os.curdir, path)
    return read_filled_text(path, "target")


@reads_untrusted("path")
def read_new_path(value: object) -> str:
    """Return the path of a file that is to be made; raise `InvalidInputError` for anything else, such as a URL."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise InvalidInputError.of("path", f"must be the path of a new file, not {type(value).__name__}")
    if path == ":memory:" or (not isinstance(value, os.PathLike) and _scheme(path) is not None):
        raise InvalidInputError.of("path", "must be the path of a new file, not a URL or ':memory:'")
    return read_filled_text(path, "path")


def new_file(path: str) -> AbstractContextManager[str]:
    """Yield the path of a database to make and to close; then it takes its name, which nothing may have."""
    from promptreg.storage.sqlite.making import made  # noqa: PLC0415 (only a backup needs it)

    return made(path)


def database_beside(path: str) -> str | None:
    """Return the path of the database that a file with this name would be a part of, as its WAL or a lock is.

    >>> database_beside("prompts.db-wal"), database_beside("report.html")
    ('prompts.db', None)
    """
    from promptreg.storage.sqlite.making import COMPANIONS  # noqa: PLC0415 (only writing a file needs it)

    return next((path[: -len(suffix)] for suffix in COMPANIONS if path.lower().endswith(suffix)), None)


def open_storage(settings: StorageSettings) -> Storage:
    """Open the database that the target means; raise `StorageError` where that fails, and leave nothing open then."""
    if is_postgres(settings.target):
        from promptreg.storage.postgres.opening import open_postgres  # noqa: PLC0415 (psycopg may be absent)

        return open_postgres(settings)
    from promptreg.storage.sqlite.opening import open_sqlite  # noqa: PLC0415 (loads when a registry opens, not before)

    return open_sqlite(settings)


def is_postgres(target: str) -> bool:
    """Return whether a target is the URL of a PostgreSQL database."""
    found = _SCHEME.match(target)
    return found is not None and found[1].lower() in POSTGRESQL and found[2] is not None


def _scheme(target: str) -> str | None:
    found = _SCHEME.match(target)
    if found is None:
        return None
    scheme, slashes = found[1].lower(), found[2]
    return scheme if slashes or _dialect(scheme) in SCHEMES else None


def _dialect(scheme: str) -> str:
    return re.split(r"[+.]", scheme)[0]


def _refusal(scheme: str) -> str:
    if scheme in POSTGRESQL:
        return AS_URL
    if _dialect(scheme) in POSTGRESQL:
        return "names a driver, and psycopg is the only one; write postgresql://… without it"
    shown = scheme if len(scheme) <= MAX_SHOWN else f"{scheme[:MAX_SHOWN]}…"
    return f"no storage has the scheme {shown!r}; pass a file's path, or ':memory:'"
