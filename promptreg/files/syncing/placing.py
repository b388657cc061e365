"""The errors that a registry raises about the prompts of a folder, with the files and lines that they are about."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from promptreg.errors import PromptregError
from promptreg.files.format import PromptFile

_LINE = re.compile(r"^(?:'[^']+': )?((?:message \d+ of \d+(?:, part \d+)?: )?)(?:Line \d+: )?")
"""What a template's error begins with: the name, which the path says, the message, and a line of its text."""
_MESSAGE = re.compile(r"\bmessage (\d+) of \d+(, part \d+)?: ")


@contextmanager
def placed(files: Sequence[PromptFile]) -> Iterator[None]:
    """Put file and line into an error of the block, and into `details["errors"]` one entry for all that is wrong."""
    try:
        yield
    except PromptregError as error:
        _place(error, {file.name: file for file in files})
        raise


def _place(error: PromptregError, files: Mapping[str, PromptFile]) -> None:
    found = [*_errors(error, files)]
    if not found:
        return
    error.details["errors"] = found
    if len(found) == 1:
        error.restate(f"{found[0]['field']}: {found[0]['reason']}")


def _errors(error: PromptregError, files: Mapping[str, PromptFile]) -> Iterator[dict[str, str]]:
    """Yield a place and a reason of everything in an error that is about a file."""
    details = error.details
    for refusal in details.get("refusals", [{**details, "message": error.message}]):
        if refusal.get("file") in files:
            yield from _refused(refusal, files[refusal["file"]])
    for flaw in details.get("errors", ()):
        if flaw.get("name") in files:
            yield {"field": files[flaw["name"]].where(flaw.get("argument", "name")), "reason": flaw["reason"]}
    for conflict in details.get("conflicts", ()):
        if conflict["name"] in files:
            yield {"field": files[conflict["name"]].where(), "reason": conflict["reason"]}


def _refused(refusal: Mapping[str, Any], file: PromptFile) -> Iterator[dict[str, str]]:
    """Yield the places of what a template's error, or the checks of one prompt, say."""
    if "reasons" in refusal:
        yield from ({"field": file.where("examples"), "reason": reason} for reason in refusal["reasons"])
    else:
        yield {"field": _place_in_template(refusal, file), "reason": _LINE.sub(r"\1", refusal["message"])}


def _place_in_template(refusal: Mapping[str, Any], file: PromptFile) -> str:
    """Return the line of a template's error, which of a chat is a line of one message, or of a part of it."""
    found, line = _MESSAGE.search(refusal["message"]), refusal.get("line") or 1
    if found is None or isinstance(file.fields["template"], str):
        return file.where("template", line=line)
    return file.where(f"template[{int(found[1]) - 1}]", line=0 if found[2] else line)
