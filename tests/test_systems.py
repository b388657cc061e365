"""Systems with fewer features than Linux: the same registry, with these features removed or failing."""

import errno
import math
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptreg import Registry, StorageError
from promptreg.storage.sqlite import system
from promptreg.storage.sqlite.sidecar import Sidecar
from tests import HIDDEN
from tests.remote import ROOT, Remote

EVERYWHERE = (
    "test_storage_contract",
    "test_freshness",
    "test_rules_versions",
    "test_rules_drafts",
    "test_rules_writers",
)
RULES = sorted(file.stem for file in (ROOT / "tests").glob("test_rules_*.py"))


def run_without_posix(*names: str) -> str:
    """Run test files in processes with only what Windows has, and return the last line of pytest."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-rs",
            "-n0",
            "-p",
            "tests.without_posix",
            "-p",
            "no:cacheprovider",
        ]
        + [f"tests/{name}.py" for name in names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def counted(line: str, what: str) -> int:
    found = re.search(rf"(\d+) {what}", line)
    return int(found[1]) if found else 0


@pytest.mark.slow
def test_the_storage_contract_needs_nothing_that_only_posix_has() -> None:
    """The complete contract holds in processes without POSIX."""
    assert counted(run_without_posix("test_storage_contract"), "passed") >= 25


@pytest.mark.slow
def test_nothing_that_only_posix_has_is_needed() -> None:
    """The contract, freshness and rules hold without POSIX; tests of POSIX itself are skipped, with the reason."""
    last = run_without_posix(*EVERYWHERE)
    assert counted(last, "passed") > 150
    assert counted(last, "skipped") == 14


@pytest.mark.stress
def test_no_rule_needs_what_only_posix_has() -> None:
    """Every test file of the rules passes in processes without POSIX."""
    assert counted(run_without_posix(*RULES), "passed") > 1_000


@pytest.mark.slow
def test_a_process_without_posix_uses_the_alternatives(tmp_path: Path) -> None:
    """It has no memory map, no queue, and none of promptreg's files open, so that the runs above are valid."""
    program = """
import os, sys
import tests
from promptreg import Registry
from promptreg.storage.sqlite import sidecar, system

with Registry(sys.argv[1]) as registry:
    registry.create("greet", "Hello")
    storage = registry._core.storage
    ours = [f for f in os.listdir("/proc/self/fd") if "-promptreg" in str(os.path.realpath(f"/proc/self/fd/{f}"))]
    print(system.MAPS, system.LOCKS, type(storage.publisher.signal).__name__, storage._queue, ours)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "prompts.db")],
        cwd=ROOT,
        env={**os.environ, "PROMPTREG_TESTS_WITHOUT_POSIX": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False False UnmappedSidecar None []\n"


# Together with a process that has POSIX


def check_the_sidecar_alone(registry: Registry) -> None:
    """Disable the check every 50 ms, so that only the sidecar shows a change."""
    registry._core.cache.generation.until = math.inf


@pytest.mark.slow
def test_each_process_sees_what_the_other_writes_by_the_next_read(path: str) -> None:
    """A process without a memory map publishes to processes with one, and sees what they commit."""
    with Registry(path) as registry, Remote(path, without_posix=True) as other:
        registry.create("greet", "0")
        for number in range(1, 60, 2):
            assert registry.get("greet").template == other.call("get", "greet").template == str(number - 1)
            check_the_sidecar_alone(registry)
            other.call("update", "greet", template=str(number))
            assert registry.get("greet").template == str(number)
            assert other.call("render", "greet").text == str(number)
            registry.update("greet", template=str(number + 1))


@pytest.mark.slow
def test_a_process_without_posix_publishes_what_it_reads(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a writer dies before it publishes its commit, a process that reads the commit publishes it, mapped or not."""
    with Registry(path) as registry, Registry(path) as dying, Remote(path, without_posix=True) as other:
        registry.create("greet", "Hello")
        assert registry.get("greet").template == other.call("get", "greet").template == "Hello"
        check_the_sidecar_alone(registry)
        with monkeypatch.context() as patch:
            patch.setattr(Sidecar, "publish", lambda *_: None)
            dying.update("greet", template="Hi")
        assert registry.get("greet").template == "Hello"
        assert other.call("get", "greet").template == "Hi"
        assert registry.get("greet").template == "Hi"


# Features that some systems don't have


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EMLINK, None])
def test_a_file_system_without_links_can_hold_a_registry(
    path: str, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    """FAT and some network file systems refuse links; created files have the database's mode there too."""
    Path(path).touch()
    os.chmod(path, 0o660)
    with monkeypatch.context() as patch:
        if code is None:
            patch.delattr(os, "link")
        else:
            patch.setattr(os, "link", failing(code))
        with Registry(path) as registry:
            registry.create("greet", "Hello")
            for suffix in ("-promptreg", "-promptreg-queue"):
                assert stat.S_IMODE(os.stat(path + suffix).st_mode) == 0o660
    assert sorted(os.listdir(Path(path).parent)) == ["prompts.db", "prompts.db-promptreg", "prompts.db-promptreg-queue"]


@pytest.mark.parametrize("lacks", [True, False])
def test_no_symbolic_link_is_followed_by_writes(path: str, tmp_path: Path, monkeypatch: Any, lacks: bool) -> None:
    """A symbolic link with the sidecar's name is refused, by the system or by a check."""
    target = tmp_path / "target"
    target.write_text("somebody's")
    Path(f"{path}-promptreg").symlink_to(target)
    with monkeypatch.context() as patch:
        if lacks:
            patch.setattr(system, "_FLAGS", system._FLAGS & ~os.O_NOFOLLOW)
            patch.delattr(os, "O_NOFOLLOW")
        with pytest.raises(StorageError, match="must be a file of the registry's own") as caught:
            Registry(path)
    assert caught.value.details["reason"] == "sidecar"
    assert target.read_text() == "somebody's"


def test_every_connection_has_its_syncs_reach_the_disk_on_macos(path: str) -> None:
    """This holds for connections that write, that only check, and that close last, which may checkpoint."""
    levels: list[int] = []

    def read() -> None:
        with registry._core.storage.read() as reader:
            levels.extend(reader._connection.execute("PRAGMA fullfsync").fetchone())  # type: ignore[attr-defined]

    with Registry(path) as registry:
        read()
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        with registry._core.storage.monitor() as changes_since:
            levels.extend(changes_since.__self__._watching.watcher().connection.execute("PRAGMA fullfsync").fetchone())  # type: ignore[attr-defined]
    assert levels == [1, 1, 1]


def test_only_one_module_names_features_of_the_system() -> None:
    """No other module names the removed features, or the system that it runs on."""
    names = "|".join((*HIDDEN, "PROT_READ", "access", "name"))
    words = re.compile(rf"\b(?:os|mmap)\.(?:{names})\b|\bfcntl\b|sys\.platform|import platform")
    sources = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "promptreg").rglob("*.py")}
    assert [name for name, text in sources.items() if words.search(text)] == ["system.py"]
