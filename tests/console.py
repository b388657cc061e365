"""Terminal sessions in the documentation: the `console` blocks of a page are typed, and what is shown is compared.

A line that begins with `$ ` is a command, and lines below it that begin with `> ` belong to it; all else is what the
terminal shows. A page is one session, in an empty folder, by the user `sam`, on a terminal of 80 columns without
colours. `promptreg` runs in this process: also in a pipe, with `<`, `>` or a here-document, after `NAME=value`, and
after `git add . &&`. All other commands, and `cd`, `export` and `echo $?`, mean what they mean in a shell.

What differs from run to run stands in a page as some run had it: times, ids, hashes of content and of commits are
compared as if all were the same. An answer to a question stands behind it: `[y/N] y`.
"""

import io
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest import mock

from promptreg.cli import main
from tests.terminal import Stream, in_folder

PROMPT, CONTINUED = "$ ", "> "
VARIES = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"  # an id
    r"|\b[0-9a-f]{7,64}\b"  # a hash of content, or of a commit
    r"|\b\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|\b)"  # a time
)
ANSWER = re.compile(r"\[y/N\] (.*)$", re.MULTILINE)
HERE = re.compile(r"<<'(\w+)'")
ENVIRONMENT = {
    **{"LOGNAME": "sam", "COLUMNS": "80", "LINES": "24", "NO_COLOR": "1", "TERM": "xterm", "LC_ALL": "C.UTF-8"},
    **{"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_PAGER": "cat"},
    **{
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Sam"), ("EMAIL", "sam@example.com"))
    },
}


class Typed(NamedTuple):
    """A command of a session, as it was typed, and what the terminal shows below it."""

    command: str
    shown: str


def typed(block: str) -> Iterator[Typed]:
    """Yield the commands of a block."""
    lines = block.splitlines()
    assert lines
    assert lines[0].startswith(PROMPT), "a block begins with a command"
    while lines:
        command = [lines.pop(0).removeprefix(PROMPT)]
        while lines and lines[0].startswith(CONTINUED):
            command.append(lines.pop(0).removeprefix(CONTINUED))
        shown = []
        while lines and not lines[0].startswith(PROMPT):
            shown.append(lines.pop(0))
        yield Typed("\n".join(command), "".join(f"{line}\n" for line in shown))


def comparable(text: str) -> str:
    """Return what a terminal shows without what differs from run to run, and without spaces at the ends of lines.

    >>> comparable("3f2a91c0 of 2026-11-30 10:15Z ")
    '######## of #################'
    """
    text = VARIES.sub(lambda found: "#" * len(found[0]), text)
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


class Screen(Stream):
    """What a terminal shows: all output of a command, and the answers that are typed."""

    def __init__(self) -> None:
        super().__init__(is_terminal=True)


class Keyboard(io.TextIOWrapper):
    """The input of a terminal, which shows the answers as they are typed."""

    def __init__(self, answers: list[str], screen: Screen) -> None:
        super().__init__(_Typed("".join(f"{answer}\n" for answer in answers).encode(), screen), encoding="utf-8")

    def isatty(self) -> bool:
        return True


class _Typed(io.BytesIO):
    def __init__(self, content: bytes, screen: Screen) -> None:
        super().__init__(content)
        self._screen = screen

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._echoed(super().readline(size))

    def read1(self, size: int | None = -1, /) -> bytes:
        return self._echoed(super().read1(size))

    def _echoed(self, content: bytes) -> bytes:
        self._screen.write(content.decode())
        return content


class Session:
    """A terminal in a folder: it remembers the folder, the variables and the last exit status."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.status = folder, 0
        self.environment = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "HOME") if name in os.environ}
        self.environment |= ENVIRONMENT

    def run(self, command: str, answers: list[str]) -> str:
        """Run a command, and return what the terminal shows."""
        screen = Screen()
        if not re.search(r"(?:^|[|&] *|^\w+=\S* )promptreg\b", command):
            screen.write(self._shell(command))
        else:
            *before, last = re.split(r" && (?=promptreg)", command, maxsplit=1)
            if before:
                screen.write(self._shell(before[0]))
            self._pipeline(last, answers, screen)
        return screen.written()

    def _shell(self, command: str, stdin: bytes = b"") -> str:
        """Run what is no command of promptreg; `cd` and `export` change this session."""
        first, _, rest = command.partition(" ")
        if first == "cd":
            self.folder = (self.folder / rest).resolve()
            return ""
        if first == "export":
            self.environment |= dict([shlex.split(rest)[0].split("=", 1)])
            return ""
        if command == "echo $?":
            return f"{self.status}\n"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        self.status = done.returncode
        return done.stdout.decode()

    def _pipeline(self, line: str, answers: list[str], screen: Screen) -> None:
        """Run commands that are joined by `|`, of which one at least is promptreg's."""
        here = HERE.search(line)
        line, _, document = line.partition("\n")
        stdin = document.removesuffix(here[1]).encode() if here else None
        commands = _split(HERE.sub("", line), "|")
        for number, command in enumerate(commands):
            is_last = number == len(commands) - 1
            if not re.match(r"(?:\w+=\S* )*promptreg\b", command.strip()):
                stdin = self._shell(command.strip(), stdin or b"").encode()
                if is_last:
                    screen.write(stdin.decode())
                continue
            words = shlex.split(command)
            given, words = _taken(words, "<")
            to, words = _taken(words, ">")
            if given:
                stdin = (self.folder / given).read_bytes()
            out = screen if is_last and not to else Stream()
            source = Keyboard(answers, screen) if stdin is None else Stream(stdin)
            self._promptreg(words, source, out, screen)
            out.flush()
            stdin = out.buffer.getvalue() if out is not screen else None  # type: ignore[attr-defined]
            if to:
                (self.folder / to).write_bytes(stdin or b"")

    def _promptreg(self, words: list[str], stdin: io.TextIOBase, out: io.TextIOBase, screen: Screen) -> None:
        at = words.index("promptreg")
        environment = {**self.environment, **dict(word.split("=", 1) for word in words[:at])}
        with (
            in_folder(self.folder),
            mock.patch.multiple(sys, stdin=stdin, stdout=out, stderr=screen),
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch("promptreg.cli.progress.BEGIN", math.inf),  # else a slow machine draws bars
        ):
            self.status = main(words[at + 1 :])


def _split(line: str, separator: str) -> list[str]:
    """Split a line of a shell at a separator that stands in no quotes."""
    return re.findall(rf"""((?:'[^']*'|"[^"]*"|[^{re.escape(separator)}'"])+)""", line)


def _taken(words: list[str], sign: str) -> tuple[str | None, list[str]]:
    """Return the file behind a redirection, and the words without both."""
    if sign not in words:
        return None, words
    at = words.index(sign)
    return words[at + 1], words[:at] + words[at + 2 :]


def as_it_runs(text: str, folder: Path) -> str:
    """Type the `console` blocks of a page in a session, and return the page with what the terminal showed.

    Where that is the same but for what differs from run to run, the page keeps its own.
    """
    session = Session(folder)

    def run(block: re.Match[str]) -> str:
        return f"```console\n{''.join(_as_it_runs(session, each) for each in typed(block[1]))}```"

    return re.sub(r"^```console\n(.*?)^```$", run, text, flags=re.MULTILINE | re.DOTALL)


def _as_it_runs(session: Session, each: Typed) -> str:
    shown = session.run(each.command, ANSWER.findall(each.shown))
    if comparable(shown) == comparable(each.shown):
        shown = each.shown
    elif not shown.endswith("\n") and shown:
        shown += "\n"
    command = each.command.replace("\n", f"\n{CONTINUED}")
    return f"{PROMPT}{command}\n" + re.sub(r" +$", "", shown, flags=re.MULTILINE)


def rewrite_pages() -> None:
    """Write into each page that is passed what its commands show now; look at the difference before you commit it."""
    for page in map(Path, sys.argv[1:]):
        with TemporaryDirectory() as folder:
            page.write_text(as_it_runs(page.read_text(encoding="utf-8"), Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    rewrite_pages()
