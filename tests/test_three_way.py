"""The three-way difference: what it shows, against a merge made the other way round, and its bounded work."""

from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from promptreg.files.syncing.three_way import MAX_LINES, Side, first_line, three_way

LINES = st.lists(st.sampled_from(["a", "b", "c", "d", ""]), max_size=12)


def difference(ours: list[str], base: list[str], theirs: list[str]) -> list[str]:
    return three_way(Side("file", ours), Side("version 1", base), Side("version 2", theirs))


def test_each_place_shows_all_three_with_the_lines_around_it() -> None:
    """The line number is the file's, and two lines of it stand before and after."""
    base = [f"line {number}" for number in range(1, 21)]
    ours, theirs = base[:], base[:]
    ours[4], theirs[4], theirs[14:16] = "ours", "theirs", ["new 15"]
    assert difference(ours, base, theirs) == [
        *("@@ line 5 @@", "line 3", "line 4", "<<<<<<< file", "ours", "||||||| version 1", "line 5", "======="),
        *("theirs", ">>>>>>> version 2", "line 6", "line 7"),
        *("@@ line 15 @@", "line 13", "line 14", "<<<<<<< file", "line 15", "line 16", "||||||| version 1"),
        *("line 15", "line 16", "=======", "new 15", ">>>>>>> version 2", "line 17", "line 18"),
    ]


def test_the_same_change_on_both_sides_is_not_shown() -> None:
    """There is nothing to decide about it."""
    assert difference(["x", "b"], ["a", "b"], ["x", "b"]) == []


@given(LINES, LINES, LINES)
def test_the_places_hold_all_that_differs(ours: list[str], base: list[str], theirs: list[str]) -> None:
    """With each place of the file replaced by the registry's lines, the file is what the registry shows."""
    lines, merged, at = difference(ours, base, theirs), [], 0
    for number, line in enumerate(lines):
        if line.startswith("@@ line "):
            start = int(line.split()[2]) - 1
            place = lines[number:]
            mine = place[place.index("<<<<<<< file") + 1 : place.index("||||||| version 1")]
            others = place[place.index("=======") + 1 : place.index(">>>>>>> version 2")]
            merged += ours[at:start] + others
            assert ours[start : start + len(mine)] == mine
            at = start + len(mine)
    assert merged + ours[at:] == theirs


@given(LINES, LINES)
def test_the_first_line_that_differs(ours: list[str], other: list[str]) -> None:
    """All lines before it are equal, and it is a line of the file, or 1."""
    number = first_line(ours, other)
    assert ours[: number - 1] == other[: number - 1]
    assert number == 1 or number <= len(ours)
    assert ours[number - 1 : number] != other[number - 1 : number] or number == len(ours) or ours == other


def test_the_work_and_the_output_are_bounded() -> None:
    """Ten thousand repeated lines in another order are one place, in less than 2 s of processor time."""
    ours, base = [str(number % 7) for number in range(10_000)], [str(number % 5) for number in range(10_000)]
    began = process_time()
    lines = difference(ours, base, [str(number % 3) for number in range(10_000)])
    assert process_time() - began < 2
    assert len(lines) == MAX_LINES + 1
    assert lines[-1].endswith("more lines")
