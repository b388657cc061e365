"""What statements select of prompts and versions, and which version of a prompt they join."""

from promptreg.rules.names import Selector
from promptreg.storage.rows import PROMPT_COLUMNS, VERSION_COLUMNS

MAX_INTEGER = 2**63 - 1

PROMPT_FIELDS = ", ".join(f"p.{column}" for column in PROMPT_COLUMNS)
"""What a statement selects of `$.prompts p` for `read_prompt`."""

# A base that is not there was discarded, and there is an event for it; otherwise rows are lost, and it is NULL.
# No EXISTS, for which PostgreSQL may read the whole table at once.
_IS_BASE_DISCARDED = (
    "CASE WHEN v.base_version IS NULL OR"
    " (SELECT b.version FROM $.versions b WHERE b.prompt = v.prompt AND b.version = v.base_version) IS NOT NULL THEN 0"
    " WHEN (SELECT d.version FROM $.events d WHERE d.prompt_id = (SELECT id FROM $.prompts WHERE key = v.prompt)"
    " AND d.action = 'discard' AND d.version = v.base_version LIMIT 1) IS NOT NULL THEN 1 END"
)
VERSION_FIELDS = ", ".join([*(f"v.{column}" for column in VERSION_COLUMNS), _IS_BASE_DISCARDED])
"""What a statement selects of `$.versions v` for `read_version`."""
SHOWN_FIELDS = f"{PROMPT_FIELDS}, {VERSION_FIELDS}"
"""What a statement selects of both for `read_shown`."""
SHOWN_VERSION = "coalesce(p.production_version, p.latest_version)"
"""The number of the version of `$.prompts p` that listings without a label, and so the full text, show."""

_ARE_LABELS = r"""p.labels ~ '^\{("[A-Za-z0-9_.-]{1,50}":[0-9]{1,18}(,(?=")|(?=\})))*\}$'"""


def labelled(pattern: str) -> str:
    """Return the number that a label of `$.prompts p` names: NULL where no label does, 0 where they are damaged.

    `pattern` is an expression whose value `label_pattern` returns. Nothing is cast that is not known to be what was
    written, because a cast that fails ends the statement.
    """
    return f"CASE WHEN {_ARE_LABELS} THEN substring(p.labels FROM {pattern})::bigint ELSE 0 END"


def label_pattern(label: str) -> str:
    """Return the regular expression that finds the number of a label."""
    return f'"{label.replace(".", "[.]")}":([0-9]+)'


def version_number(selector: Selector | None) -> tuple[str, dict[str, object]]:
    """Return the number of the version of `$.prompts p` that a selector means, and its values; None is production."""
    match selector:
        case int():
            return "%(number)s::bigint", {"number": bounded(selector)}
        case None | "production":
            return "p.production_version", {}
        case "latest":
            return "p.latest_version", {}
    return labelled("%(label)s"), {"label": label_pattern(selector)}


def joined(number: str) -> str:
    """Return the join of `$.prompts p` with the versions that have a number."""
    return f"LEFT JOIN $.versions v ON v.prompt = p.key AND v.version = {number}"


SHOWN = joined(SHOWN_VERSION)
"""The join with that version."""


def bounded(number: int) -> int:
    """Return the number, or the largest that the database takes."""
    return min(number, MAX_INTEGER)
