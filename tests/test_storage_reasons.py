"""`details["reason"]`: each `StorageError` has a reason, which is a word of one documented table."""

import ast
import os
import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import promptreg
from promptreg import Registry, StorageError
from promptreg.errors import STORAGE_REASONS

ROOT = Path(__file__).parent.parent
KINDS = {
    name
    for name in promptreg.__all__
    if isinstance(getattr(promptreg, name), type) and issubclass(getattr(promptreg, name), StorageError)
}


def made(tree: ast.AST) -> list[ast.Call]:
    """Return each call that creates a `StorageError` or an instance of a subclass."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in KINDS]


def reasons(call: ast.Call) -> list[object]:
    """Return the words that a call passes as the reason, if any."""
    passed = [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
    return [value.value if isinstance(value, ast.Constant) else ast.unparse(value) for value in passed]


def test_every_storage_error_has_a_reason_of_the_table_and_each_reason_is_used() -> None:
    """No `StorageError` in the source lacks a reason or has another one."""
    used = {
        f"{file.relative_to(ROOT)}:{call.lineno}": reasons(call)
        for file in (ROOT / "promptreg").rglob("*.py")
        for call in made(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert len(used) > 20
    assert {at: words for at, words in used.items() if len(words) != 1 or words[0] not in STORAGE_REASONS} == {}
    assert {word for words in used.values() for word in words} == set(STORAGE_REASONS)


def test_the_page_of_errors_documents_each_reason() -> None:
    """The table of the page is that of the source, in the same order."""
    page = (ROOT / "promptreg" / "docs" / "errors.md").read_text(encoding="utf-8")
    _, text = page.split("| reason | meaning |\n| --- | --- |\n")
    rows = text.split("\n\n")[0].splitlines()
    assert rows == [f"| `{word}` | {meaning} |" for word, meaning in STORAGE_REASONS.items()]


def closed(path: str) -> None:
    registry = Registry(path)
    view = registry.scope(namespace="team")
    registry.close()
    view.list()


def held(path: str) -> None:
    with Registry(path, busy_timeout=0.1) as registry, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        registry.create("a", "x")


def replaced(path: str) -> None:
    Registry(f"{path}-2").close()
    with Registry(path) as registry:
        os.replace(f"{path}-2", path)
        registry.list()


def without(suffix: str) -> Callable[[str], None]:
    def call(path: str) -> None:
        with Registry(path) as registry:
            registry.create("a", "x")
            os.unlink(path + suffix)
            registry.list()

    return call


def with_the_log_of_another(path: str) -> None:
    Registry(f"{path}-2").close()
    with Registry(path) as registry:
        registry.create("a", "x")
        os.replace(f"{path}-2", path)
        Registry(path)


def changed_by(statement: str) -> Callable[[str], None]:
    def call(path: str) -> None:
        with Registry(path) as registry:
            registry.create("a", "x")
        with closing(sqlite3.connect(path, isolation_level=None)) as tool:
            tool.execute(statement)
        with Registry(path) as registry:
            registry.get("a")

    return call


def beside_a_folder(path: str) -> None:
    os.mkdir(f"{path}-promptreg")
    Registry(path)


def in_the_middle(path: str) -> None:
    with Registry(path) as registry, registry._core.storage.read():
        registry.list()


def forked_without_hooks(path: str) -> None:
    """Return the error in a process whose id is not that of the process that opened the registry."""
    registry = Registry(path)
    registry._core.storage._connections._pid = -1  # type: ignore[attr-defined]
    try:
        registry.list()
    finally:
        registry._core.storage._connections._pid = os.getpid()  # type: ignore[attr-defined]
        registry.close()


def of_another_tool(path: str) -> None:
    with closing(sqlite3.connect(path)) as tool:
        tool.execute("CREATE TABLE t (a)")
    Registry(path)


def of_text(path: str) -> None:
    Path(path).write_text("no database, but long enough to be read as one " * 40)
    Registry(path)


PROVOKED: dict[str, tuple[str, Callable[[str], object]]] = {
    "closed": ("closed", closed),
    "in the middle": ("nested", in_the_middle),
    "forked without the hooks": ("fork", forked_without_hooks),
    "absent": ("missing_file", lambda path: Registry(path, create=False)),
    "absent folder": ("missing_folder", lambda path: Registry(f"{path}/no/such.db")),
    "folder": ("folder", lambda path: Registry(os.path.dirname(path))),
    "another tool's": ("not_a_registry", of_another_tool),
    "text": ("not_a_registry", of_text),
    "removed": ("removed", without("")),
    "replaced": ("replaced", replaced),
    "log lost": ("log_lost", without("-wal")),
    "foreign log": ("foreign_log", with_the_log_of_another),
    "sidecar": ("sidecar", beside_a_folder),
    "newer": ("schema_too_new", changed_by("PRAGMA user_version = 9999")),
    "busy": ("busy", held),
    "damaged": ("damaged", changed_by("UPDATE prompts SET status = 'archived'")),
    "unusable": ("unusable", lambda path: Registry(f"{path}{'x' * 300}")),
}


@pytest.mark.parametrize("what", PROVOKED)
def test_the_reason_is_the_true_one(path: str, what: str) -> None:
    """Each provoked failure has its reason in the details, and so in the envelope and in a pickle."""
    reason, call = PROVOKED[what]
    with pytest.raises(StorageError) as caught:
        call(path)
    error = caught.value
    assert error.details["reason"] == reason
    assert error.to_dict()["error"]["details"]["reason"] == reason
    assert pickle.loads(pickle.dumps(error)).details == error.details
