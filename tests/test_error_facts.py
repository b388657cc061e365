"""What errors say beside the fact: whose it is, what was found beside it, and the nearest that is there."""

from collections.abc import Callable

import pytest

from promptreg import InvalidVariablesError, MissingVariablesError, PromptregError, Registry, TemplateError


@pytest.fixture
def memory() -> Registry:
    """A registry of one test."""
    return Registry(":memory:")


def told(call: Callable[[], object], kind: type[PromptregError] = PromptregError) -> str:
    """Return what the error of a call says."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == caught.value.message == caught.value.args[0]
    return caught.value.message


# Variables


def test_a_missing_variable_is_told_beside_those_that_were_passed_and_nothing_reads(memory: Registry) -> None:
    """With the missing one that each may be meant for; what the template reads or declares is not among them."""
    memory.create("summarize", "{{ words }} {{ text }}", variables=[{"name": "n", "required": False}])
    message = told(lambda: memory.render("summarize", word="SECRET", text="SECRET", n=1, zz=2), MissingVariablesError)
    assert message == (
        "'summarize': Variables are missing: words; pass them to render."
        " Passed and not read: 'word' (for 'words'?), 'zz'."
    )
    assert "Passed" not in told(lambda: memory.render("summarize", text="x"), MissingVariablesError)
    assert "'word' (for 'words'?)" in told(lambda: memory.get("summarize").render(word=1), MissingVariablesError)


def test_what_is_passed_makes_no_message_long(memory: Registry) -> None:
    """Ten names at most, each as far as 128 characters, and how many more there are."""
    memory.create("summarize", "{{ words }}")
    many = {f"{'x' * 1_000}{i}": i for i in range(1_000)}
    message = told(lambda: memory.render("summarize", many), MissingVariablesError)
    assert " and 990 more." in message
    assert len(message) < 2_000
    with Registry(":memory:", extra_variables="forbid") as strict:
        strict.create("summarize", "{{ words }}")
        message = told(lambda: strict.render("summarize", many, words=1), InvalidVariablesError)
        assert " and 990 more." in message
        assert len(message) < 3_000


def test_a_variable_that_is_forbidden_is_told_with_the_one_that_is_meant() -> None:
    """Of those that were not passed."""
    with Registry(":memory:", extra_variables="forbid") as strict:
        strict.create("summarize", "{{ words }} {{ word2 }}")
        message = told(lambda: strict.render("summarize", word=1, word2=2, zz=3), InvalidVariablesError)
    assert "word is not a variable of this prompt; did you mean 'words'?" in message
    assert "zz is not a variable of this prompt." in message


# Whose error it is


def test_a_templates_error_names_the_prompt_and_in_a_chat_the_message(memory: Registry) -> None:
    """When it is saved and when it is rendered, by the fast tier's way or not."""
    chat = [{"role": "user", "content": "{{ a }}"}, {"placeholder": "h"}, {"role": "user", "content": "{{ 1 / z }}"}]
    memory.create("chat", chat)
    memory.create("text", "{{ 1 / z }}", variables=[{"name": "z", "type": "integer"}])
    for call, start in (
        (lambda: memory.save("text", "\n{{"), "'text': Line 2: "),
        (lambda: memory.save("new", "{% include 'x' %}"), "'new': Line 1: "),
        (lambda: memory.save("chat", [chat[0], {"role": "user", "content": "{{"}]), "'chat': message 2 of 2: Line 1: "),
        (lambda: memory.render("text", z=0), "'text': The template failed at line 1"),
        (lambda: memory.render("text", z="0"), "'text': Variables are not as declared"),
        (lambda: memory.render("chat", z=0, a=1, h=[]), "'chat': message 3 of 3: The template failed at line 1"),
        (lambda: memory.render("chat", z=1, a=1, h=3), "'chat': message 2 of 3: "),
        (lambda: memory.get("chat").render(z=0, a=1, h=[]), "'chat': message 3 of 3: "),
        (lambda: memory.render("chat", z=1, h=[]), "'chat': Variables are missing: a; "),
    ):
        for _ in range(2):
            assert told(call, TemplateError).startswith(start), start
    message = told(lambda: memory.create("checked", "{{ x }}", examples=[{}]))
    assert message.count("'checked'") == 1
