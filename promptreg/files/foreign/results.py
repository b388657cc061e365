"""What a reader of another tool's format gets and returns: files, prompts, and notes about what it changed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from promptreg.files.foreign.names import prompt_names
from promptreg.rules.importing import ForeignPrompt
from promptreg.rules.names import MAX_NAME

CARRIAGE_RETURNS = "carriage returns became line feeds"


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


def kept_as_text(count: int) -> str:
    """Return the note for tags that name no variable.

    >>> kept_as_text(2)
    '2 tags that name no variable stay text'
    """
    return "1 tag that names no variable stays text" if count == 1 else f"{count} tags that name no variable stay text"


def _shown(origin: str) -> str:
    return repr(origin if len(origin) <= MAX_NAME else f"{origin[:MAX_NAME]}…")
