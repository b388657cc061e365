"""`promptreg diff`, and the words that it marks."""

import json
import shutil
from difflib import Match, SequenceMatcher
from itertools import pairwise
from pathlib import Path
from random import Random
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptreg import Registry
from promptreg.cli.differences import shown_lines
from promptreg.rules.changed_words import Line, Piece, mark_words
from promptreg.rules.unified_diff import MAX_WORK, Work, changes, unified
from tests.terminal import Terminal


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "prompts.db"
    with Registry(path) as registry:
        registry.create("greet", "Say hello to {{ name }}\nand stay")
        registry.update("greet", template="Say hi to {{ name }}\nand stay", tags=["x"])
        registry.update("greet", template="Say hello to {{ name }}\nand stay", tags=[])
    return path


@pytest.fixture
def terminal(tmp_path: Path, made: Path) -> Terminal:
    shutil.copy(made, tmp_path)
    return Terminal(tmp_path)


def marked(old: str, new: str) -> tuple[list[str], list[str]]:
    """Return the marked parts of the removed and of the added lines."""
    diff = "\n".join(unified(old.split("\n"), new.split("\n"), "a@1", "a@2"))
    lines = list(mark_words(diff))
    removed, added = ([p.text for x in lines if x.kind == kind for p in x.pieces if p.is_changed] for kind in "-+")
    return removed, added


def test_in_a_pipe_it_is_what_the_registry_returns(terminal: Terminal, made: Path) -> None:
    """Byte for byte, with a final line break; numbers and labels choose the versions."""
    with Registry(made) as registry:
        expected = registry.diff("greet", 1, 2)
    assert terminal("diff", "greet", "1", "2") == (0, f"{expected}\n", "")
    assert terminal("diff", "greet", "2", "production").out.startswith("--- greet@2\n+++ greet@3\n")


def test_without_versions_it_is_from_what_is_live_to_the_latest(terminal: Terminal) -> None:
    """So it shows what publishing the draft would change."""
    terminal("update", "greet", "--draft", stdin="Say hey to {{ name }}")
    assert terminal("diff", "greet").out.startswith("--- greet@3\n+++ greet@4\n")


def test_on_a_terminal_changed_words_are_marked(terminal: Terminal) -> None:
    """Removed lines are red, added ones green, and the words that differ reversed."""
    done = terminal("diff", "greet", "1", "2", is_terminal=True)
    assert "\x1b[31m\x1b[7mhello\x1b[0m" in done.out
    assert "\x1b[32m\x1b[7mhi\x1b[0m" in done.out
    assert "{{ name }}" in done.out


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colours_marks_are_characters(terminal: Terminal, environment: dict[str, str]) -> None:
    """No escape is written."""
    done = terminal("diff", "greet", "1", "2", is_terminal=True, **environment)
    assert "-Say [-hello-] to {{ name }}\n+Say {+hi+} to {{ name }}\n" in done.out
    assert "\x1b" not in done.out


@pytest.mark.parametrize("is_terminal", [True, False])
def test_equal_versions_print_nothing(terminal: Terminal, is_terminal: bool) -> None:
    """The exit status is 0, with a difference and without."""
    assert terminal("diff", "greet", "1", "3", is_terminal=is_terminal) == (0, "", "")


def test_programs_get_an_object(terminal: Terminal) -> None:
    """It names the versions, and holds the text."""
    value = json.loads(terminal("diff", "greet", "1", "production", "--json", is_terminal=True).out)
    assert (value["name"], value["old"], value["new"], value["diff"]) == ("greet", 1, "production", "")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["greet", "1", "9"], 1, "version_not_found"),
        (["greet", "nope", "1"], 1, "version_not_found"),
        (["nope", "1", "2"], 1, "not_found"),
        (["greet", "0", "-"], 1, "validation_error"),
        (["greet", "1"], 2, "NEW"),
        (["greet", "1", "2", "--db", "absent.db"], 3, "promptreg init"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_not_there_is_an_error(terminal: Terminal, arguments: list[str], status: int, said: str) -> None:
    """Of the registry it is 1, of usage 2, and of a database that is not there 3."""
    done = terminal("diff", *arguments)
    assert (done.status, done.out, said in done.err) == (status, "", True)


# Which words are marked


@pytest.mark.parametrize(
    ("old", "new", "removed", "added"),
    [
        ("Say hello to me", "Say hi to me", ["hello"], ["hi"]),
        ("Say hello to me", "Say to me", ["hello "], []),
        ("one two three", "one  two three", [" "], ["  "]),
        ("a, b and c", "a; b and c", [","], [";"]),
        ("in {{ n }} words", "in {{ m }} words", ["n"], ["m"]),
        ("東京の天気を教えて", "大阪の天気を教えて", ["東京"], ["大阪"]),
        ("snake_case is fine", "snake_cases is fine", ["snake_case"], ["snake_cases"]),
        ("the first line\nthe second line", "the first line the second line", [], [" "]),
        ("Hello", "Goodbye", [], []),
        ("say it", "please say it", [], ["please "]),
        ("say it", "say it twice", [], [" twice"]),
        ("one\ntwo\nthree", "one\nthree", [], []),
        ("kept\nold", "kept", [], []),
    ],
)
def test_the_words_that_differ_are_marked(old: str, new: str, removed: list[str], added: list[str]) -> None:
    """They are words, signs and runs of space; where nothing is shared, and where lines only go, nothing is marked."""
    assert marked(old, new) == (removed, added)


def test_lines_that_look_like_headings_are_lines() -> None:
    """What a prompt says can't be taken for the diff's own lines."""
    old, new = "a\n-- x\n@@ y\n++ z", "a\n-- w\n@@ y\n++ z"
    lines = list(mark_words("\n".join(unified(old.split("\n"), new.split("\n"), "a@1", "a@2"))))
    assert [line.kind for line in lines] == ["@", "@", "@", " ", "-", "+", " ", " "]


@settings(max_examples=60)
@given(st.text("ab \n-+@.東", max_size=40), st.text("ab \n-+@.東", max_size=40))
def test_marked_lines_are_the_lines_of_the_diff(old: str, new: str) -> None:
    """Nothing is lost, added or moved by marking, and no two parts beside each other are both marked."""
    diff = "\n".join(unified(old.split("\n"), new.split("\n"), "a@1", "a@2"))
    lines = list(mark_words(diff))
    assert "\n".join(line.text for line in lines) == diff
    assert all(not (a.is_changed and b.is_changed) for line in lines for a, b in pairwise(line.pieces))


def test_nothing_steers_the_terminal() -> None:
    """Control characters are shown as escapes in all kinds of lines."""
    diff = "--- a@1\n+++ a@2\n@@ -1,2 +1,2 @@\n \x1b[2J\n-a b \x07\n+a b \x08"
    for coloured in (True, False):
        text = "".join(shown_lines(diff, coloured=coloured))
        assert "\\x1b" in text
        assert not {"\x07", "\x08"} & {*text}


HOSTILE = {
    "two words in turns": ("a b " * 65_536, "b a " * 65_536),
    "one character": (".," * 131_072, ",." * 131_072),
    "many lines": ("\n".join(f"a{i % 90}" for i in range(80_000)), "\n".join(f"a{i % 91}" for i in range(80_000))),
    "shuffled": tuple(" ".join(map(str, Random(seed).sample(range(30_000), 30_000))) for seed in (1, 2)),
    "one word": ("x" * 262_144, "y" * 262_144),
    "few signs": tuple("".join(Random(seed).choices(".,;:!", k=262_144)) for seed in (1, 2)),
}


def counted_searches(block: list[str]) -> tuple[list[Line], list[int]]:
    """Return the marked lines, and how many positions each search may look at; fail where they pass the bound."""
    searches, search = list[int](), SequenceMatcher.find_longest_match

    def counted(self: SequenceMatcher[str], alo: int = 0, ahi: int | None = None, *more: int | None) -> Match:
        part = self.a[alo : len(self.a) if ahi is None else ahi]
        searches.append(sum(1 + len(self.b2j.get(word, ())) for word in part))  # type: ignore[attr-defined]
        assert sum(searches) <= MAX_WORK
        return search(self, alo, ahi, *more)  # type: ignore[arg-type]

    with mock.patch.object(SequenceMatcher, "find_longest_match", counted):
        return list(mark_words("\n".join(["--- a@1", "+++ a@2", *block]))), searches


@pytest.mark.slow
@pytest.mark.parametrize("title", HOSTILE)
def test_marking_is_bounded(title: str) -> None:
    """Whatever the texts are, no search begins that would pass the bound of comparisons."""
    old, new = HOSTILE[title]
    lines = [f"-{line}" for line in old.split("\n")] + [f"+{line}" for line in new.split("\n")]
    marked, _ = counted_searches(["@@ -1 +1 @@", *lines])
    assert len(marked) == len(lines) + 3


@pytest.mark.slow
def test_all_blocks_of_a_diff_share_one_bound() -> None:
    """A diff of many blocks, each of which is hard to compare, takes no more comparisons than one of one block."""
    words = [str(i % 50) for i in range(150)]
    line, other = " ".join(words), " ".join(Random(1).sample(words, 150))
    blocks = [part for _ in range(500) for part in ("@@ -1 +1 @@", f"-{line}", f"+{other}", " same")]
    lines, searches = counted_searches(blocks)
    assert len(lines) == 2002
    assert sum(searches) > MAX_WORK / 2


def test_above_the_bound_all_that_is_between_is_one_change() -> None:
    """That is from the first to the last difference, which cost nothing to find."""
    assert [*changes("abcde", "axcye", Work(0))] == [(slice(1, 4), slice(1, 4))]


def test_a_long_line_with_two_changes_is_marked() -> None:
    """A paragraph of 3,000 words is compared word by word."""
    words = [f"w{Random(i).randrange(900)}" for i in range(3_000)]
    changed = [*words[:10], "CHANGED", *words[11:2_900], "again", *words[2_901:]]
    assert marked(" ".join(words), " ".join(changed))[1] == ["CHANGED", "again"]


def test_a_piece_is_not_marked_by_default() -> None:
    """Most are not."""
    assert Piece("text") == ("text", False)
