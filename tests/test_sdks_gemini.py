"""`Rendered.gemini`: messages as `client.models.generate_content` takes them. The slow tests ask the package itself."""

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

HI_CONTENT = {"role": "user", "parts": [{"text": "Hi"}]}
FUNCTION_CALL = {"function_call": {"id": "c1", "name": "weather", "args": {"place": "Kyoto"}}}


def audio(data: str, format_: str) -> dict[str, Any]:
    """Return a part of audio."""
    return {"type": "input_audio", "input_audio": {"data": data, "format": format_}}


def inline(mime_type: str, data: bytes = b"data") -> dict[str, Any]:
    """Return Gemini's part of data."""
    return {"inline_data": {"mime_type": mime_type, "data": data}}


def linked(uri: str, mime_type: str) -> dict[str, Any]:
    """Return Gemini's part of a file."""
    return {"file_data": {"file_uri": uri, "mime_type": mime_type}}


def response(id_: str, name: str, content: Any, **more: Any) -> dict[str, Any]:
    """Return Gemini's part of a tool's result."""
    return {"function_response": {"id": id_, "name": name, "response": content, **more}}


PARTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (text("x"), {"text": "x"}),
    (image("https://a.org/b.png"), linked("https://a.org/b.png", "image/png")),
    (image("https://a.org/b.JPG?c=d.png#e"), linked("https://a.org/b.JPG?c=d.png#e", "image/jpeg")),
    (image("http://a.org/b.webp"), linked("http://a.org/b.webp", "image/webp")),
    (image("gs://a/b.heic"), linked("gs://a/b.heic", "image/heic")),
    (image(f"data:image/png;base64,{DATA}"), inline("image/png")),
    (image(f"data:image/svg+xml;base64,{DATA}"), inline("image/svg+xml")),
    (image("data:image/png,%FF"), inline("image/png", b"\xff")),
    (audio(DATA, "wav"), inline("audio/wav")),
    (audio(DATA, "MP3"), inline("audio/mp3")),
    (file(file_data=f"data:application/pdf;base64,{DATA}", filename="b.txt"), inline("application/pdf")),
    (file(file_data=DATA, filename="a.csv"), inline("text/csv")),
    (file(file_data=base64.b64encode(b"%PDF-1").decode()), inline("application/pdf", b"%PDF-1")),
    (file(file_url="https://a.org/b.pdf"), linked("https://a.org/b.pdf", "application/pdf")),
    (file(file_url="https://a.org/b", filename="c.md"), linked("https://a.org/b", "text/markdown")),
    (file(file_id="files/abc", filename="c.mp4"), linked("files/abc", "video/mp4")),
]
"""Parts of a template, each with what it becomes."""

OWN: list[dict[str, Any]] = [
    {
        "role": "model",
        "parts": [
            {"text": "Hm", "thought": True},
            {"function_call": {"id": "own", "name": "g", "args": {}}, "thought_signature": "-_8="},
        ],
    },
    {"role": "user", "parts": [{"function_response": {"id": "own", "name": "g", "response": {"output": "x"}}}]},
    {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "-_8="}}]},
    {"role": "tool", "parts": [{"function_response": {"name": "g", "response": {"output": "x"}}}]},
    {"parts": [{"text": "Hi"}]},
]
"""Contents in Gemini's own shape, with data as the package dumps it."""


@pytest.fixture(scope="module")
def make() -> Iterator[Renders]:
    """What makes renders."""
    with renders() as made:
        yield made


def contents(make: Renders, *messages: Any) -> list[Any]:
    """Return what messages of a template become."""
    return list(make.of(list(messages)).gemini()["contents"])


def refused(make: Renders, *messages: Any) -> list[tuple[str, str]]:
    """Return what is wrong with messages that a placeholder brings."""
    return flaws(make.history(*messages).gemini)


# System messages


def test_system_and_developer_messages_are_the_system_instruction(make: Renders) -> None:
    """All of them, in their order, wherever they stand."""
    chat = [{"role": "system", "content": "a"}, HI, {"role": "developer", "content": [text("b"), text("c")]}]
    assert make.of(chat).gemini() == {
        "contents": [HI_CONTENT],
        "config": {"system_instruction": {"parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}},
    }


def test_a_system_message_alone_leaves_the_contents_to_the_caller(make: Renders) -> None:
    """The list is empty, and may be appended to."""
    arguments = make.of([{"role": "system", "content": "a"}]).gemini()
    assert arguments == {"contents": [], "config": {"system_instruction": {"parts": [{"text": "a"}]}}}


# Contents


def test_a_user_is_user_and_an_assistant_model(make: Renders) -> None:
    """A text is a part; names and cache marks have no counterpart."""
    answer = {"role": "assistant", "content": "Hello", "cache": True}
    assert contents(make, {**HI, "name": "ana", "cache": True}, answer) == [
        HI_CONTENT,
        {"role": "model", "parts": [{"text": "Hello"}]},
    ]
    assert len(contents(make, *[{**HI, "cache": True}] * 6)) == 6


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_a_part_becomes_one_of_gemini(make: Renders, number: int) -> None:
    """Data is bytes; a URL has the type of its suffix; `detail` has no counterpart."""
    part, becomes = PARTS[number]
    assert contents(make, {"role": "user", "content": [part]}) == [{"role": "user", "parts": [becomes]}]


def test_a_blank_part_is_left_out(make: Renders) -> None:
    """Gemini refuses an empty text."""
    content = {"role": "user", "content": [text(""), text("x")]}
    assert contents(make, content) == [{"role": "user", "parts": [{"text": "x"}]}]


# Tools


def test_tool_calls_and_results_become_parts(make: Renders) -> None:
    """A result has the name of the call with its id; those of one turn are one content, what follows is another."""
    calls = {"role": "assistant", "content": "Look", "tool_calls": [CALL, call("b", '{"x": [1]}')]}
    assert contents(make, calls, result("b"), result("c1", '{"sky": "grey"}'), HI) == [
        {
            "role": "model",
            "parts": [{"text": "Look"}, FUNCTION_CALL, {"function_call": {"id": "b", "name": "f", "args": {"x": [1]}}}],
        },
        {"role": "user", "parts": [response("b", "f", {"output": "Rain"}), response("c1", "weather", {"sky": "grey"})]},
        HI_CONTENT,
    ]


@pytest.mark.parametrize("content", ["", "[1]", "1", "null", "{", '{"a": 1, "a": 2}', '{"a": "\\ud83d"}', "x"])
def test_a_result_that_is_no_json_object_is_an_output(make: Renders, content: str) -> None:
    """That is the key under which Gemini looks for one."""
    found = contents(make, {"role": "assistant", "tool_calls": [call("a")]}, result("a", content))
    assert found[1]["parts"] == [response("a", "f", {"output": content})]


def test_what_is_no_text_in_a_result_stands_beside_it(make: Renders) -> None:
    """Texts are joined as those of a message are."""
    content = [text("a"), image(f"data:image/png;base64,{DATA}"), text("b")]
    found = contents(make, {"role": "assistant", "tool_calls": [call("a")]}, result("a", content))
    assert found[1]["parts"] == [response("a", "f", {"output": "a\n\nb"}, parts=[inline("image/png")])]


def test_ids_may_be_absent_where_names_say_which_function_it_is(make: Renders) -> None:
    """Gemini needs none; the name of the tool's own message counts where the call is not there."""
    found = contents(
        make,
        {"role": "assistant", "tool_calls": [call(None)]},
        {"role": "tool", "content": "x", "name": "f"},
        result("elsewhere", "y", name="g"),
    )
    assert found[0]["parts"] == [{"function_call": {"name": "f", "args": {}}}]
    assert found[1]["parts"] == [
        {"function_response": {"name": "f", "response": {"output": "x"}}},
        response("elsewhere", "g", {"output": "y"}),
    ]


def test_the_result_of_an_unknown_call_is_an_error(make: Renders) -> None:
    """A call must come before its result."""
    calls = {"role": "assistant", "tool_calls": [call("a")]}
    found = refused(make, result("a"), calls, {"role": "tool", "content": "x"}, result("b"))
    assert [field for field, _ in found] == [f"message {n} of 4, tool_call_id" for n in (1, 3, 4)]
    assert "an earlier message" in found[0][1]
    both = {"role": "tool", "tool_call_id": "b", "content": [{"type": "input_text", "text": "x"}]}
    assert [field for field, _ in refused(make, both)] == [
        "message 1 of 1, part 1, type",
        "message 1 of 1, tool_call_id",
    ]


def test_a_call_without_a_name_names_no_function(make: Renders) -> None:
    """Neither in Gemini's shape nor in the other, so that a result of it needs a name of its own."""
    own = {"role": "model", "parts": [{"function_call": {"id": "a"}}, {"function_call": {"name": "f"}}]}
    assert [field for field, _ in refused(make, own, result("a"))] == ["message 2 of 2, tool_call_id"]
    assert make.history(own, result("a", name="f")).gemini()["contents"][0] == own
    nameless = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"arguments": "{}"}}]}
    assert [field for field, _ in refused(make, nameless, result("a"))] == [
        "message 1 of 2, tool call 1, function.name",
        "message 2 of 2, tool_call_id",
    ]


def test_calls_that_can_not_be_made_are_errors_all_at_once(make: Renders) -> None:
    """The result of a call with bad arguments is not one of an unknown call."""
    calls = [call("a", "[]"), CUSTOM_CALL, {"id": 1, "function": {"name": ""}}]
    assert [field for field, _ in refused(make, {"role": "assistant", "tool_calls": calls}, result("a"))] == [
        "message 1 of 2, tool call 1, function.arguments",
        "message 1 of 2, tool call 2, type",
        "message 1 of 2, tool call 3, id",
        "message 1 of 2, tool call 3, function.name",
        "message 1 of 2, tool call 3, function.arguments",
    ]


# Messages of other shapes


def test_what_is_in_the_shape_of_gemini_passes_unchanged(make: Renders) -> None:
    """Its calls are known to results in the other shape."""
    answered = [*OWN[:1], result("own")]
    assert make.history(*OWN).gemini()["contents"] == OWN
    assert make.history(*answered).gemini()["contents"][1]["parts"] == [response("own", "g", {"output": "Rain"})]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "assistant", "parts": [{"text": "x"}]}, ", role"),
        ({"role": "model", "parts": []}, ", parts"),
        ({"role": "model", "parts": None}, ", parts"),
        ({"role": "model", "parts": [{}]}, ", parts"),
        ({"role": "model", "parts": ["x"]}, ", parts"),
        ({"role": "model", "parts": [{"text": "x"}], "secret": 1}, ""),
        ({"role": "model", "content": "x"}, ", role"),
        ({"candidates": [{"content": {"parts": [{"text": "x"}]}}]}, ", role"),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "s"}]}, ", part 1, type"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, ", role"),
    ],
)
def test_what_can_not_be_a_content_of_gemini_is_an_error(make: Renders, message: Any, field: str) -> None:
    """It names the message, and quotes nothing of it."""
    ((found, reason),) = refused(make, HI, message, HI)
    assert found == f"message 2 of 3{field}"
    assert "secret" not in reason


# The package itself, whose import takes seconds

WHOLE: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [part for part, _ in PARTS]},
    {"role": "assistant", "content": "Look", "tool_calls": [CALL, call("c2", {"x": [None]})]},
    result("c1"),
    result("c2", [text("x"), image("https://a.org/b.png"), image(f"data:image/png;base64,{DATA}")]),
    {"role": "system", "content": "Later"},
    {"placeholder": "history"},
    HI,
]
"""A template of all shapes there are."""


@pytest.fixture(scope="module")
def types() -> Any:
    """Return the types of the package, which forbid what they don't name."""
    return pytest.importorskip("google.genai.types", reason="needs the package google-genai")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return a server that records what arrives."""
    with serving() as server:
        yield server


def require(types: Any, arguments: dict[str, Any]) -> None:
    """Raise pydantic's `ValidationError` where the types don't take the arguments."""
    for content in arguments["contents"]:
        types.Content.model_validate(content)
    types.GenerateContentConfig.model_validate(arguments.get("config", {}))
    assert arguments.keys() <= {"model", "contents", "config"}


def in_json(value: Any) -> Any:
    """Return a value with names in camel case and bytes as base64 for URLs; the client sends names in both cases."""
    if isinstance(value, dict):
        return {camel(key): in_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [in_json(item) for item in value]
    return base64.urlsafe_b64encode(value).decode() if isinstance(value, bytes) else value


def camel(name: str) -> str:
    """Return a name in camel case."""
    first, *others = name.split("_")
    return "".join([first, *(other.title() for other in others)])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the package's import
def test_the_types_of_the_package_take_every_shape(make: Renders, types: Any) -> None:
    """They forbid keys that they don't name."""
    whole = make.of(WHOLE, {"model": "m", "temperature": 0}, history=OWN).gemini()
    require(types, whole)
    read = types.Content.model_validate(whole["contents"][0])
    assert read.parts[5].inline_data.data == b"data"
    with pytest.raises(ValueError, match="Extra inputs"):
        require(types, {**whole, "contents": [HI]})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_client_sends_what_is_returned(make: Renders, types: Any, server: Server) -> None:
    """The body that arrives is the arguments in the API's JSON, and the answer may be passed to a placeholder."""
    from google import genai

    options = types.HttpOptions(base_url=server.gemini)
    with genai.Client(api_key="k", http_options=options) as client:
        arguments = make.of(WHOLE, {"model": "m", "temperature": 0.5}, history=OWN).gemini(top_k=3)
        answer = client.models.generate_content(**arguments)
        body = server.sent()
        again = make.of(WHOLE, {"model": "m"}, history=[answer.candidates[0].content]).gemini()
        client.models.generate_content(**again)
        assert server.sent()["contents"][3] == {"role": "model", "parts": [{"text": ANSWER}]}
    assert in_json(body["contents"]) == in_json(arguments["contents"])
    instruction = body["systemInstruction"]
    assert instruction["parts"] == [{"text": "Be brief."}, {"text": "Later"}]
    assert body["generationConfig"] == {"temperature": 0.5, "topK": 3}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_config_object_of_the_package_is_merged(make: Renders, types: Any) -> None:
    """What was set in it counts, with the objects in it, and it is not changed."""
    tool = types.Tool(google_search=types.GoogleSearch())
    config = types.GenerateContentConfig(temperature=0.5, tools=[tool])
    arguments = make.of(WHOLE, {"temperature": 1, "seed": 1}, history=[]).gemini(config=config, seed=2)
    assert arguments["config"].keys() == {"temperature", "seed", "tools", "system_instruction"}
    assert (arguments["config"]["temperature"], arguments["config"]["seed"]) == (0.5, 2)
    assert arguments["config"]["tools"] == [tool]
    assert config.system_instruction is None
    require(types, arguments)
    filled = types.GenerateContentConfig(system_instruction="x")
    assert named(make.of("Hi").gemini, config=filled) == ["config.system_instruction"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(chat=CHATS, x=st.sampled_from(["", "x", "QUJD", "https://a.org/c.webp"]))
def test_whatever_a_template_holds_is_taken_or_refused(make: Renders, types: Any, chat: Any, x: str) -> None:
    """The types take what is returned; all else is `InvalidInputError`, which names a message."""
    rendered = make.of(chat, {"model": "m"}, x=x)
    try:
        arguments = rendered.gemini()
    except InvalidInputError:
        assert all(field.startswith("message ") for field in named(rendered.gemini))
    else:
        require(types, arguments)
