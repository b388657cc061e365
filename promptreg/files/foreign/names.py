"""The names that prompts and labels of other tools get here: the nearest valid ones, each once."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from contextlib import suppress

from promptreg.errors import InvalidInputError
from promptreg.rules.names import MAX_NAME, SEPARATORS, checked_name, checked_own_label, is_word, slugify

MAX_READ = 1_000  # characters of a name, as `slugify` takes
_EDGES = re.compile(r"[_.-]*/[_./-]*")
_DOTS = re.compile(r"\.{2,}")
_NO_LABEL = re.compile(r"[^A-Za-z0-9_.-]+")


def prompt_names(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the name that each prompt gets here; `wanted` are their names there, by what tells them apart.

    Each is valid, and none occurs twice; those that are valid already are kept.

    >>> prompt_names({"1": "Support/Reply Draft", "2": "support/reply_draft", "3": "☕"})
    {'1': 'support/reply_draft_2', '2': 'support/reply_draft', '3': 'prompt'}
    """
    names: dict[str, str] = {}
    used: set[str] = set()
    for key in sorted(wanted, key=lambda key: not _is_name(wanted[key])):
        names[key] = _unused(prompt_name(wanted[key]), used)
        used.add(names[key])
    return {key: names[key] for key in wanted}


def prompt_name(origin: str) -> str:
    """Return the nearest valid name: lower case, folders kept, other characters replaced by `_`.

    >>> prompt_name("Team A/Summarize (v2).final")
    'team_a/summarize_v2_.final'
    """
    lowered = unicodedata.normalize("NFC", unicodedata.normalize("NFC", origin.strip()[:MAX_READ]).lower())
    spelled = "".join(character if is_word(character) or character in SEPARATORS else " " for character in lowered)
    name = _DOTS.sub(".", _EDGES.sub("/", "_".join(spelled.split())))
    name = name.strip(SEPARATORS)[:MAX_NAME].strip(SEPARATORS)
    for candidate in (name, f"prompt_{name[: MAX_NAME - 7]}"):
        if _is_name(candidate):
            return candidate
    with suppress(InvalidInputError):
        return slugify(origin)
    return "prompt"


def _is_name(name: str) -> bool:
    try:
        return checked_name(name) == name
    except InvalidInputError:
        return False


def _unused(name: str, used: Collection[str]) -> str:
    number, unused = 1, name
    while unused in used:
        number += 1
        ending = f"_{number}"
        unused = name[: MAX_NAME - len(ending)].rstrip(SEPARATORS) + ending
    return unused


def own_label(label: str) -> str:
    """Return the nearest label that may be set here.

    >>> own_label("staging"), own_label("2024"), own_label("to review")
    ('staging', 'label-2024', 'to-review')
    """
    for candidate in (label, _NO_LABEL.sub("-", label)[:50], f"label-{_NO_LABEL.sub('-', label)}"[:50]):
        with suppress(InvalidInputError):
            return checked_own_label(candidate)
    return "label"
