"""The tests of templates (`x is odd`) for the metered tier; each takes the render's `Meter` first."""

from collections.abc import Callable
from typing import Any

from jinja2.tests import TESTS as JINJA_TESTS

from promptreg.rendering.metered.meter import Meter


def stock(name: str) -> Callable[..., bool]:
    """Return Jinja's test of that name, which looks at the value's type or identity alone and needs no measuring."""
    jinja: Any = JINJA_TESTS[name]
    return lambda _meter, value, *args, **kwargs: bool(jinja(value, *args, **kwargs))


def test_eq(meter: Meter, value: Any, other: Any) -> Any:
    """Compare with `==`."""
    return meter.eq(value, other)


def test_ne(meter: Meter, value: Any, other: Any) -> Any:
    """Compare with `!=`."""
    return meter.ne(value, other)


def test_lt(meter: Meter, value: Any, other: Any) -> Any:
    """Compare with `<`."""
    return meter.lt(value, other)


def test_le(meter: Meter, value: Any, other: Any) -> Any:
    """Compare with `<=`."""
    return meter.lteq(value, other)


def test_gt(meter: Meter, value: Any, other: Any) -> Any:
    """Compare with `>`."""
    return meter.gt(value, other)


def test_ge(meter: Meter, value: Any, other: Any) -> Any:
    """Compare with `>=`."""
    return meter.gteq(value, other)


def test_in(meter: Meter, value: Any, seq: Any) -> bool:
    """Search a container."""
    return meter.contains(value, seq)


def test_odd(meter: Meter, value: Any) -> Any:
    """Return whether a number is odd."""
    return meter.remainder(value, 2) == 1


def test_even(meter: Meter, value: Any) -> Any:
    """Return whether a number is even."""
    return meter.remainder(value, 2) == 0


def test_divisibleby(meter: Meter, value: Any, num: Any) -> Any:
    """Return whether a number is divisible by another."""
    return meter.remainder(value, num) == 0


def test_lower(meter: Meter, value: Any) -> bool:
    """Return whether a text is in lower case."""
    return str(meter.soft(value)).islower()


def test_upper(meter: Meter, value: Any) -> bool:
    """Return whether a text is in upper case."""
    return str(meter.soft(value)).isupper()


def test_filter(meter: Meter, value: Any) -> bool:
    """Return whether a filter has that name."""
    return meter.weigh(value) in meter.filters


def test_test(meter: Meter, value: Any) -> bool:
    """Return whether a test has that name."""
    return meter.weigh(value) in meter.tests
