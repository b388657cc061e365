"""The timeline of a prompt's versions: one below the other, newest first, with production, labels and states."""

import sys
from collections.abc import Iterable, Sequence

from promptreg.cli.output import paint, say
from promptreg.cli.showing import own_labels
from promptreg.cli.text import columns, moment, shorten, wrapped
from promptreg.harmless import one_line
from promptreg.models import Version
from promptreg.prompt import Prompt

MARKS = {"live": "●", "published": "○", "draft": "◌", "failed": "✗"}
PLAIN_MARKS = {"live": "*", "published": "o", "draft": ".", "failed": "x"}
STYLES = {"live": "live", "published": "", "draft": "draft", "failed": "bad"}
INDENT = 7


def print_timeline(prompt: Prompt, versions: Sequence[Version]) -> None:
    """Print the versions; `prompt` says which one is live, and which labels there are."""
    say(_heading(prompt))
    line = "│" if _draws_lines() else "|"
    for version in versions:
        say()
        for at, text in enumerate(_entry(prompt, version)):
            say(text if at == 0 else f"{line}{text}".rstrip())


def _draws_lines() -> bool:
    return sys.stdout.encoding.lower().replace("-", "") == "utf8"


def _heading(prompt: Prompt) -> str:
    live = prompt.production_version
    said = f"version {live} is live" if live is not None else "nothing is live"
    status = "" if prompt.status == "active" else f", {prompt.status}"
    said += status
    return f"{paint(shorten(prompt.name, columns() - len(said) - 2), 'name')}  {said}"


def _entry(prompt: Prompt, version: Version) -> Iterable[str]:
    kind = "live" if version.version == prompt.production_version else version.state
    mark = (MARKS if _draws_lines() else PLAIN_MARKS)[kind]
    names = [kind.upper() if kind == "live" else kind, *_labels(prompt, version.version)]
    room = columns() - INDENT
    first, *others = wrapped(", ".join(names), room)
    yield paint(f"{mark} {version.version:>3}  {first}", STYLES[kind])
    for text in others:
        yield " " * (INDENT - 1) + paint(text, STYLES[kind])
    subject = _subject(version)
    for text in [*([shorten(one_line(subject), room)] if subject else []), *wrapped(_origin(version), room)]:
        yield " " * (INDENT - 1) + text
    for reason in version.failure or ():
        for text in wrapped(one_line(reason), room):
            yield " " * (INDENT - 1) + paint(text, "bad")


def _labels(prompt: Prompt, number: int) -> list[str]:
    return [label for label, labelled in own_labels(prompt) if labelled == number]


def _subject(version: Version) -> str:
    """Return the first line of the message."""
    subject, _, more = version.commit_message.strip().partition("\n")
    return f"{subject.rstrip()} …" if more else subject


def _origin(version: Version) -> str:
    parts = [moment(version.version_created_at)]
    if version.author is not None:
        parts.append(f"by {one_line(version.author)}")
    if version.base_version not in {None, version.version - 1}:
        parts.append(f"from {version.base_version}")
    if version.published_at is not None:
        parts.append(f"published {moment(version.published_at)}")
    return "  ".join(parts)
