"""`Rendered.openai_responses`: items as `client.responses.create` takes them. The package's types are not imported."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sdk_renders import CALL, CUSTOM_CALL, HISTORY, Renders, named, places_of, renders

MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
TEXT = {"type": "text", "text": "x"}
URL = "data:image/png;base64,aQ=="
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64,aQ==", "filename": "a.pdf"}}
INPUT_TEXT = {"type": "input_text", "text": "x"}
INPUT_IMAGE = {"type": "input_image", "image_url": URL, "detail": "auto"}
INPUT_FILE = {"type": "input_file", "file_data": "data:application/pdf;base64,aQ==", "filename": "a.pdf"}

CONVERTED: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({"role": "system", "content": "x"}, [{"role": "system", "content": "x"}]),
    ({"role": "developer", "content": [TEXT], "name": "ana"}, [{"role": "developer", "content": [INPUT_TEXT]}]),
    (
        {"role": "user", "content": [TEXT, IMAGE, FILE]},
        [{"role": "user", "content": [INPUT_TEXT, INPUT_IMAGE, INPUT_FILE]}],
    ),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u", "detail": "high"}}]},
        [{"role": "user", "content": [{"type": "input_image", "image_url": "u", "detail": "high"}]}],
    ),
    (
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
        [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}],
    ),
    (
        {"role": "user", "content": [{"type": "file", "file": {"file_url": "https://a/b.pdf"}}]},
        [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a/b.pdf"}]}],
    ),
    ({"role": "assistant", "content": "x"}, [{"role": "assistant", "content": "x"}]),
    (
        {"role": "assistant", "content": [TEXT, {"type": "text", "text": "y"}]},
        [{"role": "assistant", "content": "x"}, {"role": "assistant", "content": "y"}],
    ),
    (
        {"role": "assistant", "content": "x", "tool_calls": [CALL, CUSTOM_CALL]},
        [
            {"role": "assistant", "content": "x"},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"place": "Kyoto"}'},
            {"type": "custom_tool_call", "call_id": "c2", "name": "shell", "input": "ls"},
        ],
    ),
    (
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        [{"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"place": "Kyoto"}'}],
    ),
    (
        {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "Rain"},
        [{"type": "function_call_output", "call_id": "c1", "output": "Rain"}],
    ),
    (
        {"role": "tool", "tool_call_id": "c1", "content": [TEXT, IMAGE, FILE]},
        [{"type": "function_call_output", "call_id": "c1", "output": [INPUT_TEXT, INPUT_IMAGE, INPUT_FILE]}],
    ),
    (
        {"role": "tool", "tool_call_id": "c2", "content": "a b"},
        [{"type": "custom_tool_call_output", "call_id": "c2", "output": "a b"}],
    ),
]
"""Messages of templates and of placeholders alike, each with its items. The custom tool's call is among them."""

ANSWERS: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    (
        {"role": "assistant", "content": "x", "refusal": None, "annotations": [], "audio": None, "tool_calls": None},
        [{"role": "assistant", "content": "x"}],
    ),
    ({"role": "assistant", "content": None, "refusal": "No"}, [{"role": "assistant", "content": "No"}]),
    (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]},
        [{"role": "assistant", "content": "No"}],
    ),
    ({"role": "assistant", "content": "{}", "parsed": {}}, [{"role": "assistant", "content": "{}"}]),
    ({"role": "assistant", "content": "x", "phase": None, "type": None}, [{"role": "assistant", "content": "x"}]),
    ({"role": "user", "content": [{**TEXT, **MARK}]}, [{"role": "user", "content": [{**INPUT_TEXT, **MARK}]}]),
    ({"role": "assistant", "content": None}, []),
]
"""What a placeholder brings besides: dumped answers of Chat Completions, and its cache marks."""

OWN: list[dict[str, Any]] = [
    {"role": "user", "content": [INPUT_TEXT, INPUT_IMAGE]},
    {"role": "assistant", "content": "x", "phase": "commentary"},
    {"type": "message", "role": "developer", "content": "x"},
    {
        "type": "message",
        "id": "m1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "x", "annotations": []}, {"type": "refusal", "refusal": "No"}],
    },
    {"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "e"},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "async": False},
    {"type": "function_call_output", "call_id": "c", "output": [INPUT_TEXT]},
    {"type": "item_reference", "id": "m1"},
    {"id": "m1"},
]
"""Items of this API."""


@pytest.fixture(scope="module")
def make() -> Iterator[Renders]:
    """What makes renders."""
    with renders() as made:
        yield made


def test_each_message_of_a_template_becomes_its_items(make: Renders) -> None:
    """Texts stay texts; an answer is a message for each text, and then its calls."""
    for message, items in CONVERTED[:-1]:
        assert make.of([message]).openai_responses() == {"input": items}
    whole = make.of([message for message, _ in CONVERTED], {"model": "m"}).openai_responses()
    assert whole == {"model": "m", "input": [item for _, items in CONVERTED for item in items]}


def test_messages_of_chat_completions_in_a_placeholder_are_converted_too(make: Renders) -> None:
    """What a dumped answer has beside its text is left out where it is empty, and a refusal is what it says."""
    pairs = [*CONVERTED, *ANSWERS]
    found = make.history(*(message for message, _ in pairs)).openai_responses()
    assert found == {"input": [item for _, items in pairs for item in items]}


def test_items_of_a_placeholder_pass_unchanged(make: Renders) -> None:
    """So do items of types that the API may get: a response's output can be sent again whole."""
    items = [*OWN, {"type": "something_new_call", "id": "n1", "action": {}}]
    assert make.history(*items).openai_responses() == {"input": items}


def test_the_result_of_a_custom_tool_that_an_item_called_is_one(make: Renders) -> None:
    """The call and its result may come in different shapes."""
    call = {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}
    found = make.history(call, {"role": "tool", "tool_call_id": "c", "content": "y"}).openai_responses()["input"]
    assert found == [call, {"type": "custom_tool_call_output", "call_id": "c", "output": "y"}]


def test_a_cache_mark_is_on_the_last_part(make: Renders) -> None:
    """A text becomes one part, also where it is what a tool returned."""
    result = {"role": "tool", "tool_call_id": "c1", "content": "x", "cache": True}
    template = [
        {"role": "system", "content": "x", "cache": True},
        {"role": "user", "content": [IMAGE, TEXT], "cache": True},
        result,
        {"role": "user", "content": "x"},
    ]
    assert make.of(template).openai_responses()["input"] == [
        {"role": "system", "content": [{**INPUT_TEXT, **MARK}]},
        {"role": "user", "content": [INPUT_IMAGE, {**INPUT_TEXT, **MARK}]},
        {"type": "function_call_output", "call_id": "c1", "output": [{**INPUT_TEXT, **MARK}]},
        {"role": "user", "content": "x"},
    ]


def test_an_answer_carries_no_cache_mark(make: Renders) -> None:
    """Its text is a plain content, and its calls are items without parts, so the mark is left out."""
    for message, items in CONVERTED:
        if message["role"] == "assistant":
            assert make.of([{**message, "cache": True}]).openai_responses() == {"input": items}


def part(value: Any, role: str = "user") -> dict[str, Any]:
    """Return a message of one part."""
    return {"role": role, "content": [value]}


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    (part({"type": "input_audio", "input_audio": {"data": "d", "format": "wav"}}), ["part 1, type"]),
    (part(IMAGE, "assistant"), ["part 1, type"]),
    (part({"type": "image_url", "image_url": {"url": "u", "detail": "tiny"}}), ["part 1, image_url.detail"]),
    (part({"type": "file", "file": {"filename": "f"}}), ["part 1, file"]),
    (part({"type": "file", "file": {"file_id": "f", "mime_type": "text/plain"}}), ["part 1, file"]),
    (part({"type": "file", "file": {"file_url": ["u"]}}), ["part 1, file.file_url"]),
    ({"role": "tool", "content": "x"}, ["tool_call_id"]),
    ({"role": "assistant", "tool_calls": [{"type": "function", "function": {}}]}, ["tool call 1, id"]),
]
"""What a template may hold and this API doesn't take, each with the first field that is named."""

FOREIGN: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["role"]),
    ({"id": "r", "output": []}, ["role"]),
    ({"role": "model", "parts": [{"text": "x"}]}, ["role"]),
    ({"role": "function", "name": "f", "content": "x"}, ["role"]),
    ({"type": "message", "role": "assistant", "content": [TEXT], "model": "m", "usage": {}}, [""]),
    ({"type": "message", "role": "assistant", "content": [], "model": "m", "usage": {}}, [""]),
    ({"type": "text", "text": "x"}, [""]),
    (part({"type": "video_url", "video_url": {"url": "u"}}), ["part 1, type"]),
    ({"type": "tool_use", "id": "t", "name": "f", "input": {}}, [""]),
    ({"type": ["message"], "role": "user", "content": "x"}, [""]),
    (part({"type": "tool_result", "tool_use_id": "t"}), ["part 1, type"]),
    ({"role": "user", "content": [TEXT, INPUT_TEXT]}, ["part 2, type"]),
    (part({**TEXT, "cache_control": {"type": "ephemeral"}}), ["part 1"]),
    (part({"type": "image_url", "image_url": {"url": "u", "format": "png"}}), ["part 1, image_url"]),
    ({"role": "assistant", "content": None, "audio": {"id": "a1"}}, [""]),
    ({"role": "assistant", "content": "x", "reasoning_content": "Hm"}, [""]),
    ({"role": "assistant", "content": "x", "refusal": 1}, ["refusal"]),
]
"""What a placeholder may bring and this API doesn't take."""


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_a_template_may_hold_and_this_api_does_not_take_is_refused(make: Renders, number: int) -> None:
    """The error names the message and the field, from a template and from a placeholder alike."""
    message, fields = REFUSED[number]
    good = {"role": "user", "content": "x"}
    for rendered, where in (
        (make.of([good, message]), "message 2 of 2"),
        (make.of([good, *HISTORY, good], history=[message]), "message 2 of 3"),
    ):
        assert named(rendered.openai_responses)[: len(fields)] == [f"{where}, {field}" for field in fields]


def test_another_shape_is_refused(make: Renders) -> None:
    """Anthropic's blocks, contents of Gemini, whole responses, and fields that conversion would lose."""
    rendered = make.history(*(message for message, _ in FOREIGN))
    assert named(rendered.openai_responses) == places_of(FOREIGN)
