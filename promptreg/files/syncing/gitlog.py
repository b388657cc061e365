"""The last commit of each file of a folder, from one `git log`: what a synchronisation writes as the commit message.

A repository is somebody else's data. Of the environment only what says where git's own settings are is passed on; no
pager, hook, file monitor, diff driver, signature check or transport of the repository's configuration is run; and the
index is never read, as reading it may run programs. So a file counts as committed if its content is that of its last
commit, whatever the index says.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import IO, NamedTuple
from unicodedata import normalize

SECONDS = 10.0  # how long git may take; a path that it has not come to by then has no commit
MAX_TOKEN = 1 << 20  # bytes of a path, an author or a subject
SUBJECT, AUTHOR = 200, 80  # characters of each in a message, at most

_KEPT = ("GIT_CONFIG_", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
_SET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",  # for a git before 2.44, which does not know the line above
}
_CONFIG = ("core.fsmonitor=false", "log.showSignature=false", "log.follow=false", "diff.relative=false")
_OPTIONS = (
    *("-z", "--raw", "-c", "--root", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color"),
    *("--no-notes", "--no-show-signature", "--encoding=UTF-8", "--format=%x00%H%x00%an%x00%s"),
)
_HASH = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Commit(NamedTuple):
    """A commit, and the content that it gave a file, as the hash of git's blob."""

    hash: str
    author: str
    subject: str
    blob: str

    @property
    def message(self) -> str:
        """The commit in one line.

        >>> Commit("f2c86df9e5dd8aec3f6a1f14ad4e0bbf0a4ba0b5", "Ana Diaz", "Shorter", "").message
        'Shorter (Ana Diaz, f2c86df9e5dd8aec3f6a1f14ad4e0bbf0a4ba0b5)'
        """
        return f"{_line(self.subject, SUBJECT)} ({_line(self.author, AUTHOR)}, {self.hash})".lstrip()


def last_commits(folder: Path, paths: Collection[str]) -> Mapping[str, str]:
    """Return by path, relative to the folder and with `/`, the message of the last commit that changed the file.

    A file that is not tracked, or has been changed since, has none. There is none at all without git, in a shallow
    clone, and where git refuses the repository or finds none.
    """
    program, wanted = shutil.which("git"), {_key(path): path for path in paths}
    if program is None or not os.path.isabs(program) or not wanted:  # one of the current folder is relative
        return {}
    messages: dict[str, str] = {}
    for key, commit in _newest(program, folder, set(wanted)):
        if _is_content(folder / wanted[key], commit.blob):
            messages[wanted[key]] = commit.message
    return messages


def _newest(program: str, folder: Path, missing: set[str]) -> Iterator[tuple[str, Commit]]:
    """Yield the last commit of each path that is still missing, until there is none."""
    prefix = _prefix(program, folder)
    if prefix is None:
        return
    with _git(program, folder, "log", *_OPTIONS, "--", ".") as output:
        for path, commit in _parsed(_tokens(output)):
            key = _key(os.fsdecode(path.removeprefix(prefix)))
            if key in missing:
                missing.remove(key)
                yield key, commit
            if not missing:
                return


def _prefix(program: str, folder: Path) -> bytes | None:
    """Return where the folder is in its repository, or None where there is no whole one."""
    with _git(program, folder, "rev-parse", "--is-shallow-repository", "--show-prefix") as output:
        is_shallow, _, prefix = output.read(MAX_TOKEN).partition(b"\n")
    return prefix.removesuffix(b"\n") if is_shallow.strip() == b"false" else None


@contextmanager
def _git(program: str, folder: Path, *arguments: str) -> Iterator[IO[bytes]]:
    """Run git, and yield its output; what is still running at the end, or after `SECONDS`, is killed."""
    config = [word for setting in _CONFIG for word in ("-c", setting)]
    command = [program, "--no-pager", "--literal-pathspecs", *config, *arguments]
    null = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(), stdin=null, stdout=subprocess.PIPE, stderr=null
        )
    except OSError:
        with open(os.devnull, "rb") as nothing:
            yield nothing
        return
    timer = Timer(SECONDS, process.kill)
    timer.daemon = True
    try:
        timer.start()
        assert process.stdout is not None
        with process.stdout as output:
            yield output
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(_KEPT)}
    return {**kept, **_SET}


def _tokens(output: IO[bytes]) -> Iterator[bytes]:
    """Yield what stands between zero bytes; end where one token is too long to be true."""
    rest = b""
    while len(rest) <= MAX_TOKEN and (chunk := output.read1(1 << 16)):  # type: ignore[attr-defined]
        *tokens, rest = (rest + chunk).split(b"\0")
        yield from tokens


def _parsed(tokens: Iterator[bytes]) -> Iterator[tuple[bytes, Commit]]:
    """Yield each path with the commit that changed it, from the newest commit on.

    A commit is its hash, author and subject; each of its changes is a token that begins with a colon, then the path.
    What stands between them differs: nothing, a line end, or an empty token.
    """
    commit = None
    for token in tokens:
        head = token.lstrip(b"\n")
        if _HASH.fullmatch(head):
            author, subject = (next(tokens, b"").decode(errors="replace") for _ in range(2))
            commit = Commit(head.decode(), author, subject, "")
        elif head.startswith(b":") and commit is not None:
            path = next(tokens, b"")
            yield path, commit._replace(blob=head.split()[-2].decode())


def _is_content(file: Path, blob: str) -> bool:
    """Return whether a blob is what the file holds, where git may have converted its line ends."""
    try:
        content = file.read_bytes()
    except OSError:
        return False
    return blob in {_blob(content, blob), _blob(content.replace(b"\r\n", b"\n"), blob)}


def _blob(content: bytes, like: str) -> str:
    """Return the hash of git's blob with this content, by the algorithm that another hash has the length of."""
    kind = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    return kind(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _key(path: str) -> str:
    """Return a path in one form: git on macOS composes what its file systems decompose."""
    return normalize("NFC", path)


def _line(text: str, length: int) -> str:
    """Return a text as one line without control characters, cut at a length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * length]).split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
