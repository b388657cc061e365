"""What the readers of other tools' formats return, and the names that prompts and labels get here."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from promptreg.errors import InvalidInputError
from promptreg.rules.importing import ForeignPrompt
from promptreg.rules.names import MAX_NAME, SEPARATORS, checked_name, checked_own_label, is_word, slugify

CARRIAGE_RETURNS = "carriage returns became line feeds"
MAX_READ = 1_000  # characters of a name, as `slugify` takes
_EDGES = re.compile(r"[_.-]*/[_./-]*")
_DOTS = re.compile(r"\.{2,}")
_NO_LABEL = re.compile(r"[^A-Za-z0-9_.-]+")


class Note(NamedTuple):
    """What was changed or not carried over: of a prompt, by its name here, and of a version or of all."""

    prompt: str
    version: int | None
    text: str


class ForeignFile(NamedTuple):
    """A file that was read: its path in what is imported, and its text, or for JSON its value."""

    path: str
    content: Any


class Read:
    """What a reader returns: the prompts of another tool, and notes about what it changed.

    `names` are the names here, by what tells the prompts apart there; `origins` are the names there, by those here.
    """

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self.prompts: list[ForeignPrompt] = []
        self.names = prompt_names(wanted)
        self.origins = {name: wanted[key] for key, name in self.names.items()}
        changed = [(name, origin) for name, origin in self.origins.items() if name != origin]
        self._notes = {Note(name, None, f"was named {_shown(origin)}"): True for name, origin in changed}

    @property
    def notes(self) -> list[Note]:
        """What was changed, each once."""
        return [*self._notes]

    def note(self, prompt: str, version: int | None, text: str) -> None:
        """Add a note."""
        self._notes[Note(prompt, version, text)] = True


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


def _shown(origin: str) -> str:
    return repr(origin if len(origin) <= MAX_NAME else f"{origin[:MAX_NAME]}…")


def require(value: Any, form: type | tuple[type, ...], where: str, what: str) -> Any:
    """Return a value of the form that a format has at this place; raise `InvalidInputError` for any other."""
    if isinstance(value, form) and not (form is int and isinstance(value, bool)):
        return value
    raise InvalidInputError.of(where, f"must be {what}, not {json_type(value)}")


def kept_as_text(count: int) -> str:
    """Return the note for tags that name no variable.

    >>> kept_as_text(2)
    '2 tags that name no variable stay text'
    """
    return "1 tag that names no variable stays text" if count == 1 else f"{count} tags that name no variable stay text"


def json_type(value: object) -> str:
    """Return what JSON calls a value.

    >>> json_type([]), json_type(True), json_type(None)
    ('an array', 'a boolean', 'null')
    """
    return _JSON_TYPES.get(type(value), type(value).__name__)


_JSON_TYPES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def objects_of(files: Iterable[ForeignFile], held: str) -> Iterator[ForeignFile]:
    """Yield the objects of JSON files, each with its place: of an array, of an object's array `held`, or alone."""
    for path, content in files:
        if isinstance(content, dict) and isinstance(content.get(held), list):
            yield from _each(content[held], f"{path}.{held}")
        elif isinstance(content, list):
            yield from _each(content, path)
        else:
            yield ForeignFile(path, require(content, dict, path, "an object, or an array of objects"))


def _each(items: list[Any], path: str) -> Iterator[ForeignFile]:
    for i, item in enumerate(items):
        yield ForeignFile(f"{path}[{i}]", require(item, dict, f"{path}[{i}]", "an object"))
