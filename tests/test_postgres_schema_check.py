"""`verify()` of a PostgreSQL registry finds what is missing or otherwise in its schema."""

import re

import pytest

from promptreg import Registry
from tests.test_postgres_verify import unguarded

pytestmark = pytest.mark.postgres

SCHEMA: dict[str, tuple[str, str]] = {
    "an index": ("DROP INDEX $.events_namespace", "the index events_namespace is missing"),
    "a trigger": ("DROP TRIGGER events_before_delete_or_update ON $.events", "the trigger NAME is missing"),
    "a disabled trigger": ("ALTER TABLE $.versions DISABLE TRIGGER USER", "the trigger NAME is disabled"),
    "a function": (
        "CREATE OR REPLACE FUNCTION $.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "the function refuse is not what was made",
    ),
    "what a function has set": (
        "ALTER FUNCTION $.advance RESET search_path",
        "the function advance is not what was made",
    ),
    "whose rights a function has": (
        "ALTER FUNCTION $.prompts_written SECURITY DEFINER",
        "the function prompts_written is not what was made",
    ),
    "what a trigger does": (
        "CREATE OR REPLACE TRIGGER versions_before_update BEFORE UPDATE ON $.versions FOR EACH ROW"
        " WHEN (OLD.state = 'published' AND false) EXECUTE FUNCTION $.refuse('a published version never changes')",
        "the trigger versions_before_update is not what was made",
    ),
    "what an index holds": (
        "DROP INDEX $.search_words; CREATE INDEX search_words ON $.search USING gin (tags)",
        "the index search_words is not what was made",
    ),
    "a column": ("ALTER TABLE $.versions DROP COLUMN title", "the table versions lacks the column title"),
    "a collation": (
        'ALTER TABLE $.prompts ALTER COLUMN name TYPE text COLLATE "default"',
        "the column name of the table prompts is of another type or collation",
    ),
    "a view for a table": (
        "DROP TABLE $.commits; CREATE VIEW $.commits AS SELECT revision, stamp FROM $.registry",
        "the table commits is missing",
    ),
    "a primary key": (
        "ALTER TABLE $.publications DROP CONSTRAINT publications_pkey",
        "the table publications lacks a constraint: primary key",
    ),
    "a unique name": (
        "ALTER TABLE $.prompts DROP CONSTRAINT prompts_namespace_name_key",
        "the table prompts lacks a constraint: unique",
    ),
    "a foreign key": (
        "ALTER TABLE $.versions DROP CONSTRAINT versions_prompt_fkey",
        "the table versions lacks a constraint: foreign key",
    ),
}


@pytest.mark.parametrize(("statement", "expected"), SCHEMA.values(), ids=SCHEMA)
def test_what_the_schema_has_lost_is_reported(postgres_target: str, statement: str, expected: str) -> None:
    """What guards the rows is a part of the registry: a write that it would have refused leaves no trace."""
    with Registry(postgres_target) as registry:
        registry.create("greet", "Hello")
        with unguarded(postgres_target) as run:
            run(statement)
        lines = registry.verify()
    assert lines
    pattern = re.escape(expected).replace("NAME", r"\w+")
    assert all(re.fullmatch(pattern, line) for line in lines), lines


def test_a_function_of_the_same_name_is_nobodys_damage(postgres_target: str) -> None:
    """Functions are told apart by their arguments."""
    with Registry(postgres_target) as registry:
        with unguarded(postgres_target) as run:
            run("CREATE FUNCTION $.refuse(x int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
        assert registry.verify() == []


def test_a_lost_table_is_reported_alone(postgres_target: str) -> None:
    """As nothing else can be read then."""
    with Registry(postgres_target) as registry:
        with unguarded(postgres_target) as run:
            run("DROP TABLE $.search")
        assert registry.verify() == registry.verify(head="1" * 64) == ["the table search is missing"]
