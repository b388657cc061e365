"""The plans of `publish` and `rollback` of several prompts (rule 23).

Each prompt is planned as it would be alone. What refuses one refuses all, and all changes are written together.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from promptreg.arguments import Publication, Rollback
from promptreg.lookup import find_readable
from promptreg.planning import Planner
from promptreg.rules.access import View
from promptreg.rules.inputs import Expected
from promptreg.rules.names import Reference, Selector
from promptreg.rules.outcomes import Outcome, Outcomes
from promptreg.rules.sets import PromptSet, expected_of_each, fewer_prompts, two_versions
from promptreg.rules.together import decide_each
from promptreg.storage.base import Reader

PlanOne: TypeAlias = Callable[[Reader], Outcome]
MakePlan: TypeAlias = Callable[[Reference, Selector | None, Expected], PlanOne]
Member: TypeAlias = tuple[Reference, PlanOne]


def publish_all(planner: Planner, prompts: PromptSet) -> Callable[[Reader], Outcomes]:
    """Return the plan of `publish` of several prompts."""

    def publish(reference: Reference, selector: Selector | None, expected: Expected) -> PlanOne:
        return planner.publish(Publication(reference, selector, expected))

    return _plan_all(planner.view, prompts, publish)


def rollback_all(planner: Planner, prompts: PromptSet, reason: str) -> Callable[[Reader], Outcomes]:
    """Return the plan of `rollback` of several prompts."""

    def rollback(reference: Reference, selector: Selector | None, expected: Expected) -> PlanOne:
        return partial(planner.rollback, Rollback(reference, selector, reason, expected))

    return _plan_all(planner.view, prompts, rollback)


def _plan_all(view: View, prompts: PromptSet, make: MakePlan) -> Callable[[Reader], Outcomes]:
    """Return a plan of all prompts; its first run decides which references are one prompt, and what to expect of it."""
    members: list[Member] | None = None

    def plan(reader: Reader) -> Outcomes:
        nonlocal members
        if members is not None:
            return _planned_again(_plan_each(reader, view, members))
        asked = _members(reader, view, prompts, make)
        members, outcomes = _distinct(asked, _plan_each(reader, view, asked))
        return Outcomes(tuple(outcomes))

    return plan


def _planned_again(outcomes: Sequence[Outcome]) -> Outcomes:
    """Return the outcomes of the second plan; a prompt that was renamed may now have the name of another member."""
    found = len({outcome.container.id for outcome in outcomes})
    if found < len(outcomes):
        raise fewer_prompts(len(outcomes), found)
    return Outcomes(tuple(outcomes))


def _members(reader: Reader, view: View, prompts: PromptSet, make: MakePlan) -> list[Member]:
    found = find_readable(reader, view, [reference._replace(selector=chosen) for reference, chosen in prompts.chosen])
    expected = expected_of_each(prompts, found)
    pairs = zip(prompts.chosen, expected, strict=True)
    return [(reference, make(reference, selector, what)) for (reference, selector), what in pairs]


def _plan_each(reader: Reader, view: View, members: Sequence[Member]) -> list[Outcome]:
    found = find_readable(reader, view, [reference for reference, _ in members])
    names = [member[0].text if prompt is None else prompt.name for member, prompt in zip(members, found, strict=True)]
    plans = zip(names, [plan for _, plan in members], strict=True)
    return decide_each(plans, lambda plan: plan(reader), view.namespace)


def _distinct(members: Sequence[Member], outcomes: Sequence[Outcome]) -> tuple[list[Member], list[Outcome]]:
    """Return each prompt once; raise `InvalidInputError` for one at two versions, which only a lookup shows."""
    kept: dict[str, tuple[Member, Outcome]] = {}
    for member, outcome in zip(members, outcomes, strict=True):
        _, same = kept.setdefault(outcome.container.id, (member, outcome))
        if same.version.number != outcome.version.number:
            raise two_versions(outcome.named.name, same.version.number, outcome.version.number)
    return [member for member, _ in kept.values()], [outcome for _, outcome in kept.values()]
