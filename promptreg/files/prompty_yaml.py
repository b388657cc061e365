"""The YAML before the body of a `.prompty` file, read into JSON values with the lines of its keys.

What PyYAML's safe loader takes and JSON can't hold is refused: aliases, which may hold a whole file many times, tags,
and keys that are no text. A date stays the text that it was written as.
"""

from typing import Any, NamedTuple

import yaml

from promptreg.errors import InvalidInputError

MAX_CHARACTERS = 262_144  # which take some seconds to read
FENCE = "---"


class Sections(NamedTuple):
    """The two sections of a file: the keys of its front matter, the line of each, its body and the line of that."""

    keys: dict[str, Any]
    lines: dict[str, int]
    body: str
    body_line: int


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases and dates, which refuses a key that occurs twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(None, None, "an alias is not read", self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value if key.tag == _TEXT else None
            if name is None or name in seen:
                what = "a key must be text" if name is None else "a key occurs twice"
                raise yaml.MarkedYAMLError(None, None, what, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


_TEXT = "tag:yaml.org,2002:str"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":merge", ":value"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def flaw(line: int, reason: str) -> InvalidInputError:
    """Return the error for a line of a file, whose field is that line's number."""
    return InvalidInputError.of(str(line), reason)


def sections_of(text: str) -> Sections:
    r"""Split a file into front matter and body; raise `InvalidInputError`, whose field is the number of a line.

    >>> sections_of("---\nname: Greeter\n---\nHello")
    Sections(keys={'name': 'Greeter'}, lines={'name': 2}, body='Hello', body_line=4)
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None or lines[first].strip() != FENCE:
        raise flaw((first or 0) + 1, "must begin with front matter between two lines ---")
    last = next((i for i in range(first + 1, len(lines)) if lines[i].rstrip() == FENCE), None)
    if last is None:
        raise flaw(first + 1, "the front matter has no second line ---")
    keys, numbers = _read_keys("\n".join(lines[first + 1 : last]), first + 2)
    return Sections(keys, numbers, "\n".join(lines[last + 1 :]), last + 2)


def _read_keys(text: str, first_line: int) -> tuple[dict[str, Any], dict[str, int]]:
    if len(text) > MAX_CHARACTERS:
        raise flaw(first_line, f"the front matter has over {MAX_CHARACTERS:,} characters")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        keys = {} if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise flaw(_line_of(error, first_line), f"not YAML: {error.problem}") from None
    except yaml.YAMLError:
        raise flaw(first_line, "not YAML: it holds a character that YAML doesn't") from None
    except RecursionError:
        raise flaw(first_line, "not readable: nested too deep") from None
    except (ValueError, OverflowError):  # such as a number of 5,000 digits
        raise flaw(first_line, "not readable: it holds a number that is no number") from None
    if node is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        raise flaw(first_line, "the front matter must be keys and values")
    return keys, {key.value: first_line + key.start_mark.line for key, _ in node.value}


def _line_of(error: yaml.MarkedYAMLError, first_line: int) -> int:
    mark = error.problem_mark or error.context_mark
    return first_line if mark is None else first_line + mark.line
