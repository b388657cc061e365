"""Prompts of Langfuse, as its API returns them: `GET /api/public/v2/prompts/NAME?version=N`, one object a version.

Its templates know nothing but `{{name}}`, so all else is kept as text. A name there may hold spaces.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from promptreg.errors import InvalidInputError
from promptreg.files.foreign.literal import Piece, Tag, to_templates, variable_names
from promptreg.files.foreign.names import own_label
from promptreg.files.foreign.objects import objects_of, require
from promptreg.files.foreign.results import CARRIAGE_RETURNS, ForeignFile, Read, kept_as_text
from promptreg.rules.importing import ForeignPrompt, ForeignVersion
from promptreg.rules.messages import ROLES
from promptreg.untrusted import FieldReader

MAX_VERSION = 10**9
_READ = {"name", "version", "type", "prompt", "config", "labels", "tags", "commitMessage"}
_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "bot": "assistant", "function": "tool"}
_PART = re.compile("@@@langfusePrompt:")


class _Version(NamedTuple):
    """One object of the API: a text, or messages with the placeholders among them."""

    where: str
    name: str
    number: int
    prompt: str | list[dict[str, Any]]
    config: Any
    labels: list[str]
    tags: list[str]
    message: str
    left: list[str]


def read_langfuse(files: Iterable[ForeignFile]) -> Read:
    """Return the prompts in JSON values of the API; raise `InvalidInputError` with everything that is wrong.

    >>> value = {"name": "Greet", "version": 1, "type": "text", "prompt": "Hi {{user name}}!", "labels": ["production"]}
    >>> read = read_langfuse([ForeignFile("export.json", value)])
    >>> read.prompts[0].name, read.prompts[0].versions[0].fields["template"], read.prompts[0].production
    ('greet', 'Hi {{ user_name }}!', 1)
    """
    fields = FieldReader()
    objects = fields.read(lambda: list(objects_of(files, "data")))
    fields.require_valid()
    versions = [fields.read(_read_version, content, where) for where, content in objects]
    fields.require_valid()
    named: dict[str, list[_Version]] = {}
    for version in versions:
        named.setdefault(version.name, []).append(version)
    read = Read({name: name for name in named})
    for origin, same in named.items():
        fields.read(_add_prompt, read, origin, sorted(same, key=lambda version: version.number))
    fields.require_valid()
    return read


def pieces_of(text: str) -> Iterator[Piece]:
    """Yield the texts and tags of a template.

    >>> list(pieces_of("a{{ b }}c{{"))
    ['a', Tag(source='{{ b }}', name='b', form='{}'), 'c{{']
    """
    at = 0
    while (start := text.find("{{", at)) >= 0 and (end := text.find("}}", start)) >= 0:
        yield text[at:start]
        at = end + 2
        yield Tag(text[start:at], text[start + 2 : end].strip())
    yield text[at:]


# From an object of the API


def _read_version(item: dict[str, Any], where: str) -> _Version:
    if "prompt" not in item:
        advice = "; the list of prompts has none: get each version by GET /api/public/v2/prompts/NAME?version=N"
        raise InvalidInputError.of(where, f"has no prompt{advice if 'versions' in item else ''}")
    fields = FieldReader()

    def read(key: str, form: type, what: str, absent: Any = None) -> Any:
        value = item.get(key)
        return (
            absent
            if value is None and absent is not None
            else fields.read(require, value, form, f"{where}.{key}", what)
        )

    version = _Version(
        where,
        read("name", str, "text"),
        read("version", int, "a number"),
        fields.read(_read_template, item, where),
        item.get("config"),
        fields.read(_texts, item.get("labels"), f"{where}.labels"),
        fields.read(_texts, item.get("tags"), f"{where}.tags"),
        read("commitMessage", str, "text", absent=""),
        [key for key, value in item.items() if key not in _READ and value not in (None, [], {})],
    )
    fields.require_valid()
    if not 1 <= version.number <= MAX_VERSION:
        raise InvalidInputError.of(f"{where}.version", f"must be from 1 to {MAX_VERSION:,}")
    if not version.name.strip():
        raise InvalidInputError.of(f"{where}.name", "must not be empty")
    return version


def _texts(value: Any, where: str) -> list[str]:
    texts = require([] if value is None else value, list, where, "an array of texts")
    return [require(text, str, f"{where}[{i}]", "text") for i, text in enumerate(texts)]


def _read_template(item: dict[str, Any], where: str) -> str | list[dict[str, Any]]:
    prompt, kind = item["prompt"], item.get("type")
    if kind not in {None, "text", "chat"}:
        raise InvalidInputError.of(f"{where}.type", "must be text or chat")
    if kind == "text" or (kind is None and isinstance(prompt, str)):
        text: str = require(prompt, str, f"{where}.prompt", "text")
        return text
    messages = require(prompt, list, f"{where}.prompt", "an array of messages")
    fields = FieldReader()
    read = [fields.read(_read_message, message, f"{where}.prompt[{i}]") for i, message in enumerate(messages)]
    fields.require_valid()
    return read


def _read_message(message: Any, where: str) -> dict[str, Any]:
    require(message, dict, where, "an object")
    if message.get("type") == "placeholder":
        name = require(message.get("name"), str, f"{where}.name", "text").strip()
        if variable_names([name])[name] is None:
            raise InvalidInputError.of(f"{where}.name", "must be a variable's name, such as history")
        return {"placeholder": name}
    return {
        "role": require(message.get("role"), str, f"{where}.role", "text"),
        "content": require(message.get("content"), str, f"{where}.content", "text"),
        "left": [key for key in message if key not in {"role", "content", "type"}],
    }


# To prompts


def _add_prompt(read: Read, origin: str, versions: list[_Version]) -> None:
    """Add a prompt with its versions; they are numbered anew where some are absent."""
    name = read.names[origin]
    for before, version in pairwise(versions):
        if before.number == version.number:
            raise InvalidInputError.of(
                f"{version.where}.version", f"occurs twice: {before.where} has the same version of this prompt"
            )
    texts = [[list(pieces_of(text)) for text in _contents(version)] for version in versions]
    tags = {p.name for pieces in texts for text in pieces for p in text if isinstance(p, Tag)}
    variables = variable_names(sorted(tags) + [p for version in versions for p in _placeholders(version)])
    for given, variable in variables.items():
        if variable not in {given, None}:
            read.note(name, None, f"the variable {given!r} is {variable}")
    made = [
        _made(read, name, number, version, pieces, variables)
        for number, (version, pieces) in enumerate(zip(versions, texts, strict=True), start=1)
    ]
    labels = _labels(read, name, versions)
    production = labels.pop("production", None)
    read.prompts.append(ForeignPrompt(name, made, production, labels))


def _contents(version: _Version) -> list[str]:
    if isinstance(version.prompt, str):
        return [version.prompt]
    return [message["content"] for message in version.prompt if "content" in message]


def _placeholders(version: _Version) -> list[str]:
    messages = [] if isinstance(version.prompt, str) else version.prompt
    return list(dict.fromkeys(message["placeholder"] for message in messages if "placeholder" in message))


def _made(
    read: Read,
    name: str,
    number: int,
    version: _Version,
    pieces: list[list[Piece]],
    variables: dict[str, str | None],
) -> ForeignVersion:
    note = partial(read.note, name, number)
    if number != version.number:
        note(f"was version {version.number}")
    texts, syntax = to_templates(pieces, variables)
    fields: dict[str, Any] = {"template": texts[0] if isinstance(version.prompt, str) else None}
    if syntax != "jinja":
        fields["syntax"] = syntax
    if isinstance(version.prompt, list):
        contents = iter(texts)
        fields["template"] = [_message(message, contents, variables, note) for message in version.prompt]
    for text in _changes(version, pieces, variables, is_plain=syntax == "plain"):
        note(text)
    if version.name != name:
        fields["title"] = version.name
    if isinstance(version.config, dict) and version.config:
        fields["config"] = version.config
    elif version.config:
        fields["config"] = {"value": version.config}
        note("config is no object, so it is value in config")
    tags = [tag for tag in version.tags if tag.strip()]
    if len(tags) < len(version.tags):
        note("an empty tag is not carried over")
    return ForeignVersion({**fields, "tags": tags}, version.where, version.message)


def _message(
    message: dict[str, Any], contents: Iterator[str], variables: dict[str, str | None], note: Callable[[str], None]
) -> dict[str, Any]:
    if "placeholder" in message:
        return {"placeholder": variables[message["placeholder"]]}
    role = message["role"].lower()
    role = role if role in ROLES else _ROLES.get(role, "user")
    if role != message["role"]:
        note(f"the role {message['role']!r} of a message is {role}")
    for key in message["left"]:
        note(f"{key} of a message is not carried over")
    return {"role": role, "content": next(contents)}


def _changes(
    version: _Version, pieces: list[list[Piece]], variables: dict[str, str | None], *, is_plain: bool
) -> Iterator[str]:
    kept = sum(isinstance(p, Tag) and variables[p.name] is None for text in pieces for p in text)
    if kept:
        yield kept_as_text(kept)
    contents = _contents(version)
    if not is_plain and any("\r" in text for text in contents):
        yield CARRIAGE_RETURNS
    if any(_PART.search(text) for text in contents):
        yield "references to other prompts (@@@langfusePrompt) stay text"
    for placeholder in _placeholders(version):
        yield f"the messages of {variables[placeholder]} are not read as templates, which Langfuse does"
    if version.left:
        yield f"not carried over: {', '.join(version.left)}"


def _labels(read: Read, name: str, versions: list[_Version]) -> dict[str, int]:
    """Return the labels with the numbers of versions; the newest version that has a label keeps it."""
    labels: dict[str, int] = {}
    for number, version in enumerate(versions, start=1):
        for given in version.labels:
            if given == "latest":
                continue
            label = given if given == "production" else own_label(given)
            if label != given:
                read.note(name, number, f"the label {given!r} is {label}")
            if labels.get(label, number) != number:
                read.note(name, labels[label], f"the label {label} is at a newer version too, and there here")
            labels[label] = number
    return labels
