"""What all views of one registry share: a storage, a cache, and the steps that verbs have in common.

These are resolving a name through the cache, and committing a plan, which `committing.py` does. Which plan a verb has,
and what may refuse it, is in `planning.py`.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from promptreg.cache import NEVER, Cache, CacheEntry, Generation, NegativeEntry
from promptreg.checks import Checks
from promptreg.clock import moment
from promptreg.committing import Commit, Plan, Vetted
from promptreg.errors import NotFoundError, StorageError
from promptreg.lookup import Missing, shown_or_missing
from promptreg.models import UNSET
from promptreg.planning import Planner
from promptreg.prompt import Prompt, stale_copy
from promptreg.records import Shown
from promptreg.rendered import Rendered, rendered_default
from promptreg.resolving import load_into
from promptreg.rules import access
from promptreg.rules.access import View
from promptreg.rules.inputs import read_variables
from promptreg.rules.names import Reference, Selector, Versioned, read_versioned
from promptreg.rules.operations import Call
from promptreg.rules.outcomes import Author
from promptreg.rules.refusals import closed, not_found, unanswered
from promptreg.settings import Settings
from promptreg.storage.base import Lookup, Reader, Storage, Writer
from promptreg.suggestions import Suggestions
from promptreg.telemetry import metrics
from promptreg.telemetry.names import FRESH, HIT, MISS, READ, STALE, WRITE
from promptreg.telemetry.spans import Instrumentation, note, note_default, note_prompt
from promptreg.templates import Defaults, Templates
from promptreg.untrusted import FieldReader

if TYPE_CHECKING:
    from promptreg.dump import Entry
    from promptreg.once import Once


P = TypeVar("P", bound=Plan)

_KEY_OF_OTHERS = object()  # begins every key that is not a name, so that no caller can pass one as a name
_EXACT_TYPES = frozenset({str, int, NoneType})


def _exact(argument: Any) -> Any:
    """Return a text or a number as the builtin type, because a subclass may have a hash of its own."""
    if type(argument) in _EXACT_TYPES:
        return argument
    return str.__str__(argument) if isinstance(argument, str) else int.__index__(argument)


class Core:
    """A storage, a cache, and the settings of a registry."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self.storage = storage
        self.home = settings.view.namespace
        self.is_closed = False
        self.cache = Cache(settings.cache_size, compares=settings.storage.max_staleness == 0)
        interval = storage.profile.check_interval
        self._holds = min(settings.storage.max_staleness or interval, interval)
        self._is_strict = settings.storage.is_strict
        self._checked_at = NEVER  # when the last check for changes began that was answered
        self.busy_timeout = settings.storage.busy_timeout
        self.limits = settings.render_limits
        self.defaults = Defaults(settings.render_limits)
        self.templates = Templates(settings.cache_size, settings.render_limits, forbids_extra=settings.forbids_extra)
        self.checks = Checks(settings.publish_checks, self.templates)
        self._clock = settings.clock
        self.instrumentation = Instrumentation(settings.telemetry)
        self._suggestions = Suggestions(storage)

    def close(self) -> None:
        """Close the storage; later calls raise `StorageError`, and so does this one in the middle of another call."""
        try:
            self.storage.close()
        except BaseException as error:
            if isinstance(error, StorageError) and error.details.get("reason") == "nested":
                raise
            self._note_closed()
            self.release_after(error)
            raise
        self._note_closed()

    def _note_closed(self) -> None:
        self.is_closed = True
        self.cache.clear()

    def release_after(self, error: BaseException) -> None:
        """Release whatever this thread still holds of the storage after an error."""
        self.storage.release_after(error)

    def explain(self, error: BaseException, view: View) -> None:
        """Add to an error that leaves a verb which existing name or label may be meant."""
        if not isinstance(error, NotFoundError):
            return
        try:
            self._suggestions.add_to(error, view, self.cache.generation)
        except StorageError as failure:  # the first error says enough
            self.release_after(failure)
        except BaseException as failure:
            self.release_after(failure)
            raise

    def require_open(self) -> None:
        """Raise `StorageError` once the registry is closed."""
        if self.is_closed:
            raise closed(self.storage.profile.location)

    def read(self) -> AbstractContextManager[Reader]:
        """Begin a read transaction, which is timed while metrics are recorded."""
        transaction = self.storage.read()
        return metrics.timed(READ, transaction) if metrics.is_on() else transaction

    def look_up(self, namespace: str, wanted: Sequence[Versioned]) -> tuple[int, list[Lookup]]:
        """Read prompts and versions of one moment, and its revision, which is timed while metrics are recorded."""
        if not metrics.is_on():
            return self.storage.look_up(namespace, wanted)
        with metrics.timed(READ, nullcontext()):
            return self.storage.look_up(namespace, wanted)

    def write(self) -> AbstractContextManager[Writer]:
        """Begin the one write transaction, which is timed while metrics are recorded."""
        transaction = self.storage.write()
        return metrics.timed(WRITE, transaction) if metrics.is_on() else transaction

    def planner(self, view: View) -> Planner:
        """Return what plans a call that is made now, in this view."""
        return Planner(view, Author(view.actor.id if view.actor else None, moment(self._clock)))

    # Reading through the cache

    def get(self, view: View, name: str, version: Selector | None, label: str | None, default: Any) -> Any:
        """Return the prompt that a `get` means, or the default where it is not found or the storage fails."""
        try:
            return self.resolve(view, name, version, label)
        except (NotFoundError, StorageError) as error:
            if default is UNSET:
                raise
            self.release_after(error)
            note_default()
            return default

    def render(
        self,
        view: View,
        name: str,
        variables: Mapping[str, Any] | BaseModel | None,
        more: dict[str, Any],
        version: Selector | None,
        label: str | None,
        default: Any,
    ) -> Rendered:
        """Render the prompt that a `render` means, or the default where it is not found or the storage fails."""
        if default is UNSET:
            self.require_open()
        fields = FieldReader()
        values = fields.read(read_variables, variables, more)
        if default is UNSET and fields.are_valid():
            return self.resolve(view, name, version, label).render(values)
        versioned = fields.read(read_versioned, name, version, label)
        if default is not UNSET and not fields.are_valid():
            fields.read(self.defaults.read, default)
        fields.require_valid()
        text = versioned[0].text
        compiled = self.defaults.compiled(default, text)
        try:
            prompt = self.resolve(view, name, version, label)
        except (NotFoundError, StorageError) as error:
            self.release_after(error)
            return rendered_default(text, compiled.render(text, values, forbids_extra=False))
        return prompt.render(values)

    def resolve(self, view: View, name: str, version: Selector | None, label: str | None) -> Prompt:
        """Return the prompt that a name and a selector mean, from the cache where its entry is current."""
        self.require_open()
        reference, selector = read_versioned(name, version, label)
        generation, state = self.current_generation()
        key = self.key(view.namespace, _exact(name), _exact(version), _exact(label))
        entry: CacheEntry | NegativeEntry | None = generation.entries.get(key) or generation.negative.get(key)
        state = state if entry is not None else MISS
        metrics.count_requests(state)
        note(cache=state, label=selector if isinstance(selector, str) else None)
        if entry is None:
            entry = self._load(view.namespace, reference, selector, generation, key)
        if entry.container is not None and not access.may(view.actor, "read", entry.container):
            raise not_found([reference.text], view.namespace)
        if isinstance(entry, NegativeEntry):
            raise entry.error()
        note_prompt(entry.prompt)
        return stale_copy(entry.prompt) if state == STALE else entry.prompt

    def find_cached(
        self, view: View, name: str, version: Selector | None, label: str | None, *, may_check: bool = True
    ) -> CacheEntry | None:
        """Return the current cache entry, or None where only `resolve` can answer.

        With `may_check` the storage is asked for changes where that is due, unless it is to be asked by each read:
        then `resolve` asks, so that a read does so once.
        """
        try:
            may_check = may_check and self._holds > 0
            generation, state = self.current_generation() if may_check else (self.cache.generation, HIT)
            entry = generation.entries.get(self.key(view.namespace, name, version, label))
        except BaseException as error:
            self.release_after(error)
            is_exact = _EXACT_TYPES.issuperset((type(name), type(version), type(label)))
            if isinstance(error, StorageError) or (isinstance(error, Exception) and not is_exact):
                return None  # a value that can't be hashed is no name, and `resolve` refuses it
            raise
        is_current = state != STALE and (may_check or generation.is_current())
        if entry is None or not is_current or not access.may(view.actor, "read", entry.container):
            return None
        metrics.count_requests(state)
        return entry

    def key(self, namespace: str, name: str, version: Selector | None, label: str | None) -> Hashable:
        """Return the key of a cache entry: in the home namespace the name alone.

        The type of the version belongs to it, because `True` is no version and equals 1.
        """
        if version is None is label:
            return name if namespace == self.home else (_KEY_OF_OTHERS, namespace, name)
        return _KEY_OF_OTHERS, namespace, name, type(version), version, label

    def current_generation(self, patience: float | None = None) -> tuple[Generation, str]:
        """Return the current generation, and whether it was current, was renewed, or is stale, as the storage is gone.

        With `freshness="strict"` a stale one is `StorageBusyError`. The check waits for the storage as long as that
        does, or for `patience` seconds if that is less. Of threads that wait for one another's checks, only the first
        checks again.
        """
        generation = self.cache.generation
        if generation.is_current():
            return generation, HIT
        asked, is_measured = monotonic(), metrics.begin()
        with self.storage.monitor(patience) as changes_since:
            generation = self.cache.generation
            if generation.is_current() or asked <= self._checked_at:  # another thread has checked since
                return generation, HIT
            began = monotonic()
            report = changes_since(generation.position)
            self.cache.allows_fast_reads = not is_measured
            renewed = self.cache.renew(report, NEVER if report.is_unavailable else began + self._holds)
            if not report.is_unavailable:
                self._checked_at = began
        if report.changed is None or report.changed:
            metrics.count_reload()
        if report.is_unavailable and self._is_strict:
            raise unanswered(self.storage.profile.location)
        return renewed, STALE if report.is_unavailable else FRESH

    def _load(
        self,
        namespace: str,
        reference: Reference,
        selector: Selector | None,
        generation: Generation,
        key: Hashable,
    ) -> CacheEntry | NegativeEntry:
        """Read what a name and a selector mean, and add it to the generation if it is of the same revision."""
        wanted = reference, selector
        revision, (found,) = self.look_up(namespace, [wanted])
        return self.loaded(generation, revision, key, shown_or_missing(namespace, wanted, found), selector)

    def loaded(
        self, generation: Generation, revision: int, key: Hashable, found: Shown | Missing, selector: Selector | None
    ) -> CacheEntry | NegativeEntry:
        """Return the cache entry of what was read, and add it to the generation if it is of the same revision."""
        if isinstance(found, Missing):
            negative = NegativeEntry(found.about, found.error, found.container)
            if generation.is_of(revision):
                self.cache.add_negative(generation, key, negative)
            return negative
        container, record = found
        entry = CacheEntry(container, self.templates.prompt(container, record), selector)
        if generation.is_of(revision):
            self.cache.add(generation, key, entry)
        return entry

    # Committing

    def dry_run(self, plan: Callable[[Reader], P]) -> P:
        """Return the result of a plan, and write nothing."""
        with self.read() as reader:
            proposed = plan(reader)
        note(changed=False)
        return proposed

    def commit(
        self,
        view: View,
        plan: Callable[[Reader], P],
        vet: Callable[[P], Vetted[P]] | None = None,
        call: Call | None = None,
    ) -> P:
        """Carry out a plan, all of it or nothing; in a view with an operation id return what the call did before."""
        return Commit(self, view, plan, vet, call, self._once(view, call)).run()

    def _once(self, view: View, call: Call | None) -> "Once | None":
        if call is None or view.operation_id is None:
            return None
        from promptreg.once import Once  # noqa: PLC0415 (which most applications never need)

        return Once(view, view.operation_id, call, moment(self._clock))

    def load(self, entries: "Iterable[Entry]") -> None:
        """Load everything into a storage that holds nothing."""
        try:
            load_into(self.storage, self, entries)
        finally:
            self.cache.clear()
            self.note_written()

    def note_written(self) -> None:
        """Have this registry see at once what it has written, also where it need not see what others write."""
        if not self.cache.compares:
            self.expire()

    def expire(self) -> None:
        """Have the next read check for changes, whatever the stamp shows."""
        # Within `monitor`, because another thread's check that began before the write may still be going on.
        try:
            self._expire_in_turn()
        except StorageError as error:
            self.release_after(error)

    def _expire_in_turn(self) -> None:  # its frame has ended when `release_after` runs, which releases what it held
        with self.storage.monitor():
            self.cache.generation.until = NEVER
