"""A version's fields: all code that stores, compares, returns or accepts them agrees with `promptreg/records.py`.

A field that was added in only some of these places fails a test here.
"""

import inspect
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from typing import Any

import pytest

from promptreg import UNSET, Grant, Prompt, Registry, Version
from promptreg.cli.showing import print_prompt
from promptreg.jsonvalues import FrozenDict, FrozenList, canonical, freeze
from promptreg.prompt import version_fields
from promptreg.records import (
    CONTENT,
    EMPTY,
    STORED,
    Container,
    Field,
    Seed,
    Snapshot,
    VersionRecord,
    content_of,
    differing,
)
from promptreg.storage import hashing, rows
from tests.test_storage_sqlite import raw

ATTRIBUTES = {"variables": "declared_variables", "number": "version", "created_at": "version_created_at"}
"""The fields that `Version` calls by another name."""
SAMPLES = {
    "template": ("Hello {{ x }}", [{"role": "user", "content": "{{ x }}"}]),
    "variables": ([{"name": "x", "type": "string"}], [{"name": "x", "type": "any", "default": 1}]),
    "tags": (["a", "b"], ["c"]),
    "examples": ([{"x": "1"}], [{"x": "2"}, {"x": "3"}]),
    "syntax": ("jinja-trim", "plain"),
}
SAMPLES_BY_TYPE = {str: ("one", "two"), FrozenDict: ({"a": 1}, {"b": [None]})}
"""Two values of each field; those of a field that takes no value whatever of its type are listed above."""
INTERNAL = {"is_archived", "last_version", "publications", "seed", "synced"}
"""The fields of a prompt that `Prompt` does not show."""
OTHERS = {"self", "name", "access_grants", "commit_message", "is_production"}
"""The arguments of `create`, `save`, `seed` and `update` that are no field of a version's content."""
FIRST_CONTENT = "kind template variables config title description category tags meta examples".split()
"""What `content_hash` has covered from the first schema on."""


def samples(name: str) -> tuple[Any, Any]:
    return SAMPLES.get(name) or SAMPLES_BY_TYPE[type(CONTENT[name].empty)]


def attribute(prompt: Version, name: str) -> Any:
    """Return the value of a field of a prompt or version, as plain JSON."""
    return prompt.model_dump(mode="json")[ATTRIBUTES.get(name, name)]


def test_the_verbs_accept_every_field() -> None:
    """A field that is not passed is empty in `create` (a title is the name), and unchanged in the other verbs."""
    for verb, others in (
        (Registry.create, OTHERS),
        (Registry.save, OTHERS),
        (Registry.seed, {*OTHERS, "on_conflict", "release"} - {"is_production"}),
        (Registry.update, {*OTHERS, "new_name", "version", "expected_version", "expected_hash"}),
    ):
        parameters = inspect.signature(verb).parameters
        assert set(parameters) - others == set(CONTENT), verb.__name__
        for name, field in CONTENT.items():
            default = parameters[name].default
            if verb is Registry.update or (verb is not Registry.create and name != "template"):
                assert default is UNSET, name
            elif name == "template":
                assert default is inspect.Parameter.empty
            else:
                assert default is None or freeze(default) == field.empty, name


def test_a_version_has_every_field(registry: Registry) -> None:
    """The models have an attribute for each stored field, and the effective variables."""
    names = {*CONTENT, *VersionRecord._fields, "kind", "content_hash"} - {"snapshot"}
    assert names == set(STORED)
    assert set(Version.model_fields) == {ATTRIBUTES.get(name, name) for name in names} | {"variables"}
    registry.create("p", "x")
    assert set(Version.model_fields) < set(Prompt.model_fields)
    assert set(Container._fields) - Prompt.model_fields.keys() == INTERNAL
    assert set(registry.get("p").model_fields_set) == set(Prompt.model_fields)
    assert set(registry.history("p")[0].model_fields_set) == set(Version.model_fields)
    assert set(version_fields(_record())) == set(Version.model_fields) - {"variables"}


def _record() -> VersionRecord:
    """Return a version whose fields are empty."""
    empty = Snapshot(**EMPTY, content_hash="0" * 64)
    return VersionRecord(1, "draft", "p", (), empty, "", None, None, "2026-01-01T00:00:00.000000+00:00")


def test_the_schema_has_every_column(registry: Registry) -> None:
    """It has every column of versions and prompts, and no other; a later one has the empty value in earlier rows."""
    assert {*rows.PROMPT_COLUMNS} == {*Container._fields, "status", "hash"} - {"is_archived"}
    with closing(raw(registry.path)) as connection:
        for table, columns, keys, later in (
            ("versions", rows.VERSION_COLUMNS, {"key", "prompt"}, rows.LATER_VERSION_COLUMNS),
            ("prompts", rows.PROMPT_COLUMNS, {"key", "revision"}, rows.LATER_PROMPT_COLUMNS),
        ):
            info = {name: (required, default) for _, name, _, required, default, _ in _info(connection, table)}
            assert set(info) == {*columns, *keys}, table
            for column, value in later.items():
                required, default = info[column]
                literal = None if value is None else connection.execute("SELECT quote(?)", (value,)).fetchone()[0]
                assert (bool(required), default) == (value is not None, literal), column


def _info(connection: Any, table: str) -> list[tuple[Any, ...]]:
    return list(connection.execute(f"PRAGMA table_info({table})"))


def test_the_migrations_of_postgresql_make_every_column() -> None:
    """They don't derive from the table of fields, as a migration never changes: a field needs a migration there too."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: install the extra postgres")
    from promptreg.storage.postgres.schema_check import COLUMNS

    assert {*COLUMNS["prompts"]} == {"key", *rows.PROMPT_COLUMNS, "revision"}
    assert {*COLUMNS["versions"]} == {"prompt", *rows.VERSION_COLUMNS}


def test_a_row_is_read_into_the_record_that_it_was_written_from() -> None:
    """Each column of a version and of a prompt has another value, so that no two can be mixed up."""
    content: dict[str, Any] = {name: freeze(samples(name)[0]) for name in CONTENT}
    texts = {name: name for name in CONTENT if isinstance(content[name], str)}
    snapshot = Snapshot(**{**content, **texts}, content_hash="hash")
    record = VersionRecord(7, "failed", "n", (), snapshot, "message", "author", 3, "made", "live", FrozenList(["why"]))
    row = rows.version_row("id", record)
    assert len(row) == len(rows.VERSION_COLUMNS)
    assert rows.read_version("id", (*row, 0)) == record
    assert rows.read_version("id", (*row, 1)) == record._replace(base_version=None)
    seed = Seed(("template", "tags"), "hash", 1.5, 9, 10, "draft")
    prompt = Container("id", "space", "n", True, True, (), FrozenDict(a=1), 5, 6, 7, "by", "made", "moved", 8, seed)
    for container in (
        prompt,
        prompt._replace(is_archived=False),
        prompt._replace(is_disabled=False, publications=None, seed=None),
        prompt._replace(seed=Seed((), "hash")),
    ):
        row = rows.prompt_row(container)
        assert dict(zip(rows.PROMPT_COLUMNS, row, strict=True)).items() >= {"status": container.status}.items()
        assert rows.read_prompt(row) == container


@pytest.mark.parametrize("name", CONTENT)
def test_a_field_is_stored_compared_returned_and_inherited(path: str, name: str) -> None:
    """This holds for each verb that accepts it, in this registry and in the next one that opens the file."""
    one, two = samples(name)
    content = {"template": "Hello {{ x }}"}
    with Registry(path) as registry:
        registry.create("first", **{**content, name: one})
        registry.create("plain", **content)
        registry.save("saved", **{**content, name: one})
        registry.seed("seeded", **{**content, name: one})
        assert registry.seed("seeded", **{**content, name: two}).version == 2
        assert registry.seed("seeded", **{**content, name: one}).version == 1
        made = registry.update("first", **{name: two})
        assert (made.version, attribute(made, name)) == (2, attribute(registry.get("first"), name))
        assert registry.update("first", **{name: two}).version == 2
        assert registry.save("first", **{**made.model_dump(include=set(content)), name: two}).version == 2
        assert registry.update("first", commit_message="other", access_grants=[("anyone", "read")]).version == 3
        draft = registry.update("first", meta={"other": 1}, is_production=False)
        edited = registry.update("first", version=draft.version, **{name: one})
        assert registry.rollback("first", 1, reason="back").version == 1
    with Registry(path) as registry:
        held = {v.version: attribute(v, name) for v in registry.history("first")}
        assert held == {1: one, 2: two, 3: two, edited.version: one}
        assert attribute(registry.get("first"), name) == attribute(registry.get("saved"), name) == one
        assert attribute(registry.get("first@2"), name) == two
        hashes = {registry.get(f"first@{version}").content_hash for version in (1, 2)}
        assert len(hashes) == 2
        assert registry.get("first@2").content_hash == registry.get("first@3").content_hash
        if name != "template":
            emptied = registry.get("plain")
            assert freeze(attribute(emptied, name)) == ("plain" if name == "title" else CONTENT[name].empty)
            assert f'"{name}"' in registry.diff("first", 1, 2)
        assert registry.diff("first", 1, 2)
        assert registry.diff("first", 2, 3) == ""
        assert registry.verify() == []


@pytest.fixture
def memory() -> Iterator[Registry]:
    """A registry in memory."""
    with Registry(":memory:") as opened:
        yield opened


@pytest.mark.parametrize("name", CONTENT)
def test_the_command_shows_every_field(memory: Registry, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What `promptreg show` prints for people differs where nothing but this field does."""
    made, shown = memory.create("same", "Hello {{ x }}"), []
    for value in samples(name):
        prompt = memory.save("same", **{"template": "Hello {{ x }}", name: value})
        print_prompt(made.model_copy(update={name: getattr(prompt, name)}))
        shown.append(capsys.readouterr().out)
    assert shown[0] != shown[1]


def test_content_hash_is_of_these_fields_and_of_later_ones_that_are_not_empty() -> None:
    """A version without a later field keeps the hash that it had before the field existed."""
    assert sorted(content_of(EMPTY)) == sorted(FIRST_CONTENT)
    sample_fields = {name: freeze(samples(name)[0]) for name in CONTENT}
    assert sorted(content_of(sample_fields)) == sorted({*FIRST_CONTENT, *CONTENT})


FULL = {
    "title": "Full ☕",
    "description": "D",
    "category": "c",
    "tags": ["b", "a"],
    "variables": [{"name": "x", "type": "array", "default": [], "required": False}],
    "config": {"b": 1.5, "a": {"é": [None, True]}},
    "meta": {"m": "\u2028"},
    "examples": [{"x": []}],
}


@pytest.mark.parametrize(
    ("template", "fields", "known"),
    [
        ("Hello", {}, "341aa0bbccfcbab36fd5"),
        ("Text {{ x }}", FULL, "733f42978f95e79ab83c"),
        ([{"role": "system", "content": "{{ x }}"}, {"placeholder": "h"}], {}, "dbf213bc5e34025b0906"),
    ],
)
def test_a_content_hash_never_changes(memory: Registry, template: Any, fields: dict[str, Any], known: str) -> None:
    """It is the hash that the release of the first schema computed for the same content."""
    assert memory.create("same", template, **{"title": "same", **fields}).content_hash.startswith(known)


def test_the_hash_of_a_row_never_changes() -> None:
    """It is the hash that earlier releases computed for a text, a chat, and a prompt with and without a count."""
    content = {
        "variables": [{"name": "x", "type": "any"}],
        "config": {"b": 1, "a": 2},
        **{"title": "T", "description": "D", "category": "C", "tags": ["b", "a"]},
    }
    made, moved = "2026-01-01T00:00:00.000000+00:00", "2026-01-02T00:00:00.000000+00:00"
    for template, known in (
        ("Hello ☕", "6692c2387e4e6cff5ee9"),
        ([{"role": "user", "content": "x"}], "342230d9b7ab2a99d966"),
    ):
        snapshot = Snapshot(**{**EMPTY, **freeze(content), "template": freeze(template)}, content_hash="f" * 64)
        grants, failure = (Grant("anyone", "read"),), FrozenList(["why"])
        version = VersionRecord(2, "failed", "greet", grants, snapshot, '"M"\n', None, 1, made, None, failure)
        assert rows.version_row("id", version)[-1].startswith(known)
    grants, labels = (Grant('user:a"b', "write"),), FrozenDict(z=1, a=2)
    prompt = Container("id", "équipe", "greet", False, True, grants, labels, None, 2, 4, 'o"b', made, moved, 3)
    assert rows.prompt_row(prompt)[-1].startswith("02ad0c01752af58fb742")
    assert rows.prompt_row(prompt._replace(publications=None))[-1].startswith("cecd9659d6d7e9cd2f0d")


def test_an_empty_later_field_is_left_out_of_hashes_and_of_the_diff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later field that is not empty is included like any other."""
    monkeypatch.setitem(CONTENT, "category", Field("", later=True))
    old = Snapshot(**EMPTY, content_hash="")
    new = old._replace(category="c")
    assert "category" not in content_of(old.fields())
    assert content_of(new.fields())["category"] == "c"
    assert differing(old, new) == ["category"]
    for values, covered in (
        (["id", "a", "", None], ["id", "a"]),
        (["id", "a", "b", None], ["id", "a", "b"]),
        (["id", "a", "", 3], ["id", "a", 3]),
        (["id", "a", "b", 3], ["id", "a", "b", 3]),
    ):
        expected = sha256(canonical(covered).encode()).hexdigest()
        assert hashing.row_hash(values, [(3, None), (2, "")]) == expected
