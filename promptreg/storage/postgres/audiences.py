"""Which prompts an audience may read, as a condition of `$.prompts p`.

Grants are searched as the text that was hashed: an opening bracket and a quote begin a pair wherever they stand, since
within a JSON text a quote has a backslash before it. So nothing is cast, and a damaged text fails no statement.
"""

from promptreg.jsonvalues import compact
from promptreg.records import Audience

_GRANTED = "EXISTS (SELECT 1 FROM unnest(%(grants)s::text[]) AS granted(text) WHERE strpos(p.access_grants, text) > 0)"
_PAIR = r"""\["([^"\\]|\\.)*","(read|write)"\]"""
ARE_DAMAGED = rf"(p.access_grants <> '[]' AND p.access_grants !~ '^\[{_PAIR}(,{_PAIR})*\]$')"
"""Whether the grants are nothing that was ever written."""


def readable(audience: Audience) -> str:
    """Return the condition, whose values are those of `audience_values`."""
    return "TRUE" if audience.sees_all else f"(p.created_by = %(actor)s OR {_GRANTED})"


def readable_or_damaged(audience: Audience) -> str:
    """Return the condition that holds for damaged grants too, so that their hash is checked."""
    return "TRUE" if audience.sees_all else f"({readable(audience)} OR {ARE_DAMAGED})"


def audience_values(audience: Audience) -> dict[str, object]:
    """Return the values of these conditions."""
    return {"actor": audience.actor, "grants": [f"[{compact(who)}," for who in audience.principals]}
