"""A prompt as a file: what is written, what is read, and that both are inverse for every prompt of a registry."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from promptreg import InvalidInputError, PromptregError, Registry, Variable
from promptreg.files.format import KEYS, PromptFile, fields_of, from_text, to_text
from promptreg.files.paths import path_of
from promptreg.jsonvalues import is_same
from promptreg.records import CONTENT
from promptreg.rules.messages import ROLES
from promptreg.variables import RESERVED

HISTORY = Path(__file__).parent / "data" / "prompt_history.jsonl"


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, shared by tests that each use other prompts."""
    with Registry(":memory:") as opened:
        yield opened


def flaws(data, path="p.md", **more):
    """Return what is wrong with a file: the place and the reason of each flaw."""
    with pytest.raises(InvalidInputError) as caught:
        from_text(data, path, **more)
    return [(e["field"], e["reason"]) for e in caught.value.details["errors"]]


def chat(*messages):
    """Return the text of the file of a chat with these messages."""
    return to_text("p", {"template": list(messages)})


def read_chat(body, front=""):
    """Return the messages of a chat of which this is the body."""
    return from_text(f"---\ntype: chat\n{front}---\n{body}", "p.md").fields["template"]


# Both ways, byte for byte

PIECES = [
    *(f"{role}:" for role in ROLES), "placeholder x:", 'user {"name": "ana"}:', "user {}:",
    "user {x}:", "user {{ x }}:",
    "\\user:", "\\\\user:", "\\", "---", "--- ", " user:", "user: ", "User:", "a", "é", "😀", "#", "\t", " ", "",
    "\r", "\r\n", "\x01", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\u2028", "\u2029", "\ufeff", "\ufffe", "\U0001ffff",
    "key: 1", "title: x", "<<", "&a", "*a", "!t", '"', "'", "%", "@", "`", "null", "~", "1e5", "\\ud83d\\ude00",
]  # fmt: skip
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map("\n".join),
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.text(CHARACTERS, max_size=20),
)
FILLED = TEXTS.filter(lambda text: bool(text.strip()))
WORDS = st.text("abcxyz_", min_size=1, max_size=6).filter(lambda word: word not in RESERVED)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
PARTS = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS})
    | st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, FILLED)
    | st.builds(lambda held: {"type": "file", "file": held}, OBJECTS.filter(bool)),
    min_size=1,
    max_size=2,
)
MORE = {"name": FILLED, "tool_call_id": FILLED, "cache": st.just(True)}
CALLS = st.lists(OBJECTS.filter(bool), min_size=1, max_size=2)
MESSAGES = st.one_of(
    st.builds(lambda name: {"placeholder": name}, WORDS | st.just("été")),
    st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": TEXTS | PARTS}, optional=MORE),
    st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": CALLS}, optional={**MORE, "content": TEXTS}),
)
VARIABLES = st.lists(
    st.fixed_dictionaries({"name": WORDS, "type": st.just("any")}, optional={"default": VALUES, "description": TEXTS}),
    max_size=3,
    unique_by=lambda variable: variable["name"],
)
FIELDS = st.fixed_dictionaries(
    {"template": TEXTS.filter(bool) | st.lists(MESSAGES, min_size=1, max_size=5)},
    optional={
        "syntax": st.sampled_from(["jinja", "jinja-trim", "plain"]),
        "title": FILLED,
        "description": TEXTS,
        "category": TEXTS,
        "tags": st.lists(FILLED, max_size=3),
        "variables": VARIABLES,
        "config": OBJECTS,
        "meta": OBJECTS,
        "examples": st.lists(OBJECTS, max_size=2),
    },
)


def require_inverse(registry, name, fields):
    """Fail unless a prompt of these fields, if the registry takes it, is the same after it was a file."""
    if registry.list(prefix=name).items:
        registry.delete(name)
    try:
        prompt = registry.create(name, **fields, is_production=False)
    except PromptregError:
        return False
    text = to_text(name, fields_of(prompt))
    file = from_text(text.encode(), path_of(name))
    assert file.name == name
    assert to_text(name, file.fields) == text
    assert registry.save(name, **file.content(), is_production=False).version == 1
    expected, found = fields_of(prompt), file.content()
    assert {key for key in CONTENT if not is_same(expected[key], found[key])} == set()
    windows = b"\xef\xbb\xbf" + text.encode().replace(b"\n", b"\r\n")
    assert from_text(windows, path_of(name))._replace(digest="") == file._replace(digest="")
    return True


@given(FIELDS)
@settings(max_examples=40)
def test_a_prompt_is_the_same_after_it_was_a_file(memory, fields):
    """Every field, of every prompt that a registry takes, byte for byte; and as a file of Windows with a mark."""
    require_inverse(memory, "p", fields)


@pytest.mark.slow
@given(FIELDS)
@settings(max_examples=1_000)
def test_very_many_prompts_are_the_same_after_they_were_files(memory, fields):
    """The same, more often."""
    require_inverse(memory, "p", {**fields, "syntax": "plain"})


ODD = [*filter(None, PIECES), "a\n", "a\n\n", "\n", "\n\na", "---\n", "\ufeffa", "a\ufeff", "a\r", "\ra\n"]


@pytest.mark.parametrize("syntax", ["jinja", "jinja-trim", "plain"])
def test_each_odd_text_is_the_same_after_it_was_a_file(syntax):
    """As a text, and as a content before, between and after others."""
    for text in ODD:
        one, other = {"role": "user", "content": text}, {"role": "system", "content": ""}
        for template in (text, [one], [one, one], [one, other, {"placeholder": "x"}, one]):
            fields = {"template": template, "syntax": syntax}
            found = from_text(to_text("odd", fields).encode(), "odd.md").content()
            assert {key: found[key] for key in fields} == fields


def test_an_empty_content_and_none_at_all_are_two_things(memory):
    """Of an assistant's tool calls, wherever the message stands."""
    without = {"role": "assistant", "tool_calls": [{"id": "1"}]}
    for messages in ([without], [{**without, "content": ""}], [without, {**without, "content": ""}, without]):
        assert require_inverse(memory, "calls", {"template": messages})


def test_a_key_of_any_length_and_the_deepest_value_are_read_again(memory):
    """YAML takes no longer key than 1,024 characters on one line; a line of JSON has no such limit."""
    deep = 1
    for _ in range(60):
        deep = [deep]
    assert require_inverse(memory, "deep", {"template": "a", "meta": {"k" * 5_000: 10**400, "deep": deep}})


def test_real_prompts_are_the_same_after_they_were_files(memory):
    """The texts of a public collection of prompts, each with its title."""
    edits = [json.loads(line) for line in HISTORY.read_text(encoding="utf-8").splitlines()]
    texts = [(edit["title"], edit["content"]) for edit in edits if "content" in edit]
    assert len(texts) > 50
    for title, text in texts:
        assert require_inverse(memory, "real", {"template": text, "title": title, "syntax": "plain"})
        assert to_text("real", {"template": text}).endswith(f"---\n{text}\n") or "\r" in text


# What is written


def test_the_two_files_of_the_design_are_written_so():
    """A text and a chat, with the keys that differ from their defaults."""
    variables = [{"name": "urgency", "type": "string", "default": "low"}]
    text = {"template": "[{{ urgency }}] {{ subject }}", "title": "Triage", "variables": variables}
    assert to_text("triage", text) == (
        '---\ntitle: "Triage"\nvariables: [{"name": "urgency", "type": "string", "default": "low"}]\n---\n'
        "[{{ urgency }}] {{ subject }}\n"
    )
    messages = [
        {"role": "system", "content": "A transcript looks like this:\n\nuser:\nhello"},
        {"placeholder": "history"},
        {"role": "user", "content": "{{ question }}"},
    ]
    config = {"model": "gpt-5-mini", "temperature": 0.2}
    assert to_text("support/reply", {"template": messages, "title": "Support reply", "config": config}) == (
        '---\ntype: "chat"\ntitle: "Support reply"\nconfig: {"model": "gpt-5-mini", "temperature": 0.2}\n---\n'
        "system:\nA transcript looks like this:\n\n\\user:\nhello\nplaceholder history:\nuser:\n{{ question }}\n"
    )


def test_only_what_differs_from_its_default_is_written(memory):
    """A title that is the name is none of it."""
    assert to_text("plain", fields_of(memory.create("plain", "Hello"))) == "---\n---\nHello\n"
    assert "title" not in to_text("p", {"template": "a", "title": "p"})
    assert 'title: "q"' in to_text("p", {"template": "a", "title": "q"})
    assert from_text('---\ntitle: p\ntags: []\nsyntax: jinja\ntype: "text"\n---\na', "p.md").fields == {"template": "a"}


def test_variables_are_written_in_whatever_form_create_takes_them():
    """As values, as mappings, and as the fields of a model."""

    class Model(BaseModel):
        n: int = 3

    line = 'variables: [{"name": "n", "type": "integer", "default": 3}]'
    plain = {"name": "n", "type": "integer", "default": 3}
    for variables in (Model, [Variable(**plain)], [plain]):
        assert line in to_text("p", {"template": "a", "variables": variables}).replace(', "required": false', "")
    assert "variables" not in to_text("p", {"template": "a", "variables": None})


def test_keys_are_written_in_one_order():
    """Whatever order the fields are passed in, so writing is deterministic."""
    fields = {"template": "a", "title": "t", "syntax": "plain", "tags": ["x"], "meta": {"b": 1, "a": 2}}
    text = to_text("p", fields)
    assert to_text("p", dict(reversed(fields.items()))) == text
    keys = [line.partition(":")[0] for line in text.split("---\n")[1].splitlines()]
    assert keys == [key for key in KEYS if key in fields] == ["title", "syntax", "tags", "meta"]


def message(content):
    """Return a message of a user."""
    return {"role": "user", "content": content}


def part(text):
    """Return a content of this text as one part."""
    return [{"type": "text", "text": text}]


def test_a_one_word_change_is_a_one_line_difference():
    """Of a text, of a message and of a value in the front matter."""
    for before, after in [
        ({"template": "a\nred\nb"}, {"template": "a\nblue\nb"}),
        ({"template": [message("a\nred\n")]}, {"template": [message("a\nblue\n")]}),
        ({"template": "a", "config": {"a": 1, "b": "red"}}, {"template": "a", "config": {"a": 1, "b": "blue"}}),
        ({"template": [message(part("red")), message("x")]}, {"template": [message(part("blue")), message("x")]}),
    ]:
        old, new = (to_text("p", fields).splitlines() for fields in (before, after))
        assert len(old) == len(new)
        assert sum(one != other for one, other in zip(old, new, strict=True)) == 1


@pytest.mark.parametrize("character", ["\r", "\x0b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_a_text_that_editors_or_git_may_change_is_json_in_the_front_matter(character):
    """As a whole, and no such character stands in the file."""
    for template in (f"a{character}b", [{"role": "user", "content": f"a{character}b"}]):
        text = to_text("p", {"template": template})
        assert character not in text
        assert text.endswith("---\n")
    assert text.startswith('---\ntype: "chat"\nmessage 1: {"role": "user", "content": "a')


def test_a_leading_byte_order_mark_is_json_and_another_is_a_character():
    """One inside a text is no mark."""
    assert to_text("p", {"template": "\ufeffa"}) == '---\ntemplate: "\\ufeffa"\n---\n'
    assert to_text("p", {"template": "a\ufeff"}) == "---\n---\na\ufeff\n"


def test_a_message_with_parts_is_json_by_its_number():
    """Counted from 1, among all messages; the other ones stand in the body."""
    parts = {"role": "user", "content": [{"type": "text", "text": "Look:"}]}
    text = chat({"role": "system", "content": "a"}, parts, {"role": "user", "content": "b"})
    assert text == f'---\ntype: "chat"\nmessage 2: {json.dumps(parts)}\n---\nsystem:\na\nuser:\nb\n'


def test_other_keys_of_a_message_stand_in_its_marker():
    """As JSON, with one line for each message."""
    text = chat({"role": "user", "content": "Hi", "name": "ana\u2028", "cache": True})
    assert text.endswith('---\nuser {"name": "ana\\u2028", "cache": true}:\nHi\n')


def test_content_that_looks_like_a_marker_gets_one_more_backslash():
    """After any number of backslashes; what looks like none stays as it is, braces of Jinja included."""
    content = "user:\n\\user:\n\\\\tool:\nplaceholder x:\n user:\nuser: \nUser:\nuser {{ x }}:\nplaceholder 1:\n\\a"
    lines = chat({"role": "user", "content": content}).split("---\n")[2].splitlines()[1:]
    assert lines[:4] == ["\\user:", "\\\\user:", "\\\\\\tool:", "\\placeholder x:"]
    assert lines[4:] == content.split("\n")[4:]


# What is read


def test_the_body_of_a_text_is_never_scanned():
    """One final newline is not content; markers, fences and backslashes are."""
    body = "user:\n---\n\\user:\ntitle: x\n\n"
    assert from_text(f"---\n---\n{body}\n", "p.md").fields["template"] == body
    assert from_text("---\n---\na", "p.md").fields["template"] == from_text("---\n---\na\n", "p.md").fields["template"]


def test_a_file_of_windows_reads_as_any_other():
    """CRLF reads as LF, and a leading byte order mark is dropped, in the front matter and in the body."""
    text = '---\ntitle: "A"\ndescription: |\n  a\n  b\n---\nx\ny\n\n'
    file = from_text(text, "p.md")
    assert from_text("\ufeff" + text.replace("\n", "\r\n"), "p.md") == file
    assert from_text(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(), "p.md").fields == file.fields


def test_people_write_messages_without_a_thought_for_the_format():
    """Blank lines before the first marker and after a placeholder, a missing last newline, a content on many lines."""
    assert read_chat("\n\nsystem:\nBe brief.\nplaceholder history:\n\n\nuser:\n{{ q }}") == [
        {"role": "system", "content": "Be brief."},
        {"placeholder": "history"},
        {"role": "user", "content": "{{ q }}"},
    ]
    assert read_chat("user:") == read_chat("user:\n") == read_chat("user:\n\n") == [{"role": "user", "content": ""}]
    assert read_chat("", 'message 1: {"role": "user", "content": "a"}\n') == [{"role": "user", "content": "a"}]


@pytest.mark.parametrize(
    ("body", "front", "line", "reason"),
    [
        ("Hello\n", "", 4, "a chat begins with a line that is system:"),
        ("sistem:\nx\n", "", 4, "did you mean 'system'?"),
        ("placeholder x:\n\nHello\n", "", 6, "a placeholder has no content"),
        ("user:\nx\nuser {name}:\n", "", 6, "no JSON; where the line is content, put a backslash before it"),
        ('user {"name": "a", "name": "b"}:\n', "", 4, "no JSON"),
        ('user {"role": "tool", "content": "x"}:\n', "", 4, "role and content can't stand in the marker"),
        ("user:\n", "message 3: {}\n", 3, "there are 2 messages in all; the last one is `message 2`"),
        ("user:\n", "message 0: {}\n", 3, "the first one is `message 1`"),
        ("user:\n", "message 01: {}\n", 3, "the first one is `message 1`"),
        ("user:\n", "message 1: 3\n", 3, "must be {"),
        ("user:\n\nuser {\"nme\": 1}:\n", "", 6, "did you mean 'name'?"),
        ("placeholder if:\n", "", 4, "must be a variable's name"),
        ("", "", 4, "a chat begins"),
        ("user:\n", "template: x\n", 3, "its messages stand in the body"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_chat_is_told_with_its_line(body, front, line, reason):
    """That of the message, or of its key in the front matter."""
    ((place, found),) = flaws(f"---\ntype: chat\n{front}---\n{body}")
    if reason == "a chat begins":
        assert found.startswith("template: must not be empty")
    else:
        assert reason in found
    assert place == f"p.md:{line}"


def test_everything_that_is_wrong_with_the_fields_is_told_at_once():
    """Each with the line of its key, and an unknown key with the nearest one."""
    text = "---\ntagz: [a]\ntitle: 3\nsyntax: ninja\ntags: [a, '', b]\nexamples:\n  - 1\nxyz: 1\n---\n\n"
    found = flaws(text)
    assert {place for place, _ in found} == {f"p.md:{line}" for line in (2, 3, 4, 5, 6, 8, 10)}
    assert dict(found)["p.md:2"] == "'tagz' is no key; did you mean 'tags'?"
    assert dict(found)["p.md:8"].startswith("'xyz' is no key; the keys are name, type, title")
    assert "tags[1]" in dict(found)["p.md:5"]


def test_everything_that_is_wrong_with_a_chat_is_told_at_once():
    """Each marker, beside the fields."""
    text = "---\ntype: chat\ntags: 3\n---\nuser {x}:\nplaceholder x:\nHello\nuser {]}:\n"
    assert [place for place, _ in flaws(text)] == ["p.md:5", "p.md:7", "p.md:8", "p.md:3"]
    assert [place for place, _ in flaws("---\ntype: cat\ntags: 3\n---\nx")] == ["p.md:2", "p.md:3"]


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("Hello\n", "p.md:1", "has no front matter: begin with two lines ---, or pass --bare"),
        ("", "p.md:1", "has no front matter"),
        ("---\ntitle: x\n", "p.md:1", "the front matter has no end"),
        ("---\ntype: text\nmessage 1: {}\n---\nx", "p.md:3", "only a chat has messages"),
        ("---\ntype: cat\n---\nx", "p.md:2", "did you mean 'chat'?"),
        ("---\ntemplate: x\n---\ny", "p.md:2", "the template stands here and in the body; keep one"),
        ("---\ntemplate: [x]\n---\n", "p.md:2", "must be {"),
        ("---\nname: Reply\n---\nx", "p.md:2", "must be lower case"),
        ("---\n---\na\0b", "p.md:3", "a NUL character"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(text, place, reason):
    """Whatever it is, the error says where, and what to do."""
    ((found, said),) = flaws(text)
    assert (found, reason in said) == (place, True), said


def test_a_file_that_is_no_utf_8_is_told_with_line_and_offset():
    """No byte is guessed; UTF-16, which some editors save, is named."""
    assert flaws(b"---\n---\nab\xff") == [
        ("p.md:3", "is not UTF-8: the byte at offset 10 is none of it; save it as UTF-8")
    ]
    assert "looks like UTF-16" in flaws("---\n---\na".encode("utf-16"))[0][1]
    assert flaws("---\n---\né".encode("latin-1"))[0][0] == "p.md:3"


def test_files_without_front_matter_are_read_where_that_is_asked_for():
    """The text as a whole, but for its final newline; a `.txt` file is plain, and only `.md` has front matter."""
    assert from_text("Hello\n", "p.md", bare=True).fields == {"template": "Hello"}
    assert from_text("---\n---\nHello\n", "p.md", bare=True).fields == {"template": "Hello"}
    assert from_text("---\n---\nHello\r\n", "p.j2", bare=True).fields == {"template": "---\n---\nHello"}
    assert from_text("{{\n", "a/p.txt", bare=True).fields == {"template": "{{", "syntax": "plain"}
    assert from_text("x", "a/p.jinja", bare=True).name == "a/p"


def test_a_prompty_file_is_read_as_prompty():
    """Its name is that of its path, and what is wrong with it has its line."""
    file = from_text("---\nname: Greeter\nmodel: gpt-5\n---\nuser:\nHello {{name}}!\n", "a/greet.prompty")
    assert (file.name, file.fields["title"], file.fields["config"]) == ("a/greet", "Greeter", {"model": "gpt-5"})
    assert file.fields["template"][0]["role"] == "user"
    assert file.notes == ()
    text = "---\nmodel: {id: gpt-5, connection: {kind: key}}\n---\nuser:\nHello\n"
    assert from_text(text, "p.prompty").notes == (
        "model.connection is not carried over: it belongs to the application",
    )
    assert flaws("---\ntags: 3\n---\nx", "p.prompty")[0][0] == "p.prompty:2"


def test_the_place_of_a_field_and_of_a_line_of_its_text():
    """For errors that are found later: a field, a message, a line of a text in the body."""
    file = from_text(
        '---\ntype: chat\ntitle: x\nmessage 2: {"role": "user", "content": "a"}\n---\nuser:\na\nb\n', "d/p.md"
    )
    where = [file.where(*a, line=n) for a, n in [(["title"], 0), (["tags"], 0), (["template[0].content"], 0)]]
    assert where == ["d/p.md:3", "d/p.md:1", "d/p.md:7"]
    assert [file.where(f"template[{i}]", line=2) for i in (0, 1)] == ["d/p.md:8", "d/p.md:4"]
    assert file.where("template[1].content[0]") == "d/p.md:4"
    assert PromptFile("p", "", {}, {}).where() == "line 1"
    text = from_text("---\n---\na\nb\n", "p.md")
    assert (text.where("template"), text.where("template", line=2)) == ("p.md:3", "p.md:4")


@given(st.one_of(st.binary(max_size=60), TEXTS.map(lambda text: f"---\n{text}\n---\n{text}".encode())))
@settings(max_examples=40)
def test_any_bytes_are_a_prompt_or_an_error_with_a_place(data):
    """Nothing else is ever raised."""
    for path in ("p.md", "p.txt", "p.prompty"):
        try:
            places = [from_text(data, path, bare=True).path]
        except InvalidInputError as error:
            places = [e["field"] for e in error.details["errors"]]
        assert all(place.startswith(path) for place in places)
