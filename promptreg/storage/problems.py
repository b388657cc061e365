"""What verification says is wrong (`Registry.verify`), for any database; the checks that need no SQL are here too.

A problem names prompts, and the numbers of versions and events; it never quotes what a damaged row holds.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from promptreg.bases import decoded_places
from promptreg.errors import InvalidInputError, StorageCorruptError
from promptreg.records import Container
from promptreg.rules.names import checked_name
from promptreg.storage.base import VerificationStep
from promptreg.storage.hashing import operation_hash
from promptreg.storage.rows import Row, read_publications

MAX_PROBLEMS = 1_000  # of more only the number is reported


def reported(slices: Iterable[tuple[int, list[str]]], total: int) -> Generator[VerificationStep, None, None]:
    """Yield the progress after each slice, which is given as the rows that it checked and the problems that it found.

    Of more than `MAX_PROBLEMS` the last step has the number.
    """
    done = found = 0
    for rows, problems in slices:
        done, shown = done + rows, problems[: max(MAX_PROBLEMS - found, 0)]
        found += len(problems)
        yield VerificationStep(min(done, total), total, shown)
    yield VerificationStep(total, total, [f"and {found - MAX_PROBLEMS:,} more"] if found > MAX_PROBLEMS else [])


def prompt_named(namespace: object, name: object, otherwise: str = "a prompt without a name") -> str:
    """Return what to call a prompt, unless its name is not valid: a damaged row may hold anything."""
    try:
        return f"prompt {checked_name(name)!r} in namespace {checked_name(namespace)!r}"
    except InvalidInputError:
        return otherwise


def missing_events(first: int, last: int) -> str:
    """Return the problem that events are missing."""
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def missing_head(head: str) -> str:
    """Return the problem that no event has the hash that somebody kept."""
    return (
        f"the head {head} is not in the chain of events: events up to it were changed or cut, or it is of another"
        " registry"
    )


def problems_of_end(last: tuple[int, str], written: tuple[object, object]) -> Iterator[str]:
    """Compare the last event, its number and hash, with the one that the registry's row names."""
    if written == last:
        return
    number = written[0]
    if isinstance(number, int) and number > last[0]:
        yield missing_events(last[0] + 1, number)
    else:
        yield f"event {last[0]} is not the last that was written"


def problems_of_numbers(
    container: Container, numbers: set[int], discarded: Callable[[], Iterable[int]]
) -> Iterator[str]:
    """Compare a prompt with the numbers of its versions; `discarded` returns those that are not there any longer.

    It is called where any is missing.
    """
    missing = set(range(1, container.last_version + 1)) - numbers
    if missing:
        missing -= {number for number in discarded() if number != container.latest_version}
    yield from (f"version {number} is missing" for number in sorted(missing))
    if max(numbers, default=None) != container.latest_version and container.latest_version not in missing:
        yield f"its newest version is not {container.latest_version}"
    for label, number in container.all_labels().items():
        if number not in numbers and number not in missing:
            yield f"the label {label} is of version {number}, which is not there"


def problems_of_publications(container: Container, rows: Sequence[Row], numbers: set[int]) -> Iterator[str]:
    """Compare a prompt with its stack of publications, and that with the numbers of its versions."""
    try:
        if not numbers.issuperset(read_publications(container, rows)):
            yield "a publication is of a version that is not there"
    except StorageCorruptError:
        yield "its publications are not what was written"


def deletion_problem(prompt_id: str, at: str | None) -> str:
    """Return the problem of a deletion whose event is of another time, `at`, or is missing, where that is None."""
    return f"prompt {prompt_id!r}: its deletion is {'no event' if at is None else 'of another time than its event'}"


def problems_of_places(rows: Iterable[Row]) -> Iterator[str]:
    """Find the deleted prompts whose places can't be read, in rows of their ids and places."""
    for prompt_id, text in rows:
        try:
            decoded_places(text)
        except ValueError:
            yield f"prompt {prompt_id!r}: where it was synchronised before its deletion is not what was written"


def problems_of_operations(rows: Iterable[Row]) -> Iterator[str]:
    """Compare the remembered operations, in rows of key, result and hash, with their hashes."""
    for key, result, stored in rows:
        if operation_hash(key, result) != stored:
            yield f"the operation {key!r} is not what was written"
