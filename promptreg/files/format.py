"""A prompt as a file: front matter with what differs from its default, then the template as a body, and back.

`to_text` and `from_text` are inverse, byte for byte, for every prompt that a registry takes. What a file holds is
checked as `create` checks its arguments, and each error names the file and the line. Folders are in `folder.py`.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from promptreg.errors import InvalidInputError
from promptreg.files import chats, front_matter
from promptreg.files.flaws import FormatError, flaw, require_none
from promptreg.files.front_matter import Entry
from promptreg.files.paths import BARE_SUFFIXES, PROMPTY, name_of, path_of
from promptreg.jsonvalues import is_same
from promptreg.models import Version
from promptreg.nearest import did_you_mean
from promptreg.records import CONTENT, EMPTY
from promptreg.rules.inputs import MAX_STORED, read_choice
from promptreg.rules.names import checked_name
from promptreg.rules.version_fields import read_edit
from promptreg.variables import declared

KEYS = ("name", "type", "title", "syntax", *(name for name in CONTENT if name not in {"title", "syntax", "template"}))
"""The keys of the front matter, in the order in which they are written; a text that fits no body adds `template`."""

_KINDS = ("text", "chat")


class PromptFile(NamedTuple):
    """A prompt as a file holds it: its name, the file's path with `/`, and the fields as `create` takes them.

    A field that equals its default is left out. `lines` has the line of each field, of the template (`template`), of
    each message (`template[0]`) and of a text that stands in the body (`template.content`, `template[0].content`);
    `where` says it in an error. `digest` is the SHA-256 of the bytes that were read, empty for a text. `notes` say what
    was changed or left out of a `.prompty` file.
    """

    name: str
    path: str
    fields: Mapping[str, Any]
    lines: Mapping[str, int]
    digest: str = ""
    notes: tuple[str, ...] = ()

    def where(self, field: str = "name", *, line: int = 0) -> str:
        r"""Return the file and the line of a field, or, counted from 1, of a line of its text.

        >>> from_text("---\n---\nHello\n{{ name\n", "greet.md").where("template", line=2)
        'greet.md:4'
        """
        first = self.lines.get(f"{field}.content") if line else None
        at = _line_of(field, self.lines) if first is None else first + line - 1
        return flaw(self.path, at, "")["field"]

    def content(self) -> dict[str, Any]:
        """Return every field of a version's content, with its default where the file does not say it."""
        return {**EMPTY, "title": self.name, **self.fields}


def fields_of(version: Version) -> dict[str, Any]:
    """Return the content of a version or a prompt by field, as `create` takes it.

    >>> from promptreg import Registry
    >>> with Registry(":memory:") as registry:
    ...     fields_of(registry.create("greet", "Hello", tags=["x"]))["tags"]
    ['x']
    """
    fields = {name: getattr(version, name) for name in CONTENT if name != "variables"}
    declared = [variable.model_dump(exclude_unset=True) for variable in version.declared_variables]
    return {**fields, "variables": declared}


def to_text(name: str, fields: Mapping[str, Any], *, path: str | None = None) -> str:
    """Return the text of the file of a prompt with these fields of `create`, which may include those with a default.

    The name stands in it where the path, by default `path_of(name)`, does not say it.

    >>> print(to_text("greet", {"template": "Hello {{ name }}!", "title": "greet", "tags": ["x"]}), end="")
    ---
    tags: ["x"]
    ---
    Hello {{ name }}!
    """
    given = {**EMPTY, "title": name, **fields}
    given["variables"] = declared(given["variables"])
    template = given["template"]
    entries = {"name": name} if name_of(path or path_of(name)) != name else {}
    entries |= {} if isinstance(template, str) else {"type": "chat"}
    entries |= {key: given[key] for key in KEYS if key in given and not _is_default(key, given[key], name)}
    if not isinstance(template, str):
        whole, body = chats.written(template)
    elif chats.fits_body(template):
        whole, body = {}, f"{template}\n"
    else:
        whole, body = {"template": template}, ""
    return front_matter.written({**entries, **whole}) + body


def from_text(data: str | bytes, path: str = "", *, name: str = "", bare: bool = False) -> PromptFile:
    r"""Return the prompt that a file's text or bytes hold; raise `InvalidInputError` with everything that is wrong.

    The name is the one inside, else `name`, else what the path says. With `bare`, a text without front matter is the
    template as a whole. A byte order mark is dropped, and CRLF reads as LF.

    >>> from_text("---\ntags: [x]\n---\nHello\n", "support/greet.md").fields
    {'tags': ['x'], 'template': 'Hello'}
    """
    try:
        text = decoded(data)
        file = _Reader(path, name).read(text, is_bare=bare)
    except FormatError as error:
        raise InvalidInputError.of_all(error.flaws(path)) from None
    return file._replace(digest=sha256(data).hexdigest()) if isinstance(data, bytes) else file


def decoded(data: str | bytes) -> str:
    r"""Return the text of a file without a byte order mark, with `\n` for CRLF; raise `FormatError` for no UTF-8."""
    if isinstance(data, bytes):
        data = _from_utf8(data)
    return data.removeprefix("\ufeff").replace("\r\n", "\n")


def _from_utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        is_utf16 = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
        line = data.count(b"\n", 0, error.start) + 1
        found = "looks like UTF-16" if is_utf16 else f"is not UTF-8: the byte at offset {error.start} is none of it"
        raise FormatError(line, f"{found}; save it as UTF-8") from None


class _Reader:
    """Reads one file, and collects what is wrong in it."""

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._name = name
        self._lines: dict[str, int] = {}
        self._flaws: list[dict[str, str]] = []
        self._notes: tuple[str, ...] = ()

    def read(self, text: str, *, is_bare: bool) -> PromptFile:
        """Read the text of the file."""
        suffix = self._path.lower()
        if suffix.endswith(PROMPTY):
            fields = self._prompty(text)
        elif (is_bare and suffix.endswith(BARE_SUFFIXES)) or (parts := front_matter.split(text)) is None:
            fields = self._bare(text, is_bare=is_bare)
        else:
            front, body, first = parts
            fields = self._fields(front_matter.read(front), body, first)
        name = self._checked_name(fields.pop("name", None))
        read = self._checked(fields)
        require_none(self._flaws)
        kept = {key: value for key, value in read.items() if not _is_default(key, value, name)}
        return PromptFile(name, self._path, kept, self._lines, notes=self._notes)

    def _bare(self, text: str, *, is_bare: bool) -> dict[str, Any]:
        if not is_bare:
            raise FormatError(1, "has no front matter: begin with two lines ---, or pass --bare for files without")
        self._lines |= {"template": 1, "template.content": 1}
        syntax = {"syntax": "plain"} if self._path.lower().endswith(".txt") else {}
        return {"template": text.removesuffix("\n"), **syntax}

    def _prompty(self, text: str) -> dict[str, Any]:
        from promptreg.files.foreign.prompty import read_prompty  # noqa: PLC0415 (few folders have such a file)

        _, fields, notes = read_prompty(text)
        self._notes = tuple(notes)
        return dict(fields)

    def _fields(self, entries: dict[str, Entry], body: str, first: int) -> dict[str, Any]:
        self._lines |= {key: entry.line for key, entry in entries.items()}
        whole = {key: entries.pop(key) for key in [*entries] if chats.is_numbered(key)}
        kind = entries.pop("type", None)
        fields = {key: entry.value for key, entry in entries.items() if self._is_known(key, entry.line)}
        try:
            if self._is_chat(kind):
                self._require_no(entries.get("template"), "a chat has no template here: its messages stand in the body")
                return {**fields, "template": self._messages(chats.read(body, first, whole), first)}
        except FormatError as error:
            self._flaws += error.flaws(self._path)
            return {key: value for key, value in fields.items() if key != "template"}
        for entry in whole.values():
            self._require_no(entry, 'only a chat has messages: put `type: "chat"` before it')
        if "template" not in entries:
            self._lines |= {"template": first, "template.content": first}
            return {**fields, "template": body.removesuffix("\n")}
        if body.strip():
            self._require_no(entries["template"], "the template stands here and in the body; keep one")
        return fields

    def _is_chat(self, kind: Entry | None) -> bool:
        try:
            return kind is not None and read_choice(kind.value, "type", _KINDS) == "chat"
        except InvalidInputError as error:
            raise FormatError(kind.line if kind else 1, error.message) from None

    def _messages(self, chat: chats.Chat, first: int) -> list[Any]:
        self._lines["template"] = first
        for i, line in enumerate(chat.lines):
            self._lines[f"template[{i}]"] = line
            if line >= first:
                self._lines[f"template[{i}].content"] = line + 1
        return chat.messages

    def _is_known(self, key: str, line: int) -> bool:
        if key in KEYS or key == "template":
            return True
        near = did_you_mean(key, [*KEYS, "template"]) or f"; the keys are {', '.join(KEYS)}"
        self._flaws.append(flaw(self._path, line, f"{key[:50]!r} is no key{near}"))
        return False

    def _require_no(self, entry: Entry | None, reason: str) -> None:
        if entry is not None:
            self._flaws.append(flaw(self._path, entry.line, reason))

    def _checked_name(self, inside: Any) -> str:
        is_said = inside is not None or bool(self._name)
        try:
            return checked_name(inside if inside is not None else self._name or name_of(self._path))
        except InvalidInputError as error:
            self._add(error, "" if is_said else ". Rename the file, or say its name inside: `name: …`")
            return ""

    def _checked(self, fields: dict[str, Any]) -> Mapping[str, Any]:
        try:
            return read_edit(most=MAX_STORED, **fields).passed
        except InvalidInputError as error:
            self._add(error)
            return {}

    def _add(self, error: InvalidInputError, remedy: str = "") -> None:
        self._flaws += [
            flaw(self._path, _line_of(e["field"], self._lines), f"{e['field']}: {e['reason']}{remedy}")
            for e in error.details["errors"]
        ]


def _line_of(field: str, lines: Mapping[str, int]) -> int:
    """Return the line of a field, or of what it is a part of: `tags[0]` stands where `tags` does."""
    while field not in lines and field:
        field = field[: max(field.rfind("."), field.rfind("["), 0)]
    return lines.get(field, 1)


def _is_default(key: str, value: Any, name: str) -> bool:
    return key in CONTENT and is_same(value, name if key == "title" else EMPTY[key])
