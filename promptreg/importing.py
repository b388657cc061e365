"""The plan of an import from another tool, and what is checked before it is written.

All prompts are made in one transaction. What refuses one refuses all, and every reason is given.
"""

from collections.abc import Callable, Mapping

from promptreg.checks import Checks, SetEvidence
from promptreg.errors import InvalidInputError, TemplateError
from promptreg.planning import Planner
from promptreg.rules.access import require_creating
from promptreg.rules.importing import ImportedPrompt, ImportOutcomes, names_taken, plan_import
from promptreg.rules.names import Reference
from promptreg.rules.outcomes import Outcome
from promptreg.rules.together import decide_each
from promptreg.storage.base import Reader
from promptreg.untrusted import FieldReader


def import_all(planner: Planner, prompts: Mapping[str, ImportedPrompt]) -> Callable[[Reader], ImportOutcomes]:
    """Return the plan of an import of prompts, by the ids that they get.

    It raises `ForbiddenError`, and `NameTakenError` with every name that is taken.
    """
    (namespace, actor), author = planner.view, planner.author

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


def vet_imported(checks: Checks) -> Callable[[ImportOutcomes], SetEvidence]:
    """Return the function that compiles each version, and runs the checks on what goes live.

    It raises one `InvalidInputError` for every template that does not compile, then one `PublishCheckError`.
    """

    def vet(planned: ImportOutcomes) -> SetEvidence:
        fields = FieldReader()
        for outcome in planned.outcomes:
            fields.read(_require_compiling, checks, outcome)
        fields.require_valid()
        named = [(outcome.container.name, outcome) for outcome in planned.outcomes]
        return SetEvidence(tuple(decide_each(named, checks.vet_seeded)))

    return vet


def _require_compiling(checks: Checks, outcome: Outcome) -> None:
    try:
        checks.require_compiling(outcome)
    except TemplateError as error:
        where = f"{outcome.container.name}@{outcome.version.number}"
        raise InvalidInputError.of(where, error.message) from None
