"""Front matter: YAML as people write it, limited to JSON's values, and never the cause of long or unbounded work."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptreg import InvalidInputError
from promptreg.files import front_matter
from promptreg.files.flaws import FormatError
from promptreg.files.format import from_text
from promptreg.files.yaml_subset import MAX_CHARACTERS, MAX_VALUES, read_mapping
from tests.test_file_format import VALUES


def meta(text):
    """Return the object `meta` of a front matter in which this YAML stands below its key."""
    indented = "".join(f"  {line}\n" for line in text.split("\n"))
    return from_text(f"---\nmeta:\n{indented}---\na\n", "p.md").fields["meta"]


def flaw(front):
    """Return the line and the reason of the only flaw of a front matter."""
    with pytest.raises(InvalidInputError) as caught:
        from_text(f"---\n{front}\n---\na\n", "p.md")
    (error,) = caught.value.details["errors"]
    return int(error["field"].rpartition(":")[2]), error["reason"]


def test_front_matter_is_read_as_people_write_it():
    """Comments, plain texts, block scalars, lists and objects on many lines, and quotes of both kinds."""
    text = """---
# Who reads this?
title: Support reply
description: >
  Answers a customer,
  in one paragraph.
tags: [support, "e-mail",
       'it''s ours']
config:
  model: gpt-5-mini   # cheap
  temperature: 0.2
  stop:
    - "\\n"
    - END
meta:
  note: |
    two
      lines
  none: null
  empty:
examples: [{question: "Who?"}]
---
{{ question }}
"""
    assert from_text(text, "p.md").fields == {
        "title": "Support reply",
        "description": "Answers a customer, in one paragraph.\n",
        "tags": ["support", "e-mail", "it's ours"],
        "config": {"model": "gpt-5-mini", "temperature": 0.2, "stop": ["\n", "END"]},
        "meta": {"note": "two\n  lines\n", "none": None, "empty": None},
        "examples": [{"question": "Who?"}],
        "template": "{{ question }}",
    }


TEXTS = [
    *("yes", "no", "on", "off", "y", "n", "No", "2026-01-01", "2026-01-01T00:00:00Z", "12:30", "190:20:30", "1_000"),
    *("a b", "1.2.3", "0b11", "=", "nan", "inf", "1e", "e5", "--1", "None", "undefined"),
]


def test_a_plain_scalar_is_what_json_says_and_otherwise_text():
    """No word is a boolean but two, and no date, time or number with underscores is anything but text."""
    for text in TEXTS:
        assert meta(f"a: {text}") == {"a": text}
    for text in ("null", "true", "false", "0", "-0", "12", "-12", "1.5", "-1.5e3", "1e5", "1E+5", "1e-5", "0.10"):
        assert repr(meta(f"a: {text}")["a"]) == repr(json.loads(text))
    assert meta("1: a\ntrue: b\nnull: c") == {"1": "a", "true": "b", "null": "c"}
    assert meta("'null': 'true'") == {"null": "true"}


@pytest.mark.parametrize(
    "text",
    [
        *("~", "Null", "NULL", "True", "TRUE", "False", "FALSE", ".inf", "-.inf", ".NaN", "NaN", "Infinity"),
        *("-Infinity", "0x1F", "0o17", "017", "+1", ".5", "1.", "-.5", "00"),
    ],
)
def test_what_is_a_number_or_a_truth_to_others_but_not_to_json_is_refused(text):
    """Its author may mean either; in quotes it is text."""
    assert flaw(f"meta:\n  a: {text}")[0] == 3
    assert "may be text or not" in flaw(f"meta: {{a: {text}}}")[1]
    assert meta(f'a: "{text}"') == {"a": text}


@pytest.mark.parametrize(
    ("front", "line", "reason"),
    [
        ("title: a\nmeta: &x {}", 3, "anchors (&) are not taken"),
        ("meta: {a: &x 1}", 2, "anchors"),
        ("meta: {a: *x}", 2, "aliases (*) are not taken"),
        ("title: a\n*x : 1", 3, "aliases"),
        ("title: !!str 1", 2, "tags (!) are not taken"),
        ("title: ! a", 2, "tags"),
        ("title: !!python/object/apply:os.system [ls]", 2, "tags"),
        ("tags: !!set {a}", 2, "tags"),
        ("meta:\n  <<: {a: 1}", 3, "merge keys (<<) are not taken"),
        ("title: a\ntitle: b", 3, "stands here for the second time; keep one"),
        ('title: "a"\ntitle: "b"', 3, "stands here for the second time; keep one"),
        ("meta:\n  b: 1\n  a: 1\n  b: 2", 5, "stands here for the second time; keep one"),
        ('meta: {"a": 1, "a": 2}', 2, "twice"),
        ("meta: {a: 1, 'a': 2}", 2, "for the second time"),
        ("meta: {[a]: 1}", 2, "a key must be text"),
        ("? {a: 1}\n: 2", 2, "a key must be text"),
        ("- a\n- b", 2, "must be a mapping"),
        ("just text", 2, "must be a mapping"),
        ("title: [a", 3, "is no YAML"),
        ("title: a: b", 2, "is no YAML: mapping values are not allowed here"),
        ("meta:\n\ta: 1", 3, "is no YAML"),
        ("title: a\n...\ntitle: b", 4, "is no YAML"),
        ("%YAML 1.1", 3, "is no YAML"),
        ("title: 'a\x07'", 2, "holds U+0007, which YAML takes only escaped"),
        ("title: 'a\nb\x7f'", 3, "holds U+007F"),
        (f"meta: {{a: {'9' * 5_000}}}", 2, "is an integer of too many digits"),
        ("meta: {a: 1e999}", 2, "is a number that is too large"),
        ('meta: {"a": 1e999}', 2, "can't be read as JSON: a number is too large"),
        ("title: Infinity", 2, 'may be text or not: put it in "quotes", or write it as JSON does'),
        ('title: "\\ud83d"', 2, "a lone surrogate"),
        ("'title': a\n'':\n  1", 3, "'' is no key"),
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused_with_its_line(front, line, reason):
    """Neither a value of PyYAML's own, nor one of two, is ever guessed."""
    found = flaw(front)
    assert (found[0], reason in found[1]) == (line, True), found


@pytest.mark.slow
@pytest.mark.parametrize(
    "front",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
        "meta: " + "[" * 10_000,
        "meta: " + "[" * 10_000 + "]" * 10_000,
        "meta: " + '{"a":' * 10_000 + "1" + "}" * 10_000,
        "meta: " + "{a: " * 10_000 + "1" + "}" * 10_000,
        "meta:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 600)),
        "meta:\n  " + "- " * 10_000 + "a",
        "meta: [" + "a," * (MAX_VALUES + 1) + "]",
        "meta: {" + "? " * 10_000 + "}",
        "meta: x" + " a" * MAX_CHARACTERS,
        "meta: '" + "x" * 20 * MAX_CHARACTERS,
        "meta: 'x'\n" * 100_000,
        "meta: {a: " + "9" * 200_000 + "}",
        "#" * 10_000_000 + "\nmeta: [",
    ],
    ids="laughs open deep json flow indented dashes values questions characters quoted keys digits comment".split(),
)
def test_what_would_take_long_is_refused_at_once(front):
    """Expanding aliases, deep nesting, and more values or characters than anybody writes by hand."""
    line, reason = flaw(front)
    assert line >= 2
    assert len(reason) < 200


def test_a_million_values_are_read_where_they_are_json():
    """The limits are those of YAML; the registry's own are told with the line of the field."""
    line, reason = flaw('title: "a"\nmeta: ' + json.dumps({"a": [0] * 1_000_000}))
    assert (line, reason) == (3, "meta: more than 100000 values (is it a cycle?)")


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), VALUES, max_size=3))
@settings(max_examples=30)
def test_what_is_written_means_the_same_as_yaml(value):
    """Read as YAML, which other tools do, it is the value that it is as JSON."""
    line = f"meta: {front_matter.as_json(value)}\n"
    assert line.count("\n") == 1
    ((read, _),) = read_mapping(line, first=1).values()
    assert json.dumps(read) == json.dumps(value) == json.dumps(front_matter.read(line)["meta"].value)


SYNTAX = [*"a\n[]{},'\"|>#&*!\t%1é\x85", ": ", "  ", "- ", "? ", "..."]


@given(st.lists(st.sampled_from(SYNTAX), max_size=25).map("".join))
@settings(max_examples=80)
def test_any_text_is_front_matter_or_an_error_with_a_line(text):
    """Nothing else is ever raised."""
    try:
        lines = [entry.line for entry in front_matter.read(text).values()]
    except FormatError as error:
        lines = [error.line]
    assert all(2 <= line <= text.count("\n") + text.count("\x85") + 3 for line in lines)
