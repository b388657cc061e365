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


class FalseUndefined(jinja2.StrictUndefined):
    """Jinja2's strict undefined, but false where its truth is tested."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # which Jinja's never returns
        return False


def stock_environment() -> ImmutableSandboxedEnvironment:
    """Return Jinja2's sandbox as rule 20 has it.

    What is absent is false; it has Jinja2's loop controls, and `tojson`, `zip` and `raise_exception`.
    """
    stock = ImmutableSandboxedEnvironment(
        undefined=FalseUndefined, keep_trailing_newline=True, extensions=["jinja2.ext.loopcontrols"]
    )
    stock.globals |= {"zip": zip, "raise_exception": raise_exception}
    stock.filters["tojson"] = tojson
    return stock
