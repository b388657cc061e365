"""The values that verbs return: frozen, their equality, JSON and pickles, hashes and diffs."""

import copy
import json
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from unittest.mock import ANY
from uuid import UUID

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import promptreg
from promptreg import (
    Actor,
    Grant,
    InvalidInputError,
    Prompt,
    PromptDisabledError,
    Registry,
    Role,
    Variable,
)

CONFIG = {"model": "m", "stop": ["\n", {"é": [1, 2.5, None, True]}], "nested": {"a": {"b": []}}}
FULL = {
    "title": "Full ☕",
    "description": "D",
    "category": "c",
    "tags": ["b", "a"],
    "variables": [{"name": "x", "type": "array", "default": [{"k": [1]}], "enum": [[{"k": [1]}], [2]]}],
    "config": CONFIG,
    "meta": {"m": [{"n": 1}]},
    "examples": [{"x": [2]}],
    "access_grants": [("user:ana", "write"), ("anyone", "read")],
}
CHAT = [{"role": "system", "content": "{{ x }}"}, {"placeholder": "h"}]


@pytest.fixture
def full(registry):
    """A registry with a prompt `full`, whose fields are all set."""
    registry.create("full", "Text {{ x }}", **FULL)
    return registry


def every_value(registry):
    """Return one of each public value."""
    prompt = registry.get("full")
    return [
        prompt,
        registry.history("full")[0],
        prompt.variables[0],
        prompt.access_grants[0],
        registry.list(),
        registry.events("full")[0],
        registry.set_status("full", "active"),
        Actor("ana", Role.TEAM_ADMIN, ["g"]),
        Grant("group:legal", "read"),
        registry.render("full"),
        registry.render("full").prompt,
    ]


def containers(value) -> Iterator[list | dict]:
    """Yield every list and dict within a value."""
    if isinstance(value, pydantic.BaseModel):
        for name in type(value).model_fields:
            yield from containers(getattr(value, name))
    elif isinstance(value, dict | list):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


CHANGES = {
    dict: [
        lambda d: d.update(z=1),
        lambda d: d.__setitem__("z", 1),
        lambda d: d.setdefault("z", 1),
        lambda d: d.__ior__({"z": 1}),
        lambda d: d.clear(),
        lambda d: d.pop("model", None),
        lambda d: d.popitem(),
        lambda d: d.__delitem__(next(iter(d), "z")),
        lambda d: d.__init__(z=1),
        lambda d: d.__init__({"z": 1}),
        lambda d: d.__init__(),
        lambda d: setattr(d, "__class__", Other),
        lambda d: setattr(d, "z", 1),
        lambda d: d.__setattr__("z", 1),
        lambda d: delattr(d, "z"),
    ],
    list: [
        lambda x: x.append(1),
        lambda x: x.extend([1]),
        lambda x: x.insert(0, 1),
        lambda x: x.__iadd__([1]),
        lambda x: x.__imul__(2),
        lambda x: x.__setitem__(slice(0, 0), [1]),
        lambda x: x.__delitem__(slice(None)),
        lambda x: x.clear(),
        lambda x: x.pop(),
        lambda x: x.remove(x[0] if x else 1),
        lambda x: x.reverse(),
        lambda x: x.sort(),
        lambda x: x.__init__([1]),
        lambda x: x.__init__(),
        lambda x: setattr(x, "z", 1),
        lambda x: delattr(x, "z"),
    ],
}


class Other(dict):
    """A dict that can be changed, with the layout of `FrozenDict`."""

    __slots__ = ()


def test_values_are_frozen(full):
    """No field of any value can be set or deleted."""
    for value in every_value(full):
        if isinstance(value, pydantic.BaseModel):
            for name in type(value).model_fields:
                before = getattr(value, name)
                for change in (lambda v=value, n=name: setattr(v, n, None), lambda v=value, n=name: delattr(v, n)):
                    with pytest.raises((TypeError, ValueError, AttributeError)):
                        change()
                assert getattr(value, name) == before


def test_values_are_deeply_read_only(full):
    """Nothing within a value can be changed, at any depth, so that the next reader gets what was written."""
    copied, seen = full.get("full").model_dump(), 0
    for value in every_value(full):
        for container in containers(value):
            for change in CHANGES[dict if isinstance(container, dict) else list]:
                with pytest.raises(TypeError):
                    change(container)
                seen += 1
    assert seen > 300
    assert full.get("full").model_dump() == copied
    with pytest.raises(TypeError):
        full.render("full").config["model"] = "other"


def test_no_value_can_be_initialised_again(full):
    """`__init__` and `__setstate__` refuse a value that has its fields; `model_fields_set` is a copy."""
    for value in every_value(full):
        if not isinstance(value, pydantic.BaseModel):
            continue
        before, fields_set = value.model_dump(), value.model_fields_set
        other = dict.fromkeys(type(value).model_fields)
        for change in (
            lambda v=value, fields=before: v.__init__(**fields),
            lambda v=value, fields=other: v.__init__(**fields),
            lambda v=value, fields=other: v.__setstate__({**v.__getstate__(), "__dict__": fields}),
        ):
            with pytest.raises(TypeError, match="read-only"):
                change()
        value.model_fields_set.clear()
        assert (value.model_dump(), value.model_fields_set) == (before, fields_set)
        assert fields_set


def test_copies_of_containers_can_be_changed(full):
    """Methods that return a new dict or list return a plain one; `copy`, `pickle` and the class, a read-only one."""
    config = full.get("full").config
    stop = config["stop"]
    for made in (
        dict(config),
        config | {"z": 1},
        config.copy(),
        stop + stop,
        stop[:],
        stop.copy(),
        stop * 2,
        list(stop),
    ):
        assert type(made) in {dict, list}
    for same in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config)), type(config)(config)):
        assert (type(same), same) == (type(config), CONFIG)
        with pytest.raises(TypeError):
            same["stop"].clear()
    assert (type(config)(a=1), type(stop)("ab"), type(stop)()) == ({"a": 1}, ["a", "b"], [])


def test_values_do_not_follow_what_the_caller_passed(registry):
    """Changing an argument after the call changes nothing of what was saved."""
    config, tags, chat = {"a": [1]}, ["x"], [{"role": "user", "content": "hi"}]
    prompt = registry.create("p", chat, config=config, tags=tags)
    config["a"].append(2)
    tags.append("y")
    chat[0]["content"] = "ho"
    assert (prompt.config, prompt.tags, prompt.template) == ({"a": [1]}, ["x"], [{"role": "user", "content": "hi"}])
    assert registry.get("p") == prompt


def test_values_equal_plain_dicts_and_lists_and_are_json(full):
    """A value equals the plain JSON that was passed, on either side of ==, and json.dumps accepts it."""
    prompt = full.get("full")
    for held, plain in (
        (prompt.config, CONFIG),
        (prompt.meta, FULL["meta"]),
        (prompt.examples, FULL["examples"]),
        (prompt.labels, {"latest": 1, "production": 1}),
        (prompt.variables[0].default, [{"k": [1]}]),
    ):
        assert held == plain
        assert plain == held
    for held in (prompt.config, prompt.meta, prompt.examples, prompt.labels, prompt.tags, prompt.variables[0].default):
        assert json.loads(json.dumps(held)) == held
    assert sorted(prompt.tags) == ["a", "b"]
    assert isinstance(prompt.config, dict)
    assert isinstance(prompt.config["stop"], list)


def test_values_dump_as_json_and_have_a_schema(full):
    """Every value dumps to JSON from which an equal value can be created, and has a docstring and a JSON schema."""
    for value in every_value(full):
        if not isinstance(value, pydantic.BaseModel):
            continue
        kind = type(value)
        dumped = value.model_dump(mode="json")
        assert json.loads(json.dumps(dumped)) == dumped == json.loads(value.model_dump_json())
        assert set(kind.model_fields) <= set(dumped)
        assert kind.model_validate(dumped) == value
        assert kind.model_validate_json(value.model_dump_json()) == value
        for mode in ("validation", "serialization"):
            schema = kind.model_json_schema(mode=mode)
            assert set(kind.model_fields) <= set(schema["properties"])
            assert schema["description"]


def test_a_prompt_created_from_its_dump_renders_the_same(full):
    """A prompt that went through JSON still has its variables, and renders with their defaults."""
    prompt = full.get("full")
    assert Prompt.model_validate(prompt.model_dump(mode="json")).render() == prompt.render()


def test_a_prompt_created_from_its_dump_keeps_its_declarations(full):
    """A default of None and no default remain different in JSON and Python dumps, and each renders like the prompt."""
    declared = [{"name": "a", "default": None}, {"name": "b", "required": False}, {"name": "c", "type": "string"}]
    prompt = full.create("p", "{{ a }} {{ b | default('B') }} {{ c }}", variables=declared)
    for made in (
        Prompt.model_validate(prompt.model_dump()),
        Prompt.model_validate_json(prompt.model_dump_json()),
        pickle.loads(pickle.dumps(prompt)),
    ):
        assert made == prompt
        assert made.render(c="C").text == "None B C"
        assert [v.model_fields_set for v in made.declared_variables] == [
            {"name", "type", "default"},
            {"name", "type", "required"},
            {"name", "type"},
        ]
        with pytest.raises(promptreg.MissingVariablesError):
            made.render()
        assert full.save("p", made.template, variables=made.declared_variables).version == 1
    assert prompt.model_dump(mode="json")["declared_variables"] == [
        {"name": "a", "type": "any", "default": None},
        {"name": "b", "type": "any", "required": False},
        {"name": "c", "type": "string"},
    ]


def test_values_compare_by_value_hash_and_pickle(full):
    """Equal content is equal and hashes alike, through a pickle, a copy or a second read; a change differs."""
    again = every_value(full)
    for value, other in zip(every_value(full), again, strict=True):
        for same in (other, copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
            assert type(same) is type(value)
            assert same == value
            assert hash(same) == hash(value)
        assert value != object()
        assert len({value, other}) == 1
    before = full.get("full")
    full.update("full", title="Other")
    assert full.get("full") != before
    assert full.get("full@1") != before  # as the container has changed
    full.set_label("full", "x", 2)
    assert full.get("full").labels["x"] == 2


def test_what_a_verb_returns_equals_what_get_returns(registry):
    """A verb returns the prompt that the next read of that version returns."""
    grants = [("user:zoe", "write"), ("group:a", "read"), ("anyone", "read")]
    for call in (
        lambda: registry.create("p", "one {{ x }}", **{**FULL, "access_grants": grants, "tags": ["z", "a", "m"]}),
        lambda: registry.update("p", template="two {{ x }}", tags=["y", "b"]),
        lambda: registry.update("p", access_grants=[*reversed(grants), ("user:bo", "read")], commit_message="More"),
        lambda: registry.update("p", new_name="p2"),
        lambda: registry.update("p2", template="draft", is_production=False),
        lambda: registry.update("p2@5", meta={"b": 1, "a": 2}),
        lambda: registry.save("p2", "two {{ x }}"),
        lambda: registry.set_label("p2", "b", 1),
        lambda: registry.set_label("p2", "a", 1),
        lambda: registry.remove_label("p2", "b"),
        lambda: registry.discard("p2"),
        lambda: registry.publish("p2", 1),
        lambda: registry.rollback("p2", reason="x"),
        lambda: registry.archive("p2"),
        lambda: registry.restore("p2"),
    ):
        given_back = call()
        assert given_back == registry.get(given_back.id, version=given_back.version)
    assert registry.list().items == [registry.get("p2")] == registry.search("two")


@pytest.mark.parametrize(
    "grants", [[("user:a", "write")], [("user:a", "read"), ("user:a", "write"), ("anyone", "read")]]
)
def test_grants_are_returned_as_passed(registry, grants):
    """Each principal has the widest of its grants, whether they are pairs, mappings or Grants."""
    expected = {Grant(*grant) for grant in grants if grant != ("user:a", "read")}
    for n, given_grants in enumerate(
        (grants, [Grant(*g) for g in reversed(grants)], [{"principal": p, "permission": x} for p, x in grants])
    ):
        assert set(registry.create(f"p{n}", "x", access_grants=given_grants).access_grants) == expected
        assert set(registry.get(f"p{n}").access_grants) == expected


def test_a_pickled_prompt_and_rendered_keep_working(full):
    """After a pickle a prompt still renders with its declared variables, and its content is still read-only."""
    full.create("chat", CHAT, variables=[{"name": "x", "default": "d"}, {"name": "h", "default": []}])
    for name in ("full", "chat"):
        prompt = pickle.loads(pickle.dumps(full.get(name)))
        assert prompt.render() == full.render(name)
        rendered = pickle.loads(pickle.dumps(full.render(name)))
        assert (rendered.text, rendered.messages) == (full.render(name).text, full.render(name).messages)
        assert rendered.prompt == full.get(name)
        for container in containers(prompt):
            with pytest.raises(TypeError):
                container.clear()


def test_a_disabled_prompt_value_refuses_to_render(full):
    """`prompt.render` renders exactly its version, whatever happened since, unless the value is disabled."""
    old = full.get("full")
    full.update("full", template="New")
    assert old.render().text == "Text [{'k': [1]}]"
    full.set_status("full", "disabled")
    assert (old.is_active, old.render().version) == (True, 1)
    for disabled in (full.get("full"), full.get("full@1"), pickle.loads(pickle.dumps(full.get("full")))):
        assert (disabled.status, disabled.is_active) == ("disabled", False)
        with pytest.raises(promptreg.PromptDisabledError) as caught:
            disabled.render()
        assert caught.value.details == {"name": "full"}


def test_a_disabled_value_and_its_copy_through_json_refuse_to_render(full):
    """`is_disabled` is true of a disabled prompt, and of one that was archived while disabled; each copy keeps it."""
    assert (full.get("full").is_disabled, full.archive("full").is_disabled) == (False, False)
    full.restore("full")
    full.set_status("full", "disabled")
    disabled = full.get("full")
    archived = full.archive("full")
    for prompt, status, advice in (
        (disabled, "disabled", "'full' is disabled, so it does not render; enable() it."),
        (archived, "archived", "restore() it, then enable() it."),
    ):
        for made in (
            prompt,
            Prompt.model_validate(prompt.model_dump()),
            Prompt.model_validate_json(prompt.model_dump_json()),
            pickle.loads(pickle.dumps(prompt)),
            copy.deepcopy(prompt),
        ):
            assert made == prompt
            assert (made.status, made.is_disabled, made.is_active) == (status, True, False)
            with pytest.raises(promptreg.PromptDisabledError) as caught:
                made.render()
            assert caught.value.message.endswith(advice)
    with pytest.raises(promptreg.PromptDisabledError) as caught:
        full.render("full")
    assert "archived while it was disabled" in caught.value.message
    assert (full.restore("full").status, full.get("full").is_disabled) == ("disabled", True)
    full.set_status("full", "active")
    assert (full.get("full").is_disabled, full.render("full").version) == (False, 1)


def test_rendered_messages_are_fresh(full):
    """Each read of `messages` returns a new list of new dicts, so that changing one affects nothing else."""
    full.create("chat", CHAT)
    history = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    for rendered in (full.render("full"), full.render("chat", x=1, h=history)):
        first = rendered.messages
        expected = copy.deepcopy(first)
        first[0]["role"] = "hacked"
        if isinstance(first[-1]["content"], list):
            first[-1]["content"][0]["text"] = "hacked"
        first.clear()
        assert rendered.messages == expected
        assert rendered.messages is not rendered.messages
    assert history == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert not hasattr(rendered, "__dict__")


def test_a_prompt_has_the_fields_of_the_container_and_of_the_version(registry, clock):
    """Times are aware UTC, ids are UUID version 7."""
    ana = registry.scope(actor=Actor("ana", Role.TEAM_ADMIN))
    made = ana.create("p", "one", commit_message="First")
    assert (made.name, made.namespace, made.status, made.is_active) == ("p", "default", "active", True)
    assert (made.production_version, made.latest_version, made.labels) == (1, 1, {"latest": 1, "production": 1})
    assert (made.version, made.state, made.kind, made.base_version, made.failure) == (
        1,
        "published",
        "text",
        None,
        None,
    )
    assert (made.created_by, made.author, made.commit_message, made.title) == ("ana", "ana", "First", "p")
    assert (made.description, made.category, made.tags, made.config, made.meta, made.examples) == (
        "",
        "",
        [],
        {},
        {},
        [],
    )
    draft = registry.update("p", template="two", is_production=False)
    assert (draft.created_by, draft.author, draft.base_version) == ("ana", None, 1)
    assert (draft.state, draft.published_at) == ("draft", None)
    for prompt in (made, draft, registry.get("p")):
        assert UUID(prompt.id).version == 7
        assert prompt.id == made.id == str(UUID(prompt.id))
        times = [
            prompt.created_at,
            prompt.updated_at,
            prompt.version_created_at,
            prompt.published_at or made.published_at,
        ]
        assert all(isinstance(at, datetime) and at.utcoffset() == timedelta(0) for at in times)
        assert all(datetime(2026, 1, 1, tzinfo=UTC) < at <= clock.now for at in times)
    assert made.created_at == draft.created_at < draft.version_created_at == draft.updated_at


def test_times_are_utc_whatever_the_zone_of_the_clock(path):
    """A time of another zone is stored as the same time in UTC, to the microsecond."""
    moment = datetime(2024, 2, 29, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    with Registry(path, clock=lambda: moment) as registry:
        made = registry.create("p", "x")
    with Registry(path) as registry:
        for at in (
            made.created_at,
            registry.get("p").updated_at,
            registry.get("p").published_at,
            registry.events()[0].at,
        ):
            assert (at, at.utcoffset()) == (moment, timedelta(0))
        assert registry.get("p") == made


def test_ids_are_unique_and_by_time(registry):
    """Two prompts never share an id, and a later id has no earlier time."""
    ids = [registry.create(f"p{i}", "x").id for i in range(20)]
    assert len(set(ids)) == 20
    stamps = [UUID(i).int >> 80 for i in ids]
    assert stamps == sorted(stamps)
    assert {UUID(i).variant for i in ids} == {"specified in RFC 4122"}


def expected_hash(prompt, declared):
    """Compute `content_hash` by its definition."""
    content = {
        name: getattr(prompt, name) for name in ("kind", "template", "config", "title", "description", "category")
    }
    content |= {"variables": declared, "tags": sorted(prompt.tags), "meta": prompt.meta, "examples": prompt.examples}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def test_content_hash_is_of_the_whole_content(full):
    """The hash is the SHA-256 of the canonical JSON of the defined fields, for text and for chat."""
    prompt = full.get("full")
    assert prompt.content_hash == expected_hash(prompt, FULL["variables"])
    chat = full.create("chat", CHAT, title="é", config={"z": 1, "a": {"c": 1.0, "b": "\u2028"}})
    assert chat.content_hash == expected_hash(chat, []) == full.history("chat")[0].content_hash


def test_content_hash_covers_content_alone(full):
    """Tags are a set, keys have no order; message, grants, label, status and name are not content."""
    first = full.get("full").content_hash
    assert (
        full.create("same", "Text {{ x }}", **{**FULL, "tags": ["a", "b"], "access_grants": ()}).content_hash == first
    )
    config = {"nested": CONFIG["nested"], "stop": CONFIG["stop"], "model": "m"}
    assert full.update("full", config=config, tags={"a", "b"}, commit_message="Other").version == 1
    assert full.update("full", new_name="renamed").content_hash == first
    changes = {
        "template": "T",
        "title": "T",
        "description": "T",
        "category": "T",
        "tags": ["a"],
        "variables": None,
        "config": {**CONFIG, "model": "n"},
        "meta": None,
        "examples": [],
    }
    hashes = {
        full.update("renamed", **{name: value}, is_production=False).content_hash for name, value in changes.items()
    }
    assert len(hashes | {first}) == 10


@settings(max_examples=50)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text('aé\u2028"\\ 😀'),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aé "), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_json_is_returned_unchanged(memory, value):
    """Any JSON in a config is returned equal, with the same types, and hashed as defined."""
    prompt = memory.save("p", "x", config={"v": value})
    assert json.dumps(memory.get("p").config["v"]) == json.dumps(value)
    assert prompt.content_hash == expected_hash(prompt, [])


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, shared by the examples of a property."""
    with Registry(":memory:") as opened:
        yield opened


def test_diff_is_unified_and_of_the_whole_snapshot(full):
    """First come the template's lines, then the other fields as JSON; the diff of equal versions is empty."""
    full.update("full", template="Text\nmore {{ x }}", title="New title", tags=["c"])
    shown = full.diff("full", 1, 2)
    assert shown.splitlines()[0].startswith("---")
    assert shown.splitlines()[1].startswith("+++")
    removed = [line[1:].strip(' ,"') for line in shown.splitlines()[2:] if line.startswith("-")]
    added = [line[1:].strip(' ,"') for line in shown.splitlines()[2:] if line.startswith("+")]
    assert removed[0] == "Text {{ x }}"
    assert added[:2] == ["Text", "more {{ x }}"]
    assert 'title": "Full ☕' in removed
    assert 'title": "New title' in added
    assert {"a", "b"} <= set(removed)
    assert "c" in added
    assert full.diff("full", 1, 1) == full.diff("full", "production", 2) == ""
    back = full.update("full", template="Text {{ x }}", title="Full ☕", tags=["a", "b"])
    assert full.diff("full", 1, back.version) == ""
    swapped = full.diff("full", 2, 1)
    assert sorted(line[1:] for line in swapped.splitlines()[2:] if line.startswith("+")) == sorted(
        line[1:] for line in shown.splitlines()[2:] if line.startswith("-")
    )


def test_a_prompt_that_is_rendered_again_takes_the_fast_path(registry, monkeypatch):
    """The first render finds the fast path; values that it does not support take the slow path."""
    prompt = registry.create("p", "Hello {{ name }}")
    assert prompt.render(name="Ana").text == "Hello Ana"
    with monkeypatch.context() as patch:
        patch.setattr(Prompt, "_render", lambda *_, **__: pytest.fail("the slow path"))
        assert prompt.render(name="Bo").text == prompt.render({"name": "Bo"}).text == "Hello Bo"
    assert prompt.render(name=[1]).text == "Hello [1]"


def test_a_rendered_is_not_a_text_and_defers_comparison_to_others(registry):
    """It equals no text, and equals an object whose comparison returns so."""
    registry.create("p", "Hello")
    rendered = registry.render("p")
    assert (rendered == "Hello") is False
    assert rendered == ANY


def test_a_disabled_prompt_created_from_its_dump_does_not_render(registry):
    """A prompt from JSON behaves as the registry's: extra variables are ignored, and a disabled one refuses."""
    registry.create("p", "Hello {{ name }}")
    assert (
        Prompt.model_validate_json(registry.get("p").model_dump_json()).render(name="Ana", more=1).text == "Hello Ana"
    )
    registry.set_status("p", "disabled")
    with pytest.raises(PromptDisabledError):
        Prompt.model_validate_json(registry.get("p").model_dump_json()).render(name="Ana")


WHOLE_DIFF = """\
--- x@1
+++ x@2
@@ -1,19 +1,20 @@
 one
-two {{ a }}
+three {{ a }}
 last
+
 {
   "category": "",
   "config": {
-    "n": 1
+    "m": null,
+    "n": 2
   },
   "description": "Ein Gruß",
   "examples": [],
   "kind": "text",
   "meta": {},
   "tags": [
-    "a",
-    "b"
+    "a"
   ],
-  "title": "x",
+  "title": "Neu",
   "variables": []
 }"""
CHAT_DIFF = """\
--- x@2
+++ x@3
@@ -1,7 +1,9 @@
+## system
 one
-three {{ a }}
-last
-
+three
+## placeholder history
+## user
+{{ a }}
 {
   "category": "",
   "config": {
@@ -10,7 +12,7 @@
   },
   "description": "Ein Gruß",
   "examples": [],
-  "kind": "text",
+  "kind": "chat",
   "meta": {},
   "tags": [
     "a\""""


def test_a_diff_is_this_text(registry):
    """It has both names, the template's lines, an added trailing newline, and every other field, sorted."""
    registry.create("x", "one\ntwo {{ a }}\nlast", tags=["b", "a"], config={"n": 1}, description="Ein Gruß")
    registry.update("x", template="one\nthree {{ a }}\nlast\n", tags=["a"], config={"n": 2, "m": None}, title="Neu")
    messages = [{"role": "system", "content": "one\nthree"}, {"placeholder": "history"}]
    registry.update("x", template=[*messages, {"role": "user", "content": "{{ a }}"}])
    assert registry.diff("x", 1, 2) == WHOLE_DIFF
    assert registry.diff("x", 2, 3) == CHAT_DIFF


def test_diff_of_chat_has_a_line_for_each_role(registry):
    """`## role` is before each message, and a change of only a role or a newline is visible."""
    registry.create("p", [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}])
    registry.update("p", template=[{"role": "system", "content": "S"}, {"role": "assistant", "content": "U"}])
    registry.update("p", template=[{"role": "system", "content": "S"}, {"role": "assistant", "content": "U\n"}])
    registry.update("p", template=[{"role": "system", "content": "S"}, {"placeholder": "history"}])
    registry.update("p", template="## system\nS")
    lines = registry.diff("p", 1, 2).splitlines()
    assert {" ## system", "-## user", "+## assistant", " U"} <= set(lines)
    assert all(registry.diff("p", n, n + 1) for n in range(1, 5))
    assert "history" in registry.diff("p", 3, 4)


def test_small_values_accept_positional_arguments_too():
    """Roles and permissions may be plain texts; bad ones are `InvalidInputError`."""
    assert Actor("ana", "team_editor", ["g"]) == Actor(id="ana", role=Role.TEAM_EDITOR, groups=("g",))
    assert Grant("anyone", "read") == Grant(principal="anyone", permission="read")
    assert Variable(name="x", type="integer").required is True
    for call in (
        lambda: Variable(name=3),
        lambda: Variable(name="x", type="str"),
        lambda: Variable(name="x", default=float("nan")),
        Variable,
    ):
        with pytest.raises(InvalidInputError) as caught:
            call()
        assert caught.value.code == "validation_error"
