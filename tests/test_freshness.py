"""Fresh reads: a read sees everything that another process wrote before it began; cached errors are fresh too."""

import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from promptreg import Actor, InvalidInputError, NotFoundError, PromptregError, Registry
from promptreg.storage.sqlite.sidecar import Sidecar, revision_of
from tests.remote import Remote, run_program
from tests.storages import POSTGRES, target_of
from tests.test_storage_sqlite import raw

NOTICED_SECONDS = 0.06  # 50 ms are promised

Read = Callable[[Registry], object]


@pytest.fixture
def registry(path: str) -> Iterator[Registry]:
    """A new registry whose reads see each write of another process at once."""
    with Registry(path, freshness="strict" if path.startswith(POSTGRES) else "bounded") as opened:
        yield opened


@pytest.fixture
def other(path: str) -> Iterator[Remote]:
    """Another process with a registry of the same file."""
    with Remote(path) as remote:
        yield remote


def outcome(read: Read, registry: Registry) -> object:
    """Return what a read returns, or the name of its error."""
    try:
        return read(registry)
    except PromptregError as error:
        return type(error).__name__


# The stress test


def run_stress(path: str, commits: int, seconds: float, freshness: str = "strict") -> None:
    seen = run_program("tests.freshness", path, commits, freshness, seconds=seconds)
    assert (seen["stale"], seen["backwards"], seen["errors"]) == ([], [], [])
    assert seen["marked"] == 0 or freshness != "strict"
    assert seen["commits"] >= commits
    assert seen["commits"] <= seen["counted"] <= seen["commits"] + seen["killed"]
    assert seen["killed_behind_commit"] >= 1
    assert seen["reads"] > commits


@pytest.mark.parametrize("commits", [200, pytest.param(2_000, marks=pytest.mark.slow)])
def test_no_read_in_any_process_is_stale_or_goes_backwards(path: str, commits: int) -> None:
    """While writers are killed, 4 processes of 4 threads read: no read is stale, and none goes backwards."""
    run_stress(path, commits, 400)


@pytest.mark.stress
def test_no_read_of_many_is_stale_or_goes_backwards(path: str) -> None:
    """The same holds for 100,000 commits."""
    run_stress(path, 100_000, 6_000)


# Changes by another process


CHANGES: dict[str, tuple[tuple[Any, ...], dict[str, Any], Read]] = {
    "update": (("update", "greet"), {"template": "Hi"}, lambda r: r.render("greet").text),
    "draft": (("update", "greet"), {"template": "Hi", "is_production": False}, lambda r: r.get("greet").latest_version),
    "edit": (("update", "greet@3"), {"template": "Edited"}, lambda r: r.render("greet@3").text),
    "publish": (("publish", "greet", 2), {}, lambda r: r.get("greet").production_version),
    "rollback": (("rollback", "greet@2"), {"reason": "x"}, lambda r: r.get("greet@production").version),
    "discard": (("discard", "greet", 3), {}, lambda r: r.get("greet@3").version),
    "new label": (("set_label", "greet", "staging", 1), {}, lambda r: r.get("greet@staging").version),
    "moved label": (("set_label", "greet", "kept", 1), {}, lambda r: r.render("greet@kept").version),
    "lost label": (("remove_label", "greet", "kept"), {}, lambda r: r.get("greet").labels),
    "old name": (("update", "greet"), {"new_name": "hail"}, lambda r: r.get("greet").name),
    "new name": (("update", "greet"), {"new_name": "hail"}, lambda r: r.get("hail").name),
    "grants": (("update", "greet"), {"access_grants": [("anyone", "read")]}, lambda r: r.get("greet").access_grants),
    "granted": (
        ("update", "greet"),
        {"access_grants": [("user:ana", "read")]},
        lambda r: r.scope(actor=Actor("ana")).get("greet").name,
    ),
    "disable": (("set_status", "greet", "disabled"), {}, lambda r: r.render("greet").text),
    "archive": (("archive", "greet"), {}, lambda r: r.get("greet").status),
    "archive of a list": (("archive", "greet"), {}, lambda r: [prompt.name for prompt in r.list()]),
    "delete": (("set_status", "greet", "deleted"), {}, lambda r: r.get("greet").name),
    "delete by version": (("set_status", "greet", "deleted"), {}, lambda r: r.render("greet@1").text),
    "create": (("create", "new", "New"), {}, lambda r: r.render("new").text),
    "create of a search": (("create", "new", "Hello"), {}, lambda r: [prompt.name for prompt in r.search("hello")]),
}


def assert_seen_at_once(registry: Registry, other: Remote, change: str) -> None:
    """Assert that a change by another process is seen by the first read after its call has returned."""
    called, more, read = CHANGES[change]
    other.path = target_of(registry)
    registry.create("greet", "Hello")
    registry.update("greet", template="Hello again")
    registry.rollback("greet", reason="x")
    registry.update("greet", template="Draft", is_production=False)
    registry.set_label("greet", "kept", 2)
    other.call("open")
    before = outcome(read, registry)
    assert outcome(read, registry) == before
    other.call(*called, **more)
    after = outcome(read, registry)
    assert after != before, change
    with Registry(target_of(registry)) as fresh:
        assert after == outcome(read, fresh), change


@pytest.mark.sqlite
def test_the_very_next_read_sees_any_change_of_another_process(tmp_path: Path) -> None:
    """Rule 16: the first read after another process's call has returned sees its change, with a warm cache."""
    with Remote("") as other:
        for number, change in enumerate(CHANGES):
            with Registry(tmp_path / f"{number}.db") as registry:
                assert_seen_at_once(registry, other, change)


FACTS: dict[str, tuple[Read, str, tuple[Any, ...], tuple[Any, ...]]] = {
    "absent": (
        lambda r: r.get("new").template,
        "NotFoundError",
        ("create", "new", "Hello"),
        ("set_status", "new", "deleted"),
    ),
    "absent with a default": (
        lambda r: r.render("new", default="none").text,
        "none",
        ("create", "new", "Hello"),
        ("set_status", "new", "deleted"),
    ),
    "unknown label": (
        lambda r: r.render("greet@staging").text,
        "VersionNotFoundError",
        ("set_label", "greet", "staging", 1),
        ("remove_label", "greet", "staging"),
    ),
    "disabled": (
        lambda r: r.render("greet").text,
        "PromptDisabledError",
        ("set_status", "greet", "active"),
        ("set_status", "greet", "disabled"),
    ),
    "archived": (
        lambda r: r.get("greet").is_active,
        "False",
        ("restore", "greet"),
        ("archive", "greet"),
    ),
}


@pytest.mark.parametrize("fact", FACTS)
def test_a_cached_error_ends_and_returns_with_its_cause(registry: Registry, other: Remote, fact: str) -> None:
    """Whenever another process removes or restores the cause of a cached error, the next read sees it."""
    read, expected, make, unmake = FACTS[fact]
    registry.create("greet", "Hello")
    if fact in {"disabled", "archived"}:
        other.call(*unmake)
    for _ in range(3):
        assert [str(outcome(read, registry)) for _ in range(3)] == [expected] * 3
        other.call(*make)
        assert str(outcome(read, registry)) in {"Hello", "True"}
        other.call(*unmake)
    assert str(outcome(read, registry)) == expected


def test_a_missing_production_version_is_an_error_until_one_is_published(registry: Registry, other: Remote) -> None:
    """`NoProductionVersionError`, however often it was raised, ends when another process publishes."""
    registry.create("draft", "Hello", is_production=False)
    read: Read = lambda r: r.render("draft").text  # noqa: E731
    assert [outcome(read, registry) for _ in range(3)] == ["NoProductionVersionError"] * 3
    other.call("publish", "draft", 1)
    assert outcome(read, registry) == "Hello"


def test_a_new_prompt_of_a_deleted_name_is_another_prompt(registry: Registry, other: Remote) -> None:
    """After the new prompt was created, nothing of the old one is returned, by name or id."""
    old = registry.create("greet", "Old", config={"a": 1})
    assert registry.get(old.id) == registry.get("greet") == old
    other.call("set_status", "greet", "deleted")
    new = other.call("create", "greet", "New")
    assert registry.get("greet") == new
    assert outcome(lambda r: r.get(old.id), registry) == "NotFoundError"


def test_a_commit_keeps_the_cache_entries_of_unchanged_prompts(registry: Registry, other: Remote) -> None:
    """Only the changed prompt is loaded again; reads of the others return the same object."""
    for i in range(20):
        registry.create(f"p{i}", f"text {i}")
    before = [registry.get(f"p{i}") for i in range(20)]
    other.call("update", "p7", template="changed")
    after = [registry.get(f"p{i}") for i in range(20)]
    assert [i for i in range(20) if after[i] is not before[i]] == [7]
    assert after[7].template == "changed"


# Commits by other tools


def restore(source: str, target: str) -> None:
    """Restore a backup over an open registry, as SQLite tools do."""
    with closing(raw(source)) as backup, closing(raw(target)) as connection:
        backup.backup(connection)


def back_up(source: str, target: str) -> str:
    restore(source, target)
    return target


def assert_seen_while_reading(condition: Callable[[], bool]) -> None:
    """Check that, while reading without pause, a read that begins after the promised time sees the change."""
    promised, is_promised = time.monotonic() + NOTICED_SECONDS, False
    while not is_promised:
        is_promised = time.monotonic() > promised
        is_seen = condition()
    assert is_seen


@pytest.mark.sqlite
@pytest.mark.parametrize("settings", [{}, {"max_staleness": 0.05}, {"max_staleness": 60}], ids=str)
def test_a_backup_restored_over_the_open_file_is_noticed(path: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    """After 50 ms every read returns the older contents, of a lower revision, and errors for missing prompts."""
    with Registry(path, **settings) as registry:
        registry.create("greet", "Old")
        saved = back_up(path, str(tmp_path / "saved.db"))
        registry.update("greet", template="New")
        registry.create("later", "Later")
        assert (registry.render("greet").text, registry.render("later").text) == ("New", "Later")
        restore(saved, path)
        time.sleep(NOTICED_SECONDS)
        assert (registry.get("greet").template, registry.get("greet").latest_version) == ("Old", 1)
        assert outcome(lambda r: r.get("later"), registry) == "NotFoundError"
        assert [prompt.name for prompt in registry.list()] == ["greet"]


@pytest.mark.sqlite
def test_a_restored_backup_is_noticed_by_continuous_reads(registry: Registry, tmp_path: Path) -> None:
    """A registry that is read without pause notices it too."""
    registry.create("greet", "Old")
    saved = back_up(registry.path, str(tmp_path / "saved.db"))
    registry.update("greet", template="New")
    latest = back_up(registry.path, str(tmp_path / "latest.db"))
    assert registry.get("greet").template == "New"
    for source, text in [(saved, "Old"), (latest, "New"), (saved, "Old")]:
        restore(source, registry.path)
        assert_seen_while_reading(lambda text=text: registry.get("greet").template == text)


@pytest.mark.sqlite
def test_other_contents_with_the_same_revision_are_noticed(registry: Registry, tmp_path: Path) -> None:
    """Restoring one of two diverged copies of equal revisions over the other is noticed."""
    registry.create("greet", "Hello")
    twin = back_up(registry.path, str(tmp_path / "twin.db"))
    with Registry(twin) as other:
        other.update("greet", template="Twin")
    registry.update("greet", template="Ours")
    assert registry.get("greet").template == "Ours"
    restore(twin, registry.path)
    time.sleep(NOTICED_SECONDS)
    assert registry.get("greet").template == "Twin"


@pytest.mark.sqlite
def test_commits_after_a_restored_backup_are_seen_at_once(registry: Registry, other: Remote, tmp_path: Path) -> None:
    """Writes of other processes at the lower revisions after it are seen by the next read."""
    registry.create("greet", "0")
    saved = back_up(registry.path, str(tmp_path / "saved.db"))
    for i in range(1, 9):
        registry.update("greet", template=str(i))
    assert other.call("get", "greet").template == "8"
    restore(saved, registry.path)
    time.sleep(NOTICED_SECONDS)
    for i in range(20, 40):
        made = other.call("update", "greet", template=str(i))
        assert (registry.get("greet").template, registry.get("greet").version) == (str(i), made.version)


@pytest.mark.sqlite
def test_a_revision_that_is_committed_twice_is_seen_at_once(path: str, tmp_path: Path) -> None:
    """The next read sees a commit after a restored backup that has the revision of a lost commit."""
    with Registry(path) as reader, Registry(path) as writer:
        writer.create("greet", "Old")
        saved = back_up(path, str(tmp_path / "saved.db"))
        writer.update("greet", template="Lost")
        assert reader.get("greet").template == "Lost"
        reader._core.cache.generation.until = math.inf  # so that no check every 50 ms helps
        restore(saved, path)
        assert writer.update("greet", template="New").version == 2
        assert reader.get("greet").template == "New"


@pytest.mark.sqlite
def test_rows_rewritten_by_another_tool_are_noticed(registry: Registry) -> None:
    """A row that an SQL shell restores, without changing the revision, is noticed."""
    registry.create("greet", "Hello")
    with closing(raw(registry.path)) as shell:
        shell.execute("CREATE TEMP TABLE kept AS SELECT * FROM prompts")
        registry.set_status("greet", "disabled")
        assert outcome(lambda r: r.render("greet").text, registry) == "PromptDisabledError"
        columns = ", ".join(row[1] for row in shell.execute("PRAGMA table_info(kept)") if row[1] != "key")
        shell.execute(f"UPDATE prompts SET ({columns}) = (SELECT {columns} FROM temp.kept)")
    time.sleep(NOTICED_SECONDS)
    assert registry.render("greet").text == "Hello"


@pytest.mark.sqlite
@pytest.mark.parametrize("moment", ["first", "later"])
def test_whichever_connection_checks_sees_that_another_tool_committed(path: str, moment: str) -> None:
    """No commit between checks is missed, although the first check uses another connection than later ones."""
    Registry(path).close()
    with Registry(path) as registry, closing(raw(path)) as shell, registry._core.storage.monitor() as changes_since:
        position = changes_since(None).position
        if moment == "later":
            position, _, changed, _ = changes_since(position)
            assert changed == frozenset()
        shell.execute("UPDATE registry SET erased_revision = 1")  # a commit that no revision shows
        position, _, changed, _ = changes_since(position)
        assert changed is None
        assert changes_since(position).position is position


@pytest.mark.sqlite
def test_the_cache_survives_the_change_to_the_connection_that_checks(path: str) -> None:
    """The second check opens another connection than the first read, and the cache is kept."""
    with Registry(path) as registry:
        registry.create("greet", "Hello")
    with Registry(path) as registry:
        prompt = registry.get("greet")
        assert len(registry._core.storage._connections.open_handles()) == 1  # type: ignore[attr-defined]
        time.sleep(NOTICED_SECONDS)
        assert registry.get("greet") is prompt
        assert len(registry._core.storage._connections.open_handles()) == 2  # type: ignore[attr-defined]


# max_staleness


def test_max_staleness_limits_the_age_of_a_read(path: str, other: Remote) -> None:
    """With 0.05 another process's publish is seen 50 ms later, whatever the registry's `clock` returns."""
    with Registry(path, max_staleness=0.05, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as registry:
        registry.create("greet", "0")
        for i in range(1, 4):
            registry.get("greet")
            other.call("update", "greet", template=str(i))
            time.sleep(NOTICED_SECONDS)
            assert registry.render("greet").text == str(i)


def test_max_staleness_ends_during_continuous_reads(path: str, other: Remote) -> None:
    """Reading without pause delays neither the new value nor a refusal."""
    with Registry(path, max_staleness=0.05) as registry:
        with pytest.raises(NotFoundError):
            registry.get("greet")
        other.call("create", "greet", "Hello")
        assert_seen_while_reading(lambda: registry.get("greet", default=None) is not None)
        other.call("update", "greet", template="Hi")
        assert_seen_while_reading(lambda: registry.get("greet").template == "Hi")


def test_a_registry_sees_its_writes_at_once_whatever_max_staleness(path: str) -> None:
    """`max_staleness` is about other processes: the writer's next read sees its write."""
    with Registry(path, max_staleness=60) as registry:
        registry.create("greet", "0")
        for i in range(1, 9):
            registry.update("greet", template=str(i))
            assert registry.get("greet").template == str(i)
        registry.archive("greet")
        assert registry.get("greet").status == "archived"


def test_a_registry_in_memory_is_fresh_in_all_its_threads() -> None:
    """All views and threads of a registry in memory see each write."""
    with Registry(":memory:") as registry:
        registry.create("greet", "0")
        view = registry.scope(actor=Actor("ana", "org_admin"))
        for i in range(1, 9):
            registry.update("greet", template=str(i))
            assert view.get("greet").template == str(i)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "revision", [None, "revision", "revision + 1", "0", "(SELECT revision FROM registry)", "100 + revision"]
)
def test_another_tools_commit_between_the_registrys_commits_is_seen(path: str, revision: str | None) -> None:
    """A row that the shell restores, at any revision, is seen even if a registry commits after it."""
    with Registry(path) as reader, Registry(path) as writer:
        writer.create("greet", "Hello")
        writer.create("other", "Other")
        for number in range(3):
            writer.update("other", template=str(number))
        with closing(sqlite3.connect(path)) as other_tool:
            before = other_tool.execute("SELECT * FROM prompts WHERE name = 'greet'").fetchone()
            columns = [row[1] for row in other_tool.execute("PRAGMA table_info(prompts)")]
            writer.set_status("greet", "disabled")
            assert reader.get("greet").status == "disabled"
            changes = ", ".join(
                f"{column} = ?" for column in columns if column not in {"key", "id", "namespace", "name"}
            )
            changes = changes.replace(" revision = ?", f" revision = coalesce({revision}, ?)") if revision else changes
            values = [v for c, v in zip(columns, before, strict=True) if c not in {"key", "id", "namespace", "name"}]
            other_tool.execute(f"UPDATE prompts SET {changes} WHERE name = 'greet'", values)
            other_tool.commit()
        writer.update("other", template="Changed")
        time.sleep(0.06)
        assert reader.get("greet").status == "active"


@pytest.mark.sqlite
def test_the_next_writer_recreates_a_removed_sidecar_and_publishes_to_old_readers_too(path: str) -> None:
    """The next writer creates the sidecar again, and also publishes to processes that have the old one open."""
    with Registry(path) as reader, Registry(path) as writer:
        writer.create("greet", "0")
        for number in range(1, 6):
            assert reader.get("greet").template == writer.get("greet").template == str(number - 1)
            Path(f"{path}-promptreg").unlink()
            writer.update("greet", template=str(number))
            assert writer.get("greet").template == str(number)
            assert reader.get("greet").template == str(number)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("sees", "seen"),
    [
        (lambda r: r.history("greet")[0].template, "Later"),
        (lambda r: [prompt.template for prompt in r.list()], ["Later"]),
        (lambda r: r.events("greet")[-1].version, 2),
        (lambda r: r.render("greet").text, "Later"),
    ],
    ids=["history", "list", "events", "render"],
)
def test_a_commit_that_one_reader_has_seen_every_reader_sees(
    path: str, monkeypatch: pytest.MonkeyPatch, sees: Read, seen: object
) -> None:
    """If a writer dies between commit and publication, the first process that reads the commit publishes it."""
    with Registry(path) as dying, Registry(path) as first, Registry(path) as warm:
        dying.create("greet", "Hello")
        assert (warm.get("greet").template, first.get("greet").template) == ("Hello", "Hello")
        with monkeypatch.context() as patch:
            patch.setattr(Sidecar, "publish", lambda *_: None)
            dying.update("greet", template="Later")
        warm._core.cache.generation.until = math.inf  # so that no check every 50 ms helps
        assert warm.get("greet").template == "Hello"
        first._core.cache.clear()
        assert sees(first) == seen
        assert warm.get("greet").template == "Later"


CALLS = ("get", "render", "history", "list", "events", "update", "archive", "restore", "set_status")


@pytest.mark.sqlite
@pytest.mark.slow
def test_a_truncated_sidecar_ends_no_process_that_was_not_reading_then(path: str) -> None:
    """After each truncation the next check notices it and repairs the file."""
    arguments = {"update": {"template": "changed"}, "set_status": {"status": "active"}}
    with Registry(path) as registry, Remote(path) as other:
        registry.create("greet", "0")
        for number in range(1, 5):
            other.call("update", "greet", template=str(number))
            assert registry.get("greet").template == str(number)
            for verb in CALLS:
                os.truncate(f"{path}-promptreg", number % 2)
                time.sleep(NOTICED_SECONDS)
                names = () if verb in {"list", "events"} else ("greet",)
                assert other.call(verb, *names, **arguments.get(verb, {}))
                assert os.path.getsize(f"{path}-promptreg") >= 16
                assert registry.get("greet") == other.call("get", "greet")
            registry.update("greet", template=f"again {number}")
            assert other.call("get", "greet").template == f"again {number}"


@pytest.mark.sqlite
def test_the_stamp_of_a_repaired_sidecar_is_new(path: str) -> None:
    """No cache has loaded anything at the stamp of a repaired sidecar."""
    Registry(path).close()
    pages = []
    for size in (None, 0, 15, 0):
        if size is None:
            os.unlink(f"{path}-promptreg")
        else:
            os.truncate(f"{path}-promptreg", size)
        sidecar = Sidecar(path)
        pages.append(sidecar.read())
        sidecar.close()
    assert [len(page) for page in pages] == [16] * 4
    assert len({*pages, bytes(16)}) == 5


@pytest.mark.sqlite
def test_a_writer_publishes_to_processes_that_opened_after_the_sidecar_was_removed(path: str) -> None:
    """A process that opened later sees the commit with its next read, since a writer checks which sidecar is there."""
    with Registry(path) as writer:
        writer.create("greet", "Hello")
        Path(f"{path}-promptreg").unlink()
        with Registry(path) as newcomer:
            assert newcomer.get("greet").template == "Hello"
            newcomer._core.cache.generation.until = math.inf  # so that no check every 50 ms helps
            writer.update("greet", template="Hi")
            assert newcomer.get("greet").template == "Hi"


def test_a_key_of_the_cache_is_not_accepted_as_a_name(path: str) -> None:
    """Names that are not texts are refused, cached or not, and never reach a prompt of another namespace."""
    with Registry(path) as registry:
        elsewhere = registry.scope(namespace="support")
        elsewhere.create("reply", "Secret")
        elsewhere.get("reply")
        for name in (("support", "reply"), ("reply",), 7, None, ["reply"]):
            with pytest.raises(InvalidInputError):
                registry.get(name)  # type: ignore[call-overload]
            with pytest.raises(InvalidInputError):
                registry.render(name)  # type: ignore[arg-type]


# The change signal


@pytest.fixture(params=["file", ":memory:"])
def either(request: pytest.FixtureRequest, path: str) -> Iterator[Registry]:
    """A registry in a file, and one in memory."""
    with Registry(path if request.param == "file" else request.param) as registry:
        yield registry


def die_after_commit(registry: Registry) -> int:
    """Commit without publishing, like a writer that is killed in between; return the revision before."""
    with registry._core.storage.read() as reader:
        before = reader.snapshot.revision
    registry.create("new", "New")
    registry._core.storage.publisher.signal.publish(before)  # type: ignore[attr-defined]
    return before


@pytest.mark.sqlite
def test_a_read_publishes_a_commit_that_its_writer_could_not(either: Registry) -> None:
    """If a writer dies before it publishes its commit, the first read transaction that sees the commit publishes it."""
    signal = either._core.storage.publisher.signal  # type: ignore[attr-defined]
    before = signal.read()
    revision = die_after_commit(either)
    with either._core.storage.read() as reader:
        assert reader.snapshot.revision == revision + 1
    assert revision_of(signal.read()) == revision + 1
    assert signal.read() != before


@pytest.mark.sqlite
def test_a_check_publishes_a_commit_that_its_writer_could_not(either: Registry) -> None:
    """The stamp of other processes changes before the caller of a check can use what it reports."""
    with either._core.storage.monitor() as changes_since:
        first = changes_since(None)
    revision = die_after_commit(either)
    with either._core.storage.monitor() as changes_since:
        report = changes_since(first.position)
    assert report.position.revision == revision + 1
    content = report.position.detail.content
    assert (content, revision_of(content)) == (either._core.storage.publisher.signal.read(), report.position.revision)  # type: ignore[attr-defined]


@pytest.mark.sqlite
def test_a_revision_that_is_published_again_has_another_stamp(either: Registry) -> None:
    """No two publications are equal, because after a restored backup one revision may mean two states."""
    with either._core.storage.monitor() as changes_since:
        report = changes_since(None)
        assert report.stamp == report.position.stamp
        either._core.storage.publisher.signal.publish(report.position.revision)  # type: ignore[attr-defined]
        assert report.stamp != report.position.stamp
