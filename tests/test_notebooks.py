"""How values are shown by `repr`, and in notebooks: short, bounded, and harmless whatever they hold."""

import pickle
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from promptreg import (
    Actor,
    Event,
    Page,
    Prompt,
    PublishCheckError,
    Registry,
    Rendered,
    RenderLimits,
    StatusUpdate,
    Variable,
    Version,
    templates,
)
from promptreg.prompt import stale_copy
from promptreg.rendering.template import CompiledTemplate
from promptreg.reprs import short

SHORT = 300
BOUND = 100_000
ELEMENTS = set("div table caption thead tbody tr th td pre p i bdi".split())
ATTRIBUTES = {"style", "dir", "scope"}
HOSTILE = """<script>alert(1)</script>"'&amp;</pre></td><img src=x onerror="a()">\u202e\x1b[2J\r<!--\u2066]]>"""


class Parsed(HTMLParser):
    """A fragment as a browser reads it: its elements, attributes and text. Every element is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: set[tuple[str, str | None]] = set()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= set(attrs)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    handle_decl = handle_pi = unknown_decl = handle_comment

    @property
    def text(self) -> str:
        """All text, as it is read."""
        return "".join(self.texts)


def parsed(value: Any) -> Parsed:
    """Return what a notebook shows of a value; assert that it is bounded, and holds nothing but text and its form."""
    html = value._repr_html_()
    assert len(html.encode()) <= BOUND
    page = Parsed(html)
    assert set(page.elements) <= ELEMENTS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    assert not any("url" in str(content) or "@" in str(content) for _, content in page.attributes)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)
    return page


@pytest.fixture
def registry() -> Any:
    """Return a registry in memory."""
    with Registry(":memory:") as registry:
        yield registry


CHAT = [
    {"role": "system", "content": "You answer in {{ language }}.", "cache": True},
    {"placeholder": "history"},
    {"role": "user", "content": [
        {"type": "text", "text": "What is {{ it }}?"},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/{{ it }}.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,{{ photo }}"}},
        {"type": "input_audio", "input_audio": {"data": "{{ sound }}", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "{{ it }}"}},
    ]},
    {"role": "assistant", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ]},
    {"role": "tool", "tool_call_id": "1", "content": "42"},
]  # fmt: skip
VALUES = {"language": "French", "history": [{"role": "user", "content": "Hi"}], "it": "x", "photo": "A", "sound": "B"}

# repr


def test_the_repr_of_a_prompt_says_which_one_it_is(registry: Registry) -> None:
    """It has the name, the version, its state, the status, what is in production, and the beginning of the template."""
    registry.create("greet", "Hello {{ name }}!")
    assert repr(registry.update("greet", template="Hi {{ name }}! " * 9, is_production=False)) == (
        "Prompt(name='greet', version=2, state='draft', status='active', production_version=1, "
        "template='Hi {{ name }}! Hi {{ name }}! Hi {{ name }}! Hi {{ name }}! Hi {{ name }}! Hi…')"
    )


def test_the_repr_of_a_version_says_who_made_it_and_why(registry: Registry) -> None:
    """`history` returns a line each."""
    registry.scope(actor=Actor("ana", "org_admin")).create("greet", "Hello!", commit_message="First")
    assert repr(registry.history("greet")) == (
        "[Version(name='greet', version=1, state='published', author='ana', commit_message='First', template='Hello!')]"
    )


def test_the_repr_of_a_page_names_its_prompts(registry: Registry) -> None:
    """Each with its version, as many as fit, and how many there are more."""
    for number in range(60):
        registry.create(f"prompt-{number:02}", "Hello!")
    page = registry.list(limit=55)
    assert repr(registry.list(limit=2)).startswith("Page(items=[prompt-00@1, prompt-01@1], next='")
    assert re.search(r"Page\(items=\[prompt-00@1, prompt-01@1, (prompt-..@1, )+… \d\d more\], next='.*'\)", repr(page))
    assert len(repr(page)) < SHORT


def test_the_repr_of_a_render_holds_no_text_of_it(registry: Registry) -> None:
    """It may be logged: only the name, the version and the number of characters are in it."""
    registry.create("greet", "Hello {{ name }}!")
    assert repr(registry.render("greet", name="Ana")) == "Rendered(name='greet', version=1, characters=10)"
    assert repr(registry.render("none", default="Hello!")) == "Rendered(name='none', version=None, characters=6)"


def test_a_long_name_is_whole_in_the_repr(registry: Registry) -> None:
    """A name of 128 characters is not cut, and the template takes what room is left."""
    name = "長" * 128
    prompt = registry.create(name, "x" * 100_000)
    assert repr(prompt).startswith(f"Prompt(name='{name}', version=1, ")
    assert repr(prompt).endswith("xxx…')")
    assert name in repr(registry.render(name))
    assert name in repr(registry.list())


HUGE = ["x" * 9_999, "\x00" * 999, "\U0001f469\u200d" * 999, "\ud800" * 99, 10**5_000, [[]] * 10_000, object()]
ANYTHING = st.sampled_from(HUGE) | st.recursive(
    st.none() | st.integers() | st.floats() | st.text(),
    lambda items: st.lists(items) | st.dictionaries(st.text(), items, max_size=3) | st.tuples(items),
    max_leaves=9,
)
KINDS: list[type[BaseModel]] = [Prompt, Version, Page, Variable, Event, StatusUpdate]


@settings(max_examples=40)
@given(st.data())
def test_every_repr_is_short(data: st.DataObject) -> None:
    """Whatever a value made by hand holds, `repr` and `str` have fewer than 300 characters on one line."""
    kind = data.draw(st.sampled_from(KINDS))
    names = data.draw(st.sets(st.sampled_from(sorted(kind.model_fields))))
    value = kind.model_construct(**{name: data.draw(ANYTHING) for name in names})
    for shown in (repr(value), str(value), f"{value}"):
        assert len(shown) < SHORT
        assert shown.isprintable() or not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert repr(value).startswith(f"{kind.__name__}(")
    rendered = Rendered(data.draw(ANYTHING), data.draw(ANYTHING))
    assert len(repr(rendered)) < SHORT


def test_a_short_repr_stays_as_pydantic_writes_it(registry: Registry) -> None:
    """Of what fits, nothing is left out."""
    assert repr(Variable(name="n", type="integer", default=1)) == (
        "Variable(name='n', type='integer', required=True, default=1, description='', enum=None)"
    )
    assert repr(Actor("ana", "team_editor", ["a"])) == (
        "Actor(id='ana', role=<Role.TEAM_EDITOR: 'team_editor'>, groups=('a',))"
    )
    assert "default=['x', 'x', " in repr(Variable(name="n", default=["x"] * 1_000))
    assert re.search("… 9.. more", repr(Variable(name="n", default=["x"] * 1_000)))


def test_the_repr_of_a_subclass_is_short() -> None:
    """Its name is cut, and a field whose own `repr` raises is named by its type."""

    class Rude:
        def __repr__(self) -> str:
            raise ValueError("never")

    kind = type("P" * 1_000, (Prompt,), {})
    assert repr(kind.model_construct(name=Rude(), template="x")) == f"{'P' * 60}(name=<Rude>, template='x')"
    loop: list[Any] = []
    loop.append(loop)
    assert repr(Prompt.model_construct(name=loop, template=1)) == "Prompt(name=[[[[[[[…]]]]]]], template=1)"
    long = Prompt.model_construct(**dict.fromkeys(Prompt.model_fields, "x" * 9_999))
    assert re.search(r"x…', template='x{20,76}…'\)$", repr(long))
    wide = create_model("Wide", __base__=StatusUpdate, **{f"field_{i}": (int, 0) for i in range(99)})  # type: ignore[call-overload]
    assert repr(wide.model_construct()).startswith("Wide(field_0=0, ")
    assert len(repr(wide.model_construct())) < SHORT
    assert repr(Prompt.model_construct()) == "Prompt()"
    assert repr(Page.model_construct(items=[1])) == "Page(items=[1])"


@pytest.mark.parametrize("most", [3, 9, 20, 300])
@pytest.mark.parametrize("value", ["a" * 50, "\x00" * 50, ["é"] * 50, {"a": {"b": [1] * 50}}, 10**40, "it's"])
def test_a_shown_value_fits(value: Any, most: int) -> None:
    """What is cut ends with an ellipsis, and what fits is its `repr`."""
    assert len(short(value, most)) <= most
    assert short(value, most) == (repr(value) if len(repr(value)) <= most else short(value, most))
    assert ("…" in short(value, most)) is (len(repr(value)) > most)


def test_code_of_a_value_neither_steers_nor_lies() -> None:
    """Line breaks and control characters of what `__repr__` returns are escaped; a text is shown as it is stored."""

    class Steering:
        def __repr__(self) -> str:
            return "\x1b[2J\n\u202e"

    class Lying(str):
        def __getitem__(self, _: Any) -> str:
            return "a lie"

    assert short(Steering(), 99) == r"\x1b[2J\n\u202e"
    assert short(Lying("the truth"), 99) == "'the truth'"


def test_every_way_of_showing_a_prompt_is_short(registry: Registry) -> None:
    """What rich and devtools print of its fields is what `repr` prints."""
    prompt = registry.create("greet", "x" * 10_000)
    shown = list(prompt.__rich_repr__())
    assert sum(len(repr(pair)) for pair in shown) < SHORT
    assert [name for name, _ in shown] == "name version state status production_version template".split()
    assert len("".join(map(str, prompt.__pretty__(repr)))) < SHORT


def test_a_repr_compiles_no_template(registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Neither does it read the database: it works when the registry is closed."""
    with Registry(tmp_path / "a.db") as writer:
        writer.create("greet", "Hello {{ name }}!")
    compiled: list[Any] = []
    monkeypatch.setattr(templates, "CompiledTemplate", lambda *a: compiled.append(a) or CompiledTemplate(*a))
    with Registry(tmp_path / "a.db") as reader:
        prompt, page, history = reader.get("greet"), reader.list(), reader.history("greet")
    assert [len(repr(value)) < SHORT for value in (prompt, page, history[0])] == [True] * 3
    page._repr_html_()
    assert compiled == []
    assert "name" in parsed(prompt).text
    assert len(compiled) == 1


# HTML


def test_a_notebook_shows_a_prompt_with_its_variables_and_its_template(registry: Registry) -> None:
    """Name, version, status, labels, title, who and when, a table of variables, and the whole template."""
    ana = registry.scope(actor=Actor("ana", "org_admin"))
    variables = [{"name": "who", "type": "string", "default": "you", "description": "Whom to greet", "enum": ["you"]}]
    ana.create(
        "greet", "\nHello\n  {{ who }}!", title="A greeting", variables=variables, tags=["a", "b"], config={"n": 1}
    )
    page = parsed(ana.set_label("greet@1", "canary"))
    for text in (
        "Prompt greet@1", "A greeting", "active, version 1 in production", "canary: 1", "by ana", "a, b", '"n": 1',
        "who", 'string: one of ["you"]', '"you"', "Whom to greet", "Template (jinja)", "Initial version",
    ):  # fmt: skip
        assert text in page.text
    assert "\n\nHello\n  {{ who }}!" in page.texts  # of two line breaks, a parser of HTML skips the first
    assert page.elements.count("caption") == 3
    assert f"{datetime.now(UTC):%Y-%m-%d}" in page.text


def test_a_notebook_shows_a_chat_with_its_roles(registry: Registry) -> None:
    """The template of a chat is a table of messages; placeholders are named, and other fields are JSON."""
    page = parsed(registry.create("look", CHAT))
    shown = ("You answer in {{ language }}.", "history", '"arguments": "{}"', '"cache": true', '"filename": "a.pdf"')
    roles = ["system", "placeholder", "user", "assistant", "tool"]
    assert [text for text in page.texts if text in roles] == roles
    for text in shown:
        assert text in page.text


def test_a_notebook_shows_what_is_not_plain(registry: Registry) -> None:
    """A title that is the name, the labels that each prompt has, and a default that was not declared say nothing."""
    variables = [{"name": "a", "required": False}]
    fields = {"category": "letters", "examples": [{}], "access_grants": [("group:legal", "read")]}
    page = parsed(registry.create("greet", "{{ a or '' }}", variables=variables, **fields))
    assert not {"Title", "Labels", "Tags", "Config", "State", "null"} & set(page.texts)
    assert {"Category", "letters", "Grants", "group:legal: read", "Examples"} <= set(page.texts)
    registry.set_status("greet", "disabled")
    prompt = registry.archive("greet")
    assert "archived, disabled, version 1 in production" in parsed(prompt).text
    assert "stale" not in parsed(prompt).text
    assert "stale" in parsed(stale_copy(prompt)).text
    assert "nothing in production" in parsed(registry.create("draft", "x", is_production=False)).text


def test_a_long_message_leaves_no_room_for_the_next(registry: Registry) -> None:
    """The texts of a template share what it may take."""
    page = parsed(registry.create("long", [{"role": "user", "content": "x" * 15_000}] * 3))
    sizes = [text.count("x") for text in page.texts if text.startswith("\nxx")]
    assert sizes[0] == 15_000
    assert 3_000 < sizes[1] < 5_000
    assert "… 1 more" in page.texts


def test_a_notebook_shows_a_version(registry: Registry) -> None:
    """With its state, author and message, and why its checks failed."""
    registry.create("greet", "Hello {{ name }}!")
    registry.update("greet", template="{{ name }}", examples=[{}], is_production=False)
    with pytest.raises(PublishCheckError):
        registry.publish("greet", 2)
    page = parsed(registry.history("greet")[0])
    assert "Version greet@2" in page.text
    assert {"State", "failed", "Failure"} <= set(page.texts)
    assert "examples[0]: Variables are missing: name" in page.text
    assert "In production" not in page.text


def test_a_notebook_shows_a_page_as_a_table(registry: Registry) -> None:
    """At most 50 prompts, how many more there are, and how to read on."""
    for number in range(60):
        registry.create(f"p{number:02}", "Hello!", is_production=number != 1)
    page = parsed(registry.list(limit=55))
    assert page.elements.count("tr") == 51
    assert page.texts[:1] == ["55 prompts"]
    assert {"p00", "p49", "1 (draft)", "… 5 more"} <= set(page.texts)
    assert "after=page.next" in page.text
    assert "after=" not in parsed(registry.list(limit=100)).text
    assert parsed(registry.list(prefix="p00")).texts[0] == "1 prompt"
    assert parsed(registry.list(prefix="q")).texts[0] == "0 prompts"


def test_a_notebook_shows_the_messages_of_a_render(registry: Registry) -> None:
    """With their roles, and which version they are of."""
    registry.create("look", CHAT)
    registry.create("greet", "Hello {{ name }}!")
    page = parsed(registry.render("look", VALUES))
    assert page.text.startswith("Rendered look@1")
    assert {"system", "user", "You answer in French.", "Hi"} <= {text.strip() for text in page.texts}
    assert '"cache"' not in page.text
    assert "Hello Ana!" in parsed(registry.render("greet", name="Ana")).text
    assert "Rendered none, a default" in parsed(registry.render("none", default="Hello!")).text


def test_a_notebook_loads_no_image(registry: Registry) -> None:
    """An image or a sound is text, of which only the beginning is shown."""
    registry.create("look", CHAT)
    html = registry.render("look", {**VALUES, "photo": "A" * 5_000, "sound": "B" * 5_000})._repr_html_()
    page = Parsed(html)
    assert "image: https://pictures.example/x.png" in page.text
    assert "image: data:image/png;base64,AAAA" in page.text
    assert "audio (wav): BBBB" in page.text
    assert "more characters" in page.text
    assert "A" * 300 not in html
    assert "src" not in html


@pytest.fixture
def hostile(registry: Registry) -> list[Any]:
    """Return values with markup in each of their fields."""
    variables = [{"name": "a", "description": HOSTILE, "default": HOSTILE, "enum": [HOSTILE]}]
    ana = registry.scope(actor=Actor(HOSTILE, "org_admin"), namespace="deep")
    fields = dict.fromkeys(("title", "description", "category", "commit_message"), HOSTILE)
    more = {"tags": [HOSTILE], "config": {HOSTILE: HOSTILE}, "meta": {HOSTILE: HOSTILE}, "examples": [{"a": HOSTILE}]}
    prompt = ana.create("hostile", HOSTILE + "{{ a }}", variables=variables, **fields, **more)
    parts = [{"type": "text", "text": HOSTILE}, {"type": "image_url", "image_url": {"url": HOSTILE}}]
    calls = [{"id": HOSTILE, "type": "function", "function": {"name": HOSTILE, "arguments": HOSTILE}}]
    chat = ana.create("chat", [
        {"role": "user", "content": parts, "name": HOSTILE}, {"placeholder": "h"},
        {"role": "assistant", "tool_calls": calls},
    ])  # fmt: skip
    history = [{"role": HOSTILE, "content": HOSTILE, HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}]
    texts = dict.fromkeys(("name", "status", "state", "syntax", "namespace", "author", "created_by"), HOSTILE)
    version = prompt.model_copy(update={**texts, "failure": [HOSTILE], "labels": {HOSTILE: 1}})
    by_hand = [Prompt.model_construct(**{**dict(prompt), name: HOSTILE}) for name in Prompt.model_fields]
    by_hand += [prompt.model_copy(update={name: object()}) for name in Prompt.model_fields]
    page = ana.list()
    pages = [Page(items=[version] * 99, next=HOSTILE), Page.model_construct(items=HOSTILE, next=HOSTILE)]
    rendered = [prompt.render(a=HOSTILE), chat.render(h=history), Rendered(HOSTILE, HOSTILE), Rendered("a", 3)]  # type: ignore[arg-type]
    return [prompt, chat, version, *by_hand, page, *pages, *rendered, *ana.history("hostile"), Prompt.model_construct()]


def test_no_markup_of_a_prompt_is_markup_of_a_notebook(hostile: list[Any]) -> None:
    """Whatever field it stands in, it is text, without characters that turn the direction of a line."""
    for value in hostile:
        page = parsed(value)
        assert "script" not in page.elements
    prompt, *_ = hostile
    assert parsed(prompt).text.count("<script>alert(1)</script>") >= 10


def test_what_is_made_by_hand_is_shown_by_its_repr() -> None:
    """A value that lacks fields, or whose fields have other types, never raises."""
    assert parsed(Prompt.model_construct(name="x")).texts == ["\nPrompt(name='x')"]
    assert parsed(Page.model_construct(items=3)).texts == ["\nPage(items=3)"]


def test_a_template_that_does_not_compile_is_shown(tmp_path: Path) -> None:
    """As where limits are lower than when it was saved, or where it was made by hand: with its declared variables."""
    with Registry(tmp_path / "a.db") as writer:
        prompt = writer.create("greet", "{{ a }}{{ b }}", variables=[{"name": "a", "description": "The first"}])
    with Registry(tmp_path / "a.db", render_limits=RenderLimits(source_characters=9)) as reader:
        page = parsed(reader.get("greet"))
    assert "The first" in page.texts
    assert "{{ a }}{{ b }}" in page.text
    bare = Version.model_construct(**{k: v for k, v in dict(prompt).items() if k in Version.model_fields})
    assert "The first" in parsed(bare).texts
    del bare.__dict__["variables"]
    assert "Declared variables" in parsed(bare).texts
    assert "The first" in parsed(bare).texts


LONG = "<&\U0001f600" * 60_000


def test_what_a_notebook_shows_is_bounded(registry: Registry) -> None:
    """However large a value is, its HTML is smaller than 100 KB, and says how much is left out."""
    many = [Variable(name=f"v{i}", description=LONG, default=LONG, enum=[LONG]) for i in range(60)]
    texts = dict.fromkeys("title description category commit_message author created_by namespace syntax".split(), LONG)
    more = {"variables": many, "config": {"a": LONG}, "meta": {"b": LONG}, "tags": [LONG], "failure": [LONG] * 9}
    prompt = registry.create("large", "x").model_copy(update={**texts, **more, "template": LONG, "labels": {LONG: 1}})
    assert re.search(r"… 1\d\d,\d\d\d more characters", parsed(prompt).text)
    assert "… 30 more" in parsed(prompt).texts
    parts = [{"type": "text", "text": "x"}] * 300
    chat = registry.create("chat", [{"role": "user", "content": parts}, *[{"role": "user", "content": "x"}] * 300])
    for value in (chat, chat.render(), registry.history("chat")[0]):
        assert re.search("… [0-9,]+ more", parsed(value).text)
    messages = [{"role": "user", "content": [{"type": "text", "text": LONG}] * 30, "x": LONG}] * 300
    short_ones = [{"role": LONG, "content": "x"}] * 3_000
    many_parts = [{"role": LONG, "content": [{"type": "text", "text": "x"}] * 3_000}] * 9
    for template in (messages, short_ones, many_parts):
        parsed(prompt.model_copy(update={"template": template}))
    parsed(Rendered("x", LONG))
    wide = prompt.model_copy(update={"name": LONG, "state": LONG, "status": LONG})
    parsed(Page(items=[wide] * 1_000, next="x"))
    parsed(wide)


# What must not change


def test_being_shown_changes_nothing(registry: Registry) -> None:
    """Pickles, equality, hashes, dumps and the JSON schema are as before."""
    prompt = registry.create("look", CHAT)
    values = [prompt, registry.list(), registry.history("look")[0], registry.render("look", VALUES)]
    before = [(pickle.dumps(value), hash(value) if not isinstance(value, Page) else 0) for value in values]
    for value in values:
        repr(value), value._repr_html_()
    assert before == [(pickle.dumps(value), hash(value) if not isinstance(value, Page) else 0) for value in values]
    assert [pickle.loads(dump) for dump, _ in before] == values
    for kind in (Prompt, Version, Page):
        assert not any(name.startswith("_") for name in kind.model_json_schema()["properties"])
        assert not {"_repr_html_", "_SHOWN"} & set(kind.__private_attributes__)
