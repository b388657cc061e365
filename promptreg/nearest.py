"""The word that was most likely meant by one that is none of those there are. Knows no word of prompts."""

from collections.abc import Iterable

MAX_LENGTH = 128  # of words that are compared; longer ones are no slip of a finger


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most like a word; None where none is.

    >>> nearest("sytem", ["system", "user"]), nearest("x", ["system", "user"])
    ('system', None)
    """
    from difflib import get_close_matches  # noqa: PLC0415 (takes 1.3 ms to load, and only errors need it)

    close = get_close_matches(word.lower(), list(candidates), n=1) if len(word) <= MAX_LENGTH else []
    return close[0] if close else None
