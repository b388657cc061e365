"""The plan of an import from another tool, and what is checked before it is written.

All prompts are made in one transaction. What refuses one refuses all, and every reason is given.
"""

from collections.abc import Callable, Mapping

from promptreg.checks import Checks, Evidence, SetEvidence
from promptreg.errors import InvalidInputError, PublishCheckError, TemplateError
from promptreg.planning import Planner
from promptreg.rules.access import require_creating
from promptreg.rules.importing import ImportOutcomes, NewPrompt, names_taken, plan_import
from promptreg.rules.inputs import Progress
from promptreg.rules.names import Reference
from promptreg.rules.outcomes import Outcome
from promptreg.rules.together import together
from promptreg.storage.base import Reader
from promptreg.untrusted import FieldReader


def import_all(planner: Planner, prompts: Mapping[str, NewPrompt]) -> Callable[[Reader], ImportOutcomes]:
    """Return the plan of an import of prompts, by the ids that they get.

    It raises `ForbiddenError`, and `NameTakenError` with every name that is taken.
    """
    namespace, actor, author = planner.view.namespace, planner.view.actor, planner.author

    def plan(reader: Reader) -> ImportOutcomes:
        names = [prompt.name for prompt in prompts.values()]
        require_creating(actor, *names)
        found = reader.find(namespace, [Reference(name, is_id=False) for name in names])
        taken = [container.name for container in found if container is not None]
        if taken:
            raise names_taken(taken)
        planned = (plan_import(prompt_id, namespace, prompt, author) for prompt_id, prompt in prompts.items())
        return ImportOutcomes(tuple(outcome for outcomes in planned for outcome in outcomes))

    return plan


def vet_imported(checks: Checks, report: Progress) -> Callable[[ImportOutcomes], SetEvidence]:
    """Return the function that compiles each version, and runs the checks on what goes live.

    It reports how many of how many steps are done. It raises one `InvalidInputError` for every template that does not
    compile, then one `PublishCheckError`.
    """

    def vet(planned: ImportOutcomes) -> SetEvidence:
        fields, parts = FieldReader(), []
        refused: list[tuple[str, PublishCheckError]] = []
        for done, outcome in enumerate(planned.outcomes):
            report(done, len(planned.outcomes))
            try:
                parts.append(fields.read(_vetted, checks, outcome))
            except PublishCheckError as error:
                refused.append((outcome.container.name, error))
        fields.require_valid()
        if refused:
            raise together(refused)
        return SetEvidence(tuple(parts))

    return vet


def _vetted(checks: Checks, outcome: Outcome) -> Evidence:
    try:
        return checks.vet_seeded(outcome)
    except TemplateError as error:
        name = outcome.container.name
        reason = error.message.removeprefix(f"{name!r}: ")
        raise InvalidInputError.of(f"{name}@{outcome.version.number}", reason) from None
