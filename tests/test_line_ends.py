r"""Line ends of templates are `\n` from the save on, unless every byte counts (rule 20, and rule 1 on equality)."""

import pytest

from promptreg import Registry, VersionConflictError
from promptreg.jsonvalues import canonical, hashed, thaw

UNIX, DOS, MAC = "Dear {{ name }},\n\nBye\n", "Dear {{ name }},\r\n\r\nBye\r\n", "Dear {{ name }},\r\rBye\r"
MIXED = "Dear {{ name }},\n\r\nBye\r"


def chat(text):
    """Return a chat that has the text as a content, in parts, and where no template is."""
    call = {"id": "1", "function": {"name": "f", "arguments": text}}
    return [
        {"role": "system", "content": text},
        {"role": "user", "content": [{"type": "text", "text": text}, {"type": "file", "file": {"file_data": text}}]},
        {"role": "assistant", "tool_calls": [call], "name": text},
    ]


@pytest.mark.parametrize("syntax", ["jinja", "jinja-trim"])
@pytest.mark.parametrize("text", [DOS, MAC, MIXED], ids=["rn", "r", "mixed"])
def test_rule_20_saving_other_line_ends_in_turn_makes_no_version(registry, syntax, text):
    """What is stored, returned and hashed has the one line end, and every verb finds the other ones equal."""
    stored = registry.create("p", text, syntax=syntax)
    assert stored.template == UNIX
    assert stored.content_hash == registry.create("q", UNIX, title="p", syntax=syntax).content_hash
    for template in (text, UNIX, text):
        assert registry.save("p", template) == registry.update("p", template=template) == stored
        assert registry.update("p", template=template, is_production=False) == stored
    assert stored.render(name="Ana").text == "Dear Ana,\n\nBye\n"
    draft = registry.update("p", template="x\r\n", is_production=False)
    assert registry.update(f"p@{draft.version}", template="x\n") == draft
    assert registry.update(f"p@{draft.version}", template=text).template == UNIX


def test_rule_22_seeding_other_line_ends_in_turn_writes_nothing(registry, unchanged):
    """The same code, checked out on another system, ships the same."""
    seeded = registry.seed("p", DOS, title="T")
    with unchanged():
        for template in (UNIX, DOS, MAC):
            assert registry.seed("p", template, title="T") == seeded
    assert seeded.template == UNIX


def test_rule_20_line_ends_of_a_chat_are_those_of_its_templates(registry):
    """Contents and parts have the one line end; names and tool calls, which are no templates, stay as they are."""
    stored = registry.create("p", chat(DOS))
    expected = thaw(chat(UNIX))
    expected[2] = chat(DOS)[2]
    assert stored.template == expected
    assert registry.save("p", chat(DOS)) == registry.save("p", expected) == stored
    assert registry.save("p", chat(UNIX)).version == 2  # another name


def test_rule_20_line_ends_of_values_are_untouched(registry):
    """They are data, in variables and in the messages of a placeholder."""
    prompt = registry.create("p", [{"role": "user", "content": "{{ a }}\r\n{{ 'b\\r\\n' }}"}, {"placeholder": "h"}])
    passed = {"role": "user", "content": "c\r\nd\r"}
    rendered = registry.render("p", a="a\r\nb\r", h=[passed])
    assert rendered.messages == [{"role": "user", "content": "a\r\nb\r\nb\r\n"}, passed]
    assert prompt.render(a="\r", h=[]).text == "\r\nb\r\n"


def test_rule_20_line_ends_of_a_plain_template_are_its_own(registry):
    r"""Saving `\r\n` and `\n` in turn makes versions, and a change of the syntax makes `\n` of them."""
    assert registry.create("p", DOS, syntax="plain").template == DOS
    assert [registry.save("p", text).version for text in (DOS, UNIX, UNIX, MAC)] == [1, 2, 2, 3]
    assert registry.update("p", template=chat(DOS)).template == chat(DOS)
    assert registry.update("p", template=DOS).template == DOS
    jinja = registry.update("p", syntax="jinja")
    assert jinja.template == UNIX
    assert registry.events("p")[-2].details["fields"] == ["template", "syntax"]
    assert registry.update("p", syntax="plain").template == UNIX
    assert registry.update("p", template=DOS, syntax="plain").template == DOS


@pytest.fixture(params=[DOS, chat(DOS)], ids=["text", "chat"])
def earlier(request, path, monkeypatch):
    """A registry whose version 1 was stored, and hashed, with the line ends that it was saved with; so was draft 2."""
    with monkeypatch.context() as patch:
        for module in ("promptreg.rules.version_fields", "promptreg.records"):
            patch.setattr(f"{module}.with_read_line_ends", lambda template, _: template)
        with Registry(path) as registry:
            registry.create("p", request.param)
            registry.update("p", template=request.param, title="Draft", is_production=False)
    with Registry(path) as registry:
        yield registry


def test_a_version_of_an_earlier_release_keeps_its_line_ends_and_its_hash(earlier):
    """It is whole, is read as it was stored, and renders as before."""
    prompt = earlier.get("p")
    assert r"\r\n" in repr(prompt.template)
    names = "kind template config title description category tags meta examples".split()
    content = {"variables": [], **{name: thaw(getattr(prompt, name)) for name in names}}
    assert prompt.content_hash == hashed(canonical(content))
    assert earlier.verify() == []
    assert prompt.render(name="Ana").text.startswith("Dear Ana,\n\nBye\n")
    assert earlier.search("dear") == [prompt]


def test_a_version_of_an_earlier_release_equals_one_with_the_line_ends_of_today(earlier):
    """Saving it again makes no version, and whatever is made from it differs in nothing but what was passed."""
    prompt = earlier.get("p")
    for template in (thaw(prompt.template), unix(prompt.template)):
        assert earlier.save("p", template) == earlier.update("p", template=template) == prompt
    changed = earlier.update("p", description="D")
    assert changed.template == unix(prompt.template)
    assert earlier.events("p")[-2].details["fields"] == ["description"]
    added = [line for line in earlier.diff("p", 1, changed.version).splitlines()[2:] if line[0] in "+-"]
    assert added == ['-  "description": "",', '+  "description": "D",']
    back = earlier.update("p", description="")
    assert earlier.diff("p", 1, back.version) == ""
    assert back.content_hash != prompt.content_hash
    assert back.content_hash == earlier.create("q", unix(prompt.template), title="p").content_hash


def unix(template):
    """Return a template of this file with the line ends of today."""
    if isinstance(template, str):
        return UNIX
    return [*chat(UNIX)[:2], chat(DOS)[2]]


def test_the_stored_hash_is_what_is_expected_of_a_version_of_an_earlier_release(earlier):
    """`expected_hash` takes it in `update`, in place and in `publish`, and no hash of what it equals."""
    first, draft = earlier.history("p")[::-1]
    canonical_hash = earlier.create("q", unix(draft.template), title="Draft").content_hash
    for call in (
        lambda h: earlier.update("p@2", template=unix(draft.template), expected_hash=h),
        lambda h: earlier.publish("p", expected_hash=h),
    ):
        with pytest.raises(VersionConflictError):
            call(canonical_hash)
        assert call(draft.content_hash).content_hash == draft.content_hash
    assert earlier.rollback("p", reason="r").content_hash == first.content_hash
    assert earlier.update("p", template=unix(first.template), expected_hash=first.content_hash).version == 1
