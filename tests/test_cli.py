"""The command line: `python -m promptreg demo`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from promptreg import Registry
from promptreg.cli import main


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "promptreg", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_demo_prints_every_step_in_one_screen_and_leaves_no_file(tmp_path: Path) -> None:
    """It seeds, renders, calls an SDK, drafts, publishes, compares, rolls back, reports, disables and archives."""
    done = run("demo", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    steps = [line for line in done.stdout.splitlines() if line.startswith("•")]
    words = [
        "seed",
        "render",
        "OpenAI",
        "chat",
        "draft",
        "publish",
        "seed",
        "diff",
        "roll back",
        "report",
        "disable",
        "archive",
        "render",
        "who",
    ]
    assert len(steps) == len(words)
    assert [word for word, step in zip(words, steps, strict=True) if word not in step] == []
    assert "prompt_disabled" in done.stdout
    assert "prompt_archived" in done.stdout
    assert "Is {{ this }} safe?" in done.stdout
    assert len(done.stdout.splitlines()) <= 50
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_demo_keeps_an_existing_registry_and_runs_in_it_again(tmp_path: Path) -> None:
    """`--db FILE` keeps the prompts in the file, and uses a new namespace each time."""
    path = tmp_path / "mine.db"
    with Registry(path) as registry:
        registry.create("summarize", "Mine")
    for _ in range(2):
        assert run("demo", "--db", str(path), cwd=tmp_path).returncode == 0
    with Registry(path) as registry:
        assert registry.namespaces() == ["default", "demo-1", "demo-2"]
        assert registry.get("summarize").template == "Mine"
        assert registry.scope(namespace="demo-2").get("summarize").status == "archived"


def test_a_file_that_can_not_be_used_is_one_line_and_status_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the error's code and what to do, without a traceback."""
    assert main(["demo", "--db", str(tmp_path)]) == 3
    assert (
        capsys.readouterr().err
        == f"promptreg: internal_error: {tmp_path} is a folder; pass the path of a file in it.\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "is_buffered"),
    [
        (["demo"], True),
        (["demo"], False),
        (["demo", "--trace"], True),
        (["demo", "--trace"], False),
        (["--help"], True),  # unbuffered, argparse ignores the error itself
    ],
)
def test_a_closed_pipe_ends_it_silently(tmp_path: Path, arguments: list[str], is_buffered: bool) -> None:
    """As with `| head -1`, there is no traceback, the status is that of SIGPIPE, and no file remains."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "" if is_buffered else "1"}
    command = [sys.executable, "-m", "promptreg", *arguments]
    try:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["demo"], ["demo", "--trace"], ["--version"]])
def test_output_that_can_not_be_written_is_one_line_and_status_3(tmp_path: Path, arguments: list[str]) -> None:
    """This holds for a full disk; if output is not buffered, argparse ignores such errors itself."""
    command, environment = [sys.executable, "-m", "promptreg", *arguments], {**os.environ, "PYTHONUNBUFFERED": ""}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left" in done.stderr


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the version, and an unknown command is a usage error."""
    assert (main(["--version"]), main(["lisst"])) == (0, 2)
    assert capsys.readouterr().out.startswith("promptreg 0.")
