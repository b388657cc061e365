"""What notebooks show of prompts, versions, pages and renders: HTML that is only looked at.

It has no script, link, image, id or style sheet, so it fetches nothing, and it fits light and dark notebooks. All texts
are escaped, and long ones are cut: a notebook keeps what it shows in its file. Loaded when something is shown.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from promptreg.errors import counted
from promptreg.harmless import harmless
from promptreg.reprs import short

if TYPE_CHECKING:
    from promptreg.models import Variable, Version
    from promptreg.prompt import Page, Prompt
    from promptreg.rendered import Rendered

T = TypeVar("T")

MAX_PROMPTS = 50
MAX_VARIABLES = 30
MAX_CELL = 200
MAX_PARAGRAPH = 1_500
MAX_CONTENT = 20_000
"""The most bytes of a cell, of a longer one, and of all texts of a template or a render: in all less than 100 KB."""
KEPT_LABELS = ("latest", "production")
COST_OF_ROW = 300  # bytes of markup, beside that of a block

_FONT = "color:inherit;background:transparent"
_TABLE = f"border-collapse:collapse;margin:0 0 .5em;{_FONT}"
_CELL = "text-align:start;vertical-align:top;padding:.2em .6em;border:1px solid rgba(128,128,128,.4)"
_PRE = f"margin:0;padding:0;font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;{_FONT}"
_CAPTION = f"text-align:start;caption-side:top;font-weight:bold;padding:.2em 0;white-space:nowrap;{_FONT}"


def _or_repr(draw: Callable[[T], str]) -> Callable[[T], str]:
    """Decorate a function so that a value made by hand, whose fields can't be read, is shown by its `repr`."""

    @wraps(draw)
    def run(value: T) -> str:
        try:
            return _box([draw(value)])
        except Exception:  # a field may be absent, or of any type
            return _box([_pre(repr(value))])

    return run


@_or_repr
def version_html(version: "Version") -> str:
    """Return a prompt or a version: its fields, its variables, and its template.

    >>> from promptreg import Registry
    >>> with Registry(":memory:") as registry:
    ...     html = version_html(registry.create("greet", "Hello <b>{{ name }}</b>!"))
    >>> "greet@1" in html, "Hello &lt;b&gt;{{ name }}&lt;/b&gt;!" in html
    (True, True)
    """
    fields = version.__dict__
    kind = "Prompt" if "status" in fields else "Version"
    caption = f"{kind} {_reference(fields['name'], fields['version'])}"
    rows = [[name, cell] for name, cell in _facts(version) if cell]
    return "".join([_table(caption, [], rows), _variables(version), _template(version)])


@_or_repr
def page_html(page: "Page") -> str:
    """Return a page as a table of its prompts."""
    caption = _text(counted(len(page.items), "prompt"))
    rows = [_listed(prompt) for prompt in page.items[:MAX_PROMPTS]]
    table = _table(caption, ["Name", "Version", "Status", "Title", "Updated", "Author"], rows, len(page.items))
    return table + ("" if page.next is None else _note("More follow: list(…, after=page.next)"))


@_or_repr
def rendered_html(rendered: "Rendered") -> str:
    """Return a render: its messages with their roles."""
    where = (
        _reference(rendered.name, rendered.version)
        if rendered.prompt
        else f"<bdi>{_text(rendered.name)}</bdi>, a default"
    )
    return _messages(f"Rendered {where}", rendered.messages)


def _facts(version: "Version") -> Iterator[tuple[str, str]]:
    """Yield the fields that say something, each with its name for people."""
    fields = version.__dict__
    get = fields.get
    yield "Title", _text("" if get("title") == get("name") else get("title"))
    if "status" in fields:
        yield "Namespace", _text(get("namespace"))
        yield "Status", _status(version)
        others = {label: number for label, number in fields["labels"].items() if label not in KEPT_LABELS}
        yield "Labels", _text(", ".join(f"{label}: {number}" for label, number in others.items()))
        yield "Created", _by(get("created_by"), get("created_at"))
        yield "Updated", _text(_moment(get("updated_at")))
    yield "State", _text("" if get("state") == "published" else get("state"))
    yield "Failure", _paragraph("\n".join(get("failure") or ()))
    yield f"Version {_text(get('version'))}", _by(get("author"), get("version_created_at"))
    yield "Message", _text(get("commit_message"))
    yield "Published", _text(_moment(get("published_at")))
    yield "Description", _paragraph(get("description"))
    yield "Category", _text(get("category"))
    yield "Tags", _text(", ".join(fields["tags"]))
    yield "Grants", _text(", ".join(f"{grant.principal}: {grant.permission}" for grant in fields["access_grants"]))
    for name in ("config", "meta"):
        yield name.capitalize(), _paragraph(_json(get(name)) if get(name) else "")
    yield "Examples", _text(len(fields["examples"]) or "")


def _status(version: Any) -> str:
    live = version.production_version
    where = "nothing in production" if live is None else f"version {_text(live)} in production"
    disabled = ", disabled" if version.status == "archived" and version.is_disabled else ""
    stale = ", stale: the database was removed or unreadable" if version.stale else ""
    return f"{_text(version.status)}{disabled}, {where}{stale}"


def _variables(version: "Version") -> str:
    try:
        caption, variables = "Variables", version.variables
    except AttributeError:  # made by hand, so there is nothing to compile it with
        caption, variables = "Declared variables", version.declared_variables
    if not variables:
        return ""
    rows = [_variable(variable) for variable in variables[:MAX_VARIABLES]]
    return _table(caption, ["Name", "Type", "Required", "Default", "Description"], rows, len(variables))


def _variable(variable: "Variable") -> list[str]:
    has_default = not variable.required and "default" in variable.model_fields_set
    kind = f"{variable.type}: one of {_json(variable.enum, indent=None)}" if variable.enum else variable.type
    return [
        _text(variable.name),
        _text(kind),
        "yes" if variable.required else "no",
        _text(_json(variable.default, indent=None) if has_default else ""),
        _text(variable.description),
    ]


def _template(version: "Version") -> str:
    if isinstance(version.template, str):
        return _table(_text(f"Template ({version.syntax})"), [], [["", _Room().block(version.template)]])
    return _messages(_text(f"Template ({version.syntax})"), version.template)


def _listed(prompt: "Prompt") -> list[str]:
    state = "" if prompt.state == "published" else f" ({prompt.state})"
    return [
        _text(prompt.name),
        _text(f"{prompt.version}{state}"),
        _text(prompt.status),
        _text(prompt.title),
        _text(_moment(prompt.updated_at)),
        _text(prompt.author or ""),
    ]


def _messages(caption: str, messages: Sequence[Any]) -> str:
    room, rows = _Room(), []
    for message in messages:
        if room.left <= 0:
            break
        rows.append(_message(message, room))
    return _table(caption, ["Role", "Content"], rows, len(messages))


def _message(message: Any, room: "_Room") -> list[str]:
    if not isinstance(message, Mapping):
        return ["", room.data(message)]
    if "role" not in message and "placeholder" in message:
        return ["placeholder", room.block(message["placeholder"])]
    content = message.get("content")
    rest = {key: value for key, value in message.items() if key not in ("role", "content")}
    parts = content if isinstance(content, list) else [] if content is None else [content]
    blocks = [_part(part, room) for part in parts if room.left > 0]
    blocks += [_note(f"… {len(parts) - len(blocks):,} more")] if len(blocks) < len(parts) else []
    return [_text(message.get("role")), "".join([*blocks, room.data(rest) if rest else ""])]


def _part(part: Any, room: "_Room") -> str:
    match part:
        case str():
            return room.block(part)
        case {"type": "text", "text": str(text)}:
            return room.block(text)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return room.media(f"image: {url}")
        case {"type": "input_audio", "input_audio": {"data": str(data), "format": kind}}:
            return room.media(f"audio ({kind}): {data}")
        case _:
            return room.data(part)


class _Room:
    """How many bytes the texts of one table may still take."""

    def __init__(self) -> None:
        self.left = MAX_CONTENT

    def block(self, text: object, most: int = MAX_CONTENT) -> str:
        """Return a text in full, as far as there is room."""
        shown = _pre(text, max(0, min(most, self.left)))
        self.left -= len(shown.encode()) + COST_OF_ROW
        return shown

    def media(self, text: str) -> str:
        """Return the beginning of what an image or a sound is, which is never loaded."""
        return self.block(text, MAX_CELL)

    def data(self, value: object) -> str:
        """Return JSON, for which there is no other form."""
        return self.block(_json(value), MAX_PARAGRAPH)


def _box(parts: Iterable[str]) -> str:
    return f'<div style="overflow-x:auto;{_FONT}">{"".join(parts)}</div>'


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], total: int = 0) -> str:
    """Return a table of cells of HTML; the first of a row is its heading, unless it is empty."""
    columns = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in head)
    top = f"<thead><tr>{columns}</tr></thead>" if head else ""
    body = "".join(f"<tr>{_row(row)}</tr>" for row in rows)
    left = _note(f"… {total - len(rows):,} more") if total > len(rows) else ""
    title = f'<caption dir="auto" style="{_CAPTION}">{caption}</caption>'
    return f'<table style="{_TABLE}">{title}{top}<tbody>{body}</tbody></table>{left}'


def _row(cells: Sequence[str]) -> str:
    first, *others = cells
    heading = f'<th scope="row" dir="auto" style="{_CELL}">{first}</th>' if first else ""
    return heading + "".join(f'<td dir="auto" style="{_CELL}">{cell}</td>' for cell in others)


def _note(text: str) -> str:
    return f'<p style="margin:.2em 0;{_FONT}">{_text(text)}</p>'


def _pre(text: object, most: int = MAX_CONTENT) -> str:
    return f'<pre dir="auto" style="{_PRE}">\n{_text(text, most)}</pre>'  # parsers skip the line break


def _paragraph(text: object) -> str:
    return _pre(text, MAX_PARAGRAPH) if text else ""


def _text(value: object, most: int = MAX_CELL) -> str:
    """Return a text, or the `repr` of anything else, as HTML that shows all of it in at most so many bytes, or says so.

    >>> _text("<b>" * 3, 99), _text("<b>" * 3, 20)
    ('&lt;b&gt;&lt;b&gt;&lt;b&gt;', '&lt;b&gt;&lt;b&gt; <i>… 3 more characters</i>')
    """
    if value is None:
        return ""
    text = str.__str__(value) if isinstance(value, str) else short(value, MAX_CELL)
    head = text[:most]
    end = bisect_right(range(1, len(head) + 1), most, key=lambda size: len(_escaped(head[:size]).encode()))
    left = len(text) - end
    return _escaped(head[:end]) + (f" <i>… {counted(left, 'more character')}</i>" if left else "")


def _escaped(text: str) -> str:
    return escape(harmless(text))


def _reference(name: object, version: object) -> str:
    return f"<bdi>{_text(name)}@{_text(version)}</bdi>"  # a name may be written from right to left


def _by(who: object, at: object) -> str:
    return " ".join(part for part in (_text(_moment(at)), f"by {_text(who)}" if who else "") if part)


def _moment(at: object) -> object:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if isinstance(at, datetime) else at


def _json(value: object, *, indent: int | None = 2) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
