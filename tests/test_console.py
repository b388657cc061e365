"""Terminal sessions of the documentation (`console.py`): what is typed runs, and what differs is written anew."""

import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console import ANSWER, Session, as_it_runs, comparable, typed
from tests.terminal import open_terminal

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A session in an empty folder."""
    return Session(tmp_path)


def page(*lines: str) -> str:
    """Return a page with one block."""
    return "\n".join(["# Page", "", "```console", *lines, "```", ""])


def test_a_page_that_shows_what_happens_stays(tmp_path: Path) -> None:
    """Times, ids and hashes of another run are no difference."""
    shown = page("$ echo 2026-01-02 10:00Z 3f2a91c", "2025-11-30 23:59Z 0a1b2c3", "$ true")
    assert as_it_runs(shown, tmp_path) == shown


@pytest.mark.parametrize(
    ("shown", "actual"),
    [
        (["$ echo one"], ["$ echo one", "one"]),
        (["$ echo one", "two"], ["$ echo one", "one"]),
        (["$ true", "more"], ["$ true"]),
        (["$ promptreg namespaces", "default"], ["$ promptreg namespaces", "promptreg: internal_error: There is no…"]),
    ],
)
def test_what_differs_is_written_anew(shown: list[str], actual: list[str], tmp_path: Path) -> None:
    """Output that is missing, other or too much is replaced by what a terminal shows."""
    written = as_it_runs(page(*shown), tmp_path)
    assert written != page(*shown)
    assert written.startswith("\n".join(["# Page", "", "```console", *actual]).removesuffix("…"))


def test_commands_of_promptreg_run_in_pipes_with_redirections_and_documents(session: Session) -> None:
    """They run as in a shell, one after another on the same files."""
    assert session.run("echo 'Hello {{ name }}' | promptreg new greet", []) == "greet: version 1 is live\n"
    assert (
        session.run("promptreg update greet --draft <<'END'\nHi {{ name }}\nEND", []) == "greet: version 2 is a draft\n"
    )
    assert session.run("promptreg show greet@2 --json > shown.json", []) == ""
    assert '"template": "Hi {{ name }}"' in session.run("cat shown.json", [])
    session.run('echo \'{"name": "Ana | Bo"}\' > vars.json', [])
    assert session.run("promptreg render greet --vars - < vars.json", []) == "Hello Ana | Bo\n"
    assert session.run("promptreg list --nl | wc -l", []).strip() == "1"
    assert session.run("true && promptreg namespaces", []) == "default\n"


def test_the_folder_the_variables_and_the_status_last(session: Session, tmp_path: Path) -> None:
    """`cd`, `export` and `echo $?` mean what they mean in a shell."""
    (tmp_path / "sub").mkdir()
    session.run("cd sub", [])
    session.run('export PROMPTREG_DB="my prompts.db"', [])
    session.run("promptreg init", [])
    assert (tmp_path / "sub" / "my prompts.db").exists()
    assert session.run("PROMPTREG_DB=absent.db promptreg list", []).startswith("promptreg: internal_error")
    assert session.run("echo $?", []) == "3\n"


def test_an_answer_is_typed_and_seen(session: Session) -> None:
    """A question is asked on the terminal, and what is typed is seen behind it."""
    session.run("echo Hello | promptreg new greet", [])
    assert session.run("promptreg delete greet", ["n"]).endswith("[y/N] n\npromptreg: nothing is changed.\n")
    assert "[y/N] y\n" in session.run("promptreg delete greet", ["y"])


def test_a_block_is_read_as_commands_and_what_they_show() -> None:
    """A command goes on in the lines that begin with `> `; a block begins with one."""
    assert [*typed("$ cat <<'E'\n> a\n> E\na\n$ ls\n")] == [("cat <<'E'\na\nE", "a\n"), ("ls", "")]
    with pytest.raises(AssertionError, match="begins with a command"):
        [*typed("ls\n")]


def test_numbers_and_words_are_compared() -> None:
    """Only what differs from run to run is ignored."""
    assert comparable("version 12 of decade, 1234567 prompts") != comparable("version 13 of decade, 1234567 prompts")
    assert comparable("01a22a99-9904-7b7c-95c2-850898f7238b") == comparable("01a22a99-0000-7b7c-95c2-850898f7238b")


class RealSession(Session):
    """Runs each command by a shell on a terminal of the system, with the installed `promptreg`."""

    def run(self, command: str, answers: list[str]) -> str:
        if not re.search(r"\bpromptreg\b", command):
            return super().run(command, answers)
        import fcntl
        import struct
        import termios

        ours, theirs = open_terminal()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {
            **self.environment,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{self.environment['PATH']}",
        }
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=self.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        shown = self._read(ours, [*answers])
        os.close(ours)
        self.status = process.wait(30)
        return shown.decode().replace("\r\n", "\n")

    def _read(self, terminal: int, answers: list[str]) -> bytes:
        shown = b""
        while select.select([terminal], [], [], 30)[0]:
            try:
                shown += os.read(terminal, 65_536)
            except OSError:  # Linux's end of a terminal
                break
            if answers and shown.endswith(b"[y/N] "):
                os.write(terminal, f"{answers.pop(0)}\n".encode())
        return shown


@pytest.mark.slow
def test_a_terminal_of_the_system_shows_what_the_readme_says(tmp_path: Path) -> None:
    """The commands of the README, each a process of its own on a terminal, show what they show in this process."""
    session = RealSession(tmp_path)
    for block in re.findall(r"^```console\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for command, shown in typed(block):
            assert comparable(session.run(command, ANSWER.findall(shown))) == comparable(shown), command
