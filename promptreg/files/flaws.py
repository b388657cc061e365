"""What is wrong with a file: a reason and its line. Errors for callers are made of these, all of a folder in one."""

from collections.abc import Iterable, Sequence

from promptreg.errors import InvalidInputError


class FormatError(ValueError):
    """What is wrong in one line of a file, counted from 1, and what else is wrong in other lines."""

    def __init__(self, line: int, reason: str, others: Sequence["FormatError"] = ()) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason
        self.others = others

    def flaws(self, path: str) -> list[dict[str, str]]:
        """Return the errors for callers, of a file with this path."""
        return [flaw(path, error.line, error.reason) for error in (self, *self.others)]


def flaw(path: str, line: int, reason: str) -> dict[str, str]:
    """Return one of an `InvalidInputError`'s errors, whose field is the file and the line; line 0 is the whole file.

    >>> flaw("support/reply.md", 4, "must be text")
    {'field': 'support/reply.md:4', 'reason': 'must be text'}
    """
    if not path:
        return {"field": f"line {max(line, 1)}", "reason": reason}
    shown = path if path.isprintable() else ascii(path)[1:-1]
    return {"field": f"{shown}:{line}" if line else shown, "reason": reason}


def require_none(flaws: Iterable[dict[str, str]]) -> None:
    """Raise one `InvalidInputError` with every flaw, where there is any."""
    errors = [*flaws]
    if errors:
        raise InvalidInputError.of_all(errors)
