r"""Texts in a language of variables alone, as templates in Jinja: all that is no variable there stays text here.

Each reader cuts its texts into pieces: literal texts, and tags that name a variable. Here the variables get names that
Jinja can read, and braces that would mean something to Jinja are kept as they are, by `{% raw %}` or a quoted brace.

>>> pieces = ["Use {{#if}} and {% %}, ", Tag("{{user name}}", "user name"), "!"]
>>> names = variable_names(["user name"])
>>> to_templates([pieces], names)
(['Use {% raw %}{{#if}} and {% %}{% endraw %}, {{ user_name }}!'], 'jinja')
>>> to_templates([["\\frac{{a}}{{b}}"]], {})
(['\\frac{{a}}{{b}}'], 'plain')
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from promptreg.models import Syntax
from promptreg.variables import MAX_IDENTIFIER, is_readable

_OPENING = re.compile(r"\{[{%#]")
_CLOSING = re.compile(r"[}%#]\}")
_END_OF_RAW = re.compile(r"\{%[-+]?\s*endraw")
_BETWEEN = re.compile(r"[ \t.-]+")
_LONGEST = MAX_IDENTIFIER - 8  # characters of a name that may get a number
_AS_JINJA = re.compile(r"\{\{[ \n]*(\w+)[ \n]*\}\}")
_TAKEN = frozenset(["self", "range", "dict", "namespace"])  # names that mean something in Jinja where none is passed


class Tag(NamedTuple):
    """What stands for a variable: its source, the name in it, and the expression that prints it."""

    source: str
    name: str
    form: str = "{}"


Piece: TypeAlias = str | Tag


def variable_names(given: Iterable[str]) -> dict[str, str | None]:
    """Return a name for each variable that Jinja can read; None for what names none, such as `#if x`.

    Spaces, dots and hyphens become `_`. Names that would be the same get a number.

    >>> variable_names(["user name", "user_name", "not", "#if x"])
    {'user name': 'user_name_2', 'user_name': 'user_name', 'not': 'not_', '#if x': None}
    """
    names = dict.fromkeys(given)
    chosen = {name: name for name in names if _is_usable(name)}
    used = set(chosen)
    for name in names:
        if name not in chosen and (readable := _readable(name)) is not None:
            number = next(n for n in range(1, len(names) + 2) if _numbered(readable, n) not in used)
            chosen[name] = _numbered(readable, number)
            used.add(chosen[name])
    return {name: chosen.get(name) for name in names}


def _is_usable(name: str) -> bool:
    return is_readable(name) and name not in _TAKEN and unicodedata.is_normalized("NFKC", name)


def _readable(name: str) -> str | None:
    readable = unicodedata.normalize("NFKC", _BETWEEN.sub("_", name)).rstrip("_")
    if not any(map(str.isalnum, readable)) or len(readable) > _LONGEST:
        return None
    return next((n for n in (readable, f"{readable}_") if _is_usable(n)), None)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"


def to_templates(texts: Sequence[Sequence[Piece]], names: Mapping[str, str | None]) -> tuple[list[str], Syntax]:
    """Return the templates of texts that belong together, and the syntax that all of them are read by.

    It is `plain` where none has a variable and Jinja would change one of them.
    """
    joined = [_joined(pieces, names) for pieces in texts]
    if any(isinstance(piece, Tag) for pieces in joined for piece in pieces):
        return ["".join(_template(pieces, names)) for pieces in joined], "jinja"
    plain = ["".join(map(str, pieces)) for pieces in joined]
    is_changed = any(_OPENING.search(text) or "\r" in text for text in plain)
    return plain, "plain" if is_changed else "jinja"


def _joined(pieces: Sequence[Piece], names: Mapping[str, str | None]) -> list[Piece]:
    """Return the pieces with each tag that names no variable as text, and no two texts beside each other."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Tag) and names[piece.name] is not None:
            joined.append(piece)
            continue
        text = piece.source if isinstance(piece, Tag) else piece
        if joined and not isinstance(joined[-1], Tag):
            joined[-1] += text
        elif text:
            joined.append(text)
    return joined


def _template(pieces: Sequence[Piece], names: Mapping[str, str | None]) -> Iterable[str]:
    for i, piece in enumerate(pieces):
        if isinstance(piece, Tag):
            yield _expression(piece, str(names[piece.name]))
        else:
            yield _kept(piece, is_before_tag=i + 1 < len(pieces))


def _expression(tag: Tag, name: str) -> str:
    same = _AS_JINJA.fullmatch(tag.source)
    if same is not None and same[1] == name and tag.form == "{}":
        return tag.source
    return f"{{{{ {tag.form.format(name)} }}}}"


def _kept(text: str, *, is_before_tag: bool) -> str:
    """Return a template that renders the text as it is."""
    openings = list(_OPENING.finditer(text))
    before, after = "", text
    if openings:
        start, end = openings[0].start(), openings[-1].end()
        closings = [closing.end() for closing in _CLOSING.finditer(text, end)]
        kept = text[start : closings[-1] if closings else end]
        before, after = text[:start], text[start + len(kept) :]
        is_lone = len(openings) == 1 and not closings
        quoted = is_lone or _END_OF_RAW.search(kept)
        before += _OPENING.sub(_quoted, kept) if quoted else f"{{% raw %}}{kept}{{% endraw %}}"
    if is_before_tag and after.endswith("{"):
        after = after[:-1] + "{{ '{' }}"
    return before + after


def _quoted(opening: re.Match[str]) -> str:
    return f"{{{{ '{opening[0]}' }}}}"
