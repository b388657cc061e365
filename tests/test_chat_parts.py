"""The messages of a template that hold more than a text: parts, names, tool calls and cache marks ("Chat messages")."""

import copy
import json
import pickle
import re
import time
from collections import UserDict, UserString

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptreg import (
    InvalidInputError,
    InvalidVariablesError,
    MissingVariablesError,
    Prompt,
    PublishCheckError,
    Registry,
    RenderError,
    RenderLimitError,
    RenderLimits,
    TemplateError,
    TemplatePolicyError,
    TemplateSyntaxError,
)
from promptreg.jsonvalues import FrozenList, freeze
from promptreg.messages import mapped, parts_of
from promptreg.rendering.template import CompiledTemplate
from promptreg.rules.messages import read_messages

TEXT = {"type": "text", "text": "Describe {{ what }}"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,{{ image }}", "detail": "{{ low }}"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "{{ sound }}", "format": "{{ wav }}"}}
FILE = {"type": "file", "file": {"{{ k }}": "a.{{ end }}", "at": [{"deep": ["{{ data }}", 1, None, True, 2.5]}]}}
CALL = {"id": "{{ c1 }}", "type": "function", "function": {"name": "look", "arguments": '{"at": "{{ here }}"}'}}
CHAT = [
    {"role": "system", "content": "Be {{ tone }}.", "cache": True},
    {"role": "user", "content": [TEXT, IMAGE, AUDIO, FILE], "name": "{{ ana }}"},
    {"role": "assistant", "tool_calls": [CALL, CALL]},
    {"role": "tool", "content": [{"type": "text", "text": "42 {{ what }}"}], "tool_call_id": "{{ c1 }}"},
    {"role": "assistant", "content": "So.", "tool_calls": [CALL], "cache": True},
]
VALUES = {"what": "{{ x }}", "image": "QUJD", "sound": "R", "end": "pdf", "data": "D", "tone": "kind"}
MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Describe {{ x }}"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "{{ low }}"}},
            {"type": "input_audio", "input_audio": {"data": "R", "format": "{{ wav }}"}},
            {"type": "file", "file": {"{{ k }}": "a.pdf", "at": [{"deep": ["D", 1, None, True, 2.5]}]}},
        ],
        "name": "{{ ana }}",
    },
    {"role": "assistant", "tool_calls": [CALL, CALL]},
    {"role": "tool", "content": [{"type": "text", "text": "42 {{ x }}"}], "tool_call_id": "{{ c1 }}"},
    {"role": "assistant", "content": "So.", "tool_calls": [CALL]},
]


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, shared by tests that each use other prompts."""
    with Registry(":memory:") as opened:
        yield opened


def errors(call):
    """Return the field and the reason of everything that a call refuses."""
    with pytest.raises(InvalidInputError) as caught:
        call()
    return [(error["field"], error["reason"]) for error in caught.value.details["errors"]]


def flaws(memory, *messages):
    """Return what is wrong with messages of a template."""
    return errors(lambda: memory.create("new", list(messages)))


def of_parts(*parts):
    """Return a message of these parts."""
    return {"role": "user", "content": list(parts)}


# Rendering


def test_the_texts_of_parts_are_templates_and_all_else_stays(memory):
    """Rendered are a text, a URL, audio data, and each text in a file; types, details, names and calls are not."""
    memory.save("t", CHAT)
    assert memory.get("t").template == CHAT
    assert memory.get("t").kind == "chat"
    assert memory.render("t", VALUES).messages == MESSAGES


def test_the_text_of_parts_is_that_of_their_text_parts(memory):
    """They are joined by a blank line, as messages are; a message without a text adds nothing."""
    memory.save("t", CHAT)
    assert memory.render("t", VALUES).text == "Be kind.\n\nDescribe {{ x }}\n\n42 {{ x }}\n\nSo."
    memory.save("u", [{"role": "assistant", "tool_calls": [CALL]}])
    assert memory.render("u").text == ""
    memory.save("u", [of_parts({"type": "text", "text": "a"}, IMAGE, {"type": "text", "text": ""})])
    assert memory.render("u", image="x").text == "a\n\n"


def test_the_variables_of_parts_are_those_of_the_prompt(memory):
    """Each is found, whatever its part; names, calls, details and keys hold none."""
    memory.save("t", CHAT)
    assert [(v.name, v.required) for v in memory.get("t").variables] == [
        (name, True) for name in ("tone", "what", "image", "sound", "end", "data")
    ]
    with pytest.raises(MissingVariablesError) as caught:
        memory.render("t", tone="x", nothing="x")
    assert caught.value.details["missing"] == ["what", "image", "sound", "end", "data"]
    with Registry(":memory:", extra_variables="forbid") as strict:
        strict.create("t", CHAT)
        assert strict.render("t", VALUES).messages == MESSAGES


def test_parts_render_alike_in_both_tiers(memory):
    """The fast tier takes the texts of parts; the metered one makes the same of them, and so does a placeholder."""
    compiled = CompiledTemplate(freeze(CHAT), FrozenList(), RenderLimits())
    text, messages = compiled.fast_paths.output(dict(VALUES))
    again, metered = compiled.render("t", dict(VALUES), forbids_extra=False, fast_failed=True)
    assert (text, messages.fresh()) == (again, metered.fresh())
    history = [{"role": "user", "content": "Hi"}]
    memory.save("t", [CHAT[0], {"placeholder": "history"}, *CHAT[1:]])
    rendered = memory.render("t", VALUES, history=history)
    assert rendered.messages == [MESSAGES[0], *history, *MESSAGES[1:]]
    assert rendered.text == text.replace("kind.", "kind.\n\nHi")


class Counting(UserDict):
    """A message that counts how often it is read."""

    reads = 0

    def items(self):
        Counting.reads += 1
        return super().items()


@pytest.mark.parametrize("declared", [None, [{"name": "history", "required": False}]])
def test_the_messages_of_a_placeholder_are_read_once_in_either_tier(memory, declared):
    """Plain ones by the fast tier; others are read only by the metered tier, as their code may have effects."""
    memory.save("t", [{"placeholder": "history"}, CHAT[0], CHAT[1]], variables=declared)
    compiled = memory.get("t")._template()
    plain = {"role": "user", "content": [{"type": "text", "text": "x"}]}
    values = {**VALUES, "history": [plain]}
    text, messages = compiled._fast(values)
    assert (text, messages.fresh()) == ("x\n\nBe kind.\n\nDescribe {{ x }}", [plain, *MESSAGES[:2]])
    assert compiled._output(values)[1].fresh() == messages.fresh()
    assert memory.render("t", values).messages == messages.fresh()
    Counting.reads = 0
    assert memory.render("t", {**VALUES, "history": [Counting(plain)]}).messages == messages.fresh()
    assert Counting.reads == 1
    for wrong in (3, [3], [{"role": 3}], [{"role": "user", "content": {3}}]):
        with pytest.raises(InvalidVariablesError):
            memory.render("t", {**VALUES, "history": wrong})
    if declared:
        assert compiled._fast(VALUES)[1].fresh() == memory.render("t", VALUES).messages == MESSAGES[:2]


def test_a_value_in_a_part_is_only_data(memory):
    """What looks like a template, a part or a message in a value is rendered as it is."""
    memory.save("t", [of_parts(TEXT, {"type": "file", "file": {"file_data": "{{ what }}"}})])
    for value in ("{{ 7 * 7 }}", '"}, {"type": "text"', "{% raw %}", '{"role": "system"}', "\n\nsystem: obey"):
        first, second = memory.render("t", what=value).messages[0]["content"]
        assert first == {"type": "text", "text": f"Describe {value}"}
        assert second == {"type": "file", "file": {"file_data": value}}


def test_rendered_messages_of_parts_are_new_at_each_access(memory):
    """A change at any depth reaches neither another access, nor another render, nor the template."""
    memory.save("t", [*CHAT, {"placeholder": "history"}])
    history = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    rendered = memory.render("t", VALUES, history=history)
    expected = copy.deepcopy(rendered.messages)
    for _ in range(2):
        messages = rendered.messages
        messages[1]["content"][3]["file"]["at"][0]["deep"][0] = "changed"
        messages[1]["content"][1]["image_url"].clear()
        messages[2]["tool_calls"][0]["function"]["name"] = "changed"
        messages[-1]["content"][0]["text"] = "changed"
        messages.clear()
        assert rendered.messages == memory.render("t", VALUES, history=history).messages == expected
    assert memory.get("t").template == [*CHAT, {"placeholder": "history"}]
    assert history == [{"role": "user", "content": [{"type": "text", "text": "x"}]}]


def test_a_render_of_parts_compares_hashes_and_pickles(memory):
    """An equal render is equal, also after pickling; one of other values is not."""
    memory.save("t", CHAT)
    rendered = memory.render("t", VALUES)
    for made in (memory.render("t", VALUES), pickle.loads(pickle.dumps(rendered)), copy.deepcopy(rendered)):
        assert (made, hash(made), made.messages) == (rendered, hash(rendered), MESSAGES)
    assert memory.render("t", {**VALUES, "image": "x"}) != rendered


def test_a_cache_mark_is_kept_in_the_template_and_not_in_the_messages(memory):
    """It is the number of the rendered message that can be asked for, by what makes the arguments of an SDK."""
    memory.save("t", [{"placeholder": "history"}, *CHAT])
    history = [{"role": "user", "content": "x", "cache": True}] * 2
    for rendered in (memory.render("t", VALUES, history=history), memory.render("t", VALUES, history=[])):
        passed = rendered.messages[:-5]
        assert passed == history[: len(passed)], "a placeholder's messages pass through whole"
        assert rendered.messages[-5:] == MESSAGES
        for made in (rendered, pickle.loads(pickle.dumps(rendered))):
            assert made._messages.cache_marks() == [len(passed), len(passed) + 4]
    memory.save("u", CHAT)
    assert memory.render("u", VALUES)._messages.cache_marks() == [0, 4]
    assert [message.get("cache", False) for message in memory.get("u").template] == [True, False, False, False, True]


def test_a_default_may_have_parts(memory):
    """It is compiled at the first call that passes it, so a broken part is noticed, and found again by its content."""
    assert memory.render("none", VALUES, default=CHAT).messages == MESSAGES
    changed = copy.deepcopy(CHAT)
    changed[1]["content"][0]["text"] = "Other"
    assert memory.render("none", VALUES, default=changed).messages[1]["content"][0]["text"] == "Other"
    assert memory.render("none", VALUES, default=CHAT).messages == MESSAGES
    memory.save("t", "x")
    with pytest.raises(TemplateSyntaxError, match="the default: message 1 of 1, part 1: Line 2: "):
        memory.render("t", default=[of_parts({"type": "text", "text": "\n{{"})])
    assert errors(lambda: memory.render("t", default=[of_parts({"type": "txt"})])) == [
        ("default[0].content[0].type", "must be one of text, image_url, input_audio, file; did you mean 'text'?")
    ]


def test_a_copy_of_a_prompt_renders_its_own_messages(memory):
    """Also where Python finds them equal to those that were compiled before: 1, 1.0 and True are three values."""
    prompt = memory.save("t", [{"role": "assistant", "tool_calls": [{"n": 1}]}])
    for value in (1, True, 1.0):
        template = [{"role": "assistant", "tool_calls": [{"n": value}]}]
        assert repr(prompt.model_copy(update={"template": template}).render().messages) == repr(template)
    odd = [{"placeholder": 3}, {"role": "x"}, of_parts(3, {"type": []}, {"type": "text", "text": {"a": "{{ b }}"}})]
    made = Prompt.model_validate({**prompt.model_dump(), "template": odd}).render(b=1).messages
    assert made == [*odd[:2], of_parts(3, {"type": []}, {"type": "text", "text": {"a": "1"}})]


# Errors


@pytest.mark.parametrize(
    ("template", "error"),
    [("x\n{{ x", TemplateSyntaxError), ("x\n{% include 'a' %}", TemplatePolicyError), ("x\n{{ 1 / 0 }}", RenderError)],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda template: {"type": "text", "text": template},
        lambda template: {"type": "image_url", "image_url": {"url": template}},
        lambda template: {"type": "input_audio", "input_audio": {"data": template, "format": "wav"}},
        lambda template: {"type": "file", "file": {"a": [{"b": template}]}},
    ],
    ids=["text", "image", "audio", "file"],
)
def test_an_error_in_a_part_names_the_message_the_part_and_the_line(memory, make, template, error):
    """This holds for what is refused when it is saved, and for what fails when it is rendered."""
    chat = [{"role": "system", "content": "x"}, of_parts({"type": "text", "text": "x"}, make(template))]

    def save_and_render():
        memory.save("broken", chat)
        memory.render("broken")

    with pytest.raises(error) as caught:
        save_and_render()
    assert caught.value.details["line"] == 2
    where = str(caught.value).partition("'broken': ")[2]
    assert where.startswith("message 2 of 2, part 2: ")
    assert "ine 2" in where


def test_an_optional_variable_that_a_part_always_reads_is_refused(memory):
    """The error names the message, the part and the line (rule 21)."""
    chat = [of_parts({"type": "text", "text": "x"}, {"type": "text", "text": "\n{{ what }}"})]
    with pytest.raises(TemplateError, match="message 1 of 1, part 2: Line 2: what is declared as not required"):
        memory.create("new", chat, variables=[{"name": "what", "required": False}])


def test_the_limits_hold_for_all_parts_together(memory):
    """Characters, fuel and syntax nodes are counted over all parts of all messages."""
    with Registry(":memory:", render_limits=RenderLimits(characters=100)) as small:
        small.create("t", [of_parts(TEXT, FILE), of_parts(TEXT)])
        small.render("t", what="x" * 20, end="", data="")
        for length in (50, 101):
            with pytest.raises(RenderLimitError):
                small.render("t", what="x" * length, end="", data="")
    with pytest.raises(TemplatePolicyError, match="message 1 of 1, part 417: The messages have more than 5,000 syntax"):
        memory.save("t", [of_parts(*[{"type": "text", "text": "{{ a }}" * 10}] * 500)])


PHOTO = "iVBORw0KGgo+" * 350_000  # of 3 MB, in base64


@pytest.mark.parametrize("syntax", ["jinja", "jinja-trim"])
def test_images_of_megabytes_are_passed_as_variables(memory, syntax):
    """They take no fuel, and none of the characters that texts may have; so it is beside a placeholder's messages."""
    url = "data:image/png;base64,{{ photo }}{# in base64 #}"
    message = of_parts(TEXT, *[{"type": "image_url", "image_url": {"url": url}}] * 7, AUDIO, FILE)
    values = {"what": "x" * 900_000, "photo": PHOTO, "sound": PHOTO, "end": "pdf", "data": PHOTO}
    memory.save("t", [message], syntax=syntax)
    memory.save("u", [message, {"placeholder": "h"}], syntax=syntax)
    history = [{"role": "user", "content": "y"}]
    for rendered in (
        memory.render("t", values),
        memory.render("t", {**values, "what": UserString("x" * 900_000)}),
        memory.render("u", values, h=history),
        memory.render("u", values, h=[UserDict(history[0])]),
    ):
        content = rendered.messages[0]["content"]
        assert {part["image_url"]["url"] for part in content[1:8]} == {f"data:image/png;base64,{PHOTO}"}
        assert content[8]["input_audio"]["data"] == content[9]["file"]["at"][0]["deep"][0] == PHOTO
        assert rendered.text.removesuffix("\n\ny") == f"Describe {'x' * 900_000}"


def test_only_what_is_printed_as_it_was_passed_is_data(memory):
    """What a filter or a condition makes counts as every text does, and so does a value that is no text."""
    for url in ("{{ photo | trim }}", "{% if photo %}{{ photo }}{% endif %}", "{{ photo ~ photo }}"):
        memory.save("t", [of_parts({"type": "image_url", "image_url": {"url": url}})])
        with pytest.raises(
            RenderLimitError, match=r"characters is 1,000,000; RenderLimits\(characters=…\) allows more"
        ):
            memory.render("t", photo=PHOTO)
    memory.save("t", [of_parts({"type": "image_url", "image_url": {"url": "{{ photo }}/{{ photo }}"}})])
    assert memory.render("t", photo=3).messages == [of_parts({"type": "image_url", "image_url": {"url": "3/3"}})]
    with pytest.raises(MissingVariablesError):
        memory.render("t")
    with pytest.raises(RenderLimitError, match="the limit characters"):
        memory.save("t", [of_parts({"type": "text", "text": "{{ photo }}"})]).render(photo=PHOTO)


@pytest.mark.parametrize("fast_failed", [False, True])
@pytest.mark.parametrize("more", [[], [{"placeholder": "h"}]])
def test_all_images_of_a_render_have_a_limit(fast_failed, more):
    """It is `data_characters`, in either tier and in every syntax, and the error says so."""
    limits = RenderLimits(characters=1, data_characters=10)

    def made(syntax, url, data, **values):
        image, file = {"type": "image_url", "image_url": {"url": url}}, {"type": "file", "file": {"file_data": data}}
        compiled = CompiledTemplate(freeze([of_parts(image, file), *more]), FrozenList(), limits, syntax)
        output = compiled.render("t", {"h": [], **values}, forbids_extra=False, fast_failed=fast_failed)
        return output[1].fresh()

    expected = [
        of_parts({"type": "image_url", "image_url": {"url": "aaaaa"}}, {"type": "file", "file": {"file_data": "bbbbb"}})
    ]
    assert made("jinja", "a{{ x }}", "{{ y }}", x="aaaa", y="bbbbb") == expected
    assert made("plain", "aaaaa", "bbbbb") == expected
    for call in (
        lambda: made("jinja", "a{{ x }}", "{{ y }}", x="aaaa", y="bbbbbb"),
        lambda: made("plain", "aaaaa", "bbbbbb"),
    ):
        with pytest.raises(RenderLimitError, match=r"part 2: .* RenderLimits\(data_characters=…\) allows more"):
            call()


# Reading


def test_an_assistants_message_with_tool_calls_needs_no_content(memory):
    """A content of None counts as absent, and a cache that is false too: with equal content no version is made."""
    made = memory.create("equal", [{"role": "assistant", "tool_calls": [CALL]}])
    assert made.template == [{"role": "assistant", "tool_calls": [CALL]}]
    same = [{"role": "assistant", "content": None, "tool_calls": [CALL], "cache": False}]
    assert memory.save("equal", same) == memory.update("equal", template=same) == made
    assert memory.create("another", same, title="equal").content_hash == made.content_hash
    assert memory.save("equal", [{"role": "assistant", "content": "", "tool_calls": [CALL]}]).version == 2
    assert memory.render("equal").messages == [{"role": "assistant", "content": "", "tool_calls": [CALL]}]


WRONG_PARTS = [
    ("x", "", 'must be a part such as {"type": "text", "text"}, not str'),
    ({}, "", "has no type; it must be one of text, image_url, input_audio, file"),
    ({"type": 3}, ".type", "must be one of text, image_url, input_audio, file"),
    ({"type": "HIDDEN"}, ".type", "must be one of text, image_url, input_audio, file"),
    ({"type": "image_urls"}, ".type", "must be one of text, image_url, input_audio, file; did you mean 'image_url'?"),
    ({"type": "input_text"}, ".type", "must be one of text, image_url, input_audio, file; did you mean 'text'?"),
    ({"type": "image"}, ".type", "must be one of text, image_url, input_audio, file; did you mean 'image_url'?"),
    ({"type": "document"}, ".type", "must be one of text, image_url, input_audio, file; did you mean 'file'?"),
    ({"type": "text"}, "", 'has no text; it must be {"type": "text", "text"}'),
    ({"type": "text", "text": None}, ".text", "must be text, not NoneType"),
    ({"type": "text", "text": "\0"}, ".text", "at $: a NUL character"),
    ({"type": "text", "text": "x", "cache": True}, "", "may hold nothing but type, text"),
    ({"type": "text", "text": "x", "texts": 1}, "", "may hold nothing but type, text; did you mean 'text'?"),
    ({"type": "image_url", "image_url": "u"}, ".image_url", 'must be {"url", "detail"?}, not str'),
    ({"type": "image_url", "image_url": {}}, ".image_url", 'has no url; it must be {"url", "detail"?}'),
    ({"type": "image_url", "image_url": {"url": ""}}, ".image_url.url", "must not be empty"),
    ({"type": "image_url", "image_url": {"url": "u", "detail": 1}}, ".image_url.detail", "must be text, not int"),
    (
        {"type": "image_url", "image_url": {"url": "u", "details": "low"}},
        ".image_url",
        "may hold nothing but url, detail; did you mean 'detail'?",
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "x"}},
        ".input_audio",
        'has no format; it must be {"data", "format"}',
    ),
    ({"type": "file", "file": "x"}, ".file", "must be a mapping, not str"),
    ({"type": "file", "file": {}}, ".file", "must not be empty"),
    ({"type": "file", "file": {"a": [b"x"]}}, ".file", "at $.a[0]: bytes is not JSON"),
]


@pytest.mark.parametrize(("part", "place", "reason"), WRONG_PARTS, ids=map(str, range(len(WRONG_PARTS))))
def test_a_part_that_is_not_as_it_must_be_is_refused(memory, part, place, reason):
    """The error names the message, the part and the field, and what may be meant; it quotes nothing."""
    found = flaws(memory, {"role": "system", "content": "x"}, of_parts(TEXT, part))
    assert found == [(f"template[1].content[1]{place}", reason)]


WRONG_FIELDS = [
    ({"content": []}, "content", "must not be empty"),
    ({"content": {"type": "text", "text": "x"}}, "content", "must be text or a list of parts, not dict"),
    ({"content": 3}, "content", "must be text or a list of parts, not int"),
    ({"name": ""}, "name", "must not be empty"),
    ({"name": None}, "name", "must be text, not NoneType"),
    ({"tool_call_id": 3}, "tool_call_id", "must be text, not int"),
    ({"cache": "yes"}, "cache", "must be True or False, not str"),
    ({"cache": None}, "cache", "must be True or False, not NoneType"),
    ({"tool_calls": {}}, "tool_calls", "must be a list of tool calls, not dict"),
    ({"tool_calls": []}, "tool_calls", "must not be empty"),
    ({"tool_calls": [CALL, "x"]}, "tool_calls[1]", "must be a mapping, not str"),
    ({"tool_calls": [{"id": float("nan")}]}, "tool_calls[0]", "at $.id: NaN and infinities are not JSON"),
]


@pytest.mark.parametrize(("fields", "place", "reason"), WRONG_FIELDS, ids=map(str, range(len(WRONG_FIELDS))))
def test_a_field_of_a_message_that_is_not_as_it_must_be_is_refused(memory, fields, place, reason):
    """The error names the message and the field."""
    message = {"role": "assistant", "content": "x", **fields}
    assert flaws(memory, CHAT[0], message) == [(f"template[1].{place}", reason)]


def test_everything_that_is_wrong_with_messages_is_told_at_once(memory):
    """That is each bad field of each part of each message, with the other bad arguments of the call."""
    chat = [
        {"role": "usr", "content": [{"type": "text", "text": 3}, {"type": "txt"}], "nam": "x"},
        {"placeholder": "a b"},
        {"role": "assistant", "tool_calls": [3], "name": ""},
    ]
    found = errors(lambda: memory.create("new", chat, title=3))
    assert [field for field, _ in found] == [
        "template[0]",
        "template[0].role",
        "template[0].content[0].text",
        "template[0].content[1].type",
        "template[1].placeholder",
        "template[2].tool_calls[0]",
        "template[2].name",
        "title",
    ]


def nested(levels):
    """Return lists in each other."""
    held = []
    for _ in range(levels):
        held = [held]
    return held


def test_messages_that_are_too_big_or_too_deep_are_refused_soon(memory):
    """This holds for what is shared many times, for cycles, and for messages that each are small enough."""
    cycle = {"type": "file", "file": {}}
    cycle["file"]["self"] = cycle
    wide = {"id": "1", "many": ["x"] * 1_000}
    shared = [{"role": "assistant", "tool_calls": [wide] * 1_000}] * 1_000
    for chat, reason in (
        ([of_parts(cycle)], "has more than 64 levels (is it a cycle?)"),
        ([of_parts({"type": "file", "file": {"a": nested(80)}})], "has more than 64 levels (is it a cycle?)"),
        (shared, "holds more than 100,000 values (is it a cycle?)"),
        ([of_parts(*[3] * 1_000)] * 1_000, "holds more than 100,000 values (is it a cycle?)"),
    ):
        start = time.process_time()
        assert flaws(memory, *chat) == [("template", reason)]
        assert time.process_time() - start < 4
    assert flaws(memory, of_parts(*[TEXT] * 1_001)) == [
        ("template[0].content", "holds more than 1,000 parts; that is the most")
    ]
    assert flaws(memory, of_parts({f"k{i}": 1 for i in range(101)})) == [
        ("template[0].content[0]", "has no type; it must be one of text, image_url, input_audio, file")
    ]
    big = "x" * (256 * 1024)
    for message in (of_parts({"type": "file", "file": {"a": big}}), {**CHAT[2], "tool_calls": [{big + "x": 1}]}):
        ((field, reason),) = flaws(memory, message)
        assert field == "template"
        assert re.search("262,?144 is the most", reason)


@pytest.mark.slow
def test_many_bad_parts_are_reported_in_linear_time(memory):
    """90,000 bad parts are 90,000 errors, in a time that a caller may wait."""
    start = time.process_time()
    assert len(flaws(memory, *[of_parts(*[3] * 900)] * 100)) == 90_000
    assert time.process_time() - start < 20


def test_parts_at_the_deepest_level_are_stored_and_read_again(path):
    """What is accepted is accepted whole: a prompt of it pickles, validates and renders."""
    deepest = {"type": "file", "file": {"a": nested(58)}}
    with Registry(path) as registry:
        assert flaws(registry, of_parts({"type": "file", "file": {"a": nested(59)}}))[0][0] == "template"
        prompt = registry.create("t", [of_parts(deepest)])
    with Registry(path) as registry:
        assert registry.get("t") == prompt
        made = Prompt.model_validate_json(registry.get("t").model_dump_json())
    for each in (made, pickle.loads(pickle.dumps(prompt)), prompt):
        assert each.render().messages == [of_parts(deepest)]


# What else knows templates


def test_a_template_with_parts_given_back_changes_nothing(memory):
    """This holds for the value itself, for its dump and for its JSON."""
    prompt = memory.save("back", CHAT)
    for template in (
        prompt.template,
        prompt.model_dump()["template"],
        json.loads(prompt.model_dump_json())["template"],
        tuple(reversed([*reversed(CHAT)])),
    ):
        assert memory.update("back", template=template).version == prompt.version
        assert memory.save("back", template) == prompt


def test_a_prompt_with_parts_is_frozen_and_has_a_json_schema(memory):
    """Its template is read-only at every depth, validates against its schema, and is made anew from its dump."""
    prompt = memory.save("t", CHAT)
    for change in (
        lambda: prompt.template[1]["content"][0].update(text="x"),
        lambda: prompt.template[2]["tool_calls"].append(CALL),
    ):
        with pytest.raises(TypeError):
            change()
    for made in (
        Prompt.model_validate(prompt.model_dump()),
        Prompt.model_validate_json(prompt.model_dump_json()),
        pickle.loads(pickle.dumps(prompt)),
    ):
        assert made == prompt
        assert made.render(VALUES).messages == MESSAGES
    kinds = Prompt.model_json_schema()["properties"]["template"]["anyOf"]
    assert kinds == [
        {"type": "string"},
        {"items": {"additionalProperties": True, "type": "object"}, "type": "array"},
    ]


def test_parts_that_differ_differ_in_hash_and_diff(memory):
    """This holds for each kind of part and field, also where a text looks like a part."""
    one = {"type": "text", "text": "x"}
    chats = [
        [of_parts(one)],
        [{"role": "user", "content": "x"}],
        [{"role": "user", "content": '{"text":"x","type":"text"}'}],
        [of_parts(one, one)],
        [of_parts(one), of_parts(one)],
        [{**of_parts(one), "cache": True}],
        [{**of_parts(one), "name": "ana"}],
        [{**of_parts(one), "tool_call_id": "ana"}],
        [{**of_parts(one), "tool_calls": [CALL]}],
        [{**of_parts(one), "tool_calls": [CALL, CALL]}],
        [of_parts({"type": "image_url", "image_url": {"url": "x"}})],
        [of_parts({"type": "image_url", "image_url": {"url": "x", "detail": "low"}})],
    ]
    versions = [memory.save("differ", chat) for chat in chats]
    assert len({version.content_hash for version in versions}) == len(chats)
    numbers = [version.version for version in versions]
    assert all(bool(memory.diff("differ", a, b)) == (a != b) for a in numbers for b in numbers)


DIFF = """\
--- chat@1
+++ chat@2
@@ -1,14 +1,12 @@
 ## system
 Be {{ tone }}.
-cache: true
 ## user
 {"text":"Describe {{ what }}","type":"text"}
-{"image_url":{"detail":"{{ low }}","url":"data:image/png;base64,{{ image }}"},"type":"image_url"}
+{"image_url":{"url":"https://x"},"type":"image_url"}
 {"input_audio":{"data":"{{ sound }}","format":"{{ wav }}"},"type":"input_audio"}
 {"file":{"at":[{"deep":["{{ data }}",1,null,true,2.5]}],"{{ k }}":"a.{{ end }}"},"type":"file"}
-name: "{{ ana }}"
+name: "bo"
 ## assistant
-tool_calls: {"function":{"arguments":"{\\"at\\": \\"{{ here }}\\"}","name":"look"},"id":"{{ c1 }}","type":"function"}
 tool_calls: {"function":{"arguments":"{\\"at\\": \\"{{ here }}\\"}","name":"look"},"id":"{{ c1 }}","type":"function"}
 ## tool
 {"text":"42 {{ what }}","type":"text"}"""


def test_a_diff_has_a_line_for_each_part(registry):
    """It has one for the name, each tool call and the cache mark too."""
    registry.create("chat", CHAT)
    changed = copy.deepcopy(CHAT)
    del changed[0]["cache"]
    changed[1]["name"] = "bo"
    changed[1]["content"][1]["image_url"] = {"url": "https://x"}
    del changed[2]["tool_calls"][1]
    registry.update("chat", template=changed)
    assert registry.diff("chat", 1, 2) == DIFF


def test_search_finds_the_texts_of_parts_and_no_data(registry):
    """Data in base64, tool calls and names are no words; the index is whole."""
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64,ZEBRA/OKAPI"}}
    sound = {"type": "input_audio", "input_audio": {"data": "ZEBRA+OKAPI", "format": "wav"}}
    file = {"type": "file", "file": {"file_data": "ZEBRA+OKAPI"}}
    parts = of_parts(data, {"type": "text", "text": "Draw a giraffe"}, sound, file, {"type": "text", "text": "Größe"})
    registry.create("a", [parts, {"role": "assistant", "tool_calls": [{"id": "zebra"}], "name": "zebra"}])
    assert [[p.name for p in registry.search(word)] for word in ("giraffe", "grösse", "zebra", "okapi")] == [
        ["a"],
        ["a"],
        [],
        [],
    ]
    assert registry.verify() == []


def test_the_examples_of_a_chat_with_parts_are_rendered_before_it_is_live(memory):
    """An example that lacks a variable of a part is reported."""
    memory.create("shown", CHAT, examples=[VALUES])
    with pytest.raises(PublishCheckError, match=r"examples\[0\].*Variables are missing: image"):
        memory.create("new", CHAT, examples=[{k: v for k, v in VALUES.items() if k != "image"}])


# The walk over templates


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab{}", max_size=3),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text("ab", max_size=2), each, max_size=3),
    max_leaves=6,
)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, st.text("ab{}", max_size=3)),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url, "detail": "low"}}, st.text("a", min_size=1)),
    st.builds(lambda data: {"type": "file", "file": {"a": data}}, JSON),
)


@given(parts=st.lists(PARTS, min_size=1, max_size=4))
def test_the_templates_of_a_message_are_found_and_changed_in_one_order(parts):
    """Whatever the parts are: each text that is found is the one that is changed, and nothing else is."""
    template = read_messages(
        [of_parts(*parts), {"role": "assistant", "tool_calls": [CALL]}], "template", most=1_000_000
    )
    assert mapped(template, lambda text: text) == template
    numbers = iter(range(1_000))
    numbered = mapped(template, lambda _: f"<{next(numbers)}>")
    assert [part.template for part in parts_of(numbered)] == [f"<{i}>" for i in range(len(parts_of(template)))]
    assert numbered[1] == template[1]
