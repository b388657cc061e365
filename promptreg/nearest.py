"""The nearest match of a misspelt word, for the suggestions in errors."""

from collections.abc import Iterable
from itertools import islice

MAX_CANDIDATES = 1_000
MAX_LENGTH = 64  # characters of a word that are compared
LEAST_ALIKE = 0.65  # of 1; below it short words are similar to everything


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most similar to the word, in any case; None where none is similar.

    At most 1,000 candidates are compared, by their first 64 characters, which takes 20 ms at most.

    >>> nearest("sumarize", ["translate", "summarize"]), nearest("x", ["translate"])
    ('summarize', None)
    """
    asked, best, most = _compared(word), None, 0.0
    places: dict[str, int] = {}
    for at, character in enumerate(asked):
        places[character] = places.get(character, 0) | 1 << at
    for candidate in islice(candidates, MAX_CANDIDATES):
        other = _compared(candidate)
        alike = 2 * _common(places, len(asked), other) / max(len(asked) + len(other), 1)
        if alike >= LEAST_ALIKE and alike > most:
            best, most = candidate, alike
    return best


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return the end of an error's sentence where a candidate may be meant, otherwise an empty text.

    >>> did_you_mean("uper", ["lower", "upper"]), did_you_mean("x", ["lower"])
    ("; did you mean 'upper'?", '')
    """
    near = nearest(word, candidates)
    return "" if near is None else f"; did you mean {near!r}?"


def _compared(word: str) -> str:
    return word[:MAX_LENGTH].casefold()[:MAX_LENGTH]


def _common(places: dict[str, int], length: int, other: str) -> int:
    """Return the length of the longest common subsequence, each row of the table being the bits of one number.

    `places` holds the positions of each character of the one text, as bits. (`difflib` takes seconds for a thousand
    texts that repeat their characters.)
    """
    every = (1 << length) - 1
    row = every
    for character in other:
        common = row & places.get(character, 0)
        row = ((row + common) | (row - common)) & every
    return length - row.bit_count()
