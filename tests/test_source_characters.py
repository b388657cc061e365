"""`RenderLimits.source_characters` is the size limit of a template, in characters, and holds as it is set (rule 20)."""

import tracemalloc

import pytest

from promptreg import (
    Actor,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    Registry,
    RenderLimits,
    TemplateError,
    TemplatePolicyError,
)

DEFAULT = 262_144
SYNTAXES = ("jinja", "jinja-trim", "plain")


def limited(characters, path=":memory:"):
    """Return a registry whose templates have at most that many characters."""
    return Registry(path, render_limits=RenderLimits(source_characters=characters))


def chat(*contents):
    """Return messages of these contents."""
    return [{"role": "user", "content": content} for content in contents]


def too_long(length):
    """Yield templates of that many characters: a text, and chats whose contents have them together."""
    yield "文" * length
    yield chat("x" * length)
    yield [*chat("x" * (length - 9), "文 "), {"placeholder": "history"}]


def test_90_000_chinese_characters_are_not_too_long():
    """Characters count, whatever bytes they take; by default a template has up to 262,144."""
    with Registry(":memory:") as registry:
        assert registry.create("p", "文" * 90_000).render().text == "文" * 90_000
        assert registry.create("c", chat("文" * 9_000, "😀" * (DEFAULT - 9_000)), syntax="plain").kind == "chat"


@pytest.mark.parametrize(
    ("most", "syntax"), [*((9, syntax) for syntax in SYNTAXES), (DEFAULT, "plain"), (DEFAULT + 1, "jinja")]
)
def test_a_template_may_have_as_many_characters_as_the_limit_says(most, syntax):
    """That many are saved and rendered, and one more is refused by every verb, with the number and the limit."""
    with limited(most) as registry:
        registry.save("p", "x")
        for template in too_long(most):
            assert registry.create("new", template, syntax=syntax).render(history=[]).text
            registry.set_status("new", "deleted")
        for template in too_long(most + 1):
            for call in (
                lambda t: registry.create("new", t, syntax=syntax),
                lambda t: registry.save("new", t, syntax=syntax),
                lambda t: registry.update("p", template=t, syntax=syntax, is_production=False),
                lambda t: registry.render("absent", default=t),
            ):
                with pytest.raises((InvalidInputError, TemplatePolicyError)) as caught:
                    call(template)
                assert f"has {most + 1:,} characters" in caught.value.message
                assert f"{most:,}" in caught.value.message
                assert "source_characters" in caught.value.message
        assert [prompt.name for prompt in registry.list()] == ["p"]
        assert registry.get("p").latest_version == 1


def test_a_limit_higher_than_that_of_other_texts_holds(path):
    """A template may be longer than the 1 MiB of everything else, and is stored, found and rendered."""
    with limited(3_000_000, path) as registry:
        text = "wort " * 300_000
        assert registry.create("p", text, syntax="plain").template == text
        with pytest.raises(InvalidInputError, match="description: takes 1500000 bytes"):
            registry.update("p", description=text)
    with limited(3_000_000, path) as registry:
        assert registry.get("p").template == text
        assert [prompt.name for prompt in registry.search("wort")] == ["p"]


@pytest.mark.slow
def test_a_limit_higher_than_that_of_other_texts_holds_for_every_part():
    """A content, a part, a URL and a file may be as long; a prompt's own fields may not."""
    long = "x" * 5_000_000
    parts = [
        {"type": "text", "text": long},
        {"type": "image_url", "image_url": {"url": long}},
        {"type": "file", "file": {"file_data": long}},
    ]
    with limited(40_000_000) as registry:
        for content in (long, *([part] for part in parts)):
            message = {"role": "user", "content": content}
            assert registry.save("p", [message], syntax="plain").template == [message]
        for content in (long, parts):
            with pytest.raises(InvalidInputError, match="40,000,000 is the most"):
                registry.save("p", [{"role": "user", "content": content}] * 9)


def test_a_line_end_that_is_stored_as_one_character_counts_as_it_was_passed():
    r"""`\r\n` are two characters of what was passed, which is what is refused."""
    with limited(400_000) as registry:
        registry.create("p", "\r\n" * 200_000)
        with pytest.raises(InvalidInputError, match="has 400,002 characters"):
            registry.create("q", "\r\n" * 200_001)


def test_a_template_longer_than_a_low_limit_is_refused_in_its_turn():
    """What the actor may not do comes first (rule 18), and the error is one of templates, with the prompt's name."""
    with limited(9) as registry:
        registry.save("p", "x")
        ana = registry.scope(actor=Actor("ana", "team_member"))
        with pytest.raises(ForbiddenError):
            ana.create("new", "x" * 10)
        with pytest.raises(NotFoundError):
            registry.update("absent", template="x" * 10)
        with pytest.raises(TemplatePolicyError) as caught:
            registry.update("p", template="x" * 10)
    assert caught.value.details == {"name": "p", "line": None}
    assert caught.value.message == (
        "'p': The template has 10 characters, and the limit source_characters is 9; shorten it, or open the registry"
        " with render_limits=RenderLimits(source_characters=10)."
    )


def test_a_template_that_no_limit_allows_is_invalid_input_first_of_all():
    """It is refused with every other bad field, before anything is looked up."""
    with limited(9) as registry:
        ana = registry.scope(actor=Actor("ana", "team_member"))
        with pytest.raises(InvalidInputError) as caught:
            ana.create("new", "x" * (DEFAULT + 1), tags=3)
    assert [error["field"] for error in caught.value.details["errors"]] == ["template", "tags"]
    assert caught.value.details["errors"][0]["reason"] == (
        "has 262,145 characters; 262,144 is the most, RenderLimits(source_characters=…) allows more"
    )


def test_a_huge_template_is_refused_before_any_work(registry):
    """It is neither encoded nor parsed nor copied, however long it is and however often it stands in a chat."""
    huge = "{" * 20_000_000
    tracemalloc.start()
    for template in (huge, chat(huge), chat(*[huge] * 1_000)):
        for syntax in SYNTAXES:
            with pytest.raises(InvalidInputError, match=r"has (20,000,000|20,000,000,000) characters"):
                registry.create("p", template, syntax=syntax)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(huge) / 4


def test_no_limit_allows_what_no_storage_takes():
    """SQLite stores a billion bytes; a template of more than 100 million characters is refused whatever is set."""
    with (
        limited(1_000_000_000) as registry,
        pytest.raises(InvalidInputError, match="100,000,000 is the most, no storage"),
    ):
        registry.create("p", "x" * 100_000_001)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("template", [*too_long(20)], ids=["text", "message", "messages"])
def test_a_template_stored_under_a_higher_limit_is_read_and_not_rendered(path, syntax, template):
    """It is found, listed, compared and rolled back to; its render says what to do, and a shorter one replaces it."""
    with Registry(path) as registry:
        registry.create("p", template, syntax=syntax)
    with limited(19, path) as strict:
        prompt = strict.get("p")
        assert (prompt.template, strict.list().items, strict.search("文") == [prompt]) == (
            template,
            [prompt],
            "文" in str(template),
        )
        for render in (
            lambda: prompt.render(history=[]),
            lambda: strict.render("p", history=[]),
            lambda: strict.render("p"),
        ):
            with pytest.raises(TemplatePolicyError) as caught:
                render()
            assert caught.value.message.startswith(
                "'p': The template has 20 characters, and the limit source_characters is 19;"
            )
            assert "RenderLimits(source_characters=20)" in caught.value.message
        with pytest.raises(TemplateError):
            strict.update("p", title="New")
        assert strict.update("p", template="short").render().text == "short"
        assert strict.rollback("p", reason="r").version == 1
        assert strict.diff("p", 1, 2)
