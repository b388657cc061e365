"""What all views of one registry share, and the steps that their verbs have in common.

Finding a prompt that the actor may read, resolving it to a version through the cache, and committing a
plan: plan on a read, vet outside any transaction, plan again inside the write, apply.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from promptreg import checks, telemetry
from promptreg.cache import Cache, Memo
from promptreg.clock import moment
from promptreg.errors import NotFoundError, StorageError, TemplateError, listed
from promptreg.models import Actor, Version
from promptreg.prompt import Prompt, make_prompt, make_version
from promptreg.records import Change, Container, Snapshot, VersionRecord
from promptreg.rendering.template import CompiledTemplate
from promptreg.rules import access, lifecycle
from promptreg.rules.lifecycle import Author, Outcome
from promptreg.rules.names import Reference, Selector, chosen_version, parse_reference
from promptreg.settings import Settings
from promptreg.storage.base import Reader, Storage


class Plan(Protocol):
    """What a verb comes to: anything with changes."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """What to write; nothing where the verb changes nothing."""
        ...


P = TypeVar("P", bound=Plan)
Key = tuple[str, str, Selector | None, str | None]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What vetting looked at: checks at the whole prompt, examples at the content, compiling at the template."""

    outcome: Outcome
    has_checks: bool

    def covers(self, final: Outcome) -> bool:
        """Tell whether what is to be written is what was looked at.

        Raises `VersionConflictError` where it is not and checks or examples had passed on it (rule 9).
        """
        vetted, written = self.outcome.version, final.version
        if written.state != "published" or not (self.has_checks or vetted.snapshot.examples):
            is_new_example = written.state == "published" and bool(written.snapshot.examples)
            return vetted.snapshot.template == written.snapshot.template and not is_new_example
        if self.has_checks:
            is_same = (self.outcome.container, vetted) == (final.container, written)
        else:
            is_same = vetted.snapshot.content_hash == written.snapshot.content_hash
        if not is_same:
            raise lifecycle.overtaken(vetted, written)
        return True


@dataclass(frozen=True, slots=True)
class View:
    """Where and on whose behalf a call is made."""

    namespace: str
    actor: Actor | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A cached prompt: the container, for access, and the value given out."""

    container: Container
    prompt: Prompt
    selector: Selector | None


class Core:
    """A storage, a cache, and the registry's settings."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
    ) -> None:
        self.storage = storage
        self.is_closed = False
        self._cache: Cache[Key, Resolved] = Cache(settings.cache_size)
        self._templates: Memo[str, CompiledTemplate] = Memo(settings.cache_size)
        self._clock = settings.clock
        self._checks = settings.publish_checks
        self.forbids_extra = settings.forbids_extra
        self.render_limits = settings.render_limits

    def close(self) -> None:
        """Close the storage; afterwards every call is `StorageError`."""
        self.is_closed = True
        self.storage.close()

    def require_open(self) -> None:
        """Raise `StorageError` once closed."""
        if self.is_closed:
            raise StorageError(f"The registry of {self.storage.path} is closed; open a new one.")

    def author(self, view: View) -> Author:
        """Tell who writes, and when."""
        return Author(view.actor.id if view.actor else None, moment(self._clock))

    def prompt(self, container: Container, record: VersionRecord) -> Prompt:
        """Give the prompt resolved to a version."""
        compiled = self._compiled(record.snapshot)
        return make_prompt(container, record, compiled, forbids_extra=self.forbids_extra)

    def version(self, record: VersionRecord) -> Version:
        """Give a version alone."""
        return make_version(record, self._compiled(record.snapshot))

    def resolve(self, view: View, name: str, version: Selector | None, label: str | None) -> Prompt:
        """Give the prompt that a `get` means, from the cache where it is still true there."""
        key = (view.namespace, name, version, label)
        try:
            revision = self.storage.revision()
        except StorageError:
            chosen_version(parse_reference(name), version, label)
            raise
        is_plain = isinstance(name, str) and (version is None or type(version) in {int, str})
        resolved = self._cache.get(revision, key) if is_plain and isinstance(label, str | None) else None
        if resolved is None:
            reference = parse_reference(name)
            selector = chosen_version(reference, version, label)
            telemetry.note(cache="miss", label=selector)
            return self._load(view, key, reference, selector)
        telemetry.note(cache="hit", label=resolved.selector)
        if not access.may(view.actor, "read", resolved.container):
            raise not_found([parse_reference(name).text])
        return resolved.prompt

    def _load(self, view: View, key: Key, reference: Reference, selector: Selector | None) -> Prompt:
        with self.storage.read() as reader:
            container = find(reader, view, reference)
            record = load_version(reader, container, selector)
        resolved = Resolved(container, self.prompt(container, record), selector)
        self._cache.put(reader.revision, key, resolved)
        return resolved.prompt

    def commit(self, plan: Callable[[Reader], P], vet: Callable[[P], Evidence] | None = None) -> P:
        """Carry out a plan: nothing, or all of it in one transaction.

        The plan is made on a read, so a refusal or a call that changes nothing takes no lock. Then it is
        vetted, outside any transaction. It is made again inside the write, where it stays true; where that
        is no longer what was vetted, it is vetted anew.
        """
        with self.storage.read() as reader:
            proposed = plan(reader)
        if not proposed.changes:
            return proposed
        while True:
            evidence = vet(proposed) if vet else None
            with self.storage.write() as writer:
                final = plan(writer)
                is_vetted = evidence is None or not isinstance(final, Outcome) or evidence.covers(final)
                if is_vetted and final.changes:
                    writer.apply(final.changes)
            if is_vetted or not final.changes:
                return final
            proposed = final

    def vet_saved(self, outcome: Outcome) -> Evidence:
        """Compile what is saved, and run the checks on what becomes production (rules 9 and 20)."""
        try:
            candidate = self._candidate(outcome)
        except TemplateError as error:
            error.details = {"name": outcome.container.name, **error.details}
            raise
        if outcome.version.state == "published":
            checks.require_passing(candidate, self._checks)
        return Evidence(outcome, has_checks=bool(self._checks))

    def vet_published(self, outcome: Outcome) -> Evidence:
        """Run the checks on a version that was never live; what was live before has passed them."""
        if outcome.change is not None and outcome.change.edited is not None:
            try:
                candidate = self._candidate(outcome)
            except TemplateError as error:
                raise checks.failed(outcome.container.name, [f"template: {error.message}"]) from None
            checks.require_passing(candidate, self._checks)
        return Evidence(outcome, has_checks=bool(self._checks))

    def _candidate(self, outcome: Outcome) -> Prompt:
        """Give the prompt as it would be, compiled; it renders whatever its status says."""
        compiled = self._compiled(outcome.version.snapshot)
        compiled.require_valid()
        return make_prompt(
            outcome.container, outcome.version, compiled, forbids_extra=self.forbids_extra, is_candidate=True
        )

    def _compiled(self, snapshot: Snapshot) -> CompiledTemplate:
        return self._templates.get(
            snapshot.content_hash, lambda: CompiledTemplate(snapshot.template, snapshot.variables, self.render_limits)
        )


def find(reader: Reader, view: View, reference: Reference) -> Container:
    """Give the prompt; what the actor may not read is not there (rule 18)."""
    container = reader.find(view.namespace, reference)
    if container is None or not access.may(view.actor, "read", container):
        raise not_found([reference.text])
    return container


def find_all(reader: Reader, view: View, references: Sequence[Reference]) -> list[Container]:
    """Give each prompt once, in the order asked; raise `NotFoundError` with all that are not there."""
    found = reader.find_all(view.namespace, references)
    pairs = list(zip(references, found, strict=True))
    absent = [r.text for r, c in pairs if c is None or not access.may(view.actor, "read", c)]
    if absent:
        raise not_found(list(dict.fromkeys(absent)))
    return list({c.id: c for _, c in pairs if c is not None}.values())


def not_found(names: list[str]) -> NotFoundError:
    """Give the refusal of names that are not there, or not for this actor."""
    return NotFoundError(f"There is no prompt {listed(names)} here; list() shows those that there are.", names=names)


def load_version(reader: Reader, container: Container, selector: Selector | None) -> VersionRecord:
    """Give the version that a selector means; None is production. Raises `VersionNotFoundError`."""
    number = lifecycle.number_of(container, selector)
    record = reader.version(container, number)
    if record is None:
        raise lifecycle.version_not_found(container, number)
    return record


def shown(reader: Reader, container: Container) -> VersionRecord:
    """Give the version that a container resolves to: production, else the latest."""
    return load_version(reader, container, container.shown_version)
