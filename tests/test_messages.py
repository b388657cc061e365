"""The messages of a chat: those of a template and those of a placeholder (rule 20, "Chat messages")."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

import pytest
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field, RootModel

from promptreg import InvalidInputError, InvalidVariablesError, Registry, RenderError
from promptreg.rules import messages as reading


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, shared by tests that each use other prompts."""
    with Registry(":memory:") as opened:
        yield opened


def render(registry, template, variables=None):
    """Save a template as `t` and render it."""
    registry.save("t", template)
    return registry.render("t", variables)


# The messages of a template


def test_a_message_of_a_template_has_one_of_five_roles(memory):
    """Other roles are refused; the error names the message and the nearest role, and quotes nothing."""
    for role in ("system", "developer", "user", "assistant", "tool"):
        assert render(memory, [{"role": role, "content": "x"}]).messages == [{"role": role, "content": "x"}]
    for role, meant in (
        ("sytem", "system"),
        ("USER", "user"),
        ("asistant", "assistant"),
        ("developper", "developer"),
        ("", None),
        ("HIDDEN", None),
        ("{{ who_is_it }}", None),
        ("human" * 10_000, None),
    ):
        chat = [{"role": "user", "content": "x"}, {"role": role, "content": "x"}]
        for call in (memory.create, memory.save, lambda name, t: memory.render("none", default=t)):
            with pytest.raises(InvalidInputError) as caught:
                call("new", chat)
            (error,) = caught.value.details["errors"]
            hint = f"; did you mean {meant!r}?" if meant else ""
            assert error["field"] in {"template[1].role", "default[1].role"}
            assert error["reason"] == "must be one of system, developer, user, assistant, tool" + hint


def test_a_message_of_a_template_that_lacks_a_field_is_refused(memory):
    """The error names the message by its number, and the missing fields."""
    forms = '{"role", "content"} or {"placeholder"}'
    for message, reason in (
        ({"content": "x"}, f"has no role; it must be {forms}"),
        ({"role": "user"}, f"has no content; it must be {forms}"),
        ({"role": "user", "content": None}, f"has no content; it must be {forms}"),
        ({"role": "tool", "content": None, "tool_calls": [{"id": "1"}]}, f"has no content; it must be {forms}"),
        ({}, f"has no role and no content; it must be {forms}"),
        (3, f"must be {forms}, not int"),
        (None, f"must be {forms}, not NoneType"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            memory.create("new", [{"role": "user", "content": "x"}, message])
        assert caught.value.details["errors"] == [{"field": "template[1]", "reason": reason}]


def test_a_message_of_a_template_that_holds_something_else_is_refused(memory):
    """The error names the nearest field, and does not quote the one that is there."""
    known = "may hold nothing but role, content, name, tool_calls, tool_call_id, cache"
    for message, reason in (
        ({"role": "user", "content": "x", "nmae": "n"}, f"{known}; did you mean 'name'?"),
        ({"role": "user", "content": "x", "HIDDEN": 1, "toolcalls": []}, f"{known}; did you mean 'tool_calls'?"),
        ({"role": "user", "content": "x", 3: "n"}, known),
        ({"placeholder": "h", "role": "user"}, "may hold nothing but placeholder"),
        ({"placeholder": "h", "cache": True}, "may hold nothing but placeholder"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            memory.create("new", [{"role": "user", "content": "x"}, message])
        assert caught.value.details["errors"] == [{"field": "template[1]", "reason": reason}]


def test_an_old_version_with_a_role_that_is_no_longer_accepted_still_renders(path, monkeypatch):
    """It can be live, rolled back to, and kept when other fields change."""
    chat = [{"role": "model", "content": "{{ x }}"}]
    with monkeypatch.context() as patch:
        patch.setattr(reading, "ROLES", ("model",))
        with Registry(path) as earlier:
            earlier.create("t", chat)
    with Registry(path) as registry:
        assert registry.render("t", x=1).messages == [{"role": "model", "content": "1"}]
        assert registry.update("t", title="T").template == chat
        assert registry.rollback("t", reason="x").render(x=2).messages == [{"role": "model", "content": "2"}]
        with pytest.raises(InvalidInputError):
            registry.update("t", template=chat)


# The messages of a placeholder


class Function(BaseModel):
    """A model in a model, some fields of which are left out."""

    name: str
    strict: bool | None = None
    arguments: str | None = None


class Call(BaseModel):
    """A tool call as an SDK returns it, with an aliased field and extra ones."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    id: str
    function: Function
    kind: str = Field(default="function", serialization_alias="type")
    index: int | None = None


class Answer(BaseModel):
    """A message of an assistant: its content, None included, is passed on to the API."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    at: datetime | None = None
    usage: dict[str, Any] | None = None


class Tone(StrEnum):
    """A text that is more than one."""

    KIND = "kind"


def test_a_placeholders_message_needs_no_content_and_may_have_any_shape(memory):
    """Tool calls without content, and the messages of other SDKs, are rendered unchanged."""
    history = [
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "assistant", "content": None},
        {"role": "user"},
        {"content": "x"},
        {"type": "human", "data": {"content": "x"}},
        {"role": "model", "parts": [{"text": "x"}]},
        {"role": "user", "content": {"type": "text", "text": "x"}},
        {},
    ]
    rendered = render(memory, [{"placeholder": "h"}], {"h": history})
    assert rendered.messages == history
    assert rendered.text == "x"


def test_a_placeholders_part_may_have_a_type_of_any_kind(memory):
    """It is passed on, and no text is read from it."""
    memory.create("kinds", [{"placeholder": "h"}])
    messages = [{"role": "user", "content": [{"type": kind, "text": "x"} for kind in (["text"], {"a": 1}, 1, None)]}]
    rendered = memory.render("kinds", h=messages)
    assert (rendered.messages, rendered.text) == (messages, "")


def test_a_placeholders_models_are_dumped_by_what_was_set_or_is_not_none(memory):
    """Models at any depth become plain JSON; None is kept if it was set, and other types become JSON types."""
    call = Call(id="1", function=Function(name="f", arguments=None), more=[Function(name="g")], none=None)
    history = [
        Answer(content=None, tool_calls=[call], at=datetime(2026, 1, 2, tzinfo=UTC)),
        Answer(usage={"a": None}),
        {"role": "assistant", "tool_calls": (call,), "tone": Tone.KIND, "n": [True, 1, 2.5, None]},
        RootModel[dict]({"role": "user", "content": Markup("<b>"), "x": None}),
    ]
    as_json = {
        "id": "1",
        "function": {"name": "f", "arguments": None},
        "kind": "function",
        "more": [{"name": "g"}],
        "none": None,
    }
    rendered = render(memory, [{"placeholder": "h"}], {"h": history})
    assert rendered.messages == [
        {"role": "assistant", "content": None, "tool_calls": [as_json], "at": "2026-01-02T00:00:00Z"},
        {"role": "assistant", "usage": {"a": None}},
        {"role": "assistant", "tool_calls": [as_json], "tone": "kind", "n": [True, 1, 2.5, None]},
        {"role": "user", "content": "<b>", "x": None},
    ]
    assert json.loads(json.dumps(rendered.messages)) == rendered.messages
    assert {*map(type, leaves(rendered.messages))} == {str, int, float, bool, type(None)}


class Block(BaseModel):
    """A block of a message, of a class that others derive from."""

    type: str


class TextBlock(Block):
    """A block of one such class."""

    type: str = "text"
    text: str = Field(serialization_alias="body")
    note: str | None = None
    secret: str = Field("s", exclude=True)
    inner: list[Block] = []


class Blocks(BaseModel):
    """A message whose field declares the base class."""

    role: str = "user"
    content: list[Block]


def test_a_model_passes_with_the_fields_of_its_own_class(memory):
    """Pydantic itself dumps no more than those of the class that the field declares."""
    block = TextBlock(text="x", inner=[TextBlock(text="y", note=None), Block(type="z")])
    inner = [{"type": "text", "text": "y", "note": None, "inner": []}, {"type": "z"}]
    rendered = render(memory, [{"placeholder": "h"}], {"h": [Blocks(content=[block])]})
    assert rendered.messages == [{"role": "user", "content": [{"type": "text", "text": "x", "inner": inner}]}]


class Parsed(BaseModel):
    """A text whose parsed form an SDK leaves out of what it sends, as the client of OpenAI says it."""

    text: str
    parsed: Any = None

    __api_exclude__ = {"parsed"}


class ParsedAnswer(BaseModel):
    """A message of such texts, which is asked for what to leave out of them."""

    content: list[Parsed]
    more: dict[str, int] = {}

    @property
    def __api_exclude__(self):
        return {"content": {i: {"parsed"} for i in range(len(self.content))}, "more": {"b"}}


def test_what_a_model_says_is_never_sent_is_left_out(memory):
    """It names fields, or a property says what is left out of their values; a name in plain data says nothing."""
    answer = ParsedAnswer(content=[Parsed(text="x", parsed=3)], more={"a": 1, "b": 2, "parsed": 3})
    kept = {"content": [{"text": "x"}], "more": {"a": 1, "parsed": 3}}
    rendered = render(memory, [{"placeholder": "h"}], {"h": [answer, {"content": [answer.content[0], {"parsed": 1}]}]})
    assert rendered.messages == [kept, {"content": [{"text": "x"}, {"parsed": 1}]}]


def leaves(value):
    """Yield every value that contains no other, and every key."""
    if type(value) is dict:
        return [leaf for item in value.items() for leaf in leaves(item)]
    return [leaf for item in value for leaf in leaves(item)] if type(value) in {list, tuple} else [value]


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (object(), "a value of type object"),
        (datetime(2026, 1, 2, tzinfo=UTC), "a value of type datetime"),
        (b"SECRET", "a value of type bytes"),
        ({"SECRET"}, "a value of type set"),
        (float("nan"), "NaN or an infinity"),
        ({3: "SECRET"}, "a key of type int"),
        (RootModel[float](float("inf")), "NaN or an infinity"),
    ],
)
def test_a_placeholders_message_may_contain_json_values_only(memory, held, found):
    """Any other value is reported by its type, with the number of the message, and not quoted."""
    history = [{"role": "user"}, {"role": "tool", "content": ["SECRET", held]}]
    with pytest.raises(InvalidVariablesError) as caught:
        render(memory, [{"placeholder": "h"}], {"h": history})
    reason = f"must be messages of JSON values, but [1] holds {found}"
    assert caught.value.details["errors"] == [{"field": "h", "reason": reason}]
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize("width", [1, 2])
def test_a_placeholders_messages_are_read_in_a_time_that_is_bounded(memory, width):
    """The time is bounded for deep messages, and for parts that are shared many times."""
    held = []
    for _ in range(80 if width == 1 else 50):
        held = [held] * width
    memory.save("t", [{"placeholder": "h"}])
    with pytest.raises(RenderError, match=r"64 levels|100,000 values"):
        memory.render("t", h=[{"role": "user", "content": held}])


def test_the_text_of_a_chat_is_that_of_its_contents_and_text_parts(memory):
    """They are joined by a blank line; a message without content adds nothing, and neither does an image."""
    parts = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "https://x"}},
        "plain",
        {"type": "input_text", "text": "there"},
        {"type": "reasoning", "text": "hm"},
        {"type": "text"},
        3,
    ]
    history = [{"role": "user", "content": parts}, {"role": "assistant", "content": None}, {"role": "assistant"}]
    history += [{"role": "user", "content": []}, {"role": "user", "content": ""}]
    rendered = render(memory, [{"role": "system", "content": "S"}, {"placeholder": "h"}], {"h": history})
    assert rendered.text == "S\n\nLook:\n\nplain\n\nthere\n\n"
    assert rendered.messages[1:] == history
