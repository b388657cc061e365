"""The data of a report's page: what was gathered, as plain JSON; the JSON that prompts hold is text in it.

JavaScript reads 12345678901234567890 as another number, and 1.0 as 1, so `config` and such are written here. The rows
of a difference are text as well, which the page reads when it is opened: else a large page opens four times slower.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from promptreg.jsonvalues import FrozenList, compact
from promptreg.messages import is_placeholder
from promptreg.models import Event, Variable
from promptreg.records import VersionRecord
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.template import variables_of
from promptreg.report.comparing import Comparing
from promptreg.report.gathering import Gathered
from promptreg.report.spans import Span, live_spans, spans_between

Data: TypeAlias = dict[str, Any]

_json = partial(json.dumps, ensure_ascii=False, indent=2)


class Showing:
    """Makes the data of prompts; `max_events` is how many events of each, and times, are shown, None for all."""

    def __init__(self, limits: RenderLimits, max_events: int | None) -> None:
        self._limits = limits
        self._max_events = max_events
        self._comparing = Comparing()

    def prompt(self, found: Gathered) -> Data:
        """Return the data of a prompt."""
        container, oldest_first = found.container, found.events[::-1]
        most = self._max_events or len(found.events)
        timeline = [{"version": number, **_from_to(span)} for number, span in live_spans(oldest_first)]
        return {
            "name": container.name,
            "id": container.id,
            "status": container.status,
            "is_disabled": container.is_disabled,
            "created_by": container.created_by,
            "created_at": container.created_at,
            "updated_at": container.updated_at,
            "labels": container.all_labels(),
            "production_version": container.production_version,
            "access_grants": [grant.model_dump() for grant in container.access_grants],
            "hidden_versions": found.version_count - len(found.versions),
            "hidden_events": len(found.events) - len(found.events[:most]),
            "hidden_times": len(timeline) - len(timeline[-most:]),
            "timeline": timeline[-most:],
            "disabled": [*map(_times, spans_between(oldest_first, "disable", "enable"))][-most:],
            "archived": [*map(_times, spans_between(oldest_first, "archive", "restore"))][-most:],
            "versions": [*self._versions(found, timeline)],
            "events": [*map(_event, found.events[:most])],
        }

    def _versions(self, found: Gathered, timeline: Sequence[Data]) -> Iterator[Data]:
        known_variables: dict[str, list[Data]] = {}
        live: dict[int, list[list[str | None]]] = {}
        for span in timeline:
            live.setdefault(span["version"], []).append([span["from"], span["to"]])
        for record in found.versions:
            yield {
                **_version(record),
                "variables": self._variables(record, known_variables),
                "live": live.get(record.number, []),
                "differences": [*self._differences(found, record)],
            }

    def _variables(self, record: VersionRecord, known: dict[str, list[Data]]) -> list[Data]:
        """Return the effective variables; versions of a prompt whose templates are equal are parsed once."""
        snapshot = record.snapshot
        key = compact([snapshot.template, snapshot.variables, snapshot.syntax])
        if key not in known:
            variables = variables_of(snapshot.template, snapshot.variables, self._limits, snapshot.syntax)
            known[key] = [*map(_variable, variables)]
        return known[key]

    def _differences(self, found: Gathered, record: VersionRecord) -> Iterator[Data]:
        reasons: dict[int, list[str]] = {}
        for reason, number in found.compared_with(record):
            reasons.setdefault(number, []).append(reason)
        for number, why in reasons.items():
            rows = self._comparing.rows(found.known[number], record)
            text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
            yield {"from": number, "to": record.number, "is": why, "rows": text}


def _version(record: VersionRecord) -> Data:
    snapshot = record.snapshot
    return {
        "version": record.number,
        "state": record.state,
        "kind": snapshot.kind,
        "syntax": snapshot.syntax,
        "title": snapshot.title,
        "description": snapshot.description,
        "category": snapshot.category,
        "tags": snapshot.tags,
        "template": _template(snapshot.template),
        "config": _json(snapshot.config) if snapshot.config else "",
        "meta": _json(snapshot.meta) if snapshot.meta else "",
        "examples": [*map(_json, snapshot.examples)],
        "commit_message": record.commit_message,
        "author": record.author,
        "base_version": record.base_version,
        "version_created_at": record.created_at,
        "published_at": record.published_at,
        "content_hash": snapshot.content_hash,
        "failure": record.failure,
    }


def _template(template: str | FrozenList) -> str | list[Data]:
    return template if isinstance(template, str) else [*map(_message, template)]


def _message(message: Mapping[str, Any]) -> Data:
    """Return a message with its texts as they are; each other part, and all `more` that it has, is JSON."""
    if is_placeholder(message):
        return {**message}
    content = message.get("content", [])
    more = {name: value for name, value in message.items() if name not in {"role", "content", "cache"}}
    return {
        "role": message["role"],
        "content": content if isinstance(content, str) else [*map(_part, content)],
        "cache": message.get("cache", False),
        "more": _json(more) if more else "",
    }


def _part(part: Mapping[str, Any]) -> Data:
    return {"text": part["text"]} if part["type"] == "text" else {"json": _json(part)}


def _variable(variable: Variable) -> Data:
    return {
        "name": variable.name,
        "type": variable.type,
        "required": variable.required,
        "default": _json(variable.default) if "default" in variable.model_fields_set else None,
        "description": variable.description,
        "enum": None if variable.enum is None else [*map(_json, variable.enum)],
    }


def _event(event: Event) -> Data:
    return {
        "seq": event.seq,
        "at": _iso(event.at),
        "actor": event.actor,
        "action": event.action,
        "version": event.version,
        "details": event.details,
    }


def _times(span: Span) -> list[str | None]:
    return [*_from_to(span).values()]


def _from_to(span: Span) -> dict[str, str | None]:
    return {"from": _iso(span.begin), "to": None if span.end is None else _iso(span.end)}


def _iso(moment: datetime) -> str:
    """Return a time as it is stored."""
    return moment.isoformat(timespec="microseconds")
