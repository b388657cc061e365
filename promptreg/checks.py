"""What a version must pass before it is saved or becomes production (rules 9 and 20).

Compiling the template, rendering the examples and calling the publish checks all run outside any transaction, because
they run the application's code. `Evidence` records what they ran on, so that the write transaction can tell whether
that is still what it is about to write.
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple, TypeAlias

from promptreg.errors import PublishCheckError, TemplateError
from promptreg.prompt import Prompt, limits_of
from promptreg.records import Container, VersionRecord
from promptreg.rules import conflicts, publishing
from promptreg.rules.inputs import Progress
from promptreg.rules.outcomes import Author, Outcome, Outcomes
from promptreg.rules.together import decide_each, every_refusal
from promptreg.templates import Templates

MAX_REASON = 2_000
COMPILED = ("template", "syntax", "variables")

PublishCheck: TypeAlias = Callable[[Prompt], object]


class Evidence(NamedTuple):
    """What was checked: the template and declarations were compiled, examples were rendered, functions were called.

    `is_checked` says whether examples or functions ran, `has_functions` whether the registry has `publish_checks`.
    """

    outcome: Outcome
    has_functions: bool = False
    is_checked: bool = False

    @property
    def checked(self) -> tuple[Container, ...]:
        """The prompt, as the caller named it, if examples or functions ran."""
        return (self.outcome.named,) if self.is_checked else ()

    def require_names(self, found: Sequence[Container | None]) -> None:
        """Raise `VersionConflictError` where the prompt, if it was checked and is found, has another name."""
        for checked, now in zip(self.checked, found, strict=True):
            if now is not None and now.name != checked.name:
                raise conflicts.changed_meanwhile(checked.name, "name", checked.name, now.name)

    def covers(self, final: Outcome) -> bool:
        """Return whether what is about to be written is what was checked.

        Raises `VersionConflictError` where something else passed the checks (rule 9).
        """
        if not final.changes:
            return True
        vetted, written = self.outcome.version.snapshot, final.version.snapshot
        if self.is_checked:
            only_content = not self.has_functions
            conflicts.require_unchanged(self.outcome.checked_state, final.checked_state, only_content=only_content)
            return True
        if final.goes_live and (self.has_functions or written.examples):
            return False
        return all(getattr(vetted, field) == getattr(written, field) for field in COMPILED)


class SetEvidence(NamedTuple):
    """What was checked of several prompts, in the order of their outcomes."""

    parts: tuple[Evidence, ...]

    @property
    def checked(self) -> tuple[Container, ...]:
        """The prompts, as the caller named them, of which examples or functions ran."""
        return tuple(container for part in self.parts for container in part.checked)

    def require_names(self, found: Sequence[Container | None]) -> None:
        """Raise `VersionConflictError` with every prompt that was checked and has another name."""
        parts = [part for part in self.parts if part.is_checked]
        named = [(part.outcome.named.name, (part, now)) for part, now in zip(parts, found, strict=True)]
        decide_each(named, lambda pair: pair[0].require_names([pair[1]]))

    def covers(self, final: Outcomes) -> bool:
        """Return whether what is about to be written is what was checked, of all prompts.

        Raises `VersionConflictError` with every prompt of which something else passed the checks.
        """
        pairs = zip(self.parts, final.outcomes, strict=True)
        named = [(part.outcome.named.name, (part, outcome)) for part, outcome in pairs]
        return all(decide_each(named, lambda pair: pair[0].covers(pair[1])))


class Checks:
    """The checks of one registry."""

    def __init__(self, functions: tuple[PublishCheck, ...], templates: Templates) -> None:
        self._functions = functions
        self._templates = templates

    def vet_saved(self, outcome: Outcome) -> Evidence:
        """Compile what is saved, and run the checks on what becomes production.

        Raises `TemplateError` and its subclasses, and `PublishCheckError`.
        """
        try:
            self._templates.compiled(outcome.version.snapshot).require_consistent()
        except TemplateError as error:
            error.put_name(outcome.container.name)
            raise
        return self._run(outcome)

    def vet_seeded(self, outcome: Outcome) -> Evidence:
        """Do what `vet_saved` does where a version is written; what was live before is not compiled again (rule 9)."""
        return self._run(outcome) if outcome.written is None else self.vet_saved(outcome)

    def vet_published(self, outcome: Outcome) -> Evidence:
        """Run the checks on a version that was never live; raise `PublishCheckError`, for a broken template too."""
        reasons = self._template_failures(outcome.version) if outcome.goes_live else []
        if reasons:
            raise _failed(outcome.container.name, reasons)
        return self._run(outcome)

    def vet_all_published(self, planned: Outcomes) -> SetEvidence:
        """Run the checks on several versions; raise one `PublishCheckError` with the reasons of all that fail."""
        named = [(outcome.container.name, outcome) for outcome in planned.outcomes]
        return SetEvidence(tuple(decide_each(named, self.vet_published)))

    def vet_each(self, named: Sequence[tuple[str, Outcome]], report: Progress) -> SetEvidence:
        """Compile what each of these writes, and run the checks on what becomes production.

        Raises one error with everything that fails; the refusals in its details have as `file` the name given here.
        Reports how many of them are done.
        """
        parts, refused = [], []
        for done, (name, outcome) in enumerate(named, 1):
            try:
                parts.append(self.vet_seeded(outcome))
            except (TemplateError, PublishCheckError) as error:
                error.details["file"] = name
                refused.append((name, error))
            report(done, len(named))
        if refused:
            raise every_refusal(refused)
        return SetEvidence(tuple(parts))

    def reasons(self, container: Container, version: VersionRecord, author: Author) -> list[str]:
        """Return why a version could not be published now: the archive, and every check that fails."""
        outcome = publishing.published(container, version, author)
        archived = ["the prompt is archived; restore() it first"] if container.is_archived else []
        failures = self._template_failures(version)
        if not failures:
            candidate = self._templates.prompt(outcome.container, outcome.version, is_candidate=True)
            failures = _failures(candidate, self._functions)
        return archived + failures

    def _template_failures(self, version: VersionRecord) -> list[str]:
        try:
            self._templates.compiled(version.snapshot).require_consistent()
        except TemplateError as error:
            return [f"template: {error.message}"]
        return []

    def _run(self, outcome: Outcome) -> Evidence:
        has_functions = bool(self._functions)
        is_checked = outcome.goes_live and (has_functions or bool(outcome.version.snapshot.examples))
        if is_checked:
            candidate = self._templates.prompt(outcome.container, outcome.version, is_candidate=True)
            require_passing(candidate, self._functions)
        return Evidence(outcome, has_functions, is_checked)


def require_passing(prompt: Prompt, checks: Sequence[PublishCheck]) -> None:
    """Render each example and call each check; raise `PublishCheckError` with every reason."""
    reasons = _failures(prompt, checks)
    if reasons:
        raise _failed(prompt.name, reasons)


def _failures(prompt: Prompt, checks: Sequence[PublishCheck]) -> list[str]:
    return [*_example_failures(prompt), *_check_failures(prompt, checks)]


def _failed(name: str, reasons: Sequence[str]) -> PublishCheckError:
    return PublishCheckError(
        f"{name!r} may not go into production: {'; '.join(reasons)}", name=name, reasons=list(reasons)
    )


def _example_failures(prompt: Prompt) -> list[str]:
    """Render the examples, which may together take as long as one render may."""
    reasons, seconds = [], limits_of(prompt).seconds
    deadline = monotonic() + seconds
    for i, example in enumerate(prompt.examples):
        if monotonic() > deadline:
            reasons.append(
                f"examples: rendering {i} of {len(prompt.examples)} took longer than all may, {seconds:g} s together"
                " (the limit seconds); keep fewer of them"
            )
            break
        try:
            prompt.render(example)
        except TemplateError as error:
            reason = error.message.removeprefix(f"{prompt.name!r}: ")  # the error as a whole names it
            reasons.append(f"examples[{i}]: {reason[:MAX_REASON]}")
    return reasons


def _check_failures(prompt: Prompt, checks: Sequence[PublishCheck]) -> list[str]:
    reasons = []
    for check in checks:
        try:
            check(prompt)
        except Exception as error:
            reasons.append(f"{_name_of(check)}: {_reason(error)}")
    return reasons


def _name_of(check: PublishCheck) -> str:
    """Return the name of a function; of an object whose own code may fail, the name of its type."""
    try:
        name = getattr(check, "__name__", None)
    except Exception:
        name = None
    return name if type(name) is str else type(check).__name__


def _reason(error: Exception) -> str:
    """Return the text of an exception as it can be stored: bounded, and in UTF-8."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return text[:MAX_REASON].encode(errors="replace").decode().replace("\0", "?") or type(error).__name__
