"""The target of a registry: the path of a file, `":memory:"`, or a URL, which is refused.

A scheme is a word before `://`, or one of `SCHEMES` before `:`. A single letter is a drive of Windows, and any other
word before `:` belongs to a file name such as `a:b.db`. Objects that implement `os.PathLike` are always paths. A URL
may contain a password, so no error repeats more than its scheme.
"""

import os
import re

from promptreg.errors import InvalidInputError
from promptreg.rules.inputs import read_filled_text
from promptreg.untrusted import reads_untrusted

SCHEMES = frozenset("duckdb file jdbc mariadb mongodb mssql mysql odbc oracle postgres postgresql redis sqlite".split())
POSTGRESQL = frozenset({"postgres", "postgresql"})
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]+):(//)?")
SHOWN = 20  # characters of a scheme in an error


@reads_untrusted("target")
def read_target(value: object) -> str:
    """Return the path of a target, or `":memory:"`.

    Raises `InvalidInputError` for what is no path, and for a URL.

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
    if scheme is not None:
        raise InvalidInputError.of("target", _refusal(scheme))
    return read_filled_text(path, "target")


def _scheme(target: str) -> str | None:
    found = _SCHEME.match(target)
    if found is None:
        return None
    scheme, slashes = found[1].lower(), found[2]
    return scheme if slashes or re.split(r"[+.]", scheme)[0] in SCHEMES else None


def _refusal(scheme: str) -> str:
    if re.split(r"[+.]", scheme)[0] in POSTGRESQL:
        return "this release has no storage in PostgreSQL; pass a file's path, or ':memory:'"
    shown = scheme if len(scheme) <= SHOWN else f"{scheme[:SHOWN]}…"
    return f"no storage has the scheme {shown!r}; pass a file's path, or ':memory:'"
