"""Guards of the fast tier: each returns a value of an exact builtin type within a size, or bails out.

Generated code and the operations call them before they use a value. What is done with values is in `operations.py`.
"""

from typing import Any, Final, NoReturn

from promptreg.rendering.values import PLAIN, SCALARS

MAX_ITEMS = 1_000
CHARACTERS_AN_ITEM = 24  # an item costs as much as so many characters, as `join` pays six for what `map` reads of one
MAX_NUMBER = 2**64
SEQUENCES = frozenset({list, tuple})
ITERABLES = frozenset({list, tuple, dict})


class Bailout(Exception):
    """The values are outside the subset, or above a size."""


class _Absent:
    """What is absent: of no type that a guard accepts, but for those of tests; false, where its truth is tested."""

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()
NOT_PASSED: Final = object()  # what a parameter of a macro holds that has a default and no argument
TESTED: Final = PLAIN | {_Absent}


def absent(variables: dict[Any, Any]) -> _Absent:
    """Return the value of an absent variable; bail out if another one has a name that is no text."""
    for name in variables:
        if type(name) is not str:
            raise Bailout
    return ABSENT


def bail_out() -> NoReturn:
    """Raise `Bailout`, so that the metered tier renders."""
    raise Bailout


class _IntegerTexts(dict[int, str]):
    """The texts of integers; those that prompts print most are cached."""

    def __missing__(self, number: int) -> str:
        return str(number) if -MAX_NUMBER < number < MAX_NUMBER else bail_out()


INTEGER_TEXTS: Final = _IntegerTexts((number, str(number)) for number in range(1_000))


def text(value: Any) -> str:
    """Return the printed text of a scalar."""
    if type(value) is int:
        return INTEGER_TEXTS[value]
    return str(value) if type(value) in SCALARS else bail_out()


def exact(value: Any, kind: type) -> Any:
    """Return a value of exactly this type."""
    return value if type(value) is kind else bail_out()


def short(value: Any, most: int) -> str:
    """Return a text of at most so many characters."""
    return value if type(value) is str and len(value) <= most else bail_out()


def short_scalar(most: int, value: Any) -> Any:
    """Return a scalar; a text has at most so many characters."""
    if type(value) not in SCALARS or (type(value) is str and len(value) > most):
        bail_out()
    return value


def number(value: Any) -> Any:
    """Return a float, or an integer that is not too large to calculate with."""
    is_number = type(value) is float or type(value) is int
    return value if is_number and -MAX_NUMBER < value < MAX_NUMBER else bail_out()


def iterable(value: Any) -> Any:
    """Return what can be looped over: an exact list, tuple or dict."""
    return value if type(value) in ITERABLES else bail_out()


def tested(value: Any) -> Any:
    """Return builtin data, or what is absent."""
    return value if type(value) in TESTED else bail_out()


def sequence(value: Any) -> Any:
    """Return what can be unpacked: an exact list or tuple."""
    return value if type(value) in SEQUENCES else bail_out()


def most_items(most: int) -> int:
    """Return how many items an operation on so many characters may take."""
    return min(MAX_ITEMS, most // CHARACTERS_AN_ITEM)


def small_sequence(most: int, value: Any) -> Any:
    """Return a list or tuple that an operation on so many characters may go through."""
    return value if len(sequence(value)) <= most_items(most) else bail_out()


def small_scalars(most: int, value: Any) -> Any:
    """Return a list or tuple of scalars that an operation on so many characters may go through."""
    return value if SCALARS.issuperset(map(type, small_sequence(most, value))) else bail_out()
