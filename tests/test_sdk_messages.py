"""A placeholder takes what the SDKs of OpenAI, Anthropic and Google return, and gives back what they take.

The types are those of the packages themselves, whose imports take seconds together. Each answer is built as the client
builds it from the JSON of a response, put into a placeholder, and compared with the JSON that the client would send.
"""

import base64
import json

import pytest

from promptreg import Registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the packages' imports, which warn on some versions of Python
]


@pytest.fixture(scope="module")
def registry():
    """A registry with a chat prompt that is a system message, a placeholder and a question."""
    with Registry(":memory:") as opened:
        opened.create("t", [{"role": "system", "content": "S"}, {"placeholder": "h"}, {"role": "user", "content": "U"}])
        yield opened


def passed(registry, *history):
    """Return what a placeholder makes of messages, which JSON and a pickle hold."""
    messages = registry.render("t", h=list(history)).messages[1:-1]
    assert json.loads(json.dumps(messages)) == messages
    assert registry.render("t", h=messages).messages[1:-1] == messages, "once plain, it stays as it is"
    return messages


# OpenAI

TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "{{ 1 }}"}'}}


def completion(message):
    """Return the message of a chat completion, as the client makes it from a response."""
    chat = pytest.importorskip("openai.types.chat")
    response = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}],
    }
    return chat.ChatCompletion.construct(**response).choices[0].message


def test_a_chat_completions_message_passes_with_what_the_response_set(registry):
    """None is kept where the response has it; the model's many other fields, which are None, are left out."""
    for message in (
        {"role": "assistant", "content": "Hi", "refusal": None},
        {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
        {"role": "assistant", "content": "Hi", "annotations": [], "something_new": {"a": [1, None]}},
    ):
        assert passed(registry, completion(message)) == [message]


def test_a_chat_completions_message_can_be_sent_again(registry):
    """It validates as a parameter of the next call, and so does one that the application makes."""
    chat = pytest.importorskip("openai.types.chat")
    from pydantic import TypeAdapter

    made = chat.ChatCompletionMessage(role="assistant", content="Hi")
    answer = completion({"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]})
    asked = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "x"}]}
    found = passed(registry, made, answer, asked)
    assert found[0] == {"role": "assistant", "content": "Hi"}
    assert found[2] == asked
    for message in found:
        TypeAdapter(chat.ChatCompletionMessageParam).validate_python(message)


def test_a_chat_completions_message_may_hold_models_beside_mappings(registry):
    """So may a list of messages, and a message of the application."""
    answer = completion({"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]})
    mixed = {"role": "assistant", "tool_calls": tuple(answer.tool_calls)}
    assert passed(registry, {"role": "user", "content": "x"}, mixed, answer) == [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [TOOL_CALL]},
        {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
    ]


def test_the_output_of_a_response_passes_item_by_item(registry):
    """Items without a role pass too; a field that Python can't name as the API does has the API's name."""
    responses = pytest.importorskip("openai.types.responses")
    output = [
        {"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "e"},
        {
            "type": "message",
            "id": "m1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "async": False},
    ]
    response = responses.Response.construct(id="r", output=output)
    assert passed(registry, *response.output) == output
    assert registry.render("t", h=response.output).text == "S\n\nHi\n\nU"


def test_what_an_sdk_never_sends_is_left_out(registry):
    """That is what its helpers have parsed of an answer, and mark as such."""
    parsed = pytest.importorskip("openai.types.responses.parsed_response")
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'}
    made = parsed.ParsedResponseFunctionToolCall.construct(**call, parsed_arguments={"a": 1})
    assert passed(registry, made) == [call]
    text = {"type": "output_text", "text": '{"a": 1}', "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
    output = [{**message, "content": [{**text, "parsed": {"a": 1}}]}]
    response = parsed.ParsedResponse.construct(id="r", output=output)
    assert passed(registry, *response.output) == [message]
    assert passed(registry, {"role": "user", "content": response.output}) == [{"role": "user", "content": [message]}]
    assert passed(registry, response) == [{"id": "r", "output": [message]}]


# Anthropic

BLOCKS = [
    {"type": "thinking", "thinking": "Hm", "signature": "s"},
    {"type": "text", "text": "Hi", "citations": None},
    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": ["{{ 1 }}", None]}},
]


def test_an_anthropic_message_passes_whole(registry):
    """Its blocks are those of the response; so it is where the application puts them into a message."""
    types = pytest.importorskip("anthropic.types")
    from pydantic import TypeAdapter

    usage = {"input_tokens": 1, "output_tokens": 2}
    response = {"id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": "tool_use"}
    answer = types.Message.construct(**response, content=BLOCKS, usage=usage)
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
    found = passed(
        registry,
        answer,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result, answer.content[1]]},
    )
    assert found == [
        {**response, "content": BLOCKS, "usage": usage},
        {"role": "assistant", "content": BLOCKS},
        {"role": "user", "content": [result, BLOCKS[1]]},
    ]
    for message in found[1:]:
        TypeAdapter(types.MessageParam).validate_python(message)
    assert registry.render("t", h=[answer]).text == "S\n\nHi\n\nU"


def test_an_anthropic_message_that_the_application_makes_passes_with_what_it_set(registry):
    """Fields that are None and were not set are left out, in its blocks too."""
    types = pytest.importorskip("anthropic.types")
    block = types.TextBlock(type="text", text="Hi")
    assert passed(registry, {"role": "assistant", "content": [block]}) == [
        {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}
    ]


# Google


def test_a_google_content_passes_with_its_role_and_parts(registry):
    """Bytes are base64, as in the SDK's own JSON, which the SDK reads again; enums are their values."""
    types = pytest.importorskip("google.genai.types")
    data = bytes(range(250, 256)) + b">>??"
    contents = [
        types.Content(role="user", parts=[types.Part(text="{{ 1 }}")]),
        types.Content(
            role="model",
            parts=[
                types.Part(function_call=types.FunctionCall(name="f", args={"a": 1}), thought_signature=data),
                types.Part(executable_code=types.ExecutableCode(code="1", language=types.Language.PYTHON)),
                types.Part(inline_data=types.Blob(mime_type="image/png", data=data)),
            ],
        ),
    ]
    encoded = base64.urlsafe_b64encode(data).decode()
    found = passed(registry, *contents)
    assert found == [
        {"role": "user", "parts": [{"text": "{{ 1 }}"}]},
        {
            "role": "model",
            "parts": [
                {"function_call": {"name": "f", "args": {"a": 1}}, "thought_signature": encoded},
                {"executable_code": {"code": "1", "language": "PYTHON"}},
                {"inline_data": {"mime_type": "image/png", "data": encoded}},
            ],
        },
    ]
    assert [types.Content.model_validate(content) for content in found] == contents


def test_a_google_content_without_a_role_passes_too(registry):
    """So does one of a response, and a mapping that holds parts of the SDK."""
    types = pytest.importorskip("google.genai.types")
    response = types.GenerateContentResponse.model_validate_json(
        '{"candidates": [{"content": {"parts": [{"text": "x"}]}}]}'
    )
    assert passed(registry, response.candidates[0].content, {"role": "model", "parts": [types.Part(text="y")]}) == [
        {"parts": [{"text": "x"}]},
        {"role": "model", "parts": [{"text": "y"}]},
    ]
