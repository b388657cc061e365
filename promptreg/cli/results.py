"""What the commands that write tell people about a prompt."""

from collections.abc import Sequence

from promptreg.cli.output import paint, say
from promptreg.cli.text import columns, wrapped
from promptreg.harmless import one_line
from promptreg.models import StatusUpdate
from promptreg.prompt import Prompt


def named(prompt: Prompt) -> str:
    """Return a prompt's name in its colour; a name has no character that steers a terminal."""
    return paint(prompt.name, "name")


def standing(prompt: Prompt) -> str:
    """Return whether the version is live, in words that follow its number."""
    if prompt.version == prompt.production_version:
        return paint("is live", "live")
    return "was live before" if prompt.published_at else paint(f"is a {_STATES[prompt.state]}", "draft")


_STATES = {"draft": "draft", "failed": "draft that failed its checks", "published": "published version"}


def show_saved(prompt: Prompt, before: Prompt | None = None) -> None:
    """Print which version holds what was saved, and whether it is live; where nothing differs from `before`, say so."""
    same = "nothing differs, so nothing is written; " if before and before.updated_at == prompt.updated_at else ""
    say(f"{named(prompt)}: {same}version {prompt.version} {standing(prompt)}")


def show_live(prompt: Prompt) -> None:
    """Print which version is live."""
    say(f"{named(prompt)}: version {prompt.version} {standing(prompt)}")


def show_status(prompt: Prompt) -> None:
    """Print the status of a prompt, and what else it says of an archived one."""
    also = ", and disabled underneath" if prompt.status == "archived" and prompt.is_disabled else ""
    say(f"{named(prompt)}: {prompt.status}{also}")


def show_discarded(prompt: Prompt, number: int) -> None:
    """Print which version was thrown away, and what is shown of the prompt now."""
    say(f"{named(prompt)}: version {number} is discarded; version {prompt.version} {standing(prompt)}")


def show_labels(prompt: Prompt) -> None:
    """Print the labels of a prompt, with their versions."""
    _list(prompt, [f"{label} {number}" for label, number in sorted(prompt.labels.items())])


def show_grants(prompt: Prompt) -> None:
    """Print who was given access to a prompt."""
    grants = [f"{one_line(grant.principal)} {grant.permission}" for grant in prompt.access_grants]
    _list(prompt, grants or ["nobody was given access"])


def _list(prompt: Prompt, items: Sequence[str]) -> None:
    for line in wrapped(f"{prompt.name}: {', '.join(items)}", columns()):
        say(line)


def show_update(update: StatusUpdate, status: str) -> None:
    """Print what a change of statuses did, or would do."""
    verb = "would be" if update.dry_run else "is now"
    for name in update.updated:
        say(f"{paint(name, 'name')}: {verb} {status}")
    for name in update.skipped:
        say(f"{paint(name, 'name')}: is {status} already")
    named = len(update.updated) + len(update.skipped)
    if named > 1:
        say(f"{update.updated_prompts:,} of {named:,} prompts {'would change' if update.dry_run else 'changed'}")
