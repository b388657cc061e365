"""The filters that call other filters and tests by name: `map`, `select`, `reject`, `selectattr`, `rejectattr`.

They find those in the tables of the render, `Meter.filters` and `Meter.tests`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from promptreg.rendering.metered.containers import getter, lazy
from promptreg.rendering.metered.meter import Meter
from promptreg.rendering.values import Refused


def _call_filter(meter: Meter, name: Any, value: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a filter by its name; not `format`, whose pattern must be a literal of the template."""
    if not isinstance(name, str) or name not in meter.filters or name == "format":
        raise Refused("map takes the name of a filter that may be used there")
    return meter.filters[name](meter, value, *args, **kwargs)


def _call_test(meter: Meter, name: Any, value: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a test by its name."""
    if not isinstance(name, str) or name not in meter.tests:
        raise Refused("there is no test of that name")
    return meter.tests[name](meter, value, *args, **kwargs)


@lazy
def do_map(meter: Meter, value: Iterable[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
    """Yield an attribute of each item, or what a filter makes of each."""
    if not value:
        return
    if not args and "attribute" in kwargs:
        get = getter(meter, kwargs.pop("attribute"), kwargs.pop("default", None))
        if kwargs:
            raise Refused("map takes attribute and default, or the name of a filter")
    elif not args:
        raise Refused("map takes the name of a filter, or attribute=")
    else:
        get = lambda item: _call_filter(meter, args[0], item, args[1:], kwargs)  # noqa: E731
    for item in meter.counted(value):
        meter.spend(4)
        yield meter.called(get, item)


def _selecting(*, wanted: bool, by_attribute: bool) -> Callable[..., Iterator[Any]]:
    """Return a filter that yields the items whose truth, or the result of a test on them, is the one wanted."""

    @lazy
    def run(meter: Meter, value: Iterable[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
        if not value:
            return
        if by_attribute and not args:
            raise Refused("the name of an attribute is missing")
        get = getter(meter, args[0]) if by_attribute else getter(meter, None)
        test = args[1:] if by_attribute else args
        for item in meter.counted(value):
            meter.spend(4)
            found = get(item)
            outcome = meter.called(_call_test, meter, test[0], found, test[1:], kwargs) if test else found
            if bool(outcome) is wanted:
                yield item

    return run


do_select = _selecting(wanted=True, by_attribute=False)
do_reject = _selecting(wanted=False, by_attribute=False)
do_selectattr = _selecting(wanted=True, by_attribute=True)
do_rejectattr = _selecting(wanted=False, by_attribute=True)
