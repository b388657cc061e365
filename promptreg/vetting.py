"""Vetting what `publish` makes live: a version that fails its checks is marked as failed (rules 9 and 23)."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from promptreg.checks import Evidence, SetEvidence
from promptreg.core import Core
from promptreg.errors import ConflictError, ForbiddenError, NotFoundError, PublishCheckError, StorageError
from promptreg.planning import Planner
from promptreg.rules.access import View
from promptreg.rules.outcomes import Outcome, Outcomes
from promptreg.storage.base import Reader

Failed = tuple[Outcome, Sequence[str]]


def vet_published(core: Core, view: View, planner: Planner) -> Callable[[Outcome], Evidence]:
    """Return the function that vets the outcome of `publish` of one prompt."""

    def vet(outcome: Outcome) -> Evidence:
        try:
            return core.checks.vet_published(outcome)
        except PublishCheckError as error:
            raise error from _mark_failed(core, view, planner, [(outcome, error.details["reasons"])])

    return vet


def vet_all_published(core: Core, view: View, planner: Planner) -> Callable[[Outcomes], SetEvidence]:
    """Return the function that vets the outcomes of `publish` of several prompts."""

    def vet(planned: Outcomes) -> SetEvidence:
        try:
            return core.checks.vet_all_published(planned)
        except PublishCheckError as error:
            reasons = {refusal["name"]: refusal["reasons"] for refusal in error.details["refusals"]}
            named = [(outcome, reasons.get(outcome.container.name)) for outcome in planned.outcomes]
            failed = [(outcome, why) for outcome, why in named if why is not None]
            raise error from _mark_failed(core, view, planner, failed)

    return vet


def _mark_failed(core: Core, view: View, planner: Planner, failed: Sequence[Failed]) -> StorageError | None:
    """Mark versions as failed, but for those that were changed meanwhile; return the error that prevented it, if any.

    Whatever has happened to the versions meanwhile, the caller gets the reasons.
    """

    def plan(reader: Reader) -> Outcomes:
        marked = []
        for outcome, reasons in failed:
            with suppress(NotFoundError, ForbiddenError, ConflictError):
                marked.append(planner.check_failed(outcome, reasons, reader))
        return Outcomes(tuple(marked))

    try:
        core.commit(view, plan)
    except StorageError as error:
        core.release_after(error)
        error.__context__ = None  # the error whose cause this becomes
        return error
    return None
