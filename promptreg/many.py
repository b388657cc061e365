"""Reading many prompts of one moment: from the cache while it is current, otherwise in one look-up.

All entries of one generation of the cache are of one revision, so they may be returned together; and together with what
a look-up reads, if that is of the same revision.
"""

from collections.abc import Iterable, Sequence

from promptreg.cache import CacheEntry, Generation, NegativeEntry
from promptreg.core import Core
from promptreg.errors import NoProductionVersionError, NotFoundError, VersionNotFoundError
from promptreg.lookup import shown_or_missing
from promptreg.prompt import Prompt, stale_copy
from promptreg.rules import access
from promptreg.rules.access import View
from promptreg.rules.names import parse_many, parse_reference, read_names
from promptreg.rules.refusals import not_found
from promptreg.telemetry import metrics
from promptreg.telemetry.names import HIT, MISS, STALE
from promptreg.telemetry.spans import note

Entries = Sequence[CacheEntry | NegativeEntry]


def get_many(core: Core, view: View, given: object) -> list[Prompt]:
    """Return the prompts that the names mean, in their order, as all of them were at one moment.

    Names that are in the cache are not parsed, because only well-formed ones are.
    """
    names = read_names(given)
    generation, state = core.cache.generation, HIT
    cached = _cached(core, view, generation, names) if generation.is_current() else [None]
    if None in cached:
        parse_many(names)
        generation, state = core.current_generation()
        cached = _cached(core, view, generation, names)
        missing = cached.count(None)
        if missing:
            metrics.count_requests(state, len(names) - missing)
            metrics.count_requests(MISS, missing)
            note(cache=MISS)
            return _load(core, view, generation, names, [None] * len(names) if state == STALE else cached)
    metrics.count_requests(state, len(names))
    note(cache=state)
    entries = [entry for entry in cached if entry is not None]
    if view.actor is not None:
        _require_found(view, names, entries)
    return [stale_copy(entry.prompt) if state == STALE else entry.prompt for entry in entries]


def _cached(core: Core, view: View, generation: Generation, names: Sequence[str]) -> list[CacheEntry | None]:
    keys = names if view.namespace == core.home else [core.key(view.namespace, name, None, None) for name in names]
    return [*map(generation.entries.get, keys)]


def _load(
    core: Core, view: View, generation: Generation, names: Sequence[str], cached: Sequence[CacheEntry | None]
) -> list[Prompt]:
    """Read what is not cached; and then everything, where the generation is of another revision than what was read."""
    absent = dict.fromkeys(name for name, entry in zip(names, cached, strict=True) if entry is None)
    revision, loaded = _read(core, view, generation, absent)
    if not generation.is_of(revision) and any(cached):
        cached = [None] * len(names)
        revision, loaded = _read(core, view, generation, dict.fromkeys(names))
    entries = [entry or loaded[name] for name, entry in zip(names, cached, strict=True)]
    _require_found(view, names, entries)
    return [entry.prompt for entry in entries if isinstance(entry, CacheEntry)]


def _read(
    core: Core, view: View, generation: Generation, names: Iterable[str]
) -> tuple[int, dict[str, CacheEntry | NegativeEntry]]:
    wanted = [(reference, reference.selector) for reference in map(parse_reference, names)]
    revision, found = core.look_up(view.namespace, wanted)
    entries = {}
    for name, asked, result in zip(names, wanted, found, strict=True):
        key, outcome = core.key(view.namespace, name, None, None), shown_or_missing(view.namespace, asked, result)
        entries[name] = core.loaded(generation, revision, key, outcome, asked[1])
    return revision, entries


def _require_found(view: View, names: Sequence[str], entries: Entries) -> None:
    """Raise `NotFoundError` with every name of no prompt that the actor may read, then what is wrong with a version."""
    absent = [
        parse_reference(name).text
        for name, entry in zip(names, entries, strict=True)
        if entry.container is None or not access.may(view.actor, "read", entry.container)
    ]
    if absent:
        raise not_found(list(dict.fromkeys(absent)), view.namespace)
    errors: list[NotFoundError] = [entry.error() for entry in entries if isinstance(entry, NegativeEntry)]
    for kind in (VersionNotFoundError, NoProductionVersionError):
        for error in errors:
            if isinstance(error, kind):
                raise error
