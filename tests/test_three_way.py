"""The three-way difference: what it shows, against a merge made the other way round, and its bounded work."""

from hypothesis import given
from hypothesis import strategies as st

from promptreg.files.syncing.three_way import MAX_LINES, Side, first_line, three_way
from promptreg.rules.unified_diff import Work

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


def test_where_no_work_is_left_all_that_a_side_has_changed_is_one_place() -> None:
    """What is between its first and its last change is then not compared."""
    base = [f"line {number}" for number in range(1, 21)]
    ours, theirs = ["ours", *base[1:9], "ours", *base[10:]], [*base[:-1], "theirs"]
    for work, places in ((Work(), [1, 10, 20]), (Work(0), [1, 20])):
        lines = three_way(Side("file", ours), Side("version 1", base), Side("version 2", theirs), work=work)
        assert [line for line in lines if line.startswith("@@ ")] == [f"@@ line {place} @@" for place in places]


def test_the_output_is_bounded() -> None:
    """Of ten thousand lines the first ones are shown, and how many more there are."""
    lines = difference(*([f"{title} {number}" for number in range(10_000)] for title in "abc"))
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == "… 29,605 more lines"
