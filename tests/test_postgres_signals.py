"""The signal of a process: which commits move it, and that what comes late never hides what came first."""

import threading
from collections.abc import Hashable

from promptreg.storage.postgres.signals import MAX_REVISION, Signal, mark_of, revision_of, signal_of, stamp_of
from promptreg.storage.written import MAX_WRITTEN, Written

A, B, C = "a" * 16, "b" * 16, "c" * 16


def at(revision: int, stamp: str) -> Signal:
    signal = Signal()
    signal.begin(revision, stamp)
    return signal


def test_a_mark_holds_the_revision_and_the_stamp() -> None:
    """Both can be read from it, for the largest revision too."""
    for revision in (0, 1, MAX_REVISION):
        mark = mark_of(revision, A)
        assert (revision_of(mark), stamp_of(mark)) == (revision, A)


def test_a_message_of_a_commit_moves_the_signal_up_and_never_down() -> None:
    """A message may be late, so that a lower revision, or the same one, changes nothing."""
    signal = at(5, A)
    for revision, stamp in ((6, B), (4, C), (6, C)):
        signal.announce(revision, stamp)
    assert signal.read() == mark_of(6, B)


def test_a_message_that_no_commit_can_have_sent_changes_nothing() -> None:
    """Anybody may send a notification."""
    signal = at(5, A)
    for revision in (-1, MAX_REVISION + 1, 10**90):
        signal.announce(revision, B)
    assert signal.read() == mark_of(5, A)


def test_a_late_answer_never_hides_a_later_commit() -> None:
    """A statement is answered with revision 6, but meanwhile revision 7 has become known."""
    signal = at(5, A)
    seen = signal.read()
    signal.announce(7, C)
    signal.observe(6, B, seen)
    assert signal.read() == mark_of(7, C)


def test_a_late_answer_with_a_higher_revision_counts() -> None:
    """Revision 8 is later than 7, whenever the question was asked."""
    signal = at(5, A)
    seen = signal.read()
    signal.announce(7, C)
    signal.observe(8, B, seen)
    assert signal.read() == mark_of(8, B)


def test_a_lower_revision_is_accepted_from_the_answer_of_the_server() -> None:
    """The question was sent after revision 9 was known, so the server that answers has lost it."""
    signal = at(9, A)
    signal.observe(7, B, signal.read())
    assert signal.read() == mark_of(7, B)


def test_another_commit_of_the_same_revision_is_accepted_from_the_answer_of_the_server() -> None:
    """After a failover another commit may have taken the revision of a lost one."""
    signal = at(9, A)
    signal.observe(9, B, signal.read())
    assert signal.read() == mark_of(9, B)


def test_a_commit_of_unknown_fate_differs_from_what_any_cache_holds_until_the_server_has_answered() -> None:
    """The mark equals neither the last commit nor another doubt; the answer ends it, whatever it is."""
    for revision in (5, 6):
        signal = at(5, A)
        marks = {signal.read()}
        for _ in range(2):
            signal.doubt()
            marks.add(signal.read())
        assert len(marks) == 3
        signal.observe(revision, A, signal.read())
        assert signal.read() == mark_of(revision, A)


def test_opening_moves_the_signal_of_a_known_database_only_up() -> None:
    """Another registry of the process may have learnt of later commits while this one was opened."""
    signal = at(5, A)
    signal.begin(4, B)
    assert signal.read() == mark_of(5, A)
    signal.begin(6, C)
    assert signal.read() == mark_of(6, C)


def test_registries_of_one_database_share_a_signal_and_others_do_not() -> None:
    """The identity of the database tells them apart."""
    assert signal_of("one of the tests") is signal_of("one of the tests")
    assert signal_of("one of the tests") is not signal_of("another one of the tests")


def test_the_live_stamp_compares_with_that_of_a_mark() -> None:
    """What caches compare changes with the signal."""
    signal = at(5, A)
    before = memoryview(signal.read()).cast("Q")
    assert signal.stamp == before
    signal.announce(6, B)
    assert signal.stamp != before


def test_the_latest_of_many_threads_messages_stays() -> None:
    """Eight threads announce commits in any order, and the highest revision is what remains."""
    signal = Signal()

    def announce(first: int) -> None:
        for revision in range(first, 4_000, 8):
            signal.announce(revision, f"{revision:016x}")

    threads = [threading.Thread(target=announce, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert signal.read() == mark_of(3_999, f"{3_999:016x}")


def test_what_this_process_has_changed_is_remembered_of_the_last_commits() -> None:
    """What was changed after one of them can be told as long as every later one is remembered."""
    signal, commits = Signal(), [Written(mark_of(number, A), [f"p{number}"]) for number in range(MAX_WRITTEN)]

    def since(last: Written | None) -> frozenset[Hashable] | None:
        return signal.written_since(last, mark_of(0, B))

    assert signal.last_written() is None
    assert since(None) == frozenset()
    for commit in commits[:-1]:
        signal.note_written(commit)
        assert signal.last_written() is commit
    assert len(since(None) or ()) == MAX_WRITTEN - 1
    signal.note_written(commits[-1])
    assert since(None) is None
    assert since(commits[-1]) == frozenset()
    assert since(commits[-3]) == {f"p{MAX_WRITTEN - 2}", f"p{MAX_WRITTEN - 1}"}
    assert len(since(commits[0]) or ()) == MAX_WRITTEN - 1
    signal.note_written(Written(mark_of(1, B), ["another"]))
    assert since(commits[0]) is None
    assert len(since(commits[1]) or ()) == MAX_WRITTEN - 1


def test_a_commit_has_seen_itself_and_whatever_was_loaded_is_everything() -> None:
    """It may be announced before it is noted; and what a load has written is in no list."""
    signal, first, second = Signal(), Written(mark_of(1, A), ["p1"]), Written(mark_of(1, B), ["p2"])
    for written in (first, second):
        signal.note_written(written)
    assert signal.written_since(None, mark_of(1, A)) == {"p2"}
    assert signal.written_since(None, mark_of(1, B)) == {"p1"}
    signal.note_written(first.again())
    assert signal.written_since(second, mark_of(1, B)) == {"p1"}
    signal.note_written(Written(mark_of(2, A), None))
    assert signal.written_since(second, mark_of(1, A)) is None
