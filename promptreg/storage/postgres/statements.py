"""Statements: their text as libpq takes it, their values as parameters, and their results as rows."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from psycopg.abc import Transformer
from psycopg.adapt import PyFormat
from psycopg.pq.abc import PGresult

from promptreg.storage.postgres.wire import Command

Row: TypeAlias = tuple[Any, ...]
SCHEMA = "$."
MAX_TEXTS = 1_000  # of statements whose translation is kept
_PLACEHOLDER = re.compile(r"%(?:(s)|\((\w+)\)s|(%))")


class Statement(NamedTuple):
    """A statement in which `$.` stands for the schema, with values for its placeholders `%s` or `%(name)s`.

    A percent sign is written `%%` where there are values.
    """

    text: str
    values: Sequence[Any] | Mapping[str, Any] | None = None


class Result(NamedTuple):
    """The rows that a statement returned, and how many it returned or wrote (-1: neither)."""

    rows: list[Row]
    written: int


class _Translated(NamedTuple):
    """The text as libpq takes it, and the names of its parameters, if they have any."""

    text: bytes
    names: tuple[str, ...]


@lru_cache(MAX_TEXTS)
def _translate(text: str, schema: str, has_values: bool) -> _Translated:
    names: dict[str, int] = {}
    count = 0

    def numbered(found: re.Match[str]) -> str:
        nonlocal count
        if found[3]:
            return "%"
        if found[1]:
            count += 1
            return f"${count}"
        return f"${names.setdefault(found[2], len(names) + 1)}"

    translated = text.replace(SCHEMA, f'"{schema}".')
    if has_values:
        translated = _PLACEHOLDER.sub(numbered, translated)
    return _Translated(translated.encode(), tuple(names))


def command_of(statement: Statement, schema: str, transformer: Transformer) -> Command:
    """Return a statement as libpq takes it."""
    values = statement.values
    translated = _translate(statement.text, schema, values is not None)
    if not values:
        return Command(translated.text, (), ())
    given = [values[name] for name in translated.names] if isinstance(values, Mapping) else values
    parameters = transformer.dump_sequence(given, [PyFormat.TEXT] * len(given))
    return Command(translated.text, parameters, transformer.types or ())


def result_of(result: PGresult, transformer: Transformer) -> Result:
    """Return the rows of a result."""
    transformer.set_pgresult(result)
    count = result.ntuples
    rows = transformer.load_rows(0, count, tuple) if count else []
    written = result.command_tuples
    return Result(rows, -1 if written is None else written)
