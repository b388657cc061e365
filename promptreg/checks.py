"""What a version must pass before it becomes production (rule 9); run outside any transaction."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TypeAlias

from promptreg.errors import PublishCheckError, TemplateError
from promptreg.prompt import Prompt, limits_of

MAX_REASON = 2_000

PublishCheck: TypeAlias = Callable[[Prompt], object]


def require_passing(prompt: Prompt, checks: Sequence[PublishCheck]) -> None:
    """Compile the template, render each example, call each check; raise `PublishCheckError` with every reason."""
    reasons = [*_example_failures(prompt), *_check_failures(prompt, checks)]
    if reasons:
        raise failed(prompt.name, reasons)


def failed(name: str, reasons: Sequence[str]) -> PublishCheckError:
    """Give the refusal, for these reasons."""
    return PublishCheckError(
        f"{name!r} may not go into production: {'; '.join(reasons)}", name=name, reasons=list(reasons)
    )


def _example_failures(prompt: Prompt) -> list[str]:
    """Render the examples, which together may take as long as one render may."""
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
            told = error.message.removeprefix(f"{prompt.name!r}: ")  # which the whole error names
            reasons.append(f"examples[{i}]: {told[:MAX_REASON]}")
    return reasons


def _check_failures(prompt: Prompt, checks: Sequence[PublishCheck]) -> list[str]:
    reasons = []
    for check in checks:
        try:
            check(prompt)
        except Exception as error:
            reasons.append(f"{_name_of(check)}: {_told(error)}")
    return reasons


def _name_of(check: PublishCheck) -> str:
    """Return the name of a function; of another check, whose own code may say anything, that of its type."""
    try:
        name = getattr(check, "__name__", None)
    except Exception:
        name = None
    return name if type(name) is str else type(check).__name__


def _told(error: Exception) -> str:
    """Give the text of a check's exception as it can be stored: bounded, and in UTF-8."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return text[:MAX_REASON].encode(errors="replace").decode().replace("\0", "?") or type(error).__name__
