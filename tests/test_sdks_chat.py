"""`Rendered.openai`: messages as `client.chat.completions.create` takes them. The package's types are not imported."""

from collections.abc import Iterator
from typing import Any

import pytest

from promptreg import Rendered
from tests.sdk_renders import CALL, CUSTOM_CALL, HISTORY, Renders, flaws, named, places_of, renders

MARK = {"mode": "explicit"}
TEXT = {"type": "text", "text": "x"}
REFUSAL = {"type": "refusal", "refusal": "No"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aQ=="}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "aQ==", "format": "wav"}}
FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64,aQ==", "filename": "a.pdf"}}
UPLOADED = {"type": "file", "file": {"file_id": "file-1"}}

TAKEN: list[dict[str, Any]] = [
    {"role": "system", "content": "x"},
    {"role": "developer", "content": [TEXT, TEXT], "name": "ana"},
    {"role": "user", "content": "", "name": "ana"},
    {"role": "user", "content": [TEXT, IMAGE, AUDIO, FILE, UPLOADED]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}}]},
    {"role": "assistant", "content": "x", "tool_calls": [CALL, CUSTOM_CALL]},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "assistant", "content": [TEXT]},
    {"role": "tool", "content": [TEXT], "tool_call_id": "c1"},
]
"""Messages of templates and of placeholders alike."""

PASSED: list[dict[str, Any]] = [
    {"role": "assistant", "content": "x", "refusal": None},
    {"role": "assistant", "content": None, "refusal": "No"},
    {"role": "assistant", "content": [REFUSAL]},
    {"role": "assistant", "content": None, "audio": {"id": "a1"}},
    {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
    {"role": "function", "name": "f", "content": None},
    {"role": "user", "content": [{**TEXT, "prompt_cache_breakpoint": MARK}]},
]
"""What a placeholder brings besides, in this API's own shape."""


@pytest.fixture(scope="module")
def make() -> Iterator[Renders]:
    """What makes renders."""
    with renders() as made:
        yield made


@pytest.mark.parametrize("number", range(len(TAKEN)))
def test_a_message_of_a_template_passes_as_it_is(make: Renders, number: int) -> None:
    """Names, tool calls and parts of each type that a role takes are those of the template."""
    assert make.of([TAKEN[number]]).openai() == {"messages": [TAKEN[number]]}


def test_a_message_of_this_api_in_a_placeholder_passes_unchanged(make: Renders) -> None:
    """So do the older forms that the API still takes, and cache marks on its parts."""
    assert make.history(*TAKEN, *PASSED).openai() == {"messages": [*TAKEN, *PASSED]}


def test_fields_of_other_servers_pass_in_a_placeholder(make: Renders) -> None:
    """Servers that speak this API take more fields than OpenAI does, in messages and parts."""
    messages = [
        {"role": "assistant", "content": "x", "reasoning_content": "Hm", "annotations": []},
        {"role": "user", "content": [{**TEXT, "cache_control": {"type": "ephemeral"}}]},
    ]
    assert make.history(*messages).openai()["messages"] == messages


def test_what_the_types_do_not_allow_to_be_none_is_left_out(make: Renders) -> None:
    """A dumped model has it so; None stays where the types have it."""
    dumped = {"role": "assistant", "content": None, "refusal": "No", "tool_calls": None, "name": None, "audio": None}
    expected = {"role": "assistant", "content": None, "refusal": "No", "audio": None}
    emptied = {"role": "assistant", "content": "x", "tool_calls": []}
    found = make.history(dumped, emptied).openai()["messages"]
    assert found == [expected, {"role": "assistant", "content": "x"}]


def test_a_cache_mark_is_on_the_last_part(make: Renders) -> None:
    """A text becomes one part, and nothing else has a mark."""
    parts = {"role": "user", "content": [TEXT, IMAGE]}
    answer = {"role": "assistant", "content": "x", "tool_calls": [CALL]}
    template = [{"role": "system", "content": "x", "cache": True}, *({**m, "cache": True} for m in (parts, answer))]
    marked_text = [{**TEXT, "prompt_cache_breakpoint": MARK}]
    assert make.of([*template, parts]).openai()["messages"] == [
        {"role": "system", "content": marked_text},
        {"role": "user", "content": [TEXT, {**IMAGE, "prompt_cache_breakpoint": MARK}]},
        {**answer, "content": marked_text},
        parts,
    ]


def test_tool_calls_without_a_content_carry_no_cache_mark(make: Renders) -> None:
    """They have no part, so the mark is left out."""
    calls_alone = {"role": "assistant", "tool_calls": [CALL]}
    assert make.of([{**calls_alone, "cache": True}]).openai() == {"messages": [calls_alone]}


def part(value: Any, role: str = "user") -> dict[str, Any]:
    """Return a message of one part."""
    return {"role": role, "content": [value]}


def file(**fields: Any) -> dict[str, Any]:
    """Return a message of one file."""
    return part({"type": "file", "file": fields})


def calls(*tool_calls: Any) -> dict[str, Any]:
    """Return an answer of tool calls."""
    return {"role": "assistant", "tool_calls": list(tool_calls)}


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    (part(IMAGE, "system"), ["part 1, type"]),
    (part(AUDIO, "developer"), ["part 1, type"]),
    (part(FILE, "assistant"), ["part 1, type"]),
    ({**part(IMAGE, "tool"), "tool_call_id": "c"}, ["part 1, type"]),
    (part({"type": "image_url", "image_url": {"url": "u", "detail": "tiny"}}), ["part 1, image_url.detail"]),
    (part({"type": "input_audio", "input_audio": {"data": "d", "format": "ogg"}}), ["part 1, input_audio.format"]),
    (file(url="u"), ["part 1, file", "part 1, file"]),
    (file(file_id="f", mime_type="text/plain"), ["part 1, file"]),
    (file(file_id=1), ["part 1, file.file_id"]),
    ({"role": "tool", "content": "x"}, ["tool_call_id"]),
    ({"role": "user", "content": "x", "tool_call_id": "c"}, ["tool_call_id"]),
    ({"role": "user", "content": "x", "tool_calls": [CALL]}, ["tool_calls"]),
    (calls({**CALL, "type": "x"}), ["tool call 1, type"]),
    (
        calls(CALL, {"type": "function"}),
        [f"tool call 2, {key}" for key in ("id", "function.name", "function.arguments")],
    ),
    (calls({**CALL, "function": {"name": "f", "arguments": {}}}), ["tool call 1, function.arguments"]),
    (calls({**CUSTOM_CALL, "custom": {"name": "f"}}), ["tool call 1, custom.input"]),
]
"""What a template may hold and this API doesn't take, each with the fields that are named."""

FOREIGN: list[tuple[Any, list[str]]] = [
    ({}, ["role"]),
    ({"role": "robot", "content": "x"}, ["role"]),
    ({"role": "model", "parts": [{"text": "x"}]}, ["role"]),
    ({"role": "user", "parts": [{"text": "x"}]}, ["content"]),
    ({"role": "user", "content": []}, ["content"]),
    (part({"type": "input_text", "text": "x"}), ["part 1, type"]),
    (part({"type": "image", "source": {"type": "url", "url": "u"}}), ["part 1, type"]),
    (part({"type": "tool_use", "id": "t", "name": "f", "input": {}}, "assistant"), ["part 1, type"]),
    (part({"type": "tool_result", "tool_use_id": "t"}), ["part 1, type"]),
    (part("x"), ["part 1"]),
    (part({"type": ["text"]}), ["part 1, type"]),
    (part({"type": "text"}), ["part 1, text"]),
    (part({"type": "text", "text": 1}), ["part 1, text"]),
    (part({"type": "image_url", "image_url": "u"}), ["part 1, image_url.url"]),
    (part({"type": "input_audio"}), ["part 1, input_audio.data", "part 1, input_audio.format"]),
    (part({"type": "file", "file": "f"}), ["part 1, file"]),
    (part({"type": "refusal", "refusal": "No"}), ["part 1, type"]),
    ({"role": "assistant", "tool_calls": {"a": 1}}, ["tool_calls"]),
    (calls("x"), ["tool call 1"]),
    ({"role": "user", "content": "x", "name": 1}, ["name"]),
    ({"role": "assistant", "content": "x", "refusal": 1, "audio": "a"}, ["refusal", "audio.id"]),
    ({"role": "assistant", "function_call": {"name": "f"}}, ["function_call.arguments"]),
    ({"role": "function", "content": "x"}, ["name"]),
    ({"role": "function", "name": "f", "content": [TEXT]}, ["content"]),
    ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, [""]),
    ({"type": "message", "role": "assistant", "content": [TEXT], "model": "m"}, [""]),
]
"""What a placeholder may bring and this API doesn't take."""


def test_parts_of_other_servers_pass_unchanged(make: Renders) -> None:
    """Servers that speak this API take more; what is refused is a type that OpenAI or Anthropic has, elsewhere."""
    video = {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}}
    messages = [{"role": "user", "content": [TEXT, video]}, {"role": "tool", "content": [video], "tool_call_id": "c"}]
    assert make.history(*messages).openai()["messages"] == messages


def assert_named(rendered: Rendered, where: str, fields: list[str]) -> None:
    """Fail unless these fields of a message are what is refused."""
    assert named(rendered.openai) == [f"{where}, {field}".removesuffix(", ") for field in fields]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_a_template_may_hold_and_this_api_does_not_take_is_refused(make: Renders, number: int) -> None:
    """The error names the message and the field, from a template and from a placeholder alike."""
    message, fields = REFUSED[number]
    good = {"role": "user", "content": "x"}
    assert_named(make.of([good, message]), "message 2 of 2", fields)
    assert_named(make.of([good, *HISTORY, good], history=[message]), "message 2 of 3", fields)


def test_another_shape_is_refused_with_each_of_its_flaws(make: Renders) -> None:
    """Anthropic's blocks, items of Responses, contents of Gemini, and what nobody takes."""
    rendered = make.history(*(message for message, _ in FOREIGN))
    assert named(rendered.openai) == places_of(FOREIGN)


def test_a_reason_says_what_is_taken(make: Renders) -> None:
    """The roles, types and fields that may be there, and the role that another SDK's word means."""
    reasons = dict(flaws(make.history(part(IMAGE, "system"), {"role": "model", "content": "x"}, file(url="u")).openai))
    assert reasons["message 1 of 3, part 1, type"] == "a message of the role system takes no image_url, but text"
    assert reasons["message 2 of 3, role"].endswith("; did you mean 'assistant'?")
    assert "file_data, file_id, filename" in reasons["message 3 of 3, part 1, file"]
