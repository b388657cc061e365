"""The reference of the tests that compare with Jinja2: its sandbox, with what rule 20 adds to it."""

import json
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment


def tojson(value: Any, indent: int | str | None = None) -> str:
    """Write as rule 20 says: for models, and not for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def raise_exception(*_: Any) -> NoReturn:
    """Raise, as the template asks for."""
    raise jinja2.TemplateRuntimeError


def stock_environment(undefined: type[jinja2.Undefined] = jinja2.StrictUndefined) -> ImmutableSandboxedEnvironment:
    """Return Jinja2's sandbox with its loop controls, and the `tojson`, `zip` and `raise_exception` of rule 20."""
    stock = ImmutableSandboxedEnvironment(
        undefined=undefined, keep_trailing_newline=True, extensions=["jinja2.ext.loopcontrols"]
    )
    stock.globals |= {"zip": zip, "raise_exception": raise_exception}
    stock.filters["tojson"] = tojson
    return stock
