"""What the commands that write tell people about a prompt."""

from promptreg.cli.output import paint, say
from promptreg.cli.text import one_line
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


def show_labels(prompt: Prompt) -> None:
    """Print the labels of a prompt, with their versions."""
    labels = ", ".join(f"{label} {number}" for label, number in sorted(prompt.labels.items()))
    say(f"{named(prompt)}: {labels}")


def show_grants(prompt: Prompt) -> None:
    """Print who was given access to a prompt."""
    grants = ", ".join(f"{one_line(grant.principal)} {grant.permission}" for grant in prompt.access_grants)
    say(f"{named(prompt)}: {grants or 'nobody was given access'}")


def show_update(update: StatusUpdate, status: str) -> None:
    """Print what a change of statuses did, or would do."""
    verb = "would become" if update.dry_run else "became"
    for name in update.updated:
        say(f"{paint(name, 'name')}: {verb} {status}")
    for name in update.skipped:
        say(f"{paint(name, 'name')}: is {status} already")
    count = update.updated_prompts
    say(f"{count:,} {'prompt' if count == 1 else 'prompts'} {verb} {status}")
