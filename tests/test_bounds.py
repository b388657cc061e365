"""The work of every call is bounded: an argument that is too large is refused before it is read completely.

Nothing is timed here: each outcome is only possible with a bound, without which most of the calls would take minutes.
"""

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import create_model

from promptreg import (
    Actor,
    ConflictError,
    InvalidInputError,
    PublishCheckError,
    Registry,
    RenderLimits,
    TemplatePolicyError,
    checks,
    slugify,
)
from promptreg.rules import lifecycle

MARKS = "\u0315\u0316"  # which Python normalises in the square of their number
HANGING = "a" + MARKS * 60_000


@pytest.mark.parametrize(
    "template",
    [
        "{{ %s }}",
        "{{ x.%s }}",
        "{{ x | default(%s=1) }}",
        "{{ x | %s }}",
        "{{ x is %s }}",
        "{% set %s = 1 %}",
        "{% set %s.x = 1 %}",
        "{% set x.%s = 1 %}",
        "{% for %s in x %}{% endfor %}",
        "{% with %s = 1 %}{% endwith %}",
        "{% macro %s() %}{% endmacro %}",
        "{% macro m(%s) %}{% endmacro %}",
        "{% macro m() %}{% endmacro %}{% call(%s) m() %}{% endcall %}",
    ],
)
def test_a_name_in_a_template_is_bounded_before_it_is_normalised(registry: Registry, template: str) -> None:
    """A name of over 128 characters is refused with its line, wherever it is, and in a default too."""
    hanging = "\n" + template.replace("%s", HANGING)
    with pytest.raises(TemplatePolicyError, match=r"Line 2: a name has 120,001 characters; 128 is the most") as refusal:
        registry.save("a", hanging)
    assert refusal.value.details["line"] == 2
    with pytest.raises(TemplatePolicyError, match="Line 2: a name has 120,001 characters"):
        registry.render("absent", default=hanging)


def test_a_name_of_128_characters_is_read(registry: Registry) -> None:
    """A name of exactly the bound is accepted."""
    registry.save("a", "{{ " + "n" * 128 + " }}")
    assert registry.render("a", {"n" * 128: "x"}).text == "x"
    with pytest.raises(TemplatePolicyError, match="a name has 129 characters"):
        registry.save("a", "{{ " + "n" * 129 + " }}")


@pytest.mark.parametrize("template", ["{% macro \ufb01le() %}{% endmacro %}", "{% set \ufb01.x = 1 %}"])
def test_names_of_macros_and_namespaces_are_normal_too(registry: Registry, template: str) -> None:
    """Names that Python would normalise are refused there too."""
    with pytest.raises(TemplatePolicyError, match="NFKC"):
        registry.save("a", template)


def test_a_pattern_of_format_is_read_once(registry: Registry) -> None:
    """Zeros may be flags or digits of a width; trying both for each of 200,000 would take a quarter of an hour."""
    with pytest.raises(TemplatePolicyError, match="takes plain conversions"):
        registry.save("a", "{{ '%" + "0" * 200_000 + "' | format }}")
    registry.save("a", "{{ '%05d|%-5s|%+.2f|%(n)s|%%|%0d' | format }}")


def test_declared_names_are_bounded(registry: Registry) -> None:
    """A declared variable, a placeholder and a field of a pydantic class have names that a template can read."""
    for variables in ([{"name": "n" * 129}], create_model("Model", **{"n" * 129: (str, ...)})):  # type: ignore[call-overload]
        with pytest.raises(InvalidInputError, match="of at most 128 characters"):
            registry.save("a", "x", variables=variables)
    with pytest.raises(InvalidInputError, match="must be a variable's name"):
        registry.save("a", [{"placeholder": "n" * 129}])
    assert registry.save("a", "x", variables=[{"name": "n" * 128}]).variables[0].name == "n" * 128


def test_slugify_uses_the_beginning_of_a_long_text() -> None:
    """Only the first 1,000 characters count, because normalising more could take hours."""
    assert slugify("a" + MARKS * 3_000_000) == slugify("a" + MARKS * 1_000)
    assert len(slugify("a" + MARKS * 3_000_000)) == 128
    assert slugify(" " * 5_000 + "Ab" * 5_000) == "ab" * 64


def _endless() -> Any:
    return itertools.repeat({"name": "n"})


@pytest.mark.parametrize(
    ("field", "most", "item"),
    [
        ("tags", 1_000, lambda i: f"t{i}"),
        ("variables", 1_000, lambda i: {"name": f"v{i}"}),
        ("access_grants", 1_000, lambda i: (f"user:{i}", "read")),
        ("examples", 100, lambda i: {"i": i}),
    ],
)
def test_lists_are_bounded(registry: Registry, field: str, most: int, item: Callable[[int], Any]) -> None:
    """The maximum is accepted; one more item, or an endless list, is refused before any item is read."""
    made = registry.save("a", "x", **{field: map(item, range(most))})
    assert len(getattr(made, field)) == most
    for items in (map(item, range(most + 1)), map(item, itertools.count())):
        with pytest.raises(InvalidInputError, match=rf"{field}: .* more than {most:,} .*; that is the most"):
            registry.save("a", "y", **{field: items})
    assert registry.get("a") == made


def test_a_chat_may_have_1_000_messages_and_the_nodes_of_one_template(registry: Registry) -> None:
    """Messages are bounded in number, and their syntax nodes together."""
    message = {"role": "user", "content": "…"}
    registry.save("a", [message] * 1_000)
    with pytest.raises(InvalidInputError, match="template: holds more than 1,000 messages"):
        registry.save("a", [message] * 1_001)
    with pytest.raises(TemplatePolicyError, match="The messages have more than 5,000 syntax nodes together"):
        registry.save("a", [{"role": "user", "content": "{{ a }}" * 10}] * 500)


def test_save_accepts_the_grants_of_an_iterator(registry: Registry) -> None:
    """The iterator is read once, whether the prompt is created or updated."""
    assert len(registry.save("a", "x", access_grants=iter([("user:ana", "read")])).access_grants) == 1


def test_an_enum_may_have_1_000_values(registry: Registry) -> None:
    """More are refused, because each value that is passed may be compared with all of them."""
    with pytest.raises(InvalidInputError, match=r"variables\[0\].enum: lists more than 1,000 values"):
        registry.save("a", "x", variables=[{"name": "n", "enum": list(range(1_001))}])
    registry.save("a", "x", variables=[{"name": "n", "enum": list(range(1_000))}])


def test_an_actor_may_have_1_000_groups() -> None:
    """More are refused, because each read of a prompt compares all groups."""
    assert len(Actor("ana", groups=map(str, range(1_000))).groups) == 1_000
    with pytest.raises(InvalidInputError, match="groups"):
        Actor("ana", groups=map(str, range(1_001)))


def test_a_value_that_is_shared_counts_each_time(registry: Registry) -> None:
    """A small list of one long text many times would be written as gigabytes."""
    long = "x" * 1_000_000
    for field, value in {
        "config": {"a": [long] * 50_000},
        "meta": {long: {long: [long] * 50_000}},
        "tags": [long + str(i) for i in range(10)],
        "examples": [{"a": long}] * 100,
        "variables": [{"name": f"v{i}", "default": long} for i in range(10)],
    }.items():
        with pytest.raises(InvalidInputError, match=f"{field}: more than 4194304 characters of text"):
            registry.save("a", "x", **{field: value})


def test_a_config_may_have_100_000_values(registry: Registry) -> None:
    """More are refused, because one call to write or read them would take over 50 ms."""
    registry.save("a", "x", config={"a": [1] * 99_998})
    with pytest.raises(InvalidInputError, match="config: more than 100000 values"):
        registry.save("a", "x", config={"a": [1] * 99_999})


def test_search_accepts_64_terms_and_1_000_characters(registry: Registry) -> None:
    """Terms are separated by spaces or punctuation, and not by marks or in scripts without spaces (rule 24)."""
    registry.save("a", " ".join(f"w{i}" for i in range(70)) + " cafe\u0301 東京")
    words = [f"w{i}" for i in range(65)]
    assert [prompt.name for prompt in registry.search(" ".join(words[:62]) + ", cafe\u0301-東京 … !")] == ["a"]
    for text in (" ".join(words), "-".join(words), "w " * 65):
        with pytest.raises(InvalidInputError, match="text: has 65 terms; 64 is the most"):
            registry.search(text)
    assert registry.search("x" * 1_000) == []
    with pytest.raises(InvalidInputError, match="text: has 1,001 characters; 1,000 is the most"):
        registry.search("x" * 1_001)


def test_a_prompt_may_have_1_000_labels(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more raises `ConflictError`; moving one, or adding one after a removal, works. (Here the limit is 8.)"""
    assert lifecycle.MAX_LABELS == 1_000
    monkeypatch.setattr(lifecycle, "MAX_LABELS", 8)
    registry.save("a", "x")
    registry.save("a", "y")
    for i in range(8):
        registry.set_label("a", f"l{i}", 1)
    with pytest.raises(ConflictError, match="'a' has 8 labels, and 8 is the most; remove_label"):
        registry.set_label("a", "more", 1)
    assert registry.set_label("a", "l5", 2).labels["l5"] == 2
    registry.remove_label("a", "l7")
    assert registry.set_label("a", "more", 1).labels["more"] == 1


def test_all_examples_together_may_take_as_long_as_one_render(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Examples are rendered until the limit `seconds` is used up; the reason says how many were rendered."""
    seconds = itertools.chain([0.0, 0.5, 1.9], itertools.repeat(2.1))
    monkeypatch.setattr(checks, "monotonic", lambda: next(seconds))
    with pytest.raises(PublishCheckError) as refusal:
        registry.save("a", "{{ n }}", examples=[{"n": 1}] * 5)
    assert refusal.value.details["reasons"] == [
        "examples: rendering 2 of 5 took longer than all may, 2 s together (the limit seconds); keep fewer of them"
    ]
    monkeypatch.undo()
    assert registry.save("a", "{{ n }}", examples=[{"n": 1}] * 5).version == 1


def test_the_seconds_of_examples_are_those_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a registry whose renders may take longer, examples may take longer too."""
    with Registry(":memory:", render_limits=RenderLimits(seconds=10)) as registry:
        seconds = itertools.chain([0.0, 0.5, 9.9], itertools.repeat(10.1))
        monkeypatch.setattr(checks, "monotonic", lambda: next(seconds))
        with pytest.raises(PublishCheckError, match="rendering 2 of 3 took longer than all may, 10 s together"):
            registry.save("a", "{{ n }}", examples=[{"n": 1}] * 3)


def test_a_reason_is_bounded(registry: Registry) -> None:
    """An error of an example may name many variables; 2,000 characters of it are kept."""
    template = "".join("{{ %s }}" % (f"v{i}" + "n" * 100) for i in range(100))
    with pytest.raises(PublishCheckError) as refusal:
        registry.save("a", template, examples=[{}])
    assert [len(reason) for reason in refusal.value.details["reasons"]] == [len("examples[0]: ") + 2_000]


def _numbers(count: int) -> list[int]:
    return [i % 150 for i in range(count)]


def test_a_diff_above_a_bound_is_one_block(registry: Registry) -> None:
    """If too much has changed, all lines from the first difference to the last are one block, with a heading."""
    old = [-1, *_numbers(10_000), -2]
    new = [-1, *sorted(_numbers(10_000), key=lambda n: n * 7919 % 151, reverse=True), -2]
    registry.save("a", "x", config={"n": old})
    registry.save("a", "x", config={"n": new})
    lines = registry.diff("a", 1, 2).split("\n")
    assert lines[:2] == ["--- a@1", "+++ a@2"]
    hunks = [line for line in lines if line.startswith("@@")]
    assert len(hunks) == 1
    assert hunks[0].endswith("@@ too much has changed to compare it line by line: all of it is one block")
    assert [int(line[1:].strip(" ,")) for line in lines if line.startswith("-  ")] == old[1:-1]
    assert [int(line[1:].strip(" ,")) for line in lines if line.startswith("+  ")] == new[1:-1]
    assert "       -1," in lines
    assert "       -2" in lines


@pytest.mark.slow
def test_a_diff_of_long_templates_ends(registry: Registry) -> None:
    """Two templates of 65,000 lines, of which every second one differs, are compared with bounded work."""
    for mark in "uv":
        registry.save("a", "\n".join(f"{mark if i % 2 else ''}{i:x}"[-4:] for i in range(50_000)))
    assert "too much has changed" in registry.diff("a", 1, 2)


def test_a_render_fits_in_a_small_stack() -> None:
    """In a thread with such a stack, in a separate process, macros may recurse as deep as `calls` allows.

    As many lazy filters as one render may hold, each inside the next, are freed in it too.
    """
    program = """
import threading
from promptreg import Registry
registry, done = Registry(":memory:"), []
macro = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{% endif %}x{% endmacro %}{{ f(49) }}"
nested = "{{ " + "[" * 20 + "1" + "]" * 20 + " | tojson }}"
lazy = "{% set n = namespace(m=[1]) %}{% for i in range(100) %}{% set n.m = ITEM %}{% endfor %}k"
lazy = lazy.replace("ITEM", "namespace(m=[[[[[[n.m | select]]]]]]) | default(1)")
def run():
    for name, template in (("macro", macro), ("nested", nested), ("lazy", lazy)):
        registry.create(name, template)
        done.append(len(registry.render(name).text))
threading.stack_size(KIB * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
print(done)
"""
    kib = 192 if sys.version_info >= (3, 14) else 128  # Python reserves more of it from 3.14 on
    program = program.replace("KIB", str(kib))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "[50, 41, 1]\n", "")
