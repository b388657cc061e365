"""The content of renders as span attributes, where `capture_content` asks for it: template, text and variables.

Every text passes through `redact` first. No code of a variable runs: of a value that is no builtin one, the name of
its type is recorded.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from promptreg.jsonvalues import thaw
from promptreg.rendered import Rendered
from promptreg.telemetry import names

Redact: TypeAlias = Callable[[str], str]

MAX_DEPTH = 8  # of lists and dicts in variables


class Content:
    """Captures the content of renders, redacted by the application's function if there is one."""

    def __init__(self, redact: Redact | None) -> None:
        self._redact = redact

    def attributes(self, rendered: Rendered, variables: Any, more: Mapping[str, Any]) -> dict[str, str]:
        """Return the attributes of a render and the variables that it was called with.

        Leave out what `redact` fails on, and what a mapping of variables fails on.
        """
        found: dict[str, str] = {}
        with suppress(Exception):
            given = {**(dict(variables) if variables is not None else {}), **more}
            if rendered.prompt is not None:
                _add(found, names.CONTENT_TEMPLATE, self._plain(thaw(rendered.prompt.template), MAX_DEPTH))
            _add(found, names.CONTENT_TEXT, self._redacted(rendered.text))
            _add(found, names.CONTENT_VARIABLES, self._plain(given, MAX_DEPTH))
        return found

    def _redacted(self, text: str) -> str | None:
        if self._redact is None:
            return text
        try:
            redacted = self._redact(text)
        except Exception:
            return None
        return redacted if isinstance(redacted, str) else None

    def _plain(self, value: object, depth: int) -> Any:
        """Return a value as JSON with its texts redacted; None for what `redact` fails on."""
        if type(value) is str:
            return self._redacted(value)
        if value is None or type(value) is bool:
            return value
        if type(value) in {int, float}:
            redacted = self._redacted(str(value))
            return value if redacted == str(value) else redacted
        if depth and isinstance(value, dict):
            items = [
                (self._redacted(key), item, self._plain(item, depth - 1))
                for key, item in dict.items(value)
                if type(key) is str
            ]
            return {key: plain for key, item, plain in items if key is not None and (plain is not None or item is None)}
        if depth and type(value) in {list, tuple}:
            return [self._plain(item, depth - 1) for item in value]  # type: ignore[attr-defined]
        return f"<{type(value).__name__}>"


def _add(attributes: dict[str, str], name: str, value: Any) -> None:
    if value is not None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        attributes[name] = text.encode(errors="replace").decode()  # exporters can't encode lone surrogates
