"""The path of a prompt's file in a folder, which is its name wherever every system can have such a file, and back."""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from pathlib import PurePosixPath

MAX_COMPONENT = 200  # bytes; file systems take 255, with the suffix and that of a temporary file
LOCK = "promptreg.lock"  # the file of a folder that `lockfile.py` reads, so no folder of prompts has that name
SUFFIX = ".md"
PROMPTY = ".prompty"
SUFFIXES = (SUFFIX, PROMPTY)
BARE_SUFFIXES = (".txt", ".j2", ".jinja")
_MAX_SLUG = 60  # characters
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
)


def path_of(name: str, siblings: Iterable[str] = ()) -> str:
    """Return the path of a prompt's file, beside those of other prompts: the name, or `SLUG~HASH.md`.

    >>> path_of("support/reply"), path_of("support/nul.txt")
    ('support/reply.md', 'support_nul_txt~a31081b8a683.md')
    """
    return paths_of({*siblings, name})[name]


def paths_of(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return the path of each prompt's file, by its name; each path of `taken` is another file's already.

    Where two names, or two folders, differ in nothing that every file system tells apart, one of them has a path of
    its own: always the one that is the same in upper and lower case.
    """
    claimed: dict[str, str] = {}
    others = {*taken}
    for path in others:
        _claim(path, claimed)
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (_folded(name) != name, name)):
        path = f"{name}{SUFFIX}"
        is_special = any(map(_is_special, name.split("/"))) or name.rpartition("/")[2] == "readme"
        if is_special or path in others or not _claim(path, claimed):
            path = _hashed(name)
        found[name] = path
    return found


def name_of(path: str) -> str:
    """Return the name that a path stands for, which may be none that a prompt can have.

    >>> name_of("support/reply.md"), name_of("a.b/c.txt")
    ('support/reply', 'a.b/c')
    """
    stem = PurePosixPath(path)
    return unicodedata.normalize("NFC", str(stem.with_suffix(""))) if stem.name else ""


def is_skipped(entry: str) -> bool:
    """Return whether files and folders of that name are none of prompts: `README*`, and what begins with `.` or `_`."""
    return entry.startswith((".", "_", "README"))


def _claim(path: str, claimed: dict[str, str]) -> bool:
    """Claim a path and its folders; return False, and claim nothing, where another one has any of them."""
    end = path.find("/")
    prefixes = [path]
    while end >= 0:
        prefixes.append(path[:end])
        end = path.find("/", end + 1)
    keys = {_folded(prefix): prefix for prefix in prefixes}
    if any(claimed.get(key, prefix) != prefix for key, prefix in keys.items()):
        return False
    claimed.update(keys)
    return True


def _is_special(component: str) -> bool:
    return (
        len(component.encode()) > MAX_COMPONENT
        or component.startswith((".", "_"))
        or component.endswith((SUFFIX, "."))
        or component.partition(".")[0] in _DEVICES
        or component == LOCK
    )


def _hashed(name: str) -> str:
    slug = re.sub(r"[_./-]+", "_", name)[:_MAX_SLUG]
    slug = slug.encode()[: MAX_COMPONENT // 2].decode(errors="ignore").rstrip("_")
    return f"{slug}~{sha256(name.encode()).hexdigest()[:12]}{SUFFIX}"


def _folded(text: str) -> str:
    """Return what file systems that ignore case, and the form of Unicode, may see of a name."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
