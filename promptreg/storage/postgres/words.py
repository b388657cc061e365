"""The words of a prompt that searches look in (rule 24), and those that a search or a tag looks for.

`$.search` holds of each prompt its words and tags, under GIN, and its content: the tokens of each column in their
order, each between two spaces, with a token between two columns that no text yields, so that no phrase goes across.
"""

from collections.abc import Iterable
from typing import NamedTuple

from promptreg.records import Container, Snapshot
from promptreg.storage.searched import searched_text
from promptreg.tokenizer import terms

MAX_WORD = 200  # characters of a word or tag that the index holds; a key of GIN has 2,700 bytes at most
COLUMN = "\n"
"""The token between two columns."""


class SearchRow(NamedTuple):
    """The columns of `$.search` but the key of the prompt."""

    words: list[str]
    tags: list[str]
    content: str


def search_row(container: Container, snapshot: Snapshot) -> SearchRow:
    """Return what is searched of a prompt that shows this version."""
    columns = [_tokens(text) for text in searched_text(container, snapshot)]
    words = dict.fromkeys(cut(token) for tokens in columns for token in tokens)
    return SearchRow([*words], cut_all(snapshot.tags), phrase(f" {COLUMN} ".join(map(" ".join, columns))))


def _tokens(text: str) -> list[str]:
    """Return the tokens of folded text, of which ASCII is not split yet."""
    return terms(text) if text.isascii() else text.split()


def phrase(tokens: str) -> str:
    """Return tokens that single spaces separate as they stand in a content."""
    return f" {tokens} "


def cut(word: str) -> str:
    """Return a word as the index holds it."""
    return word[:MAX_WORD]


def cut_all(words: Iterable[str]) -> list[str]:
    """Return each word once, as the index holds it."""
    return [*dict.fromkeys(map(cut, words))]


class Sought(NamedTuple):
    """What a prompt must hold to match a text: words in the index, and phrases in the content.

    `weighed` are all its terms as they stand in the content.
    """

    words: list[str]
    phrases: list[str]
    weighed: list[str]


def sought(text: str) -> Sought | None:
    """Return what a search looks for, or None where the text has no term."""
    found = [*dict.fromkeys(terms(text))]
    if not found:
        return None
    words = cut_all(token for term in found for token in term.split(" "))
    phrases = [phrase(term) for term in found if " " in term or len(term) >= MAX_WORD]
    return Sought(words, phrases, [*map(phrase, found)])
