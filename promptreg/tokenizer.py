r"""The words of a text (rule 24): one function of text, for what is indexed and for what is searched for alike.

Case is folded in every script, and marks in Latin, Greek, Cyrillic, Hebrew and Arabic. Vowel signs and other marks
stay: without them a word of Hindi or Thai is another word, and か is not が. In scripts that are written without spaces
each character, with its marks, is a word of its own, so that a term of several is found as a phrase wherever it stands.

The words hold ASCII letters and digits and characters beyond ASCII, and are separated by single spaces. A full-text
engine that splits at ASCII alone therefore finds these very words, whatever its own Unicode tables are. A text in
ASCII is its own folded form, as such an engine splits and lower-cases it by itself.
"""

import re
import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

BREAK = "\u00b6"
"""A word between two unspaced runs that a space or punctuation separates; no text holds it, as it is punctuation."""

MAX_REMEMBERED = 10_000  # characters, each folded once

_MARKS = (
    (0x0300, 0x036F),  # combining marks of no script of their own
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
"""Where the marks lie that are left out."""

_UNSPACED = (
    r"\u0e00-\u0eff"  # Thai, Lao
    r"\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    r"\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    r"\u1780-\u17ff"  # Khmer
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u302f\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    r"\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # kana, bopomofo
    r"\U0001aff0-\U0001b16f\U00020000-\U0003fffd"  # kana and Han, beyond the first plane
)
_SIGNS = (  # marks within these scripts, which belong to the character before them
    r"\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece"
    r"\u102b-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f\u109a-\u109d"
    r"\ua9e5\uaa7b-\uaa7d\u17b4-\u17d3\u17dd\u302a-\u302f\u3099\u309a"
)
_ASCII_WORD = re.compile("[0-9a-z]+")


class _Patterns(NamedTuple):
    word: re.Pattern[str]
    gap: re.Pattern[str]
    jamo: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    """Compile what a text beyond ASCII takes, at the first: some milliseconds, which no import is to take."""
    return _Patterns(
        word=re.compile(f"[{_UNSPACED}][{_SIGNS}]*|[^ {_UNSPACED}]+"),
        gap=re.compile(f"(?<=[{_UNSPACED}]) +(?=[{_UNSPACED}])"),
        jamo=re.compile("[\uac00-\ud7a3]?[\u1100-\u11ff]+"),
    )


def folded(text: str) -> str:
    """Return what a full-text engine that splits at ASCII alone is to index of a text.

    >>> folded("Straße, Οδυσσέας: 请翻译"), folded("Plain text stays.")
    ('strasse οδυσσεασ 请 翻 译', 'Plain text stays.')
    """
    if text.isascii():
        return text
    patterns = _patterns()
    return " ".join(patterns.word.findall(patterns.gap.sub(f" {BREAK} ", _spelled(text))))


def terms(text: str) -> list[str]:
    """Return what is searched for: of each term its words, which are to be found next to each other.

    >>> terms("Café, GPT翻译2 (東京)!")
    ['cafe', 'gpt 翻 译 2', '東 京']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    word = _patterns().word
    return [" ".join(word.findall(run)) for run in _spelled(text).split()]


def _spelled(text: str) -> str:
    """Fold each character, and put spaces in the place of what is no part of a word.

    Character by character, as normalising a text takes quadratic time in the marks that follow one another. What a
    syllable of Hangul is composed of has no such marks.
    """
    composed = _patterns().jamo.sub(lambda found: unicodedata.normalize("NFC", found[0]), text)
    return composed.translate(_Folded())


class _Folded(dict[int, str]):
    """What the characters of one text become."""

    def __missing__(self, code: int) -> str:
        self[code] = become = _folded_character(chr(code))
        return become


@lru_cache(MAX_REMEMBERED)
def _folded_character(character: str) -> str:
    """Return what a character is in a word, nothing for what does not count, or a space for what separates words.

    A symbol, such as an emoji, is a word of its own. A character that this Python does not know yet is a letter.
    """
    category = unicodedata.category(character)
    if category == "Cf" and character != "\u200b":  # what joins or directs letters; a space without width is a space
        return ""
    if category == "So":
        return f" {_plain(character)} "
    return _plain(character) if _is_in_word(character) else " "


def _plain(character: str) -> str:
    if "\uac00" <= character <= "\ud7a3" or _is_plain(character):
        return character
    decomposed = _without_marks(unicodedata.normalize("NFKD", character))
    caseless = _without_marks(unicodedata.normalize("NFKD", decomposed.casefold()))
    return "".join(part if _is_in_word(part) else " " for part in caseless)


def _is_plain(character: str) -> bool:
    """Return whether a character is its own folded form, as most are."""
    is_same = unicodedata.normalize("NFKD", character) == character.casefold() == character
    return is_same and not _is_left_out(ord(character))


def _without_marks(text: str) -> str:
    return "".join(c for c in text if not (unicodedata.category(c)[0] == "M" and _is_left_out(ord(c))))


def _is_left_out(code: int) -> bool:
    return any(first <= code <= last for first, last in _MARKS)


def _is_in_word(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LMN" or category in {"Co", "Cn"}
