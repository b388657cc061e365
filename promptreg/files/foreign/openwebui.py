"""Prompts of Open WebUI, as its workspace exports them: a JSON array, one object a prompt.

Its templates know `{{name}}`, typed fields of a form such as `{{tone | select:options=["calm","terse"]:required}}`, and
variables that it fills in itself, such as `{{CURRENT_DATE}}`. All else is kept as text. Fields become declared
variables; one that may stay empty gets the empty text as its default.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from promptreg.errors import InvalidInputError
from promptreg.files.foreign.literal import Piece, Tag, to_templates, variable_names
from promptreg.files.foreign.objects import objects_of, require
from promptreg.files.foreign.results import CARRIAGE_RETURNS, ForeignFile, Read, kept_as_text
from promptreg.rules.importing import ForeignPrompt, ForeignVersion
from promptreg.untrusted import FieldReader

_SPAN = re.compile(r"(?:\A|(?<=\}))([^}]*+)\}\}")
"""The text before a `}}`. Where that ends a tag, the tag begins in this text: a search for tags would take ages."""
_OPENING = re.compile(r"\{\{(?=[^|])")
_FILLED_IN = frozenset(
    "CLIPBOARD CURRENT_DATE CURRENT_DATETIME CURRENT_TIME CURRENT_TIMEZONE CURRENT_WEEKDAY USER_NAME USER_EMAIL"
    " USER_BIO USER_GENDER USER_BIRTH_DATE USER_AGE USER_LANGUAGE USER_LOCATION".split()
)
_FILLED_IN_TAG = re.compile(rf"\{{\{{({'|'.join(sorted(_FILLED_IN))})\}}\}}")
_TEXTS = frozenset("text textarea email tel url date datetime-local month time week color map password".split())
_NUMBERS = frozenset(("number", "range"))
_READ = frozenset(("command", "title", "name", "content", "tags", "meta", "is_active", "commit_message"))
_IN_FORM = frozenset(("type", "default", "required", "options", "placeholder", "label"))

Definition = dict[str, Any]
"""The type and the properties of a field, by name."""


def read_openwebui(files: Iterable[ForeignFile]) -> Read:
    """Return the prompts in exports of Open WebUI; raise `InvalidInputError` with everything that is wrong.

    >>> value = [{"command": "/greet", "title": "Greet", "content": "Hi {{user | text:required}}, {{tone}}!"}]
    >>> fields = read_openwebui([ForeignFile("export.json", value)]).prompts[0].versions[0].fields
    >>> fields["template"], [variable["name"] for variable in fields["variables"]]
    ('Hi {{ user }}, {{tone}}!', ['user', 'tone'])
    """
    fields = FieldReader()
    objects = fields.read(lambda: list(objects_of(files, "items")))
    fields.require_valid()
    commands = [fields.read(_command, content, where) for where, content in objects]
    fields.require_valid()
    twice = {command for command, count in Counter(commands).items() if count > 1}
    for command, (where, _) in zip(commands, objects, strict=True):
        if command in twice:
            fields.read(_refuse, f"{where}.command", "occurs twice")
    read = Read({command: command for command in commands})
    for command, (where, content) in zip(commands, objects, strict=True):
        fields.read(_add_prompt, read, read.names[command], content, where)
    fields.require_valid()
    return read


def _refuse(where: str, reason: str) -> None:
    raise InvalidInputError.of(where, reason)


def _command(item: dict[str, Any], where: str) -> str:
    command: str = require(item.get("command"), str, f"{where}.command", "text")
    if not command.strip("/ "):
        raise InvalidInputError.of(f"{where}.command", "must not be empty")
    return command.strip().removeprefix("/")


def _add_prompt(read: Read, name: str, item: dict[str, Any], where: str) -> None:
    fields = FieldReader()
    content = fields.read(require, item.get("content"), str, f"{where}.content", "text")
    title = fields.read(require, item.get("name") or item.get("title") or name, str, f"{where}.title", "text")
    tags = fields.read(require, item.get("tags") or [], list, f"{where}.tags", "an array of texts")
    meta = fields.read(require, item.get("meta") or {}, dict, f"{where}.meta", "an object")
    message = fields.read(require, item.get("commit_message") or "", str, f"{where}.commit_message", "text")
    fields.require_valid()
    version = {**_template(read, name, content), "title": title.strip() or name, "tags": tags}
    if meta:
        version["meta"] = meta
    left = [key for key, value in item.items() if key not in _READ and value not in (None, [], {}, "")]
    if left:
        read.note(name, 1, f"not carried over: {', '.join(left)}")
    is_disabled = item.get("is_active") is False
    read.prompts.append(
        ForeignPrompt(name, [ForeignVersion(version, where, message)], production=1, is_disabled=is_disabled)
    )


def _template(read: Read, name: str, content: str) -> dict[str, Any]:
    """Return the template of a content, its syntax and its declared variables."""
    definitions = definitions_of(content)
    variables = variable_names(definitions)
    declared = [
        _declared(read, name, given, variable, definitions[given])
        for given, variable in variables.items()
        if variable is not None
    ]
    for given, variable in variables.items():
        if variable not in {given, None}:
            read.note(name, 1, f"the variable {given!r} is {variable}")
    kept = [given for given, variable in variables.items() if variable is None]
    if kept:
        read.note(name, 1, kept_as_text(len(kept)))
    booleans = {variables[d] for d, definition in definitions.items() if definition.get("type") == "checkbox"}
    (template,), syntax = to_templates(
        [_printing(list(pieces_of(content, definitions)), variables, booleans)], variables
    )
    if syntax == "jinja" and "\r" in content:
        read.note(name, 1, CARRIAGE_RETURNS)
    fields = {"template": template, "variables": declared}
    return fields if syntax == "jinja" else {**fields, "syntax": syntax}


def _printing(pieces: list[Piece], variables: dict[str, str | None], booleans: set[str | None]) -> list[Piece]:
    """Return the pieces, where a boolean is printed as Open WebUI does: `true` and `false`."""
    return [
        p._replace(form="{} | tojson") if isinstance(p, Tag) and variables[p.name] in booleans else p for p in pieces
    ]


# The language


def definitions_of(content: str) -> dict[str, Definition]:
    """Return the variables of a content, with the last definition of each; it is empty where there is none.

    >>> definitions_of("{{n | number:min=1:default=5}} {{CLIPBOARD}}")
    {'n': {'type': 'number', 'min': '1', 'default': '5'}, 'CLIPBOARD': {}}
    """
    texts, filled_in = _split(content)
    spans = [span[1] for text in texts for span in _SPAN.finditer(text)]
    definitions = {name: parsed_definition(definition) for name, definition in filter(None, map(_typed_field, spans))}
    for name in [*filter(None, map(_plain_field, spans)), *filled_in]:
        definitions.setdefault(name, {})
    return definitions


def _typed_field(span: str) -> tuple[str, str] | None:
    """Return the name and the definition of the field `{{name | definition` that a span ends with."""
    parts = span.split("|")
    for i, part in enumerate(parts[:-1], 1):
        name = _plain_field(part)
        if name is not None and parts[i:] != [""]:
            return name, "|".join(parts[i:]).strip()
    return None


def _plain_field(span: str) -> str | None:
    """Return the name of the field `{{name` that a span ends with."""
    *before, word = span.rpartition("|")[2].rsplit(maxsplit=1) or [""]
    return word if before and before[0].endswith("{{") else word.partition("{{")[2] or None


def pieces_of(content: str, definitions: Iterable[str]) -> Iterator[Piece]:
    """Yield the texts and tags of a content."""
    known = set(definitions)
    texts, filled_in = _split(content)
    for text, name in zip_longest(texts, filled_in):
        at = 0
        for span in _SPAN.finditer(text):
            opening = _OPENING.search(text, span.start(), span.end(1))
            if opening and (given := text[opening.end() : span.end(1)].partition("|")[0].strip()) in known:
                yield text[at : opening.start()]
                yield Tag(text[opening.start() : span.end()], given)
                at = span.end()
        yield text[at:]
        if name is not None:
            yield Tag(f"{{{{{name}}}}}", name)


def _split(content: str) -> tuple[list[str], list[str]]:
    """Return the texts between the variables that Open WebUI fills in first, and the names of these."""
    split = _FILLED_IN_TAG.split(content)
    return split[::2], split[1::2]


def parsed_definition(text: str) -> Definition:
    """Return the type of a field and its properties; a property without a value is true."""
    kind, *properties = split_outside(text, ":") or ["text"]
    definition: Definition = {"type": kind.removeprefix("type=")}
    for part in filter(None, properties):
        key, *values = split_outside(part, "=")
        definition[key] = _property("=".join(values)) if values else True
    return definition


def split_outside(text: str, separator: str) -> list[str]:
    """Split a text at a separator that stands neither in quotes nor in brackets.

    >>> split_outside('select:options=["a:b","c"]', ":")
    ['select', 'options=["a:b","c"]']
    """
    parts, current, depth, is_quoted, is_escaped = [], "", 0, False, False
    for character in text:
        if is_escaped or character == "\\":
            is_escaped = not is_escaped
        elif character == '"':
            is_quoted = not is_quoted
        elif not is_quoted:
            depth += (character in "[{") - (character in "]}")
            if character == separator and depth == 0:
                parts.append(current.strip())
                current = ""
                continue
        current += character
    return [*parts, current.strip()] if current.strip() else parts


def _property(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    try:
        return json.loads(text) if text[:1] in {"[", "{"} else text
    except (ValueError, RecursionError):
        return text


# Declarations


def _declared(read: Read, name: str, given: str, variable: str, definition: Definition) -> dict[str, Any]:
    if given in _FILLED_IN:
        read.note(name, 1, f"{given} must be passed: Open WebUI fills it in itself")
        return {"name": variable, "type": "string", "description": "Open WebUI fills this in"}
    declared = {"name": variable, **_typed(read, name, variable, definition)}
    description = definition.get("placeholder", definition.get("label"))
    if isinstance(description, str) and description:
        declared["description"] = description
    left = [key for key in definition if key not in _IN_FORM]
    if left:
        read.note(name, 1, f"not carried over of {variable}: {', '.join(left)}")
    return declared


def _typed(read: Read, name: str, variable: str, definition: Definition) -> dict[str, Any]:
    """Return the type of a variable, its choices and its default."""
    if not definition:
        return {"type": "any", "default": ""}
    kind, default = definition["type"], definition.get("default")
    is_required = definition.get("required", False) is not False and default is None
    if kind == "checkbox":
        if default is None and not is_required:
            read.note(name, 1, f"{variable} is false where it is not passed; Open WebUI then writes nothing")
        return {"type": "boolean"} if is_required else {"type": "boolean", "default": default in {"true", True}}
    if kind in _NUMBERS:
        return _number(default, is_required=is_required)
    if kind == "select":
        return _choice(definition.get("options"), default, is_required=is_required)
    if kind not in _TEXTS:
        read.note(name, 1, f"{variable} is a text here: the type of its field is unknown")
    return {"type": "string"} if is_required else {"type": "string", "default": _text(default)}


def _number(default: Any, *, is_required: bool) -> dict[str, Any]:
    if is_required:
        return {"type": "number"}
    try:
        number = float(default)
        return {"type": "number", "default": int(number) if number.is_integer() else number}
    except (TypeError, ValueError, OverflowError):
        return {"type": "any", "default": _text(default)}


def _choice(options: Any, default: Any, *, is_required: bool) -> dict[str, Any]:
    choices = [_text(option) for option in options] if isinstance(options, list) else []
    if is_required:
        return {"type": "string", "enum": choices} if choices else {"type": "string"}
    chosen = _text(default)
    more = [] if chosen in choices else [chosen]
    return {"type": "string", "default": chosen, **({"enum": choices + more} if choices else {})}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
