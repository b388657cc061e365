"""The arguments for SDKs: one reader of a message serves all of them, and what they refuse of it has the same words."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from promptreg import InvalidInputError, InvalidVariablesError
from tests.sdk_chats import ANYTHING, KEYWORDS
from tests.sdk_renders import CALL, CUSTOM_CALL, DATA, HI, Renders, call, file, flaws, image, renders, result, text

METHODS = ("openai", "openai_responses", "anthropic", "gemini")
BOTH = ("anthropic", "gemini")  # whose messages have another form


@pytest.fixture(scope="module")
def make() -> Iterator[Renders]:
    """What makes renders."""
    with renders() as made:
        yield made


def refused(make: Renders, method: str, *messages: Any) -> list[tuple[str, str]]:
    """Return what is wrong with messages that a placeholder brings."""
    return flaws(getattr(make.history(*messages), method))


def user(*parts: Any) -> dict[str, Any]:
    """Return a message of a user."""
    return {"role": "user", "content": list(parts)}


def calling(*calls: Any) -> dict[str, Any]:
    """Return an answer that calls tools."""
    return {"role": "assistant", "tool_calls": list(calls)}


MALFORMED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["role"]),
    ({"role": "human", "content": "x", "name": 1}, ["role"]),
    ({"role": "user"}, ["content"]),
    ({"role": "user", "content": None}, ["content"]),
    ({"role": "system", "content": []}, ["content"]),
    ({"role": "user", "content": {"type": "text"}, "name": 1}, ["content", "name"]),
    (user("x", {"text": "x"}, {"type": 1}), ["part 1", "part 2, type", "part 3, type"]),
    (user({"type": "text"}, text(1)), ["part 1, text", "part 2, text"]),
    (user({"type": "image_url"}, image(1)), ["part 1, image_url.url", "part 2, image_url.url"]),  # type: ignore[arg-type]
    (user({"type": "file"}, {"type": "file", "file": 1}), ["part 1, file", "part 2, file"]),
    ({**HI, "tool_calls": [CALL], "tool_call_id": "c1"}, ["tool_calls", "tool_call_id"]),
    ({"role": "assistant", "tool_calls": 1, "refusal": 1}, ["tool_calls", "refusal"]),
    (calling(1, {**CALL, "type": "other"}), ["tool call 1", "tool call 2, type"]),
    (
        calling({"function": {"name": " ", "arguments": "{}"}, "id": 1}),
        ["tool call 1, id", "tool call 1, function.name"],
    ),
    ({**result("c1", [text(1)]), "tool_call_id": 1}, ["part 1, text", "tool_call_id"]),
]
"""Messages that no SDK can take, each with the fields that are named."""


@pytest.mark.parametrize(("message", "fields"), MALFORMED)
def test_what_no_sdk_can_take_is_refused_in_the_same_words(
    make: Renders, message: dict[str, Any], fields: list[str]
) -> None:
    """All flaws of a message are named at once; but for the types of calls that are taken, the reasons are the same."""
    found = {method: refused(make, method, HI, message) for method in METHODS}
    for method, each in found.items():
        of_message = [field.removeprefix("message 2 of 2, ") for field, _ in each]
        assert of_message[: len(fields)] == fields, method
    assert found["openai"] == found["openai_responses"]
    if "tool call 2, type" not in fields:
        count = len(fields)  # Gemini adds that the call of a result is not among the messages
        assert found["openai"] == found["anthropic"] == found["gemini"][:count]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("given", [{}, {"type": None}])
def test_a_call_without_a_type_is_one_of_a_function(make: Renders, method: str, given: dict[str, Any]) -> None:
    """Answers that were streamed, or that other libraries dumped, have it so."""
    typeless = {**{key: value for key, value in CALL.items() if key != "type"}, **given}
    typed = getattr(make.history(HI, calling(CALL), result("c1")), method)()
    assert getattr(make.history(HI, calling(typeless), result("c1")), method)() == typed


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("absent", [{}, {"content": None}, {"content": []}])
def test_a_tool_may_have_returned_nothing(make: Renders, method: str, absent: dict[str, Any]) -> None:
    """A message without a content is one with an empty text."""
    nothing = {"role": "tool", "tool_call_id": "c1", **absent}
    empty = getattr(make.history(calling(CALL), result("c1", "")), method)()
    assert getattr(make.history(calling(CALL), nothing), method)() == empty


@pytest.mark.parametrize("method", ["openai_responses", "anthropic", "gemini"])
def test_a_field_that_would_be_lost_is_an_error(make: Renders, method: str) -> None:
    """It is not quoted; what an answer of Chat Completions has beside its text is left out."""
    taken: dict[str, Any] = {
        "role": "assistant",
        "content": "x",
        "refusal": "",
        "annotations": [{}],
        "parsed": {"a": 1},
        "audio": None,
    }
    assert refused(make, method, HI, taken, {**taken, "secret": 1}) == [
        (
            "message 3 of 3",
            "has fields that this API has no place for; it may have role, content, tool_calls, tool_call_id, name",
        )
    ]


@pytest.mark.parametrize(
    ("method", "taken"),
    [
        ("openai", "text, image_url, input_audio, file"),
        ("openai_responses", "text, image_url, file"),
        ("anthropic", "text, image_url, file, most content blocks of Anthropic"),
        ("gemini", "text, image_url, input_audio, file"),
    ],
)
def test_a_part_of_another_type_is_refused_with_those_that_are_taken(make: Renders, method: str, taken: str) -> None:
    """Audio too, where an SDK has no place for it; a type that is not of the neutral form is not quoted."""
    audio = {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}
    refusal = {"type": "refusal", "refusal": "No"}
    foreign = {"type": "input_text", "text": "x"}
    kinds = {"refusal": refusal, "such part": foreign, **({} if "input_audio" in taken else {"input_audio": audio})}
    assert refused(make, method, user(*kinds.values())) == [
        (f"message 1 of 1, part {number}, type", f"a message of the role user takes no {kind}, but {taken}")
        for number, kind in enumerate(kinds, 1)
    ]


@pytest.mark.parametrize("method", BOTH)
def test_a_call_of_a_custom_tool_is_refused_where_there_are_none(make: Renders, method: str) -> None:
    """Its input is no object."""
    assert refused(make, method, HI, calling(CUSTOM_CALL)) == [
        ("message 2 of 2, tool call 1, type", "must be one of function")
    ]


@pytest.mark.parametrize("method", BOTH)
def test_a_system_message_is_text(make: Renders, method: str) -> None:
    """Anything else in it is an error, wherever it stands."""
    part = image("https://a.org/b.png")
    chat = [{"role": "system", "content": [text("a"), part]}, HI, {"role": "developer", "content": [part]}]
    reason = "a message of the role {} takes no image_url, but text"
    assert flaws(getattr(make.of(chat), method)) == [
        ("message 1 of 3, part 2, type", reason.format("system")),
        ("message 3 of 3, part 1, type", reason.format("developer")),
    ]


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("content", ["", " \n", [text("")], [text(" "), text("\t")], None, []])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_blank_message_is_an_error(make: Renders, method: str, role: str, content: Any) -> None:
    """The providers refuse it, and without it the turns would be others."""
    ((field, reason),) = refused(make, method, HI, {"role": role, "content": content})
    assert field == "message 2 of 2, content"
    assert "empty" in reason


ARGUMENTS = ["", "[]", "{", "null", "1", '{"a": NaN}', '{"a": 1, "a": 2}', '{"a": "\\ud83d"}', None, [1]]


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_arguments_that_are_no_json_object_are_an_error(make: Renders, method: str, arguments: Any) -> None:
    """It names the message and the call."""
    ((field, reason),) = refused(make, method, HI, calling(CALL, call("c2", arguments)))
    assert field == "message 2 of 2, tool call 2, function.arguments"
    assert "JSON object" in reason


PARTS: list[tuple[tuple[str, ...], dict[str, Any], str, str]] = [
    (BOTH, image("a.png"), "image_url.url", "https://"),
    (BOTH, image("ftp://a.org/b.png"), "image_url.url", "https://"),
    (BOTH, image("https://[/b.png"), "image_url.url", "https://"),
    (BOTH, image("https:b"), "image_url.url", "https://"),
    (BOTH, image(" "), "image_url.url", "empty"),
    (BOTH, image("data:image"), "image_url.url", "data URL"),
    (BOTH, image("data:image/png;base64"), "image_url.url", "data URL"),
    (BOTH, image(f"data:png;base64,{DATA}"), "image_url.url", "data URL"),
    (BOTH, image("data:image/png;base64,###"), "image_url.url", "base64"),
    (BOTH, image("data:image/png;base64,QQ"), "image_url.url", "base64"),
    (BOTH, image("data:image/png;base64,é"), "image_url.url", "base64"),
    (BOTH, image("data:image/png;base64,"), "image_url.url", "no data"),
    (BOTH, image("data:image/png,\ud800"), "image_url.url", "surrogate"),
    (BOTH, file(file_data=DATA), "file.file_data", "filename"),
    (BOTH, file(file_data=DATA, filename="a.zip"), "file.file_data", "filename"),
    (BOTH, file(filename="a.pdf"), "file", "file_data, file_url, file_id"),
    (BOTH, file(file_id="a", file_data=DATA), "file", "file_data, file_url, file_id"),
    (BOTH, file(file_id="a", detail="x"), "file", "file_data, file_url, file_id"),
    (BOTH, file(file_id=" "), "file.file_id", "empty"),
    (BOTH, file(file_id="a", filename=" "), "file.filename", "empty"),
    (("anthropic",), image("http://a.org/b.png"), "image_url.url", "https://"),
    (("anthropic",), image("gs://a/b.png"), "image_url.url", "https://"),
    (("anthropic",), image(f"data:image/svg+xml;base64,{DATA}"), "image_url.url", "image/jpeg, image/png"),
    (("anthropic",), file(file_data=f"data:application/zip;base64,{DATA}"), "file.file_data", "a PDF, a text or"),
    (("anthropic",), file(file_data="data:text/plain;base64,/w=="), "file.file_data", "UTF-8"),
    (("anthropic",), file(file_data="data:text/plain,%20"), "file.file_data", "white space"),
    (("anthropic",), file(file_url="http://a.org/b.pdf"), "file.file_url", "https://"),
    (("anthropic",), {"type": "input_text", "text": "x"}, "type", "content blocks"),
    (("gemini",), image("https://a.org/b"), "image_url.url", "suffix such as .png, or pass a data: URL"),
    (("gemini",), image("https://a.org/b.xyz?c.png"), "image_url.url", "suffix"),
    (("gemini",), image("https://a.png"), "image_url.url", "suffix"),
    (
        ("gemini",),
        {"type": "input_audio", "input_audio": {"data": "##", "format": "wav"}},
        "input_audio.data",
        "base64",
    ),
    (
        ("gemini",),
        {"type": "input_audio", "input_audio": {"data": DATA, "format": "{"}},
        "input_audio.format",
        "wav or",
    ),
    (("gemini",), file(file_id="files/abc"), "file.file_id", "filename a suffix"),
    (("gemini",), {"type": "tool_use", "id": "t", "name": "f", "input": {}}, "type", "text, image_url"),
]
"""Parts of the right form that these SDKs can't take, each with the field and what the reason says."""


@pytest.mark.parametrize(
    ("method", "part", "field", "reason"), [(method, *each) for methods, *each in PARTS for method in methods]
)
def test_a_part_that_can_not_be_converted_is_an_error(
    make: Renders, method: str, part: Any, field: str, reason: str
) -> None:
    """It names the message, the part and the field, says what is wrong with it, and quotes nothing."""
    ((found, why),) = refused(make, method, HI, user(text("x"), part))
    assert found == f"message 2 of 2, part 2, {field}"
    assert reason in why
    assert DATA not in why
    assert "a.org" not in why


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(history=ANYTHING, keywords=KEYWORDS)
def test_whatever_a_placeholder_brings_is_taken_or_refused(
    make: Renders, method: str, history: Any, keywords: Any
) -> None:
    """With any keywords; what is refused is `InvalidInputError` or refused by the render, and nothing else."""
    with contextlib.suppress(InvalidInputError, InvalidVariablesError):
        assert getattr(make.history(*history), method)(**keywords)
