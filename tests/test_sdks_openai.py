"""The arguments for OpenAI's SDK, with the SDK: its types, and what its client sends to a server on this machine."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from promptreg import InvalidInputError, InvalidVariablesError
from promptreg.sdks import chat_completions
from promptreg.sdks.messages import CALLS
from promptreg.sdks.responses import FILE_SOURCES, PARTS_ELSEWHERE
from tests.sdk_renders import CALL, CUSTOM_CALL, HISTORY, Renders, renders
from tests.sdk_server import ANSWER, Server, serving
from tests.sdk_types import Strict
from tests.test_sdks_chat import FOREIGN, PASSED, TAKEN
from tests.test_sdks_chat import REFUSED as REFUSED_BY_CHAT
from tests.test_sdks_responses import ANSWERS, CONVERTED, OWN
from tests.test_sdks_responses import FOREIGN as FOREIGN_TO_RESPONSES
from tests.test_sdks_responses import REFUSED as REFUSED_BY_RESPONSES

pytestmark = [
    pytest.mark.slow,  # the package takes seconds to import
    pytest.mark.filterwarnings("ignore"),  # of its imports, which warn on some versions of Python
]

MARKED = {"role": "user", "content": [{"type": "text", "text": "x"}], "cache": True}


@pytest.fixture(scope="module")
def make() -> Iterator[Renders]:
    """What makes renders."""
    with renders() as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that stands for OpenAI."""
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    """The real client."""
    openai = pytest.importorskip("openai", reason="openai is not installed: install the extra test")
    with openai.OpenAI(api_key="k", base_url=server.openai, max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def chat_type() -> Strict:
    """The type of the messages of Chat Completions."""
    return Strict(list[pytest.importorskip("openai.types.chat").ChatCompletionMessageParam])


@pytest.fixture(scope="module")
def open_chat_type() -> Strict:
    """The same, with any other fields."""
    return Strict(list[pytest.importorskip("openai.types.chat").ChatCompletionMessageParam], extra="allow")


@pytest.fixture(scope="module")
def item_type() -> Strict:
    """The type of the items of Responses."""
    return Strict(list[pytest.importorskip("openai.types.responses").ResponseInputItemParam])


def without_name(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without the `name` of a tool, which the API takes and the type has not."""
    return {key: item for key, item in message.items() if key != "name" or message["role"] != "tool"}


def test_the_messages_have_the_types_of_chat_completions(make: Renders, chat_type: Strict) -> None:
    """Nothing is in them that the types have not; so it is with cache marks."""
    chat_type.require(make.of(TAKEN).openai()["messages"])
    chat_type.require(make.history(*PASSED).openai()["messages"])
    for message in TAKEN:
        if "content" in message:
            marked = make.of([{**message, "cache": True}]).openai()["messages"]
            assert "prompt_cache_breakpoint" in marked[0]["content"][-1]
            chat_type.require(marked)


def test_the_items_have_the_types_of_responses(make: Renders, item_type: Strict) -> None:
    """Nothing is in them that the types have not; so it is with cache marks."""
    for messages in (CONVERTED, ANSWERS):
        item_type.require(make.history(*(message for message, _ in messages)).openai_responses()["input"])
    for message, _ in CONVERTED:
        if message["role"] != "assistant":
            item_type.require(make.of([{**message, "cache": True}]).openai_responses()["input"])
    item_type.require([{"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}])
    item_type.require(make.history(*OWN).openai_responses()["input"])


def test_what_is_refused_has_not_the_types(chat_type: Strict) -> None:
    """Nothing is refused for Chat Completions that its types have, but for an empty content and a file without data."""
    accepted = []
    for message, fields in [*REFUSED_BY_CHAT, *FOREIGN]:
        with suppress(ValueError):
            chat_type.require([message])
            accepted.append((message.get("content"), fields))
    assert accepted == [([], ["content"])]
    chat_type.require([{"role": "user", "content": [{"type": "file", "file": {"filename": "a"}}]}])


def test_the_client_sends_the_messages_of_chat_completions(make: Renders, client: Any, server: Server) -> None:
    """The JSON that arrives is the arguments; keywords of the client that are not sent pass too."""
    rendered = make.of([*TAKEN, MARKED], {"model": "m", "temperature": 0.2, "stop": ["."]})
    arguments = rendered.openai(temperature=0)
    answer = client.chat.completions.create(**arguments, timeout=30)
    assert answer.choices[0].message.content == ANSWER
    assert server.sent() == arguments
    again = make.history({"role": "user", "content": "?"}, answer.choices[0].message)
    client.chat.completions.create(**again.openai(model="m"))
    assert server.sent()["messages"][1] == {"role": "assistant", "content": ANSWER}


def test_the_client_sends_the_items_of_responses(make: Renders, client: Any, server: Server) -> None:
    """The JSON that arrives is the arguments; the output of a response is sent again as it was."""
    rendered = make.of([MARKED, *(message for message, _ in CONVERTED)], {"model": "m", "max_output_tokens": 5})
    arguments = rendered.openai_responses(store=False)
    answer = client.responses.create(**arguments)
    assert answer.output_text == ANSWER
    assert server.sent() == arguments
    again = make.history({"role": "user", "content": "?"}, *answer.output)
    client.responses.create(**again.openai_responses(model="m"))
    assert server.sent()["input"][1] == answer.output[0].to_dict()


def test_the_client_sends_a_text_prompt_and_a_rendered_default(make: Renders, client: Any, server: Server) -> None:
    """Both are one user message with a plain text."""
    text, default = make.of("Hi"), make.registry.render("absent", default="Hi")
    for rendered in (text, default):
        client.chat.completions.create(**rendered.openai(model="m"))
        assert server.sent() == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        client.responses.create(**rendered.openai_responses(model="m"))
        assert server.sent() == {"model": "m", "input": [{"role": "user", "content": "Hi"}]}


def test_an_object_of_the_sdk_may_be_a_keyword(make: Renders, client: Any, server: Server) -> None:
    """Such as a structured answer's class, for the methods of the client that take one."""

    class Answer(BaseModel):
        text: str

    server_answer = make.of("Hi").openai_responses(model="m", text_format=Answer)
    with pytest.raises(ValueError):  # the server's answer is no JSON
        client.responses.parse(**server_answer)
    assert server.sent()["text"]["format"]["name"] == "Answer"


def schemas(type_: Any) -> dict[str, Any]:
    """Return the JSON schemas of a type's parts, by name."""
    found: dict[str, Any] = TypeAdapter(type_).json_schema()["$defs"]
    return found


def kinds(defined: dict[str, Any]) -> set[str]:
    """Return what `type` may be, in any of these schemas."""
    fields = [schema["properties"].get("type", {}) for schema in defined.values() if "properties" in schema]
    return {field["const"] for field in fields if "const" in field}


def test_the_tables_are_those_of_the_types() -> None:
    """The words that are accepted are those of the package; what a newer one adds to them fails here."""
    chat = pytest.importorskip("openai.types.chat")
    from openai.types.responses import ResponseInputContentParam, ResponseInputItemParam

    parts = schemas(chat.ChatCompletionContentPartParam)
    assert parts["ImageURL"]["properties"]["detail"]["enum"] == list(chat_completions.DETAILS)
    assert parts["InputAudio"]["properties"]["format"]["enum"] == list(chat_completions.AUDIO_FORMATS)
    assert parts["FileFile"]["properties"].keys() == {*chat_completions.FILE_SOURCES, "filename"}
    assert kinds(parts) == set(chat_completions.PARTS_OF_ROLES["user"])
    assert kinds(schemas(chat.ChatCompletionMessageToolCallUnionParam)) == set(CALLS)
    contents = schemas(ResponseInputContentParam)
    assert kinds(contents) == {"input_text", "input_image", "input_file"}
    file = contents["ResponseInputFileParam"]["properties"].keys()
    assert file - {"type", "detail", "prompt_cache_breakpoint"} == {*FILE_SOURCES, "filename"}
    assert sorted(contents["ResponseInputImageParam"]["properties"]["detail"]["enum"]) == sorted(
        chat_completions.DETAILS
    )
    items = TypeAdapter(ResponseInputItemParam).json_schema()
    names = [item["$ref"].rpartition("/")[2] for item in items["anyOf"]]
    assert not kinds({name: items["$defs"][name] for name in names}) & PARTS_ELSEWHERE


# Whatever a template holds and a placeholder brings

TEXTS = st.text("ab é", max_size=3)
FILLED = st.text("ab", min_size=1, max_size=3)
WORDS = (
    "role content type id name tool_calls tool_call_id text image_url url file function custom phase user text".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=8,
)
URL = {"url": FILLED}
FILES = st.dictionaries(
    st.sampled_from("file_data file_id file_url filename a".split()), TEXTS, min_size=1
) | st.dictionaries(FILLED, JSON, min_size=1, max_size=2)
TEMPLATE_PARTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}),
    st.fixed_dictionaries(
        {
            "type": st.just("image_url"),
            "image_url": st.fixed_dictionaries(URL, optional={"detail": st.sampled_from(["low", "a"])}),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("input_audio"),
            "input_audio": st.fixed_dictionaries({"data": FILLED, "format": st.sampled_from(["wav", "a"])}),
        }
    ),
    st.fixed_dictionaries({"type": st.just("file"), "file": FILES}),
)
TOOL_CALLS = st.lists(
    st.just(CALL)
    | st.just(CUSTOM_CALL)
    | st.dictionaries(st.sampled_from(["id", "type", "function", "a"]), JSON, min_size=1),
    min_size=1,
    max_size=2,
)
CONTENTS = TEXTS | st.lists(TEMPLATE_PARTS, min_size=1, max_size=3)
EXTRAS = {"name": FILLED, "tool_call_id": FILLED, "cache": st.booleans()}
TEMPLATE_MESSAGES = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from("system developer user assistant tool".split()), "content": CONTENTS},
        optional=EXTRAS,
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "tool_calls": TOOL_CALLS}, optional={"content": CONTENTS, "cache": st.booleans()}
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "content": CONTENTS, "tool_call_id": FILLED}),
)
KNOWN = [
    *TAKEN,
    *PASSED,
    *OWN,
    *(message for messages in (REFUSED_BY_CHAT, FOREIGN, CONVERTED, ANSWERS) for message, _ in messages),
    *(message for messages in (REFUSED_BY_RESPONSES, FOREIGN_TO_RESPONSES) for message, _ in messages),
]
TEMPLATES = st.lists(TEMPLATE_MESSAGES, min_size=1, max_size=4)
SETTINGS = settings(max_examples=150)


def require_or_refused(type_: Strict, make: Callable[[], list[Any]]) -> None:
    """Fail unless the messages have the type, or an `InvalidInputError` says why not."""
    try:
        messages = make()
    except InvalidInputError:
        pass
    else:
        type_.require(messages)


@SETTINGS
@given(template=TEMPLATES)
def test_a_template_becomes_what_the_types_have_or_is_refused(
    make: Renders, chat_type: Strict, item_type: Strict, template: list[dict[str, Any]]
) -> None:
    """So it is with every template that can be saved, in both APIs. The types have all that is in the result."""
    rendered = make.of(template)
    require_or_refused(chat_type, lambda: [*map(without_name, rendered.openai()["messages"])])
    require_or_refused(item_type, lambda: rendered.openai_responses()["input"])


@SETTINGS
@given(template=TEMPLATES, history=st.lists(st.sampled_from(KNOWN), max_size=3))
def test_what_a_placeholder_brings_becomes_what_the_types_have_or_is_refused(
    make: Renders,
    open_chat_type: Strict,
    item_type: Strict,
    template: list[dict[str, Any]],
    history: list[dict[str, Any]],
) -> None:
    """The shapes of all SDKs may stand beside each other, and beside the messages of a template."""
    rendered = make.of([*HISTORY, *template], history=history)
    require_or_refused(open_chat_type, lambda: rendered.openai()["messages"])
    require_or_refused(item_type, lambda: rendered.openai_responses()["input"])


@SETTINGS
@given(history=st.lists(st.dictionaries(st.sampled_from(WORDS), JSON, max_size=4), min_size=1, max_size=2))
def test_any_json_in_a_placeholder_raises_nothing_else(make: Renders, history: list[dict[str, Any]]) -> None:
    """Whatever stands where a role, a part or a call is expected, nothing but `InvalidInputError` is raised."""
    try:
        rendered = make.history(*history)
    except InvalidVariablesError:  # what no message may hold
        return
    for method in (rendered.openai, rendered.openai_responses):
        with suppress(InvalidInputError):
            method()
