"""README is run: its examples print what it says, its commands are those of .ci/run, its picture is the tree."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.util._once import Once

import promptreg

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
TEST_COMMAND = "python -m pip install -e '.[test]' && python -m pytest"
RUN_COMMAND = "python -m pip install . && python -m promptreg demo"


def test_every_example_prints_what_the_text_below_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All Python blocks run in order, as one program, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)  # which an example sets, for this test alone
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    names: dict[str, Any] = {}
    compared = 0
    for (language, block), (kind, expected) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, "README.md", "exec"), names)
        assert kind == "text", f"an example without its output: {block}"
        assert printed.getvalue() == expected
        compared += 1
    assert compared >= 8


def test_the_two_commands_are_on_the_first_screen_and_ci_runs_the_test_command() -> None:
    """The commands stand in README as they are run."""
    first_screen = README[: README.index("## The main ideas")]
    assert RUN_COMMAND in first_screen
    assert TEST_COMMAND in first_screen
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_picture_of_the_rooms_is_the_tree() -> None:
    """Every module of the package is in "How it is built", and nothing else is."""
    picture = README[README.index("promptreg/\n") : README.index("tests/  benchmarks/")]
    drawn = set(re.findall(r"(\w+\.py)\b", picture))
    package = Path(promptreg.__file__).parent
    modules = {path.name for path in package.rglob("*.py") if path.parent == package or path.name != "__init__.py"}
    assert drawn == modules


def test_every_guarantee_names_a_test_that_exists() -> None:
    """The table points at files that are there."""
    guarantees = README[README.index("## Guarantees") : README.index("## Changes")]
    named = set(re.findall(r"tests/\w+\.py", guarantees))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_public_name_has_a_docstring() -> None:
    """What `__all__` lists, and every public method of the classes in it."""
    bare = []
    for name in promptreg.__all__:
        value = getattr(promptreg, name)
        members = {} if not isinstance(value, type) else {k: v for k, v in vars(value).items() if callable(v)}
        bare += [name] * (not value.__doc__)
        bare += [f"{name}.{key}" for key, member in members.items() if key[0] != "_" and not member.__doc__]
    assert bare == []
