"""The check that a schema has what its migrations made: tables, columns, indexes, constraints, functions, triggers.

Of an index and a trigger the server tells a statement that makes it; it is compared with the one that did, without what
the two write differently.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from promptreg.storage.postgres.guards import FUNCTION_SETTINGS
from promptreg.storage.postgres.schema import MIGRATIONS
from promptreg.storage.postgres.statements import SCHEMA, Row, Statement

_MADE = [statement for statements in MIGRATIONS for statement in statements]
_CONSTRAINTS = {"p": "PRIMARY KEY", "u": "UNIQUE (", "f": "REFERENCES", "c": "CHECK ("}
_NAMES = {"p": "primary key", "u": "unique", "f": "foreign key", "c": "check"}


def _found(pattern: str) -> list[re.Match[str]]:
    return [found for statement in _MADE if (found := re.match(pattern, statement, re.DOTALL))]


TABLES = {made[1]: made[0] for made in _found(r"CREATE TABLE \$\.(\w+).*")}
INDEXES = {made[1]: made[0] for made in _found(r"CREATE (?:UNIQUE )?INDEX (\w+).*")}
TRIGGERS = {made[1]: made[0] for made in _found(r"CREATE TRIGGER (\w+).*")}
FUNCTIONS = {made[1]: made[2] for made in _found(r"CREATE FUNCTION \$\.(\w+\([^)]*\)).*\$body\$(.*)\$body\$")}
"""The bodies, by signature."""
_TYPES = {
    "int": "integer",
    "bigint": "bigint",
    "text[]": "text[] default",
    'text COLLATE pg_catalog."C"': "text C",
    "timestamptz": "timestamp with time zone",
}
"""Types of columns, as migrations say them and as `_COLUMNS` selects them."""
_COLUMN = re.compile(rf"[(,] ?(\w+) ({'|'.join(map(re.escape, sorted(_TYPES, key=len, reverse=True)))})")
COLUMNS = {table: {name: _TYPES[kind] for name, kind in _COLUMN.findall(text)} for table, text in TABLES.items()}

_HERE = "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s)"
_COLUMNS = (
    "SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) || coalesce(' ' || o.collname, '')"
    " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
    " LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation"
    f" WHERE c.relnamespace = {_HERE} AND c.relkind = 'r' AND a.attnum > 0"
)


def statements(schema: str) -> list[Statement]:
    """Return the statements whose rows `problems` takes."""
    texts = (
        _COLUMNS,
        "SELECT c.relname, pg_catalog.pg_get_indexdef(c.oid), i.indisvalid AND i.indisready FROM pg_catalog.pg_class c"
        f" JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid WHERE c.relnamespace = {_HERE}",
        "SELECT t.tgname, pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled IN ('O', 'A') FROM pg_catalog.pg_trigger t"
        f" JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = {_HERE} AND NOT t.tgisinternal",
        "SELECT c.relname, k.contype::text FROM pg_catalog.pg_constraint k"
        f" JOIN pg_catalog.pg_class c ON c.oid = k.conrelid WHERE c.relnamespace = {_HERE} AND k.convalidated",
        "SELECT p.proname || '(' || pg_catalog.pg_get_function_arguments(p.oid) || ')', p.prosrc,"
        f" p.proconfig = %(settings)s::text[] AND NOT p.prosecdef FROM pg_catalog.pg_proc p"
        f" WHERE p.pronamespace = {_HERE}",
    )
    return [Statement(text, {"schema": schema, "settings": FUNCTION_SETTINGS}) for text in texts]


def problems(schema: str, results: Sequence[Sequence[Row]]) -> Iterator[str]:
    """Compare what there is with what was made."""
    columns, indexes, triggers, constraints, functions = results
    yield from what_is_lost(results)
    for table, name, kind in columns:
        if COLUMNS.get(table, {}).get(name, kind) != kind:
            yield f"the column {name} of the table {table} is of another type or collation"
    yield from _differences(schema, "index", INDEXES, indexes, "can't be used")
    yield from _differences(schema, "trigger", TRIGGERS, triggers, "is disabled")
    yield from _problems_of_constraints({table for table, *_ in columns}, Counter[Row](constraints))
    found = {signature: rest for signature, *rest in functions}
    for signature, body in FUNCTIONS.items():
        name, made = signature.partition("(")[0], body.replace("$schema", schema).replace("$.", f'"{schema}".')
        if signature not in found:
            yield f"the function {name} is missing"
        elif found[signature] != [made, True]:
            yield f"the function {name} is not what was made"


def what_is_lost(results: Sequence[Sequence[Row]]) -> list[str]:
    """Return the problem of each table and column that is not there."""
    found: dict[str, set[str]] = {}
    for table, column, _ in results[0]:
        found.setdefault(table, set()).add(column)
    lost = [f"the table {table} is missing" for table in TABLES if table not in found]
    for table, columns in COLUMNS.items():
        if table in found:
            lost += (f"the table {table} lacks the column {name}" for name in columns if name not in found[table])
    return lost


def _differences(schema: str, kind: str, made: Mapping[str, str], rows: Sequence[Row], otherwise: str) -> Iterator[str]:
    found = {name: rest for name, *rest in rows}
    for name, statement in made.items():
        if name not in found:
            yield f"the {kind} {name} is missing"
            continue
        definition, is_usable = found[name]
        if not is_usable:
            yield f"the {kind} {name} {otherwise}"
        elif _normal(definition, schema) != _normal(statement, schema):
            yield f"the {kind} {name} is not what was made"


def _normal(statement: str, schema: str) -> str:
    """Return a statement without what the server writes otherwise: qualification, brackets, casts and defaults."""
    text = statement.lower().replace('"', "").replace(SCHEMA, "").replace(f"{schema}.", "")
    return re.sub(r"[\s()]|::text", "", text.replace(" using btree", ""))


def _problems_of_constraints(found: Set[str], constraints: Counter[Row]) -> Iterator[str]:
    for table, text in TABLES.items():
        for kind, word in _CONSTRAINTS.items():
            if table in found and constraints[table, kind] < text.count(word):
                yield f"the table {table} lacks a constraint: {_NAMES[kind]}"
