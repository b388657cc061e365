"""JSON that anybody may have written, read strictly: what readers of JSON take in different ways is refused.

That is a key that an object has twice, NaN and infinities, and numbers that Python can't hold. Errors quote nothing of
the text, as it may hold a secret. What promptreg itself has written is read by `jsonvalues.parse`.
"""

import json
from collections.abc import Callable
from math import isfinite
from typing import Any, NoReturn


class MalformedJSON(ValueError):
    """The text is no JSON, or none that is read; `line` and `column` count from 1, and are 0 where there is JSON."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        self.reason = f"is not JSON: {reason}" if line else f"can't be read as JSON: {reason}"
        self.line = line
        self.column = column
        super().__init__(self.reason_in_line)

    @property
    def reason_in_line(self) -> str:
        """The reason, with the column."""
        return f"{self.reason} at column {self.column}" if self.column else self.reason


def decoder(made: Callable[[list[tuple[str, Any]]], Any] = dict) -> json.JSONDecoder:
    """Return a decoder for `read` and `read_next`; `made` makes an object of its pairs."""

    def distinct(pairs: list[tuple[str, Any]]) -> Any:
        value = made(pairs)
        if len(value) < len(pairs):
            raise MalformedJSON("an object has one key twice")
        return value

    return json.JSONDecoder(object_pairs_hook=distinct, parse_float=_finite, parse_constant=_refuse_constant)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise MalformedJSON("a number is too large")
    return number


def _refuse_constant(_: str) -> NoReturn:
    raise MalformedJSON("JSON has neither NaN nor Infinity")


_PLAIN = decoder()


def read(text: str, using: json.JSONDecoder = _PLAIN) -> Any:
    """Return the value of JSON; raise `MalformedJSON`.

    >>> read('{"a": 1}')
    {'a': 1}
    >>> read('{"a": 1, "a": 2}')
    Traceback (most recent call last):
        ...
    promptreg.strictjson.MalformedJSON: can't be read as JSON: an object has one key twice
    """
    return _read(using.decode, text)


def read_next(text: str, at: int) -> tuple[Any, int]:
    """Return the value that begins at a position, and where it ends; raise `MalformedJSON`.

    >>> read_next('{} {"a": 1}', 3)
    ({'a': 1}, 11)
    """
    found: tuple[Any, int] = _read(_PLAIN.raw_decode, text, at)
    return found


def _read(decode: Callable[..., Any], *given: Any) -> Any:
    try:
        return decode(*given)
    except MalformedJSON:
        raise
    except json.JSONDecodeError as error:
        raise MalformedJSON(error.msg.lower(), error.lineno, error.colno) from None
    except RecursionError:
        raise MalformedJSON("it is nested too deeply") from None
    except ValueError:
        raise MalformedJSON("a number has too many digits") from None
