"""An error as one line for a terminal: what the library says of its verbs, as commands."""

import re

from promptreg.committing import ONCE
from promptreg.errors import PromptregError
from promptreg.harmless import one_line
from promptreg.registry import Registry

COMMAND_OF = {
    "create": "new",
    "get": "show",
    "get_many": "show",
    "iterate": "list",
    "save": "update",
    "set_label": "label",
    "remove_label": "label --remove",
    "set_status": "status",
}
"""The commands of those verbs that have another name."""

NO_COMMANDS = frozenset({"scope", "close", "once", "wait_for"})
"""Methods that have no command."""

PHRASES = {
    "pass them to render": "pass them with --var NAME=VALUE, or --vars FILE.json",
    "without version=": "without @VERSION",
    " or with version=": "",
    "with @ or version=": "with @ or --to",
    "pass version=": "write NAME@",
    "pass on_conflict='publish'": "pass --on-conflict publish",
    "on_conflict='ours'": "--ours",
    "on_conflict='theirs'": "--theirs",
    "on_conflict='draft'": "--draft",
    "pull=True": "--pull",
    "; slugify() makes a name of any text": "",
    "this verb takes": "this command takes",
    "may not set_label": "may not label",
    "may not remove_label": "may not remove a label of",
    "target: ": "--db: ",
    "head: must be what head() returned": "--head: must be what `promptreg head` printed",
    "path: must be": "PATH: must be",
    "pass a file's path, or ':memory:'": "pass a file's path",
    "expected_production: ": "--expect-production: ",
    "expected_hash says": "--expect-hash says",
    ", or wait longer with busy_timeout": "",
    "Make the same call on registry.once(error.details['operation_id']), which writes only what does not hold": (
        "Look at what is stored before you try again"
    ),
    "correct the URL, or pass create=True to make it": "`promptreg init` makes it; --db or PROMPTREG_DB names another",
    ", or a pydantic model class": "",
    "must be a Variable or a mapping": "must be a JSON object",
    "must be a list of mappings of variables": "must be a list of JSON objects",
    "must be a mapping, not": "must be a JSON object, not",
    "at $: a lone surrogate": "is no UTF-8",
    ONCE: "Look at what is stored before you try again.",
    "the application itself and org admins may": "org admins may, such as --as USER:org_admin",
}
"""What the library says to programs, and what a terminal says in its place."""

_LIMITS = re.compile(r"(, or open the registry with render_limits=|[,;] )RenderLimits\([^()]*\)( allows more)?")
_OF_EXAMPLE = re.compile(r"(\bexamples\[\d+\]: Variables are missing: [^;]*); pass them to render")
_VERB = re.compile(r"\b([a-z_]+)\(\)")


def failure_line(error: PromptregError) -> str:
    """Return an error as one line: its code, and its message with commands in place of the verbs that help.

    >>> failure_line(PromptregError("'greet' is disabled; enable() it."))
    "internal_error: 'greet' is disabled; `promptreg enable` it."
    """
    return one_line(f"{error.code}: {in_commands(error.message)}")


def in_commands(message: str) -> str:
    """Return a message, or a reason, with commands in place of verbs."""
    message = _OF_EXAMPLE.sub(r"\1; add them to the example", message)
    for phrase, meant in PHRASES.items():
        message = message.replace(phrase, meant)
    return _VERB.sub(_command, _LIMITS.sub("", message))


def _command(verb: re.Match[str]) -> str:
    name = verb[1]
    is_command = hasattr(Registry, name) and name not in NO_COMMANDS
    return f"`promptreg {COMMAND_OF.get(name, name)}`" if is_command else verb[0]
