"""Text in a terminal: its width, cut and broken to fit, and harmless; tables of it, and the progress bar."""

import sys
from collections.abc import Callable
from unicodedata import category
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptreg.cli import progress as progress_module
from promptreg.cli import text as text_module
from promptreg.cli.progress import Bar, bar_line, progress
from promptreg.cli.tables import Column, print_table
from promptreg.cli.text import columns, cut, shorten, width, wrapped
from promptreg.harmless import harmless, one_line
from tests.terminal import Stream

CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from("  \t\n東京e\u0301👩\u200d👧\ufe0f\x1b")
TEXTS = st.text(CHARACTERS, max_size=80)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("abc", 3),
        ("東京タワー", 10),
        ("ﾀﾜｰ", 3),  # half width
        ("ＡＢ", 4),  # full width
        ("e\u0301", 1),
        ("ก\u0e34", 1),
        ("한국", 4),
        ("👍", 2),
        ("❤\ufe0f", 2),
        ("a\u200bb", 2),
        ("…", 1),
    ],
)
def test_wide_characters_take_two_columns_and_combining_ones_none(text: str, expected: int) -> None:
    """This is what terminals do by Unicode's table of widths."""
    assert width(text) == expected


@settings(max_examples=50)
@given(TEXTS)
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    """Nothing can move the cursor, turn the direction of a line, or begin a new one."""
    shown = one_line(text)
    assert [character for character in shown if category(character) in {"Cc", "Zl", "Zp"}] == []
    assert not set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff") & set(shown)
    assert harmless("a\tb\nc") == "a\tb\nc"


def test_characters_that_hide_text_are_shown_and_those_of_languages_and_emoji_stay() -> None:
    """A reader of a difference sees tags, blank letters and selectors, in which instructions have been hidden."""
    assert one_line("a\U000e0041\u3164b\ufe01\U000e0101\xad\u2060") == r"a\U000e0041\u3164b\ufe01\U000e0101\xad\u2060"
    for text in ("❤\ufe0f 👩\u200d👧", "می\u200cخواهم", "\u06dd", "ᠠ\u180b", "e\u0301 東京 ß", "\xa0\u3000"):
        assert one_line(text) == text
    steering = {chr(code) for code in range(sys.maxunicode + 1) if category(chr(code)) in {"Cc", "Cf", "Cs"}}
    kept = {character for character in steering if harmless(character) == character}
    assert kept == {*"\t\n\u200c\u200d\u06dd", *map(chr, range(0x600, 0x606))}


@settings(max_examples=50)
@given(TEXTS, st.integers(4, 40))
def test_what_is_cut_fits_and_says_so(text: str, most: int) -> None:
    """A line that fits stays as it is; another one ends with an ellipsis."""
    line = one_line(text)
    short = shorten(line, most)
    assert width(short) <= most
    assert short == line if width(line) <= most else short.endswith("…")
    assert short.rstrip("…") == line[: len(short.rstrip("…"))]


@settings(max_examples=50)
@given(TEXTS, st.integers(4, 40))
def test_broken_lines_fit_and_lose_nothing_but_spaces(text: str, most: int) -> None:
    """Lines are broken at spaces, and within words that are wider than a line."""
    text = harmless(text)
    lines = wrapped(text, most)
    assert [line for line in lines if width(line) > most] == []
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_line_keeps_its_indent() -> None:
    """JSON stays readable."""
    assert wrapped('{\n  "a": 1\n}', 20) == ["{", '  "a": 1', "}"]
    assert wrapped("    " + "x" * 10, 8) == ["    xxxx", "xxxxxx"]


def test_a_combining_character_is_never_cut_off() -> None:
    """What is cut ends between two characters as people see them."""
    assert cut("e\u0301e\u0301e\u0301", 2) == "e\u0301e\u0301"


@pytest.mark.parametrize(
    "work",
    [lambda: wrapped("word " * 2_000, 60), lambda: wrapped("x" * 10_000, 60), lambda: shorten("東" * 10_000, 60)],
    ids=["words", "one word", "wide"],
)
def test_long_texts_are_broken_in_linear_work(work: Callable[[], object]) -> None:
    """No character is measured more than twice, as a description may have a million."""
    with mock.patch.object(text_module, "_columns_of", side_effect=lambda _: 1) as measured:
        work()
    assert 0 < measured.call_count <= 20_000


@settings(max_examples=50)
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=8), st.booleans())
def test_every_line_of_a_table_fits_and_its_columns_are_aligned(rows: list[tuple[str, str, str]], wraps: bool) -> None:
    """The last column is cut, or goes on in more lines."""
    out, before = Stream(), sys.stdout
    sys.stdout = out
    try:
        printed = print_table([Column("NAME", least=20), Column("N", is_right=True), Column("REST", wraps=wraps)], rows)
    finally:
        sys.stdout = before
    lines = out.written().splitlines()
    assert printed == len(rows)
    assert [line for line in lines if width(line) > 80] == []
    assert len(lines) == (len(rows) + 1 if rows else 0) or wraps


def test_a_narrow_terminal_has_narrow_lines_and_a_wide_one_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS is what a terminal says of itself."""
    for said, expected in (("40", 40), ("200", 80), ("1", 20), ("x", 80)):
        monkeypatch.setenv("COLUMNS", said)
        assert columns() == expected


# The progress bar


def standard_error(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool = True) -> Stream:
    """Replace standard error; not by a fixture, after which pytest sets its own again."""
    stream = Stream(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_the_bar_is_drawn_after_a_while_and_blanked_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short work draws nothing, and what is drawn leaves no trace in the line."""
    err, now = standard_error(monkeypatch), [0.0]
    bar = Bar("Checking", 100, lambda: now[0])
    bar.advance(1)
    assert err.written() == ""
    now[0] = 1.0
    bar.advance(50)
    now[0] = 1.05
    bar.advance(60)  # too soon after the last drawing
    line = "Checking [############------------] 50 % of 100"
    assert err.written() == f"\r{line}"
    bar.remove()
    assert err.written() == f"\r{line}\r{' ' * len(line)}\r"


def test_the_total_may_become_known_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the bar has the number alone."""
    assert bar_line("Reading", 1234, 0) == "Reading 1,234"
    err, now = standard_error(monkeypatch), [0.0]
    bar = Bar("Reading", 0, lambda: now[0])
    now[0] = 1.0
    bar.advance(5, 10)
    assert "50 % of 10" in err.written()


@pytest.mark.parametrize("done", [-1, 0, 99, 100, 10**9])
def test_a_bar_fits_and_never_shows_more_than_all(done: int) -> None:
    """However long the text is, it takes one line."""
    line = bar_line("text " * 40, done, 100)
    assert width(line) < 80
    assert bar_line("x", done, 100).count("#") <= progress_module.CELLS


def test_the_bar_is_removed_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a message after it stands in a line of its own."""
    err = standard_error(monkeypatch)
    monkeypatch.setattr(progress_module, "BEGIN", 0.0)

    def work() -> None:
        with progress("Checking", 10) as advance:
            advance(5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert err.written().endswith(" \r")


def test_nothing_is_drawn_where_standard_error_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of a build has no bars."""
    err = standard_error(monkeypatch, is_terminal=False)
    monkeypatch.setattr(progress_module, "BEGIN", 0.0)
    with progress("Checking", 10) as advance:
        advance(5)
        advance(10, 10)
    assert err.written() == ""
