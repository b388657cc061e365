"""All filters and tests of the policy: those of `texts.py` and `containers.py`, and those that call others by name.

Each takes the render's `Meter` first.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any

from jinja2.tests import TESTS as JINJA_TESTS

from promptreg.rendering.metered.containers import CONTAINER_FILTERS, getter, lazy
from promptreg.rendering.metered.meter import Meter
from promptreg.rendering.metered.texts import TEXT_FILTERS
from promptreg.rendering.values import AbsentDeclared, Refused


def call_filter(meter: Meter, name: Any, value: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a filter by its name, as `map` does; a pattern of `format` must be spelled in the template."""
    if not isinstance(name, str) or name not in TEMPLATE_FILTERS or name == "format":
        raise Refused("map takes the name of a filter that may be used there")
    return TEMPLATE_FILTERS[name](meter, value, *args, **kwargs)


def call_test(meter: Meter, name: Any, value: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a test by its name, as `select` does."""
    if not isinstance(name, str) or name not in TEMPLATE_TESTS:
        raise Refused("there is no test of that name")
    return TEMPLATE_TESTS[name](meter, value, *args, **kwargs)


def _holds_items(value: Any) -> bool:
    """Return whether there is anything to go through; what is absent is no list, though it may be false."""
    if isinstance(value, AbsentDeclared):
        str(value)
    return bool(value)


@lazy
def _map(meter: Meter, value: Iterable[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
    if not _holds_items(value):
        return
    if not args and "attribute" in kwargs:
        get = getter(meter, kwargs.pop("attribute"), kwargs.pop("default", None))
        if kwargs:
            raise Refused("map takes attribute and default, or the name of a filter")
    elif not args:
        raise Refused("map takes the name of a filter, or attribute=")
    else:
        get = lambda item: call_filter(meter, args[0], item, args[1:], kwargs)  # noqa: E731
    for item in meter.counted(value):
        meter.spend(4)
        yield meter.called(get, item)


def _choosing(*, wanted: bool, by_attribute: bool) -> Callable[..., Iterator[Any]]:
    @lazy
    def run(meter: Meter, value: Iterable[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
        if not _holds_items(value):
            return
        if by_attribute and not args:
            raise Refused("the name of an attribute is missing")
        get = getter(meter, args[0]) if by_attribute else getter(meter, None)
        test = args[1:] if by_attribute else args
        for item in meter.counted(value):
            meter.spend(4)
            found = get(item)
            is_so = meter.called(call_test, meter, test[0], found, test[1:], kwargs) if test else found
            if bool(is_so) is wanted:
                yield item

    return run


TEMPLATE_FILTERS: dict[str, Callable[..., Any]] = {
    **TEXT_FILTERS,
    **CONTAINER_FILTERS,
    "map": _map,
    "select": _choosing(wanted=True, by_attribute=False),
    "reject": _choosing(wanted=False, by_attribute=False),
    "selectattr": _choosing(wanted=True, by_attribute=True),
    "rejectattr": _choosing(wanted=False, by_attribute=True),
}


def _unmeasured(name: str) -> Callable[..., bool]:
    """Give a test that only looks at the type."""
    jinja: Any = JINJA_TESTS[name]
    return lambda _meter, value, *args, **kwargs: bool(jinja(value, *args, **kwargs))


def _compared(method: str) -> Callable[..., Any]:
    return lambda meter, value, other: getattr(meter, method)(value, other)


def _remainder_is(divisor: int, wanted: int) -> Callable[..., bool]:
    return lambda meter, value: meter.remainder(value, divisor) == wanted


def _named(names: Callable[[], Container[str]]) -> Callable[..., bool]:
    return lambda meter, value: meter.weigh(value) in names()


TEMPLATE_TESTS: dict[str, Callable[..., Any]] = {
    **{
        name: _unmeasured(name)
        for name in (
            "boolean callable defined escaped false float integer iterable mapping none "
            "number sameas sequence string true undefined"
        ).split()
    },
    **dict.fromkeys(("==", "eq", "equalto"), _compared("eq")),
    **dict.fromkeys(("!=", "ne"), _compared("ne")),
    **dict.fromkeys((">", "gt", "greaterthan"), _compared("gt")),
    **dict.fromkeys((">=", "ge"), _compared("gteq")),
    **dict.fromkeys(("<", "lt", "lessthan"), _compared("lt")),
    **dict.fromkeys(("<=", "le"), _compared("lteq")),
    "in": lambda meter, value, seq: meter.contains(value, seq),
    "odd": _remainder_is(2, 1),
    "even": _remainder_is(2, 0),
    "divisibleby": lambda meter, value, num: meter.remainder(value, num) == 0,
    "lower": lambda meter, value: str(meter.soft(value)).islower(),
    "upper": lambda meter, value: str(meter.soft(value)).isupper(),
    "filter": _named(lambda: TEMPLATE_FILTERS),
    "test": _named(lambda: TEMPLATE_TESTS),
}
