"""The tests of templates (`x is odd`) for the metered tier; each takes the render's `Meter` first."""

from collections.abc import Callable
from typing import Any

from promptreg.rendering.compat import JINJA_TESTS
from promptreg.rendering.metered.meter import Meter
from promptreg.rendering.metered.operators import is_among, remainder


def stock(name: str) -> Callable[..., bool]:
    """Return Jinja's test of that name, which depends on the value's type or identity alone and needs no measuring."""
    jinja: Any = JINJA_TESTS[name]
    return lambda _meter, value, *args, **kwargs: bool(jinja(value, *args, **kwargs))


def test_in(meter: Meter, value: Any, seq: Any) -> bool:
    """Search a container."""
    return is_among(meter, value, seq)


def test_odd(meter: Meter, value: Any) -> Any:
    """Return whether a number is odd."""
    return remainder(meter, value, 2) == 1


def test_even(meter: Meter, value: Any) -> Any:
    """Return whether a number is even."""
    return remainder(meter, value, 2) == 0


def test_divisibleby(meter: Meter, value: Any, num: Any) -> Any:
    """Return whether a number is divisible by another."""
    return remainder(meter, value, num) == 0


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
