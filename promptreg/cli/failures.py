"""An error as one line for a terminal: what the library says of its verbs, as commands."""

import re
from collections.abc import Collection

from promptreg.cli.text import one_line
from promptreg.errors import PromptregError

SYNONYMS = {"save": "update", "get": "show", "set_label": "label", "remove_label": "label --remove"}
PHRASES = {"pass them to render": "pass them with --var NAME=VALUE, or --vars FILE.json"}
_VERB = re.compile(r"\b([a-z_]+)\(\)")


def failure_line(error: PromptregError, commands: Collection[str]) -> str:
    """Return an error as one line: its code, and its message with commands in place of the verbs that help.

    >>> failure_line(PromptregError("'greet' is disabled; enable() it."), ["enable"])
    "internal_error: 'greet' is disabled; `promptreg enable` it."
    """

    def command(verb: re.Match[str]) -> str:
        name = SYNONYMS.get(verb[1], verb[1])
        return f"`promptreg {name}`" if name.split()[0] in commands else verb[0]

    message = error.message
    for phrase, meant in PHRASES.items():
        message = message.replace(phrase, meant)
    return one_line(f"{error.code}: {_VERB.sub(command, message)}")
