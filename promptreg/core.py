"""What all views of one registry share, and the steps that their verbs have in common.

Finding a prompt that the actor may read, resolving it to a version through the cache, and committing a
plan: plan on a read, vet outside any transaction, plan again inside the write, apply.
"""

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from time import monotonic
from types import NoneType
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from promptreg import checks
from promptreg.cache import NEVER, Cache, Generation
from promptreg.clock import moment
from promptreg.defaults import Defaults
from promptreg.errors import CommitUnknownError, NotFoundError, StorageError, TemplateError
from promptreg.hints import Hints
from promptreg.models import Actor, Version
from promptreg.prompt import FastPaths, Prompt, fast_paths, make_prompt, make_version, stale_copy
from promptreg.records import Change, Container, VersionRecord
from promptreg.rules import access, conflicts, lifecycle
from promptreg.rules.lifecycle import Author, Outcome
from promptreg.rules.names import Reference, Selector, read_versioned
from promptreg.settings import Settings
from promptreg.storage.base import Reader, Storage, Writer
from promptreg.telemetry import metrics
from promptreg.telemetry.names import FRESH, HIT, MISS, READ, STALE, WRITE
from promptreg.telemetry.spans import Instrumentation, RenderSpan, note, note_prompt, render_span
from promptreg.templates import Templates


class Plan(Protocol):
    """What a verb comes to: anything with changes."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """What to write; nothing where the verb changes nothing."""
        ...


P = TypeVar("P", bound=Plan)

_OURS = object()  # begins each key that is no name, so that nobody can pass one as a name
MAX_WRITTEN = 1_000  # changes of our own between two looks; of more, no cache is kept


_EXACT = frozenset({str, int, NoneType})


def _exact(argument: Any) -> Any:
    """Return a text or a number that was read as one as the builtin value, whose hash no other code tells."""
    if type(argument) in _EXACT:
        return argument
    return str.__str__(argument) if isinstance(argument, str) else int.__index__(argument)


class Evidence(NamedTuple):
    """What vetting looked at: compiling at template and declarations, examples at the content, functions at the prompt.

    `is_checked` says whether examples or functions ran; `has_functions` whether the registry has `publish_checks`.
    """

    outcome: Outcome
    has_functions: bool = False
    is_checked: bool = False

    def covers(self, final: Outcome) -> bool:
        """Return whether what is to be written is what was looked at.

        Raise `VersionConflictError` where checks passed on something else (rule 9).
        """
        if not final.changes:
            return True
        vetted, written = self.outcome.version.snapshot, final.version.snapshot
        if self.is_checked:
            conflicts.require_unchanged(self.outcome.sight, final.sight, only_content=not self.has_functions)
            return True
        if final.goes_live and (self.has_functions or written.examples):
            return False
        return (vetted.template, vetted.variables) == (written.template, written.variables)


class View(NamedTuple):
    """Where and on whose behalf a call is made."""

    namespace: str
    actor: Actor | None


class CacheEntry:
    """A prompt that a name means.

    `text` and `output` render it, as text and with its messages, where nothing but the values can stand against that;
    `arity` is how many variables these always read, where they read no others. They are there once it was rendered.
    """

    __slots__ = ("_is_learnt", "_label", "_told", "about", "arity", "container", "name", "output", "prompt", "text")

    def __init__(self, container: Container, prompt: Prompt, selector: Selector | None) -> None:
        self._label = selector if isinstance(selector, str) else None
        self.about: Hashable = container.id
        self.container = container
        self.prompt = prompt
        self.text, self.output, self.arity = FastPaths()
        self.name = prompt.name
        self._is_learnt = False
        self._told: RenderSpan | None = None

    def learn(self) -> None:
        """Find the direct ways, before the first render; what a reader of another thread sees is none of them, or all.

        So `output` comes last: without it the others are not read.
        """
        if not self._is_learnt:
            self.text, output, self.arity = fast_paths(self.prompt)
            self.output = output
            self._is_learnt = True

    @property
    def told(self) -> RenderSpan:
        """What the spans of its renders tell; made once, where anybody listens."""
        if self._told is None:
            self._told = render_span(self.prompt, self._label)
        return self._told


class NegativeEntry:
    """A name that means no prompt, or one without such a version: known too, until something about it changes."""

    __slots__ = ("_refusal", "about", "container")

    def __init__(self, about: Hashable, refusal: NotFoundError, container: Container | None = None) -> None:
        self.about = about
        self.container = container
        self._refusal = refusal.with_traceback(None)

    def refusal(self) -> NotFoundError:
        """Give the refusal, a new one each time: an error is of one call."""
        known = self._refusal
        return type(known)(known.message, code=known.code, **deepcopy(known.details))


Known: TypeAlias = Generation[CacheEntry, NegativeEntry]


class Core:
    """A storage, a cache, and the registry's settings."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        home: str,
    ) -> None:
        self.storage = storage
        self.home = home
        self.is_closed = False
        self.cache: Cache[CacheEntry, NegativeEntry] = Cache(settings.cache_size, compares=settings.max_staleness == 0)
        interval = storage.profile.check_interval
        self._holds = min(settings.max_staleness or interval, interval)
        self.defaults = Defaults(settings.render_limits)
        self._templates = Templates(settings.cache_size, settings.render_limits)
        self._clock = settings.clock
        self._checks = settings.publish_checks
        self.forbids_extra = settings.forbids_extra
        self.instrumentation = Instrumentation(settings.telemetry)
        self._hints = Hints(storage)

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
        self.cache.forget()

    def release_after(self, error: BaseException) -> None:
        """Release whatever this thread still holds of the storage after an error."""
        self.storage.release_after(error)

    def explain(self, error: BaseException, view: View) -> None:
        """Have an error that leaves a verb say what may be meant by a name or label that is not there."""
        if not isinstance(error, NotFoundError):
            return
        try:
            self._hints.explain(error, view.namespace, view.actor, self.cache.generation)
        except StorageError as failure:  # as the first error says all that is known
            self.release_after(failure)
        except BaseException as failure:
            self.release_after(failure)
            raise

    def require_open(self) -> None:
        """Raise `StorageError` once closed."""
        if self.is_closed:
            location = self.storage.profile.location
            raise StorageError(f"The registry of {location} is closed; open a new one.", reason="closed")

    def read(self) -> AbstractContextManager[Reader]:
        """Open a consistent look, and time it where anybody wants to know."""
        look = self.storage.read()
        return metrics.timed(READ, look) if metrics.is_on() else look

    def write(self) -> AbstractContextManager[Writer]:
        """Open the one write transaction, and time it where anybody wants to know."""
        transaction = self.storage.write()
        return metrics.timed(WRITE, transaction) if metrics.is_on() else transaction

    def author(self, view: View) -> Author:
        """Tell who writes, and when."""
        return Author(view.actor.id if view.actor else None, moment(self._clock))

    def prompt(self, container: Container, record: VersionRecord) -> Prompt:
        """Give the prompt resolved to a version."""
        compile_ = self._templates.later(record.snapshot)
        return make_prompt(container, record, compile_, self._templates.limits, forbids_extra=self.forbids_extra)

    def version(self, record: VersionRecord) -> Version:
        """Give a version alone."""
        return make_version(record, self._templates.later(record.snapshot))

    def resolve(self, view: View, name: str, version: Selector | None, label: str | None) -> Prompt:
        """Give the prompt that a `get` means, from the cache where it is still true there."""
        self.require_open()
        reference, selector = read_versioned(name, version, label)
        generation, how = self._current()
        key = self.key(view.namespace, _exact(name), _exact(version), _exact(label))
        found: CacheEntry | NegativeEntry | None = generation.entries.get(key) or generation.negative.get(key)
        how = how if found is not None else MISS
        metrics.count_request(how)
        note(cache=how, label=selector if isinstance(selector, str) else None)
        if found is None:
            found = self._load(view.namespace, reference, selector, generation, key)
        if found.container is not None and not access.may(view.actor, "read", found.container):
            raise lifecycle.not_found([reference.text], view.namespace)
        if isinstance(found, NegativeEntry):
            raise found.refusal()
        note_prompt(found.prompt)
        return stale_copy(found.prompt) if how == STALE else found.prompt

    def key(self, namespace: str, name: str, version: Selector | None, label: str | None) -> Hashable:
        """Give what a prompt asked for so is known by: at home its name; `True` is no version 1, though it equals 1."""
        if version is None is label:
            return name if namespace == self.home else (_OURS, namespace, name)
        return _OURS, namespace, name, type(version), version, label

    def recalled(
        self, view: View, name: str, version: Selector | None, label: str | None, *, looks: bool = True
    ) -> CacheEntry | None:
        """Find what is in the cache and true, with a look where it is due and wanted; None where the whole way does."""
        try:
            generation, how = self._current() if looks else (self.cache.generation, HIT)
            found = generation.entries.get(self.key(view.namespace, name, version, label))
        except BaseException as error:
            self.release_after(error)
            is_exact = _EXACT.issuperset((type(name), type(version), type(label)))
            if isinstance(error, StorageError) or (isinstance(error, Exception) and not is_exact):
                return None  # as what can't be hashed is no name
            raise
        is_true = how != STALE and (looks or generation.is_current())
        if found is None or not is_true or not access.may(view.actor, "read", found.container):
            return None
        metrics.count_request(how)
        return found

    def _current(self) -> tuple[Known, str]:
        """Give the generation that is true now, and how that is known; stale where the database is gone."""
        generation = self.cache.generation
        if generation.is_current():
            return generation, HIT
        began, is_measured = monotonic(), metrics.begin()
        with self.storage.monitor() as changes_since:
            generation = self.cache.generation
            if generation.is_current():  # as another thread has just looked
                return generation, HIT
            report = changes_since(generation.position)
            self.cache.may_be_direct = not is_measured
            renewed = self.cache.renew(report, NEVER if report.is_unavailable else began + self._holds)
        if report.changed is None or report.changed:
            metrics.count_reload()
        return renewed, STALE if report.is_unavailable else FRESH

    def _load(
        self,
        namespace: str,
        reference: Reference,
        selector: Selector | None,
        generation: Known,
        key: Hashable,
    ) -> CacheEntry | NegativeEntry:
        """Read what a name means; it is known from then on, if that generation is still the truth."""
        refusal: NotFoundError | None = None
        with self.read() as reader:
            container, record = find_any(reader, namespace, reference), None
            if container is not None:
                try:
                    number = lifecycle.number_of(container, selector)
                except NotFoundError as error:
                    refusal = error
                else:  # what else is raised here is a handler's, and no fact about the prompt
                    record = find_version(reader, container, number)
                    refusal = None if record else lifecycle.version_not_found(container, number)
        position = generation.position
        is_true_then = position is not None and reader.snapshot.revision == position.revision
        if container is None or record is None:
            about = (namespace, reference.text) if container is None else container.id
            lacking = NegativeEntry(about, refusal or lifecycle.not_found([reference.text], namespace), container)
            if is_true_then:
                self.cache.keep_negative(generation, key, lacking)
            return lacking
        found = CacheEntry(container, self.prompt(container, record), selector)
        if is_true_then:
            self.cache.keep(generation, key, found)
        return found

    def commit(self, view: View, plan: Callable[[Reader], P], vet: Callable[[P], Evidence] | None = None) -> P:
        """Carry out a plan: nothing, or all of it in one transaction.

        The plan is made on a read, so a refusal or a call that changes nothing takes no lock. Then it is
        vetted, outside any transaction. If anything has changed by then it is made again inside the write,
        where it stays true; where that is no longer what was vetted, it is vetted anew.
        """
        with self.read() as reader:
            proposed, seen = plan(reader), reader.snapshot
        if not proposed.changes:
            note(changed=False)
            return proposed
        while True:
            evidence = vet(proposed) if vet else None
            written: Sequence[Change] = ()
            try:
                with self.write() as writer:
                    final = proposed if writer.snapshot == seen else replanned(writer, view, plan, evidence)
                    seen = writer.snapshot
                    is_vetted = evidence is None or not isinstance(final, Outcome) or evidence.covers(final)
                    if is_vetted and final.changes:
                        written = final.changes
                        writer.apply(written)
            except CommitUnknownError:
                self._expire()
                raise
            finally:
                self._note_written(written)
                self._look_again()
            if is_vetted or not final.changes:
                note(changed=bool(final.changes))
                return final
            proposed = final

    def _note_written(self, changes: Sequence[Change]) -> None:
        """What this registry has changed is not known any more, should the database be gone before the next look."""
        written = self.cache.generation.written
        if len(written) + len(changes) > MAX_WRITTEN:
            self.cache.forget()
            return
        for subject in (change.subject for change in changes):
            written.update((subject.id, (subject.namespace, subject.name)))

    def _look_again(self) -> None:
        """What this registry wrote it sees at once, also where it need not see others' writes at once."""
        if not self.cache.compares:
            self._expire()

    def _expire(self) -> None:
        """Have the next read look at the database, whatever the page shows."""
        # In turn with other looks, as one that began before the write may still be going on.
        try:
            self._expire_in_turn()
        except StorageError as error:
            self.release_after(error)

    def _expire_in_turn(self) -> None:  # in a frame that has ended where what it held is released
        with self.storage.monitor():
            self.cache.generation.until = NEVER

    def vet_saved(self, outcome: Outcome) -> Evidence:
        """Compile what is saved, and run the checks on what becomes production (rules 9 and 20)."""
        compiled = self._templates.compiled(outcome.version.snapshot)
        try:
            compiled.require_kept()
        except TemplateError as error:
            error.put_name(outcome.container.name)
            raise
        return self._checked(outcome)

    def vet_published(self, outcome: Outcome) -> Evidence:
        """Run the checks on a version that was never live; what was live before has passed them."""
        if outcome.goes_live:
            compiled = self._templates.compiled(outcome.version.snapshot)
            try:
                compiled.require_kept()
            except TemplateError as error:
                raise checks.failed(outcome.container.name, [f"template: {error.message}"]) from None
        return self._checked(outcome)

    def _checked(self, outcome: Outcome) -> Evidence:
        """Check what goes live as it would be; it renders whatever its status says."""
        has_functions = bool(self._checks)
        is_checked = outcome.goes_live and (has_functions or bool(outcome.version.snapshot.examples))
        if is_checked:
            made = make_prompt(
                outcome.container,
                outcome.version,
                self._templates.later(outcome.version.snapshot),
                self._templates.limits,
                forbids_extra=self.forbids_extra,
                is_candidate=True,
            )
            checks.require_passing(made, self._checks)
        return Evidence(outcome, has_functions, is_checked)


def replanned(writer: Reader, view: View, plan: Callable[[Reader], P], evidence: Evidence | None) -> P:
    """Plan again on what is true now.

    A name that finds nothing any more, as the prompt was renamed while it was checked, is `VersionConflictError`.
    """
    try:
        return plan(writer)
    except NotFoundError:
        if evidence is not None and evidence.is_checked:
            checked = evidence.outcome.named
            now = find_any(writer, view.namespace, Reference(checked.id, is_id=True))
            if now is not None and now.name != checked.name and access.may(view.actor, "read", now):
                raise conflicts.changed_meanwhile(checked.name, "name", checked.name, now.name) from None
        raise


def find_any(reader: Reader, namespace: str, reference: Reference) -> Container | None:
    """Return the prompt, whoever may read it; None where it is absent."""
    (found,) = reader.find(namespace, (reference,))
    return found


def find_version(reader: Reader, container: Container, number: int) -> VersionRecord | None:
    """Return the version with that number; None where it is absent."""
    if number > container.last_version:
        return None
    newest = reader.versions(container, before=number + 1, limit=1)
    return newest[0] if newest and newest[0].number == number else None


def find(reader: Reader, view: View, reference: Reference) -> Container:
    """Give the prompt; what the actor may not read is not there (rule 18)."""
    container = find_any(reader, view.namespace, reference)
    if container is None or not access.may(view.actor, "read", container):
        raise lifecycle.not_found([reference.text], view.namespace)
    return container


def find_all(reader: Reader, view: View, references: Sequence[Reference]) -> list[Container]:
    """Give each prompt once, in the order asked; raise `NotFoundError` with all that are not there."""
    found = reader.find(view.namespace, references)
    pairs = zip(references, found, strict=True)
    absent = [r.text for r, c in pairs if c is None or not access.may(view.actor, "read", c)]
    if absent:
        raise lifecycle.not_found(list(dict.fromkeys(absent)), view.namespace)
    return list({c.id: c for c in found if c is not None}.values())


def load_version(reader: Reader, container: Container, selector: Selector | None) -> VersionRecord:
    """Give the version that a selector means; None is production. Raises `VersionNotFoundError`."""
    number = lifecycle.number_of(container, selector)
    record = find_version(reader, container, number)
    if record is None:
        raise lifecycle.version_not_found(container, number)
    return record


def shown(reader: Reader, container: Container) -> VersionRecord:
    """Give the version that a container resolves to: production, else the latest."""
    return load_version(reader, container, container.shown_version)
