"""The reference of the tests that compare with Jinja2: its sandbox, with what rule 20 adds to it."""

import json
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment


def tojson(value: Any, indent: int | str | None = None) -> str:
    """Write as rule 20 says: for models, and not for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def stock_environment(undefined: type[jinja2.Undefined] = jinja2.StrictUndefined) -> ImmutableSandboxedEnvironment:
    """Return Jinja2's sandbox with the `tojson` of rule 20."""
    stock = ImmutableSandboxedEnvironment(undefined=undefined, keep_trailing_newline=True)
    stock.filters["tojson"] = tojson
    return stock
