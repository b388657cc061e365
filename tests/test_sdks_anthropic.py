"""`Rendered.anthropic`: messages as `client.messages.create` takes them. The slow tests ask the package itself."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptreg import InvalidInputError
from tests.sdk_chats import CHATS
from tests.sdk_renders import (
    CALL,
    CUSTOM_CALL,
    DATA,
    HI,
    Renders,
    call,
    file,
    flaws,
    image,
    named,
    renders,
    result,
    text,
)
from tests.sdk_server import ANSWER, Server, serving
from tests.sdk_types import Strict

CONFIG = {"model": "m", "max_tokens": 5}
EPHEMERAL = {"type": "ephemeral"}
TOOL_USE = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"place": "Kyoto"}}


def result_block(id_: str, **more: Any) -> dict[str, Any]:
    """Return the block of a tool's result."""
    return {"type": "tool_result", "tool_use_id": id_, **more}


BASE64 = {"type": "base64", "media_type": "image/png", "data": DATA}
PDF = {"type": "base64", "media_type": "application/pdf", "data": DATA}
PDF_DATA = base64.b64encode(b"%PDF-1.7").decode()
PLAIN = {"type": "text", "media_type": "text/plain", "data": "data"}
UMLAUT = {"type": "text", "media_type": "text/plain", "data": "ü"}
LINK = {"type": "url", "url": "https://a.org/b"}

PARTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (text("x"), text("x")),
    (image("https://a.org/b"), {"type": "image", "source": LINK}),
    (image(f"data:image/png;base64,{DATA}"), {"type": "image", "source": BASE64}),
    (image(f"DATA:image/jpg;base64,{DATA}"), {"type": "image", "source": {**BASE64, "media_type": "image/jpeg"}}),
    (image("data:image/png,data"), {"type": "image", "source": BASE64}),
    (image(f"data:image/png;base64,{DATA[:4]}\n{DATA[4:].replace('=', '%3D')}\n"), {"type": "image", "source": BASE64}),
    (file(file_data=f"data:application/pdf;base64,{DATA}"), {"type": "document", "source": PDF}),
    (file(file_data=DATA, filename="a.pdf"), {"type": "document", "source": PDF, "title": "a.pdf"}),
    (file(file_data=PDF_DATA), {"type": "document", "source": {**PDF, "data": PDF_DATA}}),
    (file(file_data=DATA, filename="a.md"), {"type": "document", "source": PLAIN, "title": "a.md"}),
    (file(file_data="data:text/csv;charset=utf-8,%C3%BC"), {"type": "document", "source": UMLAUT}),
    (file(file_data="data:,data"), {"type": "document", "source": PLAIN}),
    (file(file_data=DATA, filename="a.PNG"), {"type": "image", "source": BASE64}),
    (file(file_url="https://a.org/b"), {"type": "document", "source": LINK}),
    (file(file_id="file-1"), {"type": "document", "source": {"type": "file", "file_id": "file-1"}}),
    (file(file_id="file-1", filename="a.png"), {"type": "image", "source": {"type": "file", "file_id": "file-1"}}),
]
"""Parts of a template, each with the block that it becomes."""

OWN: list[dict[str, Any]] = [
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "s"}, text("Hi"), TOOL_USE]},
    {"role": "user", "content": [result_block("c1", content=[text("x")], is_error=True), text("y", citations=None)]},
    {"role": "user", "content": [{"type": "image", "source": LINK, "cache_control": EPHEMERAL}]},
    {"role": "assistant", "content": "Hi"},
]
"""Messages in Anthropic's own shape."""


@pytest.fixture(scope="module")
def make() -> Iterator[Renders]:
    """What makes renders."""
    with renders() as made:
        yield made


def sent(make: Renders, *messages: Any) -> list[Any]:
    """Return what messages of a template become, after a user's message, which keeps them from leading."""
    return list(make.of([HI, *messages]).anthropic()["messages"][1:])


def refused(make: Renders, *messages: Any) -> list[tuple[str, str]]:
    """Return what is wrong with messages that a placeholder brings."""
    return flaws(make.history(*messages).anthropic)


# System messages


def test_leading_system_and_developer_messages_are_the_system_prompt(make: Renders) -> None:
    """It is a list of text blocks, in their order, whether the content was a text or parts."""
    chat = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [text("b"), text("c")]},
        HI,
    ]
    assert make.of(chat).anthropic() == {"system": [text("a"), text("b"), text("c")], "messages": [HI]}


def test_later_system_messages_stay_where_they_are(make: Renders) -> None:
    """Developer messages are system messages there too."""
    later = [{"role": "system", "content": "a"}, {"role": "developer", "content": [text("b")]}]
    assert make.of([HI, *later]).anthropic() == {
        "messages": [HI, {"role": "system", "content": "a"}, {"role": "system", "content": [text("b")]}]
    }


def test_without_a_system_message_there_is_no_such_key(make: Renders) -> None:
    """Neither has a text prompt one, nor a chat whose system messages are blank."""
    assert make.of("Hi").anthropic() == {"messages": [HI]}
    assert make.of([{"role": "system", "content": "{{ x }}"}, HI], x=" \n").anthropic() == {"messages": [HI]}


def test_a_system_message_alone_leaves_the_messages_to_the_caller(make: Renders) -> None:
    """The list is empty, and may be appended to."""
    arguments = make.of([{"role": "system", "content": "a"}]).anthropic()
    assert arguments == {"system": [text("a")], "messages": []}


# Contents


def test_a_text_stays_a_text(make: Renders) -> None:
    """That of a user and that of an assistant."""
    messages = [{"role": "assistant", "content": "Hello"}, HI]
    assert sent(make, *messages) == messages


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_a_part_becomes_a_block(make: Renders, number: int) -> None:
    """An image or a document, with data, at a URL or in a file that Anthropic holds; `detail` has no counterpart."""
    part, block = PARTS[number]
    assert sent(make, {"role": "user", "content": [part]}) == [{"role": "user", "content": [block]}]


def test_an_image_or_a_file_of_an_assistant_is_an_error(make: Renders) -> None:
    """In either shape: the API permits none in an assistant's turns, though its types do."""
    own = {"type": "document", "source": LINK}
    parts = [text("x"), image("https://a.org/b"), file(file_id="file-1"), own]
    assert [field for field, _ in refused(make, HI, {"role": "assistant", "content": parts}, HI)] == [
        f"message 2 of 3, part {number}, type" for number in (2, 3, 4)
    ]


def test_a_blank_part_is_left_out(make: Renders) -> None:
    """Anthropic refuses it, and a template has no other way to leave a part out."""
    chat = [{"role": "user", "content": [text("{{ note }}"), image("https://a.org/b")]}]
    (message,) = make.of(chat, note="\n").anthropic()["messages"]
    assert message == {"role": "user", "content": [{"type": "image", "source": LINK}]}


# Tools


def test_tool_calls_become_blocks_after_the_text(make: Renders) -> None:
    """Their arguments are an object; a blank text is no block."""
    calls = [CALL, call("c2", "{}")]
    blocks = [TOOL_USE, {"type": "tool_use", "id": "c2", "name": "f", "input": {}}]
    said = {"role": "assistant", "content": "Look", "tool_calls": calls}
    assert sent(make, said) == [{"role": "assistant", "content": [text("Look"), *blocks]}]
    for content in ("", None, [text("")]):
        assert sent(make, {**said, "content": content}) == [{"role": "assistant", "content": blocks}]


def test_the_results_of_one_turn_are_one_message(make: Renders) -> None:
    """A user's message that follows stays apart: Anthropic joins them, and takes results only before texts."""
    calls = {"role": "assistant", "tool_calls": [call("a"), call("b")]}
    parts = [text("x"), image("https://a.org/b")]
    assert sent(make, calls, result("a"), result("b", parts), HI, calls, result("a", ""))[1:] == [
        {
            "role": "user",
            "content": [
                result_block("a", content="Rain"),
                result_block("b", content=[text("x"), {"type": "image", "source": LINK}]),
            ],
        },
        HI,
        sent(make, calls)[0],
        {"role": "user", "content": [result_block("a")]},
    ]


def test_arguments_that_are_an_object_already_are_taken(make: Renders) -> None:
    """Some libraries have read them."""
    (message,) = make.history({"role": "assistant", "tool_calls": [call("a", {"x": [1]})]}).anthropic()["messages"]
    assert message["content"][0]["input"] == {"x": [1]}


def test_missing_ids_and_names_are_errors_all_at_once(make: Renders) -> None:
    """So are calls of another form, contents, and what does not go with the role."""
    nameless = {"id": "c", "type": "function", "function": {"name": "", "arguments": "[]"}}
    assert [
        field
        for field, _ in refused(
            make,
            {"role": "assistant", "tool_calls": [call(None), nameless, CUSTOM_CALL, 1]},
            {"role": "tool", "content": [text(1)]},
            {"role": "user", "content": "x", "tool_calls": [CALL]},
            {"role": "user", "content": "x", "tool_call_id": "c1"},
            {"role": "assistant", "content": "x", "tool_calls": 1},
        )
    ] == [
        "message 1 of 5, tool call 1, id",
        "message 1 of 5, tool call 2, function.name",
        "message 1 of 5, tool call 2, function.arguments",
        "message 1 of 5, tool call 3, type",
        "message 1 of 5, tool call 4",
        "message 2 of 5, part 1, text",
        "message 2 of 5, tool_call_id",
        "message 3 of 5, tool_calls",
        "message 4 of 5, tool_call_id",
        "message 5 of 5, tool_calls",
    ]
    assert named(make.history({"role": "assistant", "tool_calls": [call(None)] * 2}).anthropic) == [
        "message 1 of 1, tool call 1, id",
        "message 1 of 1, tool call 2, id",
    ]


# Cache marks


def test_a_cache_mark_is_on_the_last_block_of_the_message(make: Renders) -> None:
    """A text becomes a block for it; in the system prompt, in a message, on a call and on a result."""
    chat = [
        {"role": "system", "content": "a", "cache": True},
        {"role": "user", "content": [text("b"), text("c"), text("")], "cache": True},
        {"role": "assistant", "content": "d", "tool_calls": [CALL], "cache": True},
        {**result("c1"), "cache": True},
    ]
    assert make.of(chat).anthropic() == {
        "system": [text("a", cache_control=EPHEMERAL)],
        "messages": [
            {"role": "user", "content": [text("b"), text("c", cache_control=EPHEMERAL)]},
            {"role": "assistant", "content": [text("d"), {**TOOL_USE, "cache_control": EPHEMERAL}]},
            {"role": "user", "content": [result_block("c1", content="Rain", cache_control=EPHEMERAL)]},
        ],
    }


def test_marks_of_the_config_and_of_passed_blocks_count(make: Renders) -> None:
    """Anthropic counts those of tools, of the request and of blocks within blocks; each message too many is named."""
    marked = {"role": "user", "content": "x", "cache": True}
    inner = result_block("a", content=[text("x", cache_control=EPHEMERAL)])
    history = [{"role": "user", "content": [inner, text("y", cache_control=EPHEMERAL)]}]
    config = {"tools": [{"name": "f", "input_schema": {}, "cache_control": EPHEMERAL}]}
    template = [{"placeholder": "history"}, marked]
    assert make.of(template, config, history=history).anthropic()
    rendered = make.of([*template, HI, marked], config, history=history)
    assert named(rendered.anthropic) == ["message 4 of 4, cache"]
    assert named(rendered.anthropic, cache_control=EPHEMERAL) == ["message 2 of 4, cache", "message 4 of 4, cache"]
    assert rendered.anthropic(tools=None)


# Names, and messages of other shapes


def test_names_are_left_out(make: Renders) -> None:
    """Anthropic has none."""
    assert sent(make, {**HI, "name": "ana"}) == [HI]


def test_what_is_in_the_shape_of_anthropic_passes_unchanged(make: Renders) -> None:
    """So do blocks of types that are not known here."""
    later = {"role": "user", "content": [{"type": "something_new", "x": 1}]}
    assert make.history(*OWN, later).anthropic()["messages"] == [*OWN, later]


def test_of_a_whole_answer_the_role_and_the_content_are_sent(make: Renders) -> None:
    """The API takes none of its other fields."""
    answer = {"id": "m", "type": "message", "model": "c", "stop_reason": "tool_use", "usage": {"input_tokens": 1}}
    assert make.history({**answer, **OWN[0]}).anthropic()["messages"] == [OWN[0]]


def test_an_answer_of_chat_completions_is_converted(make: Renders) -> None:
    """Its empty fields count as absent, and a refusal is what it said."""
    empty = {"annotations": [], "audio": None, "function_call": None, "tool_calls": None, "extra": {}}
    answers = [
        {"role": "assistant", "content": "Hi", "refusal": None, **empty},
        {"role": "assistant", "content": None, "refusal": "No", **empty},
    ]
    assert make.history(HI, *answers).anthropic()["messages"][1:] == [
        {"role": "assistant", "content": "Hi"},
        {"role": "assistant", "content": "No"},
    ]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "model", "parts": [{"text": "x"}]}, ", role"),
        ({"role": "function", "name": "f", "content": "x"}, ", role"),
        ({"type": "reasoning", "id": "r", "summary": []}, ", role"),
        ({"role": "user", "content": "x", "secret": 1}, ""),
        ({"role": "assistant", "content": None, "audio": {"id": "a"}}, ""),
    ],
)
def test_what_can_not_be_a_message_of_anthropic_is_an_error(make: Renders, message: Any, field: str) -> None:
    """It names the message, and quotes nothing of it."""
    ((found, reason),) = refused(make, HI, message, HI)
    assert found == f"message 2 of 3{field}"
    assert "secret" not in reason


# The package itself, whose import takes seconds

CALLED = {"role": "assistant", "tool_calls": [CALL, call("c2", {"x": [None]})]}
MARKED = {"role": "user", "content": [part for part, _ in PARTS], "cache": True}
WHOLE: list[Any] = [
    {"role": "system", "content": "Be brief.", "cache": True},
    {"role": "developer", "content": [text("Use the tools.")]},
    MARKED,
    {**CALLED, "content": "Look"},
    result("c1"),
    result("c2", [text("x"), image("https://a.org/b"), file(file_data="data:,x")]),
    {"role": "system", "content": "Later"},
    {"placeholder": "history"},
    {**HI, "cache": True},
]
"""A template of all shapes there are."""


@pytest.fixture(scope="module")
def strict() -> Strict:
    """Return the type of the arguments, as the package declares it."""
    params = pytest.importorskip("anthropic.types.message_create_params", reason="needs the package anthropic")
    return Strict(params.MessageCreateParamsNonStreaming)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return a server that records what arrives."""
    with serving() as server:
        yield server


@pytest.mark.slow
def test_the_types_of_the_package_take_every_shape(make: Renders, strict: Strict) -> None:
    """Its `TypedDict`s name every key, at every depth."""
    whole = make.of(WHOLE, CONFIG, history=OWN).anthropic()
    strict.require(whole)
    roles = ["user", "assistant", "user", "system", *(message["role"] for message in OWN), "user"]
    assert [message["role"] for message in whole["messages"]] == roles
    strict.require(make.of("Hi", CONFIG).anthropic(stop_sequences=["x"]))
    with pytest.raises(ValueError, match="extra"):
        strict.require({**whole, "messages": [{**HI, "name": "ana"}]})


@pytest.mark.slow
def test_the_client_sends_what_is_returned(make: Renders, server: Server) -> None:
    """The body that arrives is the arguments themselves, and the answer may be passed to a placeholder."""
    anthropic = pytest.importorskip("anthropic", reason="needs the package anthropic")
    with anthropic.Anthropic(base_url=server.anthropic, api_key="k", max_retries=0) as client:
        arguments = make.of(WHOLE, CONFIG, history=OWN).anthropic(stop_sequences=["x"])
        answer = client.messages.create(**arguments)
        assert server.sent() == arguments
        again = make.of(WHOLE, CONFIG, history=[answer, {"role": "assistant", "content": answer.content}]).anthropic()
        client.messages.create(**again)
    assert server.sent() == again
    assert again["messages"][4:6] == [{"role": "assistant", "content": [text(ANSWER)]}] * 2


@pytest.mark.slow
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(chat=CHATS, x=st.sampled_from(["", "x", "QUJD", "https://a.org/c.webp"]))
def test_whatever_a_template_holds_is_taken_or_refused(make: Renders, strict: Strict, chat: Any, x: str) -> None:
    """The types take what is returned; all else is `InvalidInputError`, which names a message."""
    rendered = make.of(chat, CONFIG, x=x)
    try:
        arguments = rendered.anthropic()
    except InvalidInputError:
        assert all(field.startswith("message ") for field in named(rendered.anthropic))
    else:
        strict.require(arguments)
