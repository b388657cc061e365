"""What the code last seeded of a prompt, and what was last synchronised with files: kept with it, outside its versions.

Each is compared later with what is live, and tells what people have changed since. Of a deleted prompt only hashes of
its names in folders remain, so that a file of it does not bring it back unasked.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from promptreg.jsonvalues import compact, digest, parse

_PLACES = re.compile(r'\["[0-9a-f]{64}"(?:,"[0-9a-f]{64}")*\]')


class Seed(NamedTuple):
    """What was last seeded of a prompt (rule 22): the names of the fields in the order of `CONTENT`, and their hash.

    `version` is the live version that was last seeded or found equal, None where none ever was. `draft` is the draft
    that the last seed made or edited, and `draft_hash` the hash of what it wrote there; None where it was none.
    """

    fields: tuple[str, ...]
    hash: str
    release: float | None = None
    version: int | None = None
    draft: int | None = None
    draft_hash: str | None = None


def encoded_seed(seed: Seed | None) -> str | None:
    """Return the text that a column holds."""
    return None if seed is None else compact(seed._asdict())


def decoded_seed(text: str | None) -> Seed | None:
    """Return what a column holds."""
    if text is None:
        return None
    values = parse(text)
    return Seed(**{**values, "fields": tuple(values["fields"])})


class SyncBase(NamedTuple):
    """What was last synchronised of a prompt with files, for one target: what is live, or a label.

    `source` is the id of the folder, and `name` the name that the prompt has there. `version` is the version that
    equals the file, or 0 where the file became a draft beside it, and `hash` the hash of the normalized content.
    `archived_at` is the time at which a synchronisation archived the prompt, or removed the label, because the file was
    gone, and None after any other.
    """

    source: str
    name: str
    version: int
    hash: str
    archived_at: str | None = None


LIVE = ""
"""The target of a `SyncBase` that is about what is live; any other target is a label."""


def encoded_bases(bases: Mapping[str, SyncBase] | None) -> str | None:
    """Return the text that a column holds of the bases by target."""
    return None if bases is None else compact({target: base._asdict() for target, base in bases.items()})


def decoded_bases(text: str | None) -> Mapping[str, SyncBase] | None:
    """Return what a column holds, by target."""
    return None if text is None else {target: SyncBase(**base) for target, base in parse(text).items()}


def place(namespace: str, source: str, target: str, name: str) -> str:
    """Return a hash of where a prompt was synchronised, of which no name can be read."""
    return digest([namespace, source, target, name])


def encoded_places(namespace: str, bases: Mapping[str, SyncBase] | None) -> str | None:
    """Return the text that is kept of a deleted prompt: the places where it was synchronised.

    >>> len(encoded_places("default", {LIVE: SyncBase("f00d", "greet", 2, "(a hash)")}))
    68
    """
    if not bases:
        return None
    return compact([place(namespace, base.source, target, base.name) for target, base in bases.items()])


def decoded_places(text: str) -> list[str]:
    """Return the places of a deleted prompt; raise `ValueError` for anything else."""
    if not _PLACES.fullmatch(text):
        raise ValueError("these are no places of a deleted prompt")
    places: list[str] = parse(text)
    return places
