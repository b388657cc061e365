"""The reference of the tests that compare with Jinja2: its sandbox, with what rule 20 adds to it."""

import json
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment


def tojson(value: Any, indent: int | str | None = None) -> str:
    """Write as rule 20 says: for models, and not for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


class FalseUndefined(jinja2.StrictUndefined):
    """Jinja2's strict undefined, but false where its truth is tested."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # which Jinja's never returns
        return False


def stock_environment() -> ImmutableSandboxedEnvironment:
    """Return Jinja2's sandbox with the `tojson` of rule 20, where what is absent is false."""
    stock = ImmutableSandboxedEnvironment(undefined=FalseUndefined, keep_trailing_newline=True)
    stock.filters["tojson"] = tojson
    return stock
