"""What `default=` of `get` and `render` answers, how it is read, and that a hit hardly pays for it.

`test_rules_variables.py` has the rest of its rules.
"""

import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from promptreg import (
    Actor,
    PromptDisabledError,
    Registry,
    RenderError,
    RenderLimitError,
    RenderLimits,
    StorageCorruptError,
    TemplateSyntaxError,
)


def test_a_default_is_read_as_jinja(registry):
    """Whatever the syntax of the prompt; its blocks are not trimmed, and its line ends become \\n."""
    block = "{% if n %}\r\n  {{ n }}\r\n{% endif %}\r\n"
    parts = [{"role": "user", "content": [{"type": "text", "text": block}]}]
    for syntax in ("plain", "jinja-trim"):
        registry.create(f"{syntax}/draft", "{{ n }}", syntax=syntax, is_production=False)
        for default in (block, [{"role": "user", "content": block}], parts):
            rendered = registry.render(f"{syntax}/draft", default=default, n=1)
            assert (rendered.text, rendered.version) == ("\n  1\n\n", None)
    with pytest.raises(TemplateSyntaxError):
        registry.render("plain/draft@1", default="{{", n=1)


DEFAULTS = {
    "a text": "A {{ n }}",
    "messages": [{"role": "system", "content": "B"}, {"role": "user", "content": "{{ n }}"}],
    "a tuple": ({"role": "system", "content": "B"}, {"role": "user", "content": "{{ n }}"}),
    "a placeholder": [{"placeholder": "h"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "{{ n }}"}]}],
}


@pytest.mark.sqlite
@pytest.mark.parametrize("default", DEFAULTS.values(), ids=DEFAULTS)
def test_a_default_that_was_passed_before_leaves_a_hit_on_the_fast_path(registry, monkeypatch, default):
    """Once it is compiled, a render that finds its prompt in memory calls no more than one without a default."""
    registry.create("t", "Hi {{ n }}")
    registry.render("t", default=default, n=1)
    registry.render("t", default=default, n=1)
    registry._core.cache.generation.until = math.inf  # or a check every 50 ms takes the slow path
    for call in ("render", "find_cached", "resolve"):
        monkeypatch.setattr(registry._core, call, None)
    assert registry.render("t", default=default, n=1).text == "Hi 1"


def test_defaults_that_begin_alike_are_compiled_once_each(registry, monkeypatch):
    """Lists of one length with the same first message, and lists of parts, don't replace each other."""
    registry.create("t", "x")
    alike = [[{"role": "system", "content": "S"}, {"role": "user", "content": f"{i}"}] for i in range(8)]
    alike += [[{"role": "user", "content": [{"type": "text", "text": f"{i}"}]}] for i in range(8)]
    for default in alike:
        registry.render("t", default=default)
    monkeypatch.setattr("promptreg.templates.CompiledTemplate", None)
    for default in alike * 2:
        assert registry.render("t", default=default).text == "x"


def test_a_default_is_the_one_that_was_passed(registry):
    """Python finds 1, 1.0 and True equal; in a message of JSON they are three values."""
    for value in (1, True, 1.0, 1):
        call = {"id": "c", "function": {"strict": value}}
        default = [{"role": "assistant", "content": "x", "tool_calls": [call]}]
        assert repr(registry.render("none", default=default).messages[0]["tool_calls"]) == repr([call])


def test_a_default_answers_no_error_of_the_render_itself(path):
    """Where the prompt is found, its limits, its failing operations and its being disabled underneath are raised."""
    with Registry(path, render_limits=RenderLimits(characters=10)) as registry:
        registry.create("long", "{{ n }}" * 20)
        registry.create("fails", "{{ 1 / n }}")
        registry.create("off", "x"), registry.set_status("off", "disabled"), registry.archive("off")
        for view in (registry, registry.scope(actor=Actor("m", "team_member"))):
            for name, kind in (("long", RenderLimitError), ("fails", RenderError), ("off", PromptDisabledError)):
                for _ in range(2):
                    with pytest.raises(kind):
                        view.render(name, {"n": 0}, default="instead")


@pytest.mark.sqlite
def test_a_default_answers_every_storage_error(path, tmp_path):
    """A file that was removed, or is damaged, is answered by the default as a prompt that is not there."""
    with Registry(path) as registry:
        registry.create("t", "x")
        Path(path).rename(tmp_path / "aside.db")
        rendered = registry.render("t", default="instead")
        assert (rendered.text, rendered.version, registry.get("t", default=None)) == ("instead", None, None)
        (tmp_path / "aside.db").rename(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE prompts SET labels = '{}x'")
    with Registry(path) as damaged:
        assert (damaged.render("t", default="instead").text, damaged.get("t", default=None)) == ("instead", None)
        with pytest.raises(StorageCorruptError):
            damaged.get("t")
