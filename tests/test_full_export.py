"""Everything out and everything in (`promptreg/files/full/`): the round trip, its conditions, and what others see."""

import errno
import gc
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BufferedRandom, BytesIO, FileIO, StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from promptreg import (
    Actor,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    Registry,
    StorageCorruptError,
    StorageError,
    StorageFullError,
)
from promptreg.bases import LIVE, Seed, SyncBase, place
from promptreg.dump import DeletionEntry, EventEntry
from promptreg.files.foreign.importing import import_from
from promptreg.files.full import export_full, import_full, lines, replay, spool
from promptreg.files.full.lines import DETAILS
from promptreg.models import Action
from promptreg.records import Change, Container, VersionRecord
from promptreg.rules.names import Reference
from promptreg.storage.sqlite import dumping
from tests.full import assert_inverse, everything_read, exported, forking, imported, objects
from tests.machine import Machine
from tests.otel import tracing
from tests.schemas import make
from tests.test_migrations import SCHEMAS
from tests.test_model import PATHS, PLAIN, pick
from tests.test_rules_sync_machine import Synchronising
from tests.test_storage_sqlite import raw


@pytest.fixture(scope="module")
def filled() -> Iterator[Registry]:
    """A registry with prompts in every state, whose content no test changes."""
    with Registry(":memory:") as registry:
        make.fill(registry)
        registry.seed("seeded", "Shipped again", release=4)
        registry.update("seeded", template="By people")
        registry.seed("seeded", "Shipped once more", release=5)
        yield registry


@pytest.fixture(scope="module")
def data(filled: Registry) -> bytes:
    """Its export."""
    return exported(filled)


# The round trip


def test_export_and_import_are_inverse_in_every_state(filled: Registry, tmp_path: Path) -> None:
    """Export, import, export: equal bytes, no problem found, and every read the same."""
    assert_inverse(filled, tmp_path / "other.db")


@pytest.mark.parametrize("dump", [file.stem for file in SCHEMAS.glob("*.sql")])
def test_files_of_earlier_schemas_are_exported_and_imported(dump: str, path: str) -> None:
    """What an earlier release wrote, roles, line ends, hashes and forms of events included, goes through."""
    with closing(raw(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {(SCHEMAS / f'{dump}.sql').read_text(encoding='utf-8')} COMMIT")
    with Registry(path) as registry:
        assert_inverse(registry)


@pytest.mark.parametrize("dump", [file.stem for file in SCHEMAS.glob("*.sql")])
def test_a_file_of_an_earlier_schema_that_is_only_read_is_exported(
    dump: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its export is what that of the migrated file is."""
    with closing(raw(path)) as connection:
        connection.executescript(f"BEGIN; {(SCHEMAS / f'{dump}.sql').read_text(encoding='utf-8')} COMMIT")
    with monkeypatch.context() as patched:
        patched.setattr("promptreg.storage.sqlite.readonly.is_writable", lambda path: False)
        with Registry(path) as registry:
            before = exported(registry)
    with Registry(path) as registry:
        assert exported(registry) == before


def test_an_empty_registry_goes_through() -> None:
    """Its export has two lines, and can be imported."""
    with Registry(":memory:") as registry:
        assert len(objects(exported(registry))) == 2
        assert_inverse(registry)


class Exporting(Machine):
    """The model's machine; what it leaves is exported and imported at its end."""

    def teardown(self) -> None:
        try:
            assert_inverse(self.registries[0])
        finally:
            super().teardown()


@pytest.mark.slow
def test_whatever_the_verbs_write_goes_through() -> None:
    """For any calls by any actors, export and import are inverse, so no rule of the import refuses what is legal."""
    run = settings(
        max_examples=20,
        stateful_step_count=80,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Exporting, settings=run)


class ExportingSynchronised(Synchronising):
    """The machine of synchronisations, with an export and import at the end."""

    def teardown(self) -> None:
        try:
            assert_inverse(self.registry)
        finally:
            super().teardown()


@pytest.mark.slow
def test_whatever_synchronisations_write_goes_through() -> None:
    """Bases, archives, restored prompts, drafts and labels, and the places of what was deleted."""
    run = settings(
        max_examples=20,
        stateful_step_count=40,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(ExportingSynchronised, settings=run)


def test_what_was_imported_from_another_tool_goes_through(tmp_path: Path) -> None:
    """Its versions were all made in one change."""
    versions = [
        {"name": "Reply", "type": "text", "prompt": f"{{{{name}}}} {number}", "version": number, "labels": labels}
        for number, labels in ((1, ["production"]), (2, ["staging"]), (4, ["latest"]))
    ]
    (tmp_path / "export.json").write_text(json.dumps(versions))
    with Registry(":memory:") as registry:
        import_from(registry, "langfuse", tmp_path / "export.json")
        assert registry.get("reply").latest_version == 3
        assert_inverse(registry)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PATHS)))
def test_rare_paths_go_through(number: int) -> None:
    """After each call of the model's rare paths, export and import are inverse."""
    machine = Machine()
    try:
        for verb, arguments in PATHS[number]:
            machine.ask(verb, ("application", "a"), {**pick(0)[1], **PLAIN, **arguments})
            assert_inverse(machine.registries[0])
    finally:
        machine.teardown()


def test_bases_of_synchronisations_go_through() -> None:
    """What was last synchronised of a prompt, and from where a deleted one came, is kept."""
    with Registry(":memory:") as registry:
        for name in ("kept", "gone"):
            registry.create(name, "Hello")
            with registry._core.storage.write() as writer:
                (container,) = writer.find("default", [Reference(name, is_id=False)])
                assert container is not None
                bases = {LIVE: SyncBase("f00d", name, 1, "0" * 64), "eu": SyncBase("beef", "x", 0, "1" * 64, "")}
                bases["eu"] = bases["eu"]._replace(archived_at=container.created_at)
                writer.apply([Change(container, container._replace(synced=bases), (), container.updated_at)])
        registry.delete("gone")
        assert_inverse(registry)
        lines = objects(exported(registry))
        assert lines[1]["prompt"]["synced"]["eu"]["source"] == "beef"
        places = [place("default", "f00d", LIVE, "gone"), place("default", "beef", "eu", "x")]
        assert lines[-2]["deletion"]["places"] == places


def test_content_of_every_kind_goes_through_byte_for_byte() -> None:
    """Control characters, line ends of any kind, large and small numbers, every script, parts and tool calls."""
    with Registry(":memory:") as registry:
        text = 'a\r\nb\rc\u2028\u2029\x01\x7f\x85\ufeff żółć 日本 🙂 \\u0041 "quoted"\n\n'
        registry.create("plain", text, syntax="plain", description=text, tags=["é", "E\u0301x"])
        numbers = {"big": 10**300, "float": 1e-9, "zero": -0.0, "one": 1.0, "deep": [[[{"": None}]]]}
        registry.create("numbers", "{{ x }}", config=numbers, meta={"z": 1, "a": 2}, examples=[{"x": True}])
        parts = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages = [
            {"role": "user", "content": parts, "name": "ana", "cache": True},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": "", "tool_call_id": "1"},
            {"placeholder": "history"},
        ]
        registry.create("chat", messages, variables=[{"name": "history", "type": "array", "required": False}])
        assert_inverse(registry)
        with imported(exported(registry)) as other:
            assert list(other.get("numbers").config) == list(numbers)
            assert other.get("plain").template == text


def test_writing_goes_on_after_an_import(data: bytes) -> None:
    """Numbers, events and their chain continue; drafts are published, the stack is rolled back, names stay taken."""
    with imported(data) as registry:
        last = max(event.seq for event in registry.events(limit=1_000))
        assert registry.update("numbers", template="thirteen").version == 13
        assert registry.rollback("numbers", reason="old").version == 11
        assert registry.publish("draft", 1).production_version == 1
        assert registry.restore("archived_off").status == "disabled"
        with pytest.raises(ConflictError):
            registry.create("chat", "Again")
        registry.delete("disabled")
        assert min(event.seq for event in registry.events(limit=1_000, after=last)) == last + 1
        assert registry.verify() == []
        assert_inverse(registry)


def test_full_text_finds_what_was_imported(data: bytes) -> None:
    """Search and filters by tag and label answer from their indexes."""
    with imported(data) as registry:
        assert [prompt.name for prompt in registry.search("twice")] == ["everything"]
        assert [prompt.name for prompt in registry.list(label="canary")] == ["everything"]
        assert [prompt.name for prompt in registry.list(tag="żółty")] == ["everything"]
        assert registry.search("gone") == []


def test_an_import_adds_no_event_and_raises_the_revision_by_one(data: bytes, registry: Registry) -> None:
    """The events are those of the file, and each prompt has the new revision."""
    before = revision(registry)
    import_full(registry, BytesIO(data))
    assert revision(registry) == before + 1
    with closing(raw(registry.path)) as connection:
        assert connection.execute("SELECT DISTINCT revision FROM prompts").fetchall() == [(before + 1,)]
        assert connection.execute("SELECT max(seq) FROM events").fetchone() == (
            objects(data)[0]["promptreg"]["events"],
        )


def revision(registry: Registry) -> int:
    with registry._core.storage.read() as reader:
        return reader.snapshot.revision


def test_nothing_of_a_deleted_prompt_is_in_an_export() -> None:
    """Its events keep neither names nor details, but for its deletion."""
    with Registry(":memory:") as registry:
        registry.create("secret-name", "secret text", commit_message="secret message")
        registry.delete("secret-name")
        lines = exported(registry)
        assert b"secret text" not in lines
        assert b"secret message" not in lines
        assert lines.count(b"secret-name") == 1
        assert_inverse(registry)


# Who, and into what


@pytest.mark.parametrize("role", [None, "team_member", "team_editor", "team_admin"])
def test_only_the_application_and_org_admins_may(role: str | None, filled: Registry, data: bytes) -> None:
    """Others are refused before a file is made or read."""
    other = filled.scope(actor=Actor("eve", role))
    out = BytesIO()
    with pytest.raises(ForbiddenError) as refused:
        export_full(other, out)
    assert refused.value.details == {"names": [], "action": "export"}
    assert out.getvalue() == b""
    source = BytesIO(data)
    with Registry(":memory:") as registry, pytest.raises(ForbiddenError):
        import_full(registry.scope(actor=Actor("eve", role)), source)
    assert source.tell() == 0


def test_an_org_admin_exports_all_namespaces(filled: Registry, data: bytes) -> None:
    """Whatever the namespace of the view is."""
    assert exported(filled.scope(namespace="elsewhere", actor=Actor("lee", "org_admin"))) == data
    with Registry(":memory:") as registry:
        import_full(registry.scope(actor=Actor("lee", "org_admin")), BytesIO(data))
        assert registry.namespaces() == ["default", "support"]


def test_a_registry_with_any_event_is_a_conflict(data: bytes, registry: Registry, unchanged: Any) -> None:
    """Also where every prompt was deleted; the file is not read at all, and nothing changes."""
    registry.create("x", "Hello")
    registry.delete("x")
    source = BytesIO(data)
    with unchanged(), pytest.raises(ConflictError, match="has events already"):
        import_full(registry, source)
    assert source.tell() == 0


# Others, meanwhile and afterwards


def test_warm_caches_of_other_registries_see_an_import(data: bytes, path: str) -> None:
    """A name that was not there, and a listing, are read anew at once (rule 16)."""
    with Registry(path) as warm, Registry(path, max_staleness=1) as lazy, Registry(path) as importing:
        assert warm.get("chat", default=None) is lazy.get("chat", default=None) is None
        assert importing.get("chat", default=None) is None
        import_full(importing, BytesIO(data))
        assert importing.get("chat").version == warm.get("chat").version == 2
        assert [prompt.name for prompt in warm.list(prefix="chat")] == ["chat"]


class Pausing(BytesIO):
    """A file in memory that calls a function once, at its first write or after its first lines."""

    def __init__(self, data: bytes = b"", call: Any = None) -> None:
        super().__init__(data)
        self.call, self.lines = call, 0

    def write(self, data: Any) -> int:
        self._call()
        return super().write(data)

    def readline(self, size: int | None = -1) -> bytes:
        self.lines += 1
        if self.lines == 5:
            self._call()
        return super().readline(size)

    def _call(self) -> None:
        call, self.call = self.call, None
        if call is not None:
            call()


def test_an_export_is_of_one_moment_while_writers_and_forks_go_on(registry: Registry) -> None:
    """While the file is written, the same registry writes, erases and forks; the file is what was there before."""
    make.fill(registry)
    before = exported(registry)

    def meanwhile() -> None:
        registry.update("chat", config={"model": "other"})
        registry.delete("disabled")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os._exit(0 if registry.get("chat").version == 3 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with closing(raw(registry.path)) as connection:
            assert connection.execute("SELECT erased_revision = deleted_revision FROM registry").fetchone() == (1,)

    out = Pausing(call=meanwhile)
    export_full(registry, out)
    assert out.call is None
    assert out.getvalue() == before
    assert exported(registry) != before


def test_a_fork_interrupts_the_copy_of_an_export_which_starts_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fork need not wait for it, and the export is whole."""
    make.fill(registry)
    monkeypatch.setattr(dumping, "PAGES", 1)
    copies, interrupted = threading.Event(), []
    end = time.monotonic() + 30

    def watching(handle: Any) -> Any:
        watch = original(handle)

        def slow(*progress: int) -> None:
            """Copy no further before a fork has begun."""
            copies.set()
            try:
                watch(*progress)
                while not interrupted and time.monotonic() < end:
                    time.sleep(0.002)
                    watch(*progress)
            except dumping.Interrupted:
                interrupted.append(progress)
                raise

        return slow

    original = dumping._watching
    monkeypatch.setattr(dumping, "_watching", watching)
    result: list[bytes] = []
    thread = threading.Thread(target=lambda: result.append(exported(registry)))
    thread.start()
    assert copies.wait(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    thread.join()
    assert interrupted
    assert result == [exported(registry)]


@pytest.mark.slow
def test_forked_children_that_leave_an_export_or_an_import_harm_neither(
    filled: Registry, data: bytes, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the parent has in files, buffered or not, stays its own."""
    monkeypatch.setattr("promptreg.files.full.exporting.BATCH", 3)
    monkeypatch.setattr("promptreg.files.full.importing.BATCH", 3)
    out = tmp_path / "out.jsonl"
    forking(lambda progress: export_full(filled, out, progress=progress))
    assert out.read_bytes() == data
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []
    with Registry(path) as registry:
        forking(lambda progress: import_full(registry, out, progress=progress))
        assert exported(registry) == data


def test_no_lock_is_held_while_a_file_is_read(data: bytes, path: str) -> None:
    """Another registry writes while the lines come; then the import is a conflict, and what was written stays."""
    with Registry(path) as other, Registry(path, busy_timeout=0) as registry:
        source = Pausing(data, call=lambda: other.create("first", "Hello"))
        with pytest.raises(ConflictError):
            import_full(registry, source)
        assert [prompt.name for prompt in registry.iterate()] == ["first"]
        assert registry.verify() == []


def test_progress_is_called_outside_any_transaction_and_may_end_the_call(data: bytes, path: str) -> None:
    """It gets numbers of lines, may use the registry, and what it raises leaves nothing written."""
    seen: list[tuple[int, int]] = []
    total = len(objects(data)) - 2
    with Registry(path) as registry:
        import_full(registry, BytesIO(data), progress=lambda *numbers: seen.append((*numbers,)))
        assert seen[-1] == (total, total)
        export_full(registry, BytesIO(), progress=lambda *numbers: registry.get("chat") and seen.append((*numbers,)))
        assert seen[-1] == (total, total)
        with pytest.raises(ZeroDivisionError):
            export_full(registry, BytesIO(), progress=lambda *_: 1 // 0)
        with pytest.raises(InvalidInputError, match="progress"):
            export_full(registry, BytesIO(), progress=3)  # type: ignore[arg-type]


# All or nothing


IMPORTING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background ignores
from promptreg import Registry
from promptreg.files.full import import_full
registry = Registry(sys.argv[1])
print("ready", flush=True)
import_full(registry, sys.argv[2])
print("done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_stopped_leaves_all_or_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """Whenever it is killed or interrupted, the registry is empty or complete, and an empty one takes the import."""
    with Registry(":memory:") as registry:
        for name in range(300):
            registry.create(f"p{name}", "Hello " * 50)
        data, whole = exported(registry), everything_read(registry)
    (tmp_path / "file").write_bytes(data)
    outcomes = set()
    for attempt in range(12):
        path = tmp_path / f"{attempt}.db"
        child = subprocess.Popen(
            [sys.executable, "-c", IMPORTING, path, tmp_path / "file"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout is not None
        with child.stdout:
            child.stdout.readline()
            time.sleep(attempt * 0.03)
            child.send_signal(number)
            child.wait()
        with Registry(path) as registry:
            assert registry.verify() == []
            found = everything_read(registry)
            assert found in ({}, whole)
            outcomes.add(bool(found))
            if not found:
                import_full(registry, BytesIO(data))
                assert everything_read(registry) == whole
    assert False in outcomes


@pytest.mark.slow
def test_an_interrupt_at_any_moment_leaves_nothing_held(data: bytes, path: str) -> None:
    """After Ctrl-C at any line of the import or the export, the registry works, and no temporary file is open."""
    with Registry(path) as registry:
        for lines in range(1, 60, 7):

            class Raising(BytesIO):
                def readline(self, size: int | None = -1, left: list[int] = [lines]) -> bytes:  # noqa: B006
                    left[0] -= 1
                    if not left[0]:
                        raise KeyboardInterrupt
                    return super().readline(size)

            with pytest.raises(KeyboardInterrupt):
                import_full(registry, Raising(data))
            assert registry.namespaces() == []
        import_full(registry, BytesIO(data))


def test_an_export_to_a_path_replaces_the_file_once_it_is_whole(filled: Registry, data: bytes, tmp_path: Path) -> None:
    """An export that fails leaves the old file and no other; its mode stays; a link leads to the file."""
    path, link = tmp_path / "backup.jsonl", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with pytest.raises(ZeroDivisionError):
        export_full(filled, path, progress=lambda *_: 1 // 0)
    assert path.read_text() == "old"
    export_full(filled, link)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == ["backup.jsonl", "link"]
    with Registry(":memory:") as registry:
        assert import_full(registry, str(link)) == export_full(registry, BytesIO())


def test_a_device_or_pipe_is_written_as_it_is(filled: Registry, data: bytes, tmp_path: Path) -> None:
    """It is not replaced by a file."""
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    thread.start()
    export_full(filled, pipe)
    thread.join()
    assert read == [data]
    assert pipe.is_fifo()


def test_an_unbuffered_file_that_takes_a_part_at_a_time_gets_all(filled: Registry, data: bytes) -> None:
    """As raw files do."""

    class Few(BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:100])

    out = Few()
    export_full(filled, out)
    assert out.getvalue() == data


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("no/such/folder", "No such file or directory"),
        (".", "Is a directory"),
        ("nul\0", "ValueError"),
        (StringIO(), "binary"),
        (None, "binary"),
        (3, "binary"),
    ],
)
def test_a_place_that_is_no_file_is_invalid_input(
    place: Any, reason: str, filled: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what was found, and nothing is left."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match=reason):
        export_full(filled, place)
    with Registry(":memory:") as registry, pytest.raises(InvalidInputError, match=reason):
        import_full(registry, place)
    assert [*tmp_path.iterdir()] == []


def test_a_damaged_registry_is_not_exported(registry: Registry) -> None:
    """A changed row, and a missing one, are `StorageCorruptError`, so that no export is made that nobody can import."""
    make.fill(registry)
    with closing(raw(registry.path)) as connection:
        connection.execute("DROP TRIGGER versions_delete")
        connection.execute("DELETE FROM publications WHERE prompt = 1 AND depth = 1")
    with pytest.raises(StorageCorruptError):
        export_full(registry, BytesIO())
    with closing(raw(registry.path)) as connection:
        connection.execute("DROP TRIGGER prompts_update_counts")
        connection.execute("UPDATE prompts SET status = 'archived' WHERE key = 2")
    with pytest.raises(StorageCorruptError):
        export_full(registry, BytesIO())


def test_a_lost_version_is_found_by_an_export(registry: Registry) -> None:
    """Its row alone is missing, and no hash shows it."""
    registry.create("x", "One")
    registry.update("x", template="Two", is_production=False)
    registry.update("x", template="Three")
    with closing(raw(registry.path)) as connection:
        connection.execute("DROP TRIGGER versions_delete")
        connection.execute("DELETE FROM versions WHERE version = 2")
    with pytest.raises(StorageCorruptError, match="version 2"):
        export_full(registry, BytesIO())


def test_every_action_has_its_details_in_the_format() -> None:
    """An action that is added needs a row, and a rule of the replay."""
    assert set(get_args(Action)) == DETAILS.keys() == replay._APPLY.keys()


def test_every_field_of_what_is_stored_is_in_the_format() -> None:
    """A field of a prompt, a version, a seed or a base that is added needs a reader."""
    assert {*Container._fields, "versions"} == lines._PROMPT.keys()
    assert {*VersionRecord._fields} - {"snapshot"} == lines._VERSION.keys()
    assert {*Seed._fields} == lines._SEED.keys()
    assert {*SyncBase._fields} == lines._SYNC_BASE.keys()
    assert {*EventEntry._fields} == lines._EVENT.keys()
    assert {*DeletionEntry._fields} == lines._DELETION.keys()


def test_no_temporary_file_stays_open(filled: Registry, data: bytes) -> None:
    """After an export, an import and a refused import."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    exported(filled)
    imported(data).close()
    with pytest.raises(InvalidInputError):
        imported(data[:-1])
    gc.collect()
    assert before == (len(os.listdir("/proc/self/fd")) if before else 0)


def test_a_closed_registry_is_a_storage_error(data: bytes) -> None:
    """As for every verb."""
    registry = Registry(":memory:")
    registry.close()
    for call in (lambda: export_full(registry, BytesIO()), lambda: import_full(registry, BytesIO(data))):
        with pytest.raises(StorageError, match="closed"):
            call()


class Full(FileIO):
    """A file on a full disk."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("parts", [2, 16])
def test_a_folder_for_temporary_files_that_is_full_is_a_storage_error(
    parts: int, filled: Registry, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few files their buffers are written early, with many only at the end; nothing is imported."""
    numbers = itertools.count()
    monkeypatch.setattr(spool, "PARTS", parts)
    monkeypatch.setattr(spool, "TemporaryFile", lambda: BufferedRandom(Full(tmp_path / str(next(numbers)), "w+")))
    with pytest.raises(StorageFullError, match="TMPDIR"):
        exported(filled)
    with Registry(":memory:") as registry:
        with pytest.raises(StorageFullError, match="TMPDIR"):
            import_full(registry, BytesIO(data))
        assert registry.namespaces() == []


def test_no_folder_for_temporary_files_is_a_storage_error(
    filled: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the error of the operating system."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match="TMPDIR"):
        exported(filled)


def test_an_export_never_takes_the_place_of_a_database(path: str, tmp_path: Path) -> None:
    """Neither of its own, by any name, nor of another, nor of a WAL or lock, whether there is one or not."""
    other, link = tmp_path / "other.db", tmp_path / "link"
    link.symlink_to(path)
    Registry(str(other)).close()
    with Registry(path) as registry:
        registry.create("x", "One")
        for place in (path, link, other):
            with pytest.raises(InvalidInputError, match="is a database"):
                export_full(registry, place)
        for place in (f"{path}-wal", f"{path}-promptreg", f"{other}-WAL"):
            with pytest.raises(InvalidInputError, match="is part of a database"):
                export_full(registry, place)
        registry.create("y", "Two")
        assert registry.verify() == []
    Registry(str(other), create=False).close()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /dev/fd as Linux has it")
def test_a_pipe_that_has_no_path_is_written(filled: Registry, data: bytes) -> None:
    """As `/dev/stdout` is one, and what a shell makes of `>(gzip)`."""
    reading, writing = os.pipe()
    with open(reading, "rb") as file, ThreadPoolExecutor(1) as others:
        read = others.submit(file.read)
        export_full(filled, f"/dev/fd/{writing}")
        os.close(writing)
        assert read.result() == data


def test_a_copy_that_does_not_fit_names_the_folder_for_temporary_files(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the disk of the database, where no room is missing."""
    registry.create("x", "y" * 100_000, syntax="plain")
    data = exported(registry)
    connect = sqlite3.connect

    def full(path: str, **settings: Any) -> sqlite3.Connection:
        connection = connect(path, **settings)
        if path == "":
            connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(StorageFullError, match="SQLITE_TMPDIR"):
        exported(registry)
    with Registry(str(tmp_path / "other.db")) as other:
        with pytest.raises(StorageFullError, match="SQLITE_TMPDIR"):
            import_full(other, BytesIO(data))
        assert other.namespaces() == []


def test_an_export_and_its_import_have_one_span_each(filled: Registry) -> None:
    """Their operations are export_registry and import_registry."""
    with tracing() as finished, Registry(":memory:") as other:
        import_full(other, BytesIO(exported(filled)))
    assert [span.name for span in finished()] == ["export_registry", "import_registry"]
