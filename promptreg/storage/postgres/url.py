"""The URL of a PostgreSQL registry: which database, and which schema of it.

`promptreg_schema` is promptreg's own parameter, and is taken off before libpq reads the URL; libpq gets everything else
as it stands, whatever it means to it. A URL may hold a password in its authority and in its query, so no error and no
`repr` here repeats any of it. A password whose special characters are not percent-encoded would end up as a part of the
host's or the database's name, which errors do repeat, so such a URL is refused.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote

from promptreg.errors import InvalidInputError

SCHEME = "postgresql://"
SCHEMA_PARAMETER = "promptreg_schema"
DEFAULT_SCHEMA = "promptreg"
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)
_ADDRESS = re.compile(
    r"""postgres(?:ql)?://
    (?:(?P<user>[^@/?\#:]*)(?::(?P<password>[^@/?\#:]*))?@)?
    (?P<hosts>[^@/?\#]*)
    (?:/(?P<database>[^@/?\#]*))?""",
    re.VERBOSE | re.IGNORECASE,
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]|[^\[\]:]*)(?::[0-9]*)?")
_PLAIN = re.compile(
    r"@?[^@=]*"
)  # in their values: no connection string, which could hold a password; @ begins a socket
_SECRETS = frozenset({"password", "sslpassword"})
_NAMED = frozenset({"host", "hostaddr", "port", "dbname", "service"})  # parameters that say which database is meant


class PostgresURL(NamedTuple):
    """What libpq gets, the schema of the registry, how messages name it, and what none of them may hold."""

    conninfo: str
    schema: str
    location: str
    secrets: frozenset[str]

    def __repr__(self) -> str:
        return f"PostgresURL({self.location!r})"


def read_url(target: str) -> PostgresURL:
    """Read a URL; raise `InvalidInputError` for one that can't be read as it is meant, and a schema that is no name.

    >>> read_url("postgresql://ana:secret@db.example.com/app?sslmode=require&promptreg_schema=prompts")
    PostgresURL('postgresql://db.example.com/app?promptreg_schema=prompts')
    >>> read_url("postgresql://db.example.com/app?promptreg_schema=My-Prompts")
    Traceback (most recent call last):
    promptreg.errors.InvalidInputError: target: promptreg_schema must match [a-z_][a-z0-9_]{0,62}, and be given once
    """
    address, _, query = target.strip().partition("?")
    parameters = [tuple(given.partition("=")) for given in query.split("&")] if query else []
    read = _ADDRESS.fullmatch(address)
    if read is None or not all(_HOST.fullmatch(host) for host in read["hosts"].split(",")):
        raise _unreadable()
    if any(not (name and equals) for name, equals, _ in parameters):
        raise _unreadable()
    named = [(name, value) for name, _, value in parameters if name in _NAMED]
    if not all(_PLAIN.fullmatch(unquote(value)) for _, value in named):
        raise _unreadable()
    schema = _schema([unquote(value) for name, _, value in parameters if unquote(name) == SCHEMA_PARAMETER])
    kept = ["".join(given) for given in parameters if unquote(given[0]) != SCHEMA_PARAMETER]
    given_secrets = [value for name, _, value in parameters if unquote(name) in _SECRETS] + [read["password"] or ""]
    database = f"/{read['database']}" if read["database"] else ""
    return PostgresURL(
        conninfo="".join([SCHEME, address.partition("://")[2], "?" if kept else "", "&".join(kept)]),
        schema=schema,
        location=f"{SCHEME}{read['hosts']}{database}?{'&'.join(map('='.join, [*named, (SCHEMA_PARAMETER, schema)]))}",
        secrets=frozenset({secret for raw in given_secrets for secret in (raw, unquote(raw))} - {""}),
    )


def _schema(given: list[str]) -> str:
    schema = given[0] if given else DEFAULT_SCHEMA
    if len(given) > 1 or not _SCHEMA.fullmatch(schema):
        raise InvalidInputError.of("target", f"{SCHEMA_PARAMETER} must match {_SCHEMA.pattern}, and be given once")
    return schema


def _unreadable() -> InvalidInputError:
    return InvalidInputError.of(
        "target",
        "must be postgresql://user:password@host:port/database?name=value&…; in user, password and database write"
        " @ : / ? # & % percent-encoded (@ as %40)",
    )
