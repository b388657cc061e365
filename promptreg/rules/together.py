"""One error for the refusals of several prompts (rule 23).

Each kind of refusal is looked for in all prompts before the next kind (rule 18), and one error names them all. It has
the details of the first refusal, and besides `names`, and `refusals`: the details of each, with `name` and `message`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from promptreg.errors import (
    LISTED,
    ConflictError,
    ForbiddenError,
    NoProductionVersionError,
    NotFoundError,
    NotModifiableError,
    PromptregError,
    PublishCheckError,
    VersionConflictError,
    VersionNotFoundError,
    listed,
)
from promptreg.rules.access import forbidden
from promptreg.rules.refusals import archived, not_found

T = TypeVar("T")
R = TypeVar("R")

KINDS: tuple[tuple[type[PromptregError], ...], ...] = (
    (NotFoundError,),
    (ForbiddenError,),
    (VersionNotFoundError, NoProductionVersionError),
    (NotModifiableError,),
    (ConflictError,),
    (VersionConflictError,),
    (PublishCheckError,),
)
"""The kinds of refusals of one prompt, in the order of rule 18."""


def decide_each(items: Iterable[tuple[str, T]], decide: Callable[[T], R], namespace: str = "") -> list[R]:
    """Return what is decided of each item; raise one error for all refusals. Each item comes with its prompt's name."""
    decided, refused = [], []
    for name, item in items:
        try:
            decided.append(decide(item))
        except (NotFoundError, ForbiddenError, ConflictError, PublishCheckError) as error:
            refused.append((name, error))
    if refused:
        raise together(refused, namespace)
    return decided


def every_refusal(refused: Sequence[tuple[str, PromptregError]]) -> PromptregError:
    """Return one error for all refusals, of whatever kinds, that is of the kind of the first template error, if any."""
    if len(refused) == 1:
        return refused[0][1]
    ordered = sorted(refused, key=lambda pair: isinstance(pair[1], PublishCheckError))
    return _merged(ordered[0][1], dict(ordered))


def together(refused: Sequence[tuple[str, PromptregError]], namespace: str = "") -> PromptregError:
    """Return one error for all refusals of the first kind that occurs; `refused` has each with its prompt's name."""
    kinds = ([(name, error) for name, error in refused if type(error) in kind] for kind in KINDS)
    found = next(same for same in kinds if same)
    first = found[0][1]
    names = list(dict.fromkeys(name for _, error in found for name in error.details.get("names", ())))
    if type(first) is NotFoundError:
        return not_found(names, namespace)
    if type(first) is ForbiddenError:
        return forbidden(names, first.details["action"])
    if type(first) is NotModifiableError:
        return archived(names)
    return _merged(first, dict(found))


def _merged(first: PromptregError, named: Mapping[str, PromptregError]) -> PromptregError:
    details = {**first.details, "names": list(named)}
    details["refusals"] = [{"name": name, "message": error.message, **error.details} for name, error in named.items()]
    if isinstance(first, PublishCheckError):
        details["reasons"] = [f"{name}: {why}" for name, error in named.items() for why in error.details["reasons"]]
        return PublishCheckError(_checks_message(list(named), details["reasons"]), **details)
    return type(first)(sentences([error.message for error in named.values()]), **details)


def _checks_message(names: Sequence[str], reasons: Sequence[str]) -> str:
    more = f"; and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
    return f"None may go into production, because of {listed(names)}: {'; '.join(reasons[:LISTED])}{more}"


def sentences(messages: Sequence[str]) -> str:
    """Return the first ten messages as one text, which ends with how many more there are."""
    more = [f"And {len(messages) - LISTED} more."] if len(messages) > LISTED else []
    return " ".join([*messages[:LISTED], *more])
