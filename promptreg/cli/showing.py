"""One prompt, and the record of events, as people read them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from promptreg.cli.output import as_json, note, paint, say
from promptreg.cli.tables import Cell, Column, print_table
from promptreg.cli.text import columns, moment, padded, shorten, wrapped
from promptreg.harmless import harmless, one_line
from promptreg.models import Event, Variable
from promptreg.prompt import Prompt

LABEL = 13  # columns of the names of fields

EVENT_HEADS = (
    Column("SEQ", is_right=True),
    Column("AT", least=17),
    Column("BY", least=6),
    Column("ACTION", least=8),
    Column("NAME", least=18, keeps_ends=True),
    Column("V", is_right=True),
    Column("DETAILS", least=13, wraps=True),
)
EVENT_STYLES = {"publish": "live", "rollback": "bad", "check_failed": "bad", "delete": "bad", "disable": "bad"}


def print_events(events: Iterable[Event]) -> None:
    """Print events as a table."""
    if not print_table(EVENT_HEADS, map(_event, events)):
        note("There is no such event.")


def _event(event: Event) -> list[Cell]:
    return [
        (str(event.seq), "quiet"),
        moment(event.at),
        event.actor or "-",
        (event.action, EVENT_STYLES.get(event.action, "")),
        (event.name or "-", "name"),
        "" if event.version is None else str(event.version),
        "; ".join(_details(event)),
    ]


def _details(event: Event) -> Iterator[str]:
    """Yield the details, the reason first; a hash tells people nothing, and JSON has it."""
    for name, value in sorted(event.details.items(), key=lambda detail: detail[0] != "reason"):
        if name != "content_hash":
            yield f"{name} {_plain(value)}"


def _plain(value: Any) -> str:
    """Return a value of the details: a list as its items."""
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return value if isinstance(value, str) else as_json(value)


def print_prompt(prompt: Prompt) -> None:
    """Print all of a prompt: its fields, and below them the template as it is."""
    say(paint(f"{shorten(prompt.name, columns())}", "name"))
    for name, value in _fields(prompt):
        for at, line in enumerate(wrapped(harmless(value), columns() - LABEL - 2)):
            say(f"  {paint(padded(name if at == 0 else '', LABEL), 'quiet')}{line}".rstrip())
    say()
    for line in _template(prompt):
        say(line)


def _fields(prompt: Prompt) -> Iterator[tuple[str, str]]:
    """Yield the fields that say something, by the names that people see."""
    live = prompt.production_version
    fields = {
        "title": prompt.title,
        "description": prompt.description,
        "version": f"{prompt.version}, {'live' if prompt.version == live else prompt.state}",
        "live": "nothing" if live is None else "" if live == prompt.version else f"version {live}",
        "latest": "" if prompt.latest_version == prompt.version else f"version {prompt.latest_version}",
        "labels": ", ".join(f"{label} {number}" for label, number in own_labels(prompt)),
        "status": f"{prompt.status}, disabled" if _is_disabled_beside(prompt) else prompt.status,
        "failure": "\n".join(prompt.failure or ()),
        "category": prompt.category,
        "tags": ", ".join(prompt.tags),
        "template": f"{prompt.kind}, {prompt.syntax}",
        "variables": "\n".join(map(_variable, prompt.variables)),
        "config": _json(prompt.config),
        "meta": _json(prompt.meta),
        "examples": "\n".join(map(as_json, prompt.examples)),
        "access": ", ".join(f"{grant.principal} {grant.permission}" for grant in prompt.access_grants),
        "message": prompt.commit_message,
        "author": _by(prompt.author, moment(prompt.version_created_at)),
        "from": "" if prompt.base_version is None else f"version {prompt.base_version}",
        "published": "" if prompt.published_at is None else moment(prompt.published_at),
        "owner": _by(prompt.created_by, moment(prompt.created_at)),
        "updated": moment(prompt.updated_at),
        "namespace": prompt.namespace,
        "id": prompt.id,
        "hash": prompt.content_hash,
    }
    return ((name, value) for name, value in fields.items() if value)


def own_labels(prompt: Prompt) -> list[tuple[str, int]]:
    """Return the labels that people have set, with their versions."""
    return sorted((label, n) for label, n in prompt.labels.items() if label not in {"latest", "production"})


def _is_disabled_beside(prompt: Prompt) -> bool:
    """Return whether the prompt is disabled under another status, and so does not render."""
    return prompt.is_disabled and prompt.status != "disabled"


def _by(who: str | None, when: str) -> str:
    return f"{who}, {when}" if who else when


def _variable(variable: Variable) -> str:
    words = [variable.name, variable.type, "required" if variable.required else "optional"]
    if "default" in variable.model_fields_set:
        words.append(f"default {as_json(variable.default)}")
    if variable.enum is not None:
        words.append(f"one of {as_json(variable.enum)}")
    return "  ".join([*words, *([variable.description] if variable.description else [])])


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) if value else ""


def _template(prompt: Prompt) -> Iterator[str]:
    if isinstance(prompt.template, str):
        yield harmless(prompt.template)
        return
    for message in prompt.template:
        yield from _message(message)


def _message(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message as a prompt's file has it: the role, the other keys as JSON, and the content."""
    if "placeholder" in message:
        yield paint(f"placeholder {one_line(message['placeholder'])}:", "heading")
        return
    others = {key: value for key, value in message.items() if key not in {"role", "content"}}
    yield paint(one_line(f"{message['role']}{' ' + as_json(others) if others else ''}:"), "heading")
    content = message.get("content")
    if content is not None:
        yield harmless(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2))
