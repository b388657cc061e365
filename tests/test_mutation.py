"""The mutation run: its mutants, its files and tests, and its results."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import mutation
from tests.mutation import mutants, relevant, sources

SOURCE = '''\
def first(a: int, b: bool = True) -> int | None:
    """Say 7; a docstring is never changed."""
    if a < 1 and not b:
        raise ValueError(f"{a + 1}")
    for item in range(a):
        if item == 2:
            continue
        print(item)
    first.seen = a + 1
    return a if b is None else -a
'''
CHANGES = [
    "1: True -> False",
    "3: a < 1 and not b -> (a < 1 or not b)",
    "3: a < 1 -> (a <= 1)",
    "3: 1 -> 2",
    "3: not b -> (b)",
    '4: raise ValueError(f"{a + 1}") -> pass',
    "6: item == 2 -> (item != 2)",
    "6: 2 -> 3",
    "7: continue -> pass",
    "8: print(item) -> pass",
    "9: first.seen = a + 1 -> pass",
    "9: a + 1 -> (a - 1)",
    "9: 1 -> 2",
    "10: return a if b is None else -a -> return None",
    "10: a if b is None else -a -> (-a if b is None else a)",
    "10: b is None -> (b is not None)",
]


def test_each_operator_changes_one_place() -> None:
    """It changes comparisons, booleans, constants, returned values and statements, and no docstring or message."""
    found = mutants("x.py", SOURCE)
    changes = [f"{mutant.line}: {mutant.change.replace('  ->  ', ' -> ')}" for mutant in found]
    assert sorted(changes) == sorted(CHANGES)
    for mutant in found:
        changed = mutant.applied_to(SOURCE.encode())
        compile(changed, "x.py", "exec")
        assert changed != SOURCE.encode()


def test_positions_count_bytes() -> None:
    """A mutant is at the right place after characters of several bytes."""
    (mutant,) = mutants("x.py", "ü, a = 'é', b == c\n")
    assert mutant.applied_to("ü, a = 'é', b == c\n".encode()) == "ü, a = 'é', (b != c)\n".encode()


def test_every_file_of_the_package_has_existing_tests() -> None:
    """The table covers each folder, and names only existing test files."""
    files = sources("promptreg/")
    assert {path.split("/")[1] for path in files} == set(mutation.ROOMS)
    assert [test for path in files for test in relevant(path) if not (mutation.ROOT / test).exists()] == []


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with one number, and a test that also passes with that number plus one."""
    root = tmp_path / "root"
    (root / "promptreg" / "rules").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "promptreg" / "__init__.py").touch()
    (root / "promptreg" / "rules" / "__init__.py").touch()
    (root / "promptreg" / "rules" / "ages.py").write_text("ADULT = 18\n")
    test = "from promptreg.rules.ages import ADULT\n\ndef test_it():\n    assert ADULT > 17\n"
    (root / "tests" / "test_ages.py").write_text(test)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # which take most of the time of a start
    monkeypatch.setattr(mutation, "ROOT", root)
    monkeypatch.setattr(mutation, "TESTS", {"promptreg/rules": "ages"})
    monkeypatch.setattr(sys, "argv", ["mutation", "--results", str(tmp_path / "results")])
    return root


@pytest.mark.slow
def test_survivors_are_listed_until_a_test_notices_them(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mutants are not tested twice, survivors are on request, and the original tree is unchanged."""
    before = {file: file.read_bytes() for file in tree.rglob("*.py")}
    summary = ["1 of 1 mutants were tried; 1 survived:", "promptreg/rules/ages.py:1  18  ->  19"]
    assert mutation.main() == 1
    assert capsys.readouterr().out.splitlines()[1:] == summary
    assert mutation.main() == 1
    assert capsys.readouterr().out.splitlines() == summary
    assert {file: file.read_bytes() for file in tree.rglob("*.py")} == before
    test = tree / "tests" / "test_ages.py"
    test.write_text(test.read_text().replace("ADULT > 17", "ADULT == 18"))
    sys.argv.append("--again")
    assert mutation.main() == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["1 of 1 mutants were tried; 0 survived."]


def test_a_test_that_fails_without_any_change_ends_the_run(tree: Path) -> None:
    """The run ends, because otherwise every mutant would count as killed."""
    (tree / "tests" / "test_ages.py").write_text("def test_it():\n    assert False\n")
    with pytest.raises(SystemExit, match=r"tests/test_ages\.py fails on the code as it is"):
        mutation.main()


def test_it_is_one_command() -> None:
    """`python -m tests.mutation --help` names its options."""
    command = [sys.executable, "-m", "tests.mutation", "--help"]
    output = subprocess.run(command, cwd=mutation.ROOT, capture_output=True, text=True, check=True).stdout
    assert [option for option in ("--most", "--seed", "--only", "--again", "--results") if option not in output] == []
