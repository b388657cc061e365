"""Listings and searches of PostgreSQL: the same prompts as in SQLite, by its indexes, and never a driver's error."""

import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest

from promptreg import Actor, Registry, Role
from promptreg.records import Audience, Query
from promptreg.tokenizer import terms
from tests.postgres import fresh_target, split_target
from tests.test_search import FOUND, NOT_FOUND

pytestmark = pytest.mark.postgres
ALL = ["active", "disabled", "archived"]
LONG = "x" * 300
TAGS = [",", "a,", ",b", "t", '"', "\\", "[", "]", "😀", "Straße", LONG + "1", LONG + "2"]


@pytest.fixture
def both(postgres_target: str) -> Iterator[tuple[Registry, Registry]]:
    """A registry in SQLite, and an empty one in PostgreSQL."""
    with Registry(":memory:") as sqlite, Registry(postgres_target) as postgres:
        yield sqlite, postgres


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[tuple[Registry, Registry]]:
    """The same prompts in both, copied from the one to the other."""
    with fresh_target(postgres_url) as target, Registry(":memory:") as sqlite:
        fill(sqlite)
        with Registry(target) as postgres:
            with sqlite._core.storage.dump() as dump:
                postgres._core.load(dump.entries)
            yield sqlite, postgres


def fill(registry: Registry) -> None:
    """Make prompts that differ in all that a filter looks at."""
    for i in range(48):
        registry.create(
            f"{'ab'[i % 2]}{i:02}",
            f"Template {i} {'東京タワー' if i % 3 else 'Straße, café'} {{{{ x }}}}",
            tags=[tag for n, tag in enumerate(TAGS) if (i + n) % 5 == 0],
            category=f"c{i % 3}",
            title=f"Tïtle {i % 7}",
            access_grants=[("user:bob", "read"), ('user:"]', "read")] if i % 7 == 0 else [],
        )
    for i in range(0, 48, 5):
        name = f"{'ab'[i % 2]}{i:02}"
        registry.update(name, template="second", tags=["t"], is_production=bool(i % 2))
        registry.set_label(name, "x.y", 1 + i % 2)
        registry.set_label(name, "x-y", 1)
    registry.archive("a02"), registry.disable("b03"), registry.delete("a04")
    registry.create("draft", "only a draft", is_production=False)
    other = registry.scope(namespace="other")
    other.create("o", "Template of another namespace", access_grants=[("group:g", "write")])
    registry.scope(namespace="third", actor=Actor("ann", Role.ORG_ADMIN)).create("own", "Template")


VIEWS: dict[str, Any] = {
    "the application": lambda registry: registry,
    "a member": lambda registry: registry.scope(actor=Actor("mem", Role.TEAM_MEMBER)),
    "a reader": lambda registry: registry.scope(actor=Actor("bob")),
    "an odd reader": lambda registry: registry.scope(actor=Actor('"]')),
    "a group": lambda registry: registry.scope(actor=Actor("gus", groups=["g"]), namespace="other"),
    "an owner": lambda registry: registry.scope(actor=Actor("ann"), namespace="third"),
    "nobody": lambda registry: registry.scope(actor=Actor("eve")),
}
FILTERS: list[dict[str, Any]] = [
    {},
    {"status": "archived"},
    {"status": ALL},
    *({"tag": tag} for tag in TAGS),
    {"tag": [",", "t"]},
    {"tag": LONG},
    {"tag": "absent"},
    {"category": "c1"},
    {"created_by": "ann"},
    {"prefix": "a"},
    {"prefix": "a0", "tag": "t"},
    *({"label": label} for label in ("x.y", "x-y", "xzy", "latest", "production")),
    {"label": "x.y", "tag": "t", "category": "c1", "status": ALL},
    {"label": "latest", "tag": "t"},
]
TEXTS = ["template", "template 7", "東京", "京東", "strasse", "CAFE", "title", "a01", "draft", "…", "x", "second t"]


@pytest.mark.parametrize("most", [0, 1000])
@pytest.mark.parametrize("who", VIEWS)
def test_every_listing_is_that_of_sqlite(
    filled: tuple[Registry, Registry], monkeypatch: pytest.MonkeyPatch, who: str, most: int
) -> None:
    """By every filter, for everybody, page by page, and whether or not the hits are few."""
    monkeypatch.setattr("promptreg.storage.postgres.queries.MAX_RANKED", most)
    sqlite, postgres = map(VIEWS[who], filled)
    for asked in FILTERS:
        expected = [*sqlite.iterate(**asked)]
        assert [*postgres.iterate(**asked)] == expected, asked
        page = postgres.list(limit=3, **asked)
        assert [*page] == expected[:3]
        if page.next is not None:
            assert [*postgres.list(limit=50, after=page.next, **asked)] == expected[3:53]


@pytest.mark.parametrize("most", [0, 1000])
@pytest.mark.parametrize("who", VIEWS)
def test_every_search_finds_what_it_finds_in_sqlite(
    filled: tuple[Registry, Registry], monkeypatch: pytest.MonkeyPatch, who: str, most: int
) -> None:
    """With every filter, for everybody, and whether or not the hits are few; their order is no contract."""
    monkeypatch.setattr("promptreg.storage.postgres.queries.MAX_RANKED", most)
    sqlite, postgres = map(VIEWS[who], filled)
    for text in TEXTS:
        for asked in (
            {},
            {"tag": "t"},
            {"tag": ","},
            {"category": "c1"},
            {"status": ALL, "category": "c2", "tag": "t"},
        ):
            expected = sqlite.search(text, limit=100, **asked)
            found = postgres.search(text, limit=100, **asked)
            assert sorted(found, key=lambda prompt: prompt.name) == sorted(expected, key=lambda prompt: prompt.name)
            assert len(postgres.search(text, limit=2, **asked)) == min(2, len(expected))


@pytest.mark.parametrize("who", VIEWS)
def test_events_and_namespaces_are_those_of_sqlite(filled: tuple[Registry, Registry], who: str) -> None:
    """From either end, by action, of a prompt, and only what the actor may read."""
    sqlite, postgres = map(VIEWS[who], filled)
    assert postgres.namespaces() == sqlite.namespaces()
    for asked in (
        {},
        {"limit": 7},
        {"limit": 7, "after": 20},
        {"newest_first": True},
        {"newest_first": True, "after": 30, "limit": 5},
        {"action": "publish", "limit": 4},
        {"action": ["delete", "archive"], "newest_first": True},
        {"after": 10**6},
        {"after": 2**70},
    ):
        assert postgres.events(**asked) == sqlite.events(**asked), asked


def test_names_near_are_those_of_sqlite(filled: tuple[Registry, Registry]) -> None:
    """They sort by code points, on both sides of a name, and only what the actor may read counts."""
    for audience in (Audience(sees_all=True), Audience(sees_all=False, actor="bob", principals=("user:bob",))):
        for name in ("a", "a10", "b", "zzz", "日本", "a47"):
            for limit in (1, 4, 100):
                near = []
                for registry in filled:
                    with registry._core.storage.read() as reader:
                        near.append(reader.names_near("default", audience, name, limit=limit))
                assert near[0] == near[1], (name, limit)


def test_names_sort_as_in_python(both: tuple[Registry, Registry]) -> None:
    """By code points, whatever the database's own collation is, in pages and prefixes too."""
    names = ["a", "a-b", "a_b", "a.b", "a/b", "ab", "aé", "ä", "z", "é", "日本", "𠮷", "ça", "a1"]
    for name in names:
        both[1].create(name, "x")
    assert [prompt.name for prompt in both[1].list()] == sorted(names)
    assert [prompt.name for prompt in both[1].list(prefix="a")] == sorted(n for n in names if n.startswith("a"))
    page = both[1].list(limit=5)
    assert [prompt.name for prompt in both[1].list(after=page.next)] == sorted(names)[5:]


def test_rule_24_finds_what_sqlite_finds(both: tuple[Registry, Registry]) -> None:
    """Each text of the tests of rule 24 finds the same of all their templates, in every script and normal form."""
    texts = [text for pair in (*FOUND, *NOT_FOUND) for text in pair]
    for number, text in enumerate(texts):
        for registry in both:
            registry.create(f"t{number}", text, title="…")
    for text in texts:
        for form in ("NFC", "NFD"):
            asked = unicodedata.normalize(form, text)
            found = [{prompt.name for prompt in registry.search(asked, limit=1_000)} for registry in both]
            assert found[0] == found[1], asked


def test_rule_24_a_phrase_stays_within_a_column(both: tuple[Registry, Registry]) -> None:
    """The terms may be in different ones: names, titles, descriptions, tags and templates."""
    postgres = both[1]
    chat = [{"role": "user", "content": "請翻譯"}, {"placeholder": "h"}, {"role": "user", "content": "Ёлка"}]
    postgres.create("straße", chat, title="Café", description="Οδυσσέας", tags=["東京タワー", "Größe", "京"])
    for text in ("STRASSE", "cafe", "ΟΔΥΣΣΕΑΣ", "東京", "grösse", "翻譯", "елка", "cafe 東京 翻譯 елка"):
        assert [prompt.name for prompt in postgres.search(text)] == ["straße"], text
    postgres.create("other", "京", title="東", tags=["東", "京"], description="東")
    assert [prompt.name for prompt in postgres.search("東京")] == ["straße"]


def test_rule_24_long_words_are_compared_to_their_end(both: tuple[Registry, Registry]) -> None:
    """The index holds 200 characters of each."""
    postgres = both[1]
    for end in "12":
        postgres.create(f"n{end}", f"{LONG}{end} word", tags=[LONG + end])
        postgres.create(f"d{end}", "デ" * 300 + end)
    assert [prompt.name for prompt in postgres.search(LONG + "1")] == ["n1"]
    assert [prompt.name for prompt in postgres.search(LONG + "2 word")] == ["n2"]
    assert postgres.search(LONG) == []
    assert [prompt.name for prompt in postgres.search("デ" * 300 + "2")] == ["d2"]
    assert sorted(prompt.name for prompt in postgres.search("デ" * 299)) == ["d1", "d2"]
    assert [prompt.name for prompt in postgres.list(tag=LONG + "2")] == ["n2"]
    assert [*postgres.list(tag=LONG)] == []


@pytest.mark.parametrize("length", [199, 200, 201])
def test_rule_24_a_word_is_not_the_beginning_of_another(both: tuple[Registry, Registry], length: int) -> None:
    """Where the index holds all of the one that is sought, and as much of a longer one."""
    postgres = both[1]
    for name, more in (("short", 0), ("long", 1)):
        postgres.create(name, "x" * (length + more), tags=["y" * (length + more)])
    assert [prompt.name for prompt in postgres.search("x" * length)] == ["short"]
    assert [prompt.name for prompt in postgres.list(tag="y" * length)] == ["short"]


def test_the_index_follows_every_change(both: tuple[Registry, Registry]) -> None:
    """What is live is found: after a publish, a rollback, a rename, an edit of what was never live, and a deletion."""
    for registry in both:
        registry.create("p", "first")
        registry.update("p", template="second", is_production=False)
        registry.create("d", "eins", is_production=False)
    for change in (
        lambda r: r.publish("p"),
        lambda r: r.rollback("p", reason="bad"),
        lambda r: r.update("p", new_name="q"),
        lambda r: r.update("d@1", template="zwei"),
        lambda r: r.update("d", tags=["drei"], is_production=False),
        lambda r: r.discard("d@2"),
        lambda r: r.archive("q"),
        lambda r: r.delete("d"),
    ):
        for registry in both:
            change(registry)
        for text in ("first", "second", "p", "q", "eins", "zwei", "drei"):
            found = [[p.name for p in registry.search(text, status=ALL)] for registry in both]
            assert found[0] == found[1], text


def test_the_best_match_comes_first(both: tuple[Registry, Registry]) -> None:
    """Where the hits are few: prompts with more occurrences of a term among fewer other words."""
    for name, template in (("a", "请把文本翻译成英文，并且说明理由。"), ("b", "翻译！翻译！"), ("c", "别的")):
        both[1].create(name, template)
    assert [prompt.name for prompt in both[1].search("翻译")] == ["b", "a"]


@pytest.mark.parametrize("text", ["%", "%s", "%(x)s", "$.", "''", "\\", "$1", "a%b", "{1}", "NULL"])
def test_no_text_means_anything_to_the_database(both: tuple[Registry, Registry], text: str) -> None:
    """A text that a statement could take for syntax is data."""
    postgres = both[1]
    postgres.create("p", "word", tags=[text], category=text, description=text)
    assert [prompt.name for prompt in postgres.list(tag=text)] == ["p"]
    assert [prompt.name for prompt in postgres.list(category=text)] == ["p"]
    assert [prompt.name for prompt in postgres.list(prefix=text)] == []
    assert [prompt.name for prompt in postgres.search(text)] == (["p"] if terms(text) else [])
    assert [*postgres.list(created_by=text)] == []


# Plans

FILL = """
INSERT INTO prompts (id, namespace, name, status, is_disabled, access_grants, labels, production_version,
    latest_version, last_version, created_at, updated_at, hash, revision)
SELECT md5(i::text), 'default', 'p' || lpad(i::text, 6, '0'), 'active', 0, '[]',
    CASE WHEN i % 1000 = 1 THEN '{"spring":1}' ELSE '{}' END, 1, 1, 1, 'x', 'x', 'x', i
FROM generate_series(1, 100000) AS i;
INSERT INTO versions (prompt, version, state, name, access_grants, kind, template, variables, config, title,
    description, category, tags, meta, examples, commit_message, created_at, content_hash, syntax, hash)
SELECT key, 1, 'published', name, '[]', 'text', repeat(md5(name), 20), '[]', '{}', '', '', 'c',
    CASE WHEN revision % 5000 = 7 THEN '["rare","t"]' ELSE '["t"]' END, '{}', '[]', '', 'x', 'x', 'jinja', 'x'
FROM prompts;
INSERT INTO search (prompt, words, tags, content)
SELECT key, ARRAY['the', 'w' || revision % 500, name], CASE WHEN revision % 5000 = 7 THEN ARRAY['rare', 't']
    ELSE ARRAY['t'] END, ' the w' || revision % 500 || ' ' || name || ' ' FROM prompts;
"""
PLANNED: dict[str, tuple[dict[str, Any], str]] = {
    "all": ({}, "prompts_namespace_name_key"),
    "a later page": ({"after": "p090000"}, "prompts_namespace_name_key"),
    "a prefix": ({"prefix": "p0777"}, "prompts_namespace_name_key"),
    "a label": ({"label": "spring"}, "prompts_labelled"),
    "an absent label": ({"label": "autumn"}, "prompts_labelled"),
    "a rare tag": ({"tags": ("rare",)}, "search_tags"),
    "a word": ({"text": "w77"}, "search_words"),
    "a common word and a rare one": ({"text": "the w77"}, "search_words"),
    "a common word and a rare tag": ({"text": "the", "tags": ("rare",)}, "search_tags"),
}


@pytest.fixture(scope="module")
def large(postgres_url: str) -> Iterator[Any]:
    """A connection to a schema with 100,000 prompts, of which no row's hash is right, so no registry reads them."""
    import psycopg  # an extra

    with fresh_target(postgres_url) as target:
        Registry(target).close()
        url, schema = split_target(target)
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            connection.execute(f'SET session_replication_role = replica; SET search_path = "{schema}"; SET jit = off')
            connection.execute("SET max_parallel_workers_per_gather = 0")
            connection.execute(FILL.encode())
            connection.execute(b"ANALYZE prompts; ANALYZE versions; ANALYZE search")
            yield connection


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "index"), PLANNED.values(), ids=PLANNED)
def test_a_listing_among_100_000_prompts_reads_few(large: Any, asked: dict[str, Any], index: str) -> None:
    """The plan uses the index, and what is carried out of it reads far fewer rows than there are."""
    from promptreg.storage.postgres.queries import matching  # needs the driver

    statement = matching(
        Query(**{"namespace": "default", "audience": Audience(True), "statuses": ("active",), "limit": 51} | asked)
    )
    assert statement is not None
    explained = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement.text.replace("$.", "")
    ((((plan,),),),) = [[large.execute(explained, statement.values).fetchone()]]
    steps = [*_steps(plan["Plan"])]
    assert index in {step.get("Index Name") for step in steps if step["Actual Loops"]}
    assert sum(step["Actual Rows"] * step["Actual Loops"] for step in steps) < 10_000


def _steps(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for inner in step.get("Plans", []):
        yield from _steps(inner)
