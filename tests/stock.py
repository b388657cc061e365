"""Stock Jinja2, the reference for what is absent (rule 20)."""

from jinja2 import StrictUndefined


class FalseUndefined(StrictUndefined):
    """Jinja2's strict undefined, but false where its truth is tested."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # which Jinja's never returns
        return False
