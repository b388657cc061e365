"""The check that a schema has every table, index, constraint, function and trigger that its migrations made."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from promptreg.storage.postgres.schema import MIGRATIONS
from promptreg.storage.postgres.statements import Row, Statement

_MADE = [statement for statements in MIGRATIONS for statement in statements]
_CONSTRAINTS = {"p": "PRIMARY KEY", "u": "UNIQUE (", "f": "REFERENCES", "c": "CHECK ("}
_NAMES = {"p": "primary key", "u": "unique", "f": "foreign key", "c": "check"}


def _found(pattern: str) -> list[re.Match[str]]:
    return [found for statement in _MADE if (found := re.match(pattern, statement, re.DOTALL))]


TABLES = {made[1]: made[0] for made in _found(r"CREATE TABLE \$\.(\w+).*")}
INDEXES = [made[1] for made in _found(r"CREATE (?:UNIQUE )?INDEX (\w+)")]
TRIGGERS = [made[1] for made in _found(r"CREATE TRIGGER (\w+)")]
FUNCTIONS = {made[1]: made[2] for made in _found(r"CREATE FUNCTION \$\.(\w+).*\$body\$(.*)\$body\$")}

_HERE = "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s)"


def statements(schema: str) -> list[Statement]:
    """Return the statements whose rows `problems` takes."""
    texts = (
        "SELECT c.relname, coalesce(i.indisvalid AND i.indisready, true) FROM pg_catalog.pg_class c"
        f" LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid WHERE c.relnamespace = {_HERE}",
        "SELECT t.tgname, t.tgenabled IN ('O', 'A') FROM pg_catalog.pg_trigger t"
        f" JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = {_HERE} AND NOT t.tgisinternal",
        "SELECT c.relname, k.contype::text FROM pg_catalog.pg_constraint k"
        f" JOIN pg_catalog.pg_class c ON c.oid = k.conrelid WHERE c.relnamespace = {_HERE} AND k.convalidated",
        f"SELECT p.proname, p.prosrc FROM pg_catalog.pg_proc p WHERE p.pronamespace = {_HERE}",
    )
    return [Statement(text, {"schema": schema}) for text in texts]


def problems(schema: str, results: Sequence[Sequence[Row]]) -> Iterator[str]:
    """Compare what there is with what was made."""
    relations, triggers, constraints, functions = results
    found = dict[str, bool](relations)
    yield from missing_tables(results)
    yield from _lacking("index", INDEXES, found, "can't be used")
    yield from _lacking("trigger", TRIGGERS, dict(triggers), "is disabled")
    yield from _problems_of_constraints(found, Counter[Row](constraints))
    sources = dict[str, str](functions)
    for name, body in FUNCTIONS.items():
        if name not in sources:
            yield f"the function {name} is missing"
        elif sources[name] != body.replace("$schema", schema).replace("$.", f'"{schema}".'):
            yield f"the function {name} is not what was made"


def missing_tables(results: Sequence[Sequence[Row]]) -> list[str]:
    """Return the problem of each table that is not there."""
    found = {name for name, _ in results[0]}
    return [f"the table {name} is missing" for name in TABLES if name not in found]


def _lacking(kind: str, names: Sequence[str], found: dict[str, bool], otherwise: str) -> Iterator[str]:
    for name in names:
        if not found.get(name, False):
            yield f"the {kind} {name} {otherwise if name in found else 'is missing'}"


def _problems_of_constraints(found: dict[str, bool], constraints: Counter[Row]) -> Iterator[str]:
    for table, text in TABLES.items():
        for kind, word in _CONSTRAINTS.items():
            if table in found and constraints[table, kind] < text.count(word):
                yield f"the table {table} lacks a constraint: {_NAMES[kind]}"
