"""The page about PostgreSQL: its SQL and its examples run on a server, and its table says what is the case."""

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import pytest

from promptreg import Registry, StorageError, StorageReadOnlyError
from tests.postgres import connected, drop_schema, split_target
from tests.test_docs import DOCS, blocks, rows, section

pytestmark = pytest.mark.postgres
ROLES = "promptreg_owner", "promptreg_app", "promptreg_reader"


class Granted(NamedTuple):
    """A schema in which the page's first SQL has run, with roles of the test's own."""

    target: str
    schema: str
    connection: Any

    def sql(self, text: str) -> str:
        """Return SQL of the page for this schema and these roles."""
        text = re.sub("|".join(ROLES), lambda role: f"{self.schema}_{role[0]}", text)
        for place in ("SCHEMA promptreg", " promptreg.", "schemaname = 'promptreg"):
            text = text.replace(place, place.replace("promptreg", self.schema))
        return text

    def url(self, role: str) -> str:
        parts = urlsplit(self.target)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{self.schema}_{role}@{host}"))


def sql_blocks(title: str) -> list[str]:
    return re.findall(r"```sql\n(.*?)```", section("postgresql.md", title), re.DOTALL)


@pytest.fixture
def granted(postgres_target: str) -> Iterator[Granted]:
    import psycopg  # an extra

    url, schema = split_target(postgres_target)
    with psycopg.connect(url, autocommit=True) as connection:
        made = Granted(postgres_target, schema, connection)
        (grants,) = sql_blocks("What to grant")
        connection.execute(made.sql(grants))
        yield made
        drop_schema(postgres_target)
        for role in ROLES:
            name = made.sql(role)
            connection.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


def test_each_role_may_do_what_the_page_says(granted: Granted) -> None:
    """The owner makes the schema, the application uses it without any other right, and the reader only reads."""
    with pytest.raises(StorageError):
        Registry(granted.url("promptreg_app"))
    Registry(granted.url("promptreg_owner")).close()
    with Registry(granted.url("promptreg_app")) as app, Registry(granted.url("promptreg_reader")) as reader:
        app.create("greet", "Hello")
        app.update("greet", template="Hi")
        app.create("gone", "Soon")
        app.delete("gone")
        assert app.verify() == []
        assert reader.render("greet").text == "Hi"
        assert [prompt.name for prompt in reader.search("hi")] == ["greet"]
        with pytest.raises(StorageReadOnlyError):
            reader.update("greet", template="No")


def test_the_applications_role_can_not_drop_the_triggers(granted: Granted) -> None:
    """Nor may it change what is published, in whatever way."""
    import psycopg  # an extra

    Registry(granted.url("promptreg_owner")).close()
    with Registry(granted.url("promptreg_app")) as app:
        app.create("greet", "Hello")
    url, _ = split_target(granted.url("promptreg_app"))
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in ("ALTER TABLE {}.versions DISABLE TRIGGER USER", "UPDATE {}.versions SET template = 'x'"):
            with pytest.raises(psycopg.Error):
                connection.execute(statement.format(granted.schema))


def test_the_monitoring_queries_run_and_show_the_registry(granted: Granted) -> None:
    """They show its connections, its last event, its tables, and standbys, of which there are none."""
    Registry(granted.url("promptreg_owner")).close()
    with Registry(granted.url("promptreg_app")) as app:
        app.create("greet", "Hello")
        connected, committed, large, standbys = (
            granted.connection.execute(granted.sql(query)).fetchall() for query in sql_blocks("Monitoring")
        )
    assert f"{granted.schema}_promptreg_app" in [user for _, user, *_ in connected]
    assert [(revision, event, action) for revision, event, _, _, action in committed] == [(1, 2, "publish")]
    assert {"prompts", "versions", "search"} <= {table for table, *_ in large}
    assert standbys == []


def test_the_example_prints_the_text_below_it(granted: Granted) -> None:
    """The Python block runs as the application's role."""
    Registry(granted.url("promptreg_owner")).close()
    printed = io.StringIO()
    for block in blocks(DOCS / "postgresql.md"):
        if block.language == "python":
            program = block.text.replace("postgresql://promptreg_app@db.internal/app", granted.url("promptreg_app"))
            assert program != block.text
            with redirect_stdout(printed):
                exec(compile(program, "postgresql.md", "exec"), {})
            assert printed.getvalue() == block.output


# The table of what differs


def test_the_table_has_a_row_for_each_difference_that_is_tested() -> None:
    """The rows below are those of the page."""
    assert [row[0] for row in rows(section("postgresql.md", "What differs from a file"))] == [
        "machines",
        "a deleted prompt (rule 15)",
        "another process sees a change",
        "the order of search hits",
        "`durability`",
        "`registry.path`",
        "`clock`",
        "triggers guard published versions",
    ]


def test_rule_15_no_row_and_no_word_of_a_deleted_prompt_stays(postgres_target: str) -> None:
    """Every row of every table is searched for the words of a prompt that was deleted."""
    with Registry(postgres_target) as registry:
        registry.create("secret", "zanzibar {{ quokka }}", title="Zanzibar", tags=["zanzibar"], meta={"a": "zanzibar"})
        registry.update("secret", template="zanzibar, again")
        registry.delete("secret")
    with connected(postgres_target) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        for (table,) in tables:
            found = f"SELECT count(*) FROM {table} t WHERE t::text ~* 'zanzibar|quokka'"
            assert connection.execute(found).fetchone() == (0,), table


def test_a_role_that_drops_a_schema_is_noticed_and_named(postgres_target: str) -> None:
    """The owner can remove everything; the registry says so, and does not make it anew."""
    with Registry(postgres_target) as registry:
        registry.create("greet", "Hello")
        drop_schema(postgres_target)
        with pytest.raises(StorageError) as caught:
            registry.update("greet", template="Hi")
    assert caught.value.details["reason"] == "removed"


def test_clock_and_path_and_durability_are_as_the_page_says(postgres_target: str) -> None:
    """There is no path, and `durability` is accepted."""
    with Registry(postgres_target, durability="normal") as registry:
        assert registry.path is None
        assert registry.save("greet", "Hello").version == 1
