"""The URL of a PostgreSQL registry: which database, and which schema of it.

`promptreg_schema` is promptreg's own parameter, and is taken off before libpq reads the URL; libpq gets everything else
as it stands. A URL may hold a password in its authority or in its query, so nothing here repeats any of it.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote

from promptreg.errors import InvalidInputError

SCHEMA_PARAMETER = "promptreg_schema"
DEFAULT_SCHEMA = "promptreg"
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)


class PostgresURL(NamedTuple):
    """What libpq gets, and the schema of the registry."""

    conninfo: str
    schema: str


def read_url(target: str) -> PostgresURL:
    """Split a URL; raise `InvalidInputError` where the schema is no name that is accepted, or is given twice.

    >>> read_url("postgresql://db.example.com/app?sslmode=require&promptreg_schema=prompts")
    PostgresURL(conninfo='postgresql://db.example.com/app?sslmode=require', schema='prompts')
    >>> read_url("postgresql://db.example.com/app?promptreg_schema=My-Prompts")
    Traceback (most recent call last):
    promptreg.errors.InvalidInputError: target: promptreg_schema must match [a-z_][a-z0-9_]{0,62}, and be given once
    """
    address, mark, query = target.strip().partition("?")
    parameters = query.split("&") if mark else []
    given = [value for name, _, value in (p.partition("=") for p in parameters) if unquote(name) == SCHEMA_PARAMETER]
    schema = unquote(given[0]) if given else DEFAULT_SCHEMA
    if len(given) > 1 or not _SCHEMA.fullmatch(schema):
        raise InvalidInputError.of("target", f"{SCHEMA_PARAMETER} must match {_SCHEMA.pattern}, and be given once")
    kept = [p for p in parameters if unquote(p.partition("=")[0]) != SCHEMA_PARAMETER]
    return PostgresURL(f"{address}?{'&'.join(kept)}" if kept else address, schema)
