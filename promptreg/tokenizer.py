r"""The tokenizer of full-text search (rule 24): splits indexed texts and search terms into the same folded tokens.

Case is folded in every script, and diacritics are removed in Latin, Greek, Cyrillic, Hebrew and Arabic. Vowel signs
and other marks stay: without them a word of Hindi or Thai becomes another word, and か is not が. In scripts written
without spaces each character, with its marks, is a token, so that a term of several characters is found as a phrase.

Tokens are separated by single spaces, and hold no ASCII but letters and digits. So any full-text engine that splits
at ASCII punctuation finds the same tokens, whichever Unicode tables it has. Text in ASCII is returned unchanged, as
such an engine splits and lower-cases it. Indexes and queries are built elsewhere.
"""

import re
import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

BREAK = "\u00b6"
"""The token between two unspaced runs that a space or punctuation separates; no text yields it: it is punctuation."""

CACHED_CHARACTERS = 10_000

_MARKS = (
    (0x0300, 0x036F),  # combining marks of all scripts
    (0x0483, 0x0489),
    (0x0591, 0x05C7),
    (0x0610, 0x061A),
    (0x064B, 0x065F),
    (0x0670, 0x0670),
    (0x06D6, 0x06ED),
    (0x0897, 0x08FF),
    (0x180B, 0x180F),  # variation selectors, here and below
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0x2DE0, 0x2DFF),
    (0xA66F, 0xA67D),
    (0xA69E, 0xA69F),
    (0xFB1E, 0xFB1E),
    (0xFE00, 0xFE2F),
    (0x10EC0, 0x10EFF),
    (0xE0100, 0xE01EF),
)
"""The ranges of marks that are removed."""

_UNSPACED = (
    r"\u0e00-\u0eff"  # Thai, Lao
    r"\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    r"\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    r"\u1780-\u17ff"  # Khmer
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u302f\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    r"\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # kana, bopomofo
    r"\U0001aff0-\U0001b16f\U00020000-\U0003fffd"  # kana and Han, beyond the first plane
)
_SIGNS = (  # marks of these scripts; each belongs to the token of the character before it
    r"\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece"
    r"\u102b-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f\u109a-\u109d"
    r"\ua9e5\uaa7b-\uaa7d\u17b4-\u17d3\u17dd\u302a-\u302f\u3099\u309a"
)
_ASCII_TOKEN = re.compile("[0-9a-z]+")


class _Patterns(NamedTuple):
    token: re.Pattern[str]
    gap: re.Pattern[str]
    jamo: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    """Compile the patterns for text beyond ASCII at their first use, as that takes some milliseconds."""
    return _Patterns(
        token=re.compile(f"[{_UNSPACED}][{_SIGNS}]*|[^ {_UNSPACED}]+"),
        gap=re.compile(f"(?<=[{_UNSPACED}]) +(?=[{_UNSPACED}])"),
        jamo=re.compile("[\uac00-\ud7a3]?[\u1100-\u11ff]+"),
    )


def folded(text: str) -> str:
    """Return the text to index, its tokens separated by spaces.

    >>> folded("Straße, Οδυσσέας: 请翻译"), folded("Plain text stays.")
    ('strasse οδυσσεασ 请 翻 译', 'Plain text stays.')
    """
    if text.isascii():
        return text
    patterns = _patterns()
    return " ".join(patterns.token.findall(patterns.gap.sub(f" {BREAK} ", _fold_all(text))))


def terms(text: str) -> list[str]:
    """Return the terms of a search text; each is the tokens of one term, to be matched as a phrase.

    >>> terms("Café, GPT翻译2 (東京)!")
    ['cafe', 'gpt 翻 译 2', '東 京']
    """
    if text.isascii():
        return _ASCII_TOKEN.findall(text.lower())
    token = _patterns().token
    return [" ".join(token.findall(run)) for run in _fold_all(text).split()]


def _fold_all(text: str) -> str:
    """Return the text with each character folded, and a space for each that belongs to no token.

    It folds character by character, as normalising a whole text takes quadratic time in the length of a run of marks.
    Only the letters of Hangul syllables, which have no such marks, are composed first.
    """
    composed = _patterns().jamo.sub(lambda found: unicodedata.normalize("NFC", found[0]), text)
    return composed.translate(_Folded())


class _Folded(dict[int, str]):
    """The folded form of each character of one text."""

    def __missing__(self, code: int) -> str:
        self[code] = folded_form = _folded_character(chr(code))
        return folded_form


@lru_cache(CACHED_CHARACTERS)
def _folded_character(character: str) -> str:
    """Return a character's folded form: nothing if it is ignored, or a space if it separates tokens.

    A symbol, such as an emoji, is one token. A character that is not assigned in this Python's Unicode is a letter.
    """
    category = unicodedata.category(character)
    if category == "Cf" and character != "\u200b":  # joiners and direction marks; but a zero-width space separates
        return ""
    if category == "So":
        return f" {_without_case(character)} "
    return _without_case(character) if _is_in_token(character) else " "


def _without_case(character: str) -> str:
    if "\uac00" <= character <= "\ud7a3" or _is_folded(character):
        return character
    decomposed = _without_marks(unicodedata.normalize("NFKD", character))
    caseless = _without_marks(unicodedata.normalize("NFKD", decomposed.casefold()))
    return "".join(part if _is_in_token(part) else " " for part in caseless)


def _is_folded(character: str) -> bool:
    """Return whether a character equals its folded form, as most do."""
    is_same = unicodedata.normalize("NFKD", character) == character.casefold() == character
    return is_same and not _is_removed(ord(character))


def _without_marks(text: str) -> str:
    return "".join(c for c in text if not (unicodedata.category(c)[0] == "M" and _is_removed(ord(c))))


def _is_removed(code: int) -> bool:
    return any(first <= code <= last for first, last in _MARKS)


def _is_in_token(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LMN" or category in {"Co", "Cn"}
