"""Passwords in the URLs of databases, which no message repeats, wherever on the command line a URL was typed."""

import os
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote

HIDDEN = "***"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://(.*)", re.IGNORECASE | re.DOTALL)
_SECRETS = frozenset({"password", "sslpassword"})


def masked(message: str, arguments: Iterable[str]) -> str:
    """Return a message without the passwords of the arguments, and of PROMPTREG_DB.

    A part of a longer word is no password: masked there, `e***ists` would tell that it is `x`.

    >>> masked("there is no command 'postgresql://ana:tea@h/db'", ["postgresql://ana:tea@h/db"])
    "there is no command 'postgresql://ana:***@h/db'"
    """
    given = [*arguments, os.environ.get("PROMPTREG_DB", "")]
    secrets = {secret for argument in given for secret in _secrets_in(argument)}
    for secret in sorted(secrets, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, message)
    return message


def _secrets_in(argument: str) -> set[str]:
    """Return the passwords of a URL, as they are written and decoded; the argument may be `--db=URL`."""
    found = _URL.search(argument)
    if found is None:
        return set()
    _, _, password = found[1].rpartition("@")[0].partition(":")
    values = [value for name, value in parse_qsl(found[1].partition("?")[2]) if name in _SECRETS]
    raw = re.findall(rf"(?:{'|'.join(_SECRETS)})=([^&]+)", found[1])
    return {*values, *raw, password, unquote(password)} - {""}
