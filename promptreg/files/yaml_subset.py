"""YAML limited to JSON's values: PyYAML's safe loader without anchors, tags, merge keys, duplicate keys and big input.

A plain scalar is `null`, `true`, `false` or a number as JSON writes them, and otherwise text: `no` and `2026-01-01` are
texts. What other readers take for a number or a truth and JSON does not, such as `True` or `.5`, is refused, as its
author may mean either. Nothing else of promptreg imports PyYAML.
"""

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

import yaml

from promptreg.files.flaws import FormatError
from promptreg.jsonvalues import MAX_DEPTH

MAX_CHARACTERS = 256 * 1024
MAX_VALUES = 20_000  # PyYAML reads as many in about a second

_WORDS = {"null": None, "true": True, "false": False, "": None}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_AMBIGUOUS = re.compile(
    r"~|Null|NULL|True|TRUE|False|FALSE|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|NaN|-?Infinity"
    r"|0x[0-9a-fA-F]+|0o[0-7]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
)
_YAML_VALUES = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))
_AS_JSON = "write it as JSON, `key: JSON` on one line"


def read_mapping(text: str, first: int, *, is_yaml_1_1: bool = False) -> dict[str, tuple[Any, int]]:
    r"""Return the values of a mapping and their lines, counted from 0; raise `FormatError` with a line from `first` on.

    With `is_yaml_1_1` a plain scalar is what PyYAML takes it for, as other tools that read the file do, but for dates.

    >>> read_mapping("tags: [a, b]\ndescription: >\n  Long\n  text\ncountry: no\n", first=1)
    {'tags': (['a', 'b'], 0), 'description': ('Long text\n', 1), 'country': ('no', 4)}
    """
    if len(text) > MAX_CHARACTERS:
        raise FormatError(first, f"has {len(text):,} characters of YAML; {MAX_CHARACTERS:,} is the most: {_AS_JSON}")
    try:
        return _entries(_Loader(text).get_single_node(), _yaml_scalar if is_yaml_1_1 else _scalar)
    except _Refused as error:
        raise FormatError(first + error.line, error.reason) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        raise FormatError(first + line, f"holds U+{int(error.character):04X}, which YAML takes only escaped") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise FormatError(first + (mark.line if mark else 0), f"is no YAML: {error.problem}") from None


class _Refused(Exception):
    """What is wrong with a node or an event, which begins at a mark; the line counts from 0."""

    def __init__(self, mark: Any, reason: str) -> None:
        super().__init__(reason)
        self.line: int = mark.line
        self.reason = reason


class _Loader(yaml.SafeLoader):
    """The safe loader, which refuses anchors, aliases and tags, and what is deep or long, before it is built."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self._require_plain(event)
        self._depth += 1
        self._values += 1
        if self._depth > MAX_DEPTH:
            raise _Refused(event.start_mark, f"has more than {MAX_DEPTH} levels")
        if self._values > MAX_VALUES:
            raise _Refused(event.start_mark, f"has more than {MAX_VALUES:,} values in YAML: {_AS_JSON}")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    @staticmethod
    def _require_plain(event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(event.start_mark, "aliases (*) are not taken: write the value out, or quote the text")
        if getattr(event, "anchor", None) is not None:
            raise _Refused(event.start_mark, "anchors (&) are not taken: leave it out, or quote the text")
        if getattr(event, "tag", None) is not None:
            raise _Refused(event.start_mark, "tags (!) are not taken: leave it out, or quote the text")


def _entries(node: Any, scalar: Callable[[Any], Any]) -> dict[str, tuple[Any, int]]:
    """Return the values of a mapping and their lines; `scalar` returns the value of a plain scalar."""
    found: dict[str, tuple[Any, int]] = {}
    if node is None:
        return found
    if not isinstance(node, yaml.MappingNode):
        raise _Refused(node.start_mark, "must be a mapping: `key: value` on each line")
    for key, value in node.value:
        name = _key(key)
        if name in found:
            raise _Refused(key.start_mark, "stands here for the second time; keep one")
        found[name] = _value(value, scalar), key.start_mark.line
    return found


def _key(node: Any) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Refused(node.start_mark, "a key must be text")
    if node.style is None and node.value == "<<":
        raise _Refused(node.start_mark, "merge keys (<<) are not taken: write the values out")
    return _whole(node)


def _value(node: Any, scalar: Callable[[Any], Any]) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key: value for key, (value, _) in _entries(node, scalar).items()}
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, scalar) for item in node.value]
    return scalar(node) if node.style is None else _whole(node)


def _scalar(node: Any) -> Any:
    text: str = node.value
    if text in _WORDS:
        return _WORDS[text]
    number = _NUMBER.fullmatch(text)
    if number is not None:
        return _number(text, node.start_mark, is_integer=number[1] is None and number[2] is None)
    if _AMBIGUOUS.fullmatch(text):
        raise _Refused(node.start_mark, 'may be text or not: put it in "quotes", or write it as JSON does')
    return text


def _yaml_scalar(node: Any) -> Any:
    """Return what PyYAML takes a plain scalar for; a date is text."""
    if node.tag not in _YAML_VALUES:
        return node.value
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except ValueError:
        raise _Refused(node.start_mark, "is no number, or one of too many digits") from None
    if isinstance(value, float) and not isfinite(value):
        raise _Refused(node.start_mark, "is no number of JSON")
    return value


def _number(text: str, mark: Any, *, is_integer: bool) -> int | float:
    try:
        number = int(text) if is_integer else float(text)
    except ValueError:
        raise _Refused(mark, "is an integer of too many digits") from None
    if not isfinite(number):
        raise _Refused(mark, "is a number that is too large")
    return number


def _whole(node: Any) -> str:
    r"""Return the text of a scalar, in which PyYAML leaves the two halves of JSON's `"\ud83d\ude00"` apart."""
    text: str = node.value
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
