"""Opening a registry: bad settings, unsuitable places, and other files, which are left unchanged."""

import copy
import errno
import math
import os
import pickle
import sqlite3
import traceback
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from promptreg import (
    UNSET,
    InvalidInputError,
    Registry,
    SchemaTooNewError,
    StorageCorruptError,
    StorageError,
)
from promptreg.cli import main
from tests.otel import tracing

NUL, SURROGATE = "a\0b", "a\ud800b"

BAD_SETTINGS = {
    "target": [None, 3, b"x.db", "", "  ", NUL, SURROGATE, UNSET],
    "namespace": [None, 3, "", "A", "a b", NUL, SURROGATE, "x" * 129],
    "actor": ["ana", 3, ("ana", "org_admin"), {"id": "ana"}],
    "create": [None, 1, "yes"],
    "max_staleness": [None, -1, "1", True, math.nan, math.inf, -math.inf, 10**400],
    "freshness": [None, "fresh", True, "STRICT", 0],
    "cache_size": [None, -1, 1.5, "1", True],
    "durability": [None, "half", "FULL", 1, ["full"]],
    "busy_timeout": [None, -1, "5", True, math.nan, math.inf, 10**400],
    "publish_checks": [None, 3, [1], ["x"], "abc", print],
    "extra_variables": [None, "maybe", True, "FORBID"],
    "clock": [3, datetime.now(UTC), "now"],
}


@pytest.mark.parametrize("setting", BAD_SETTINGS)
def test_a_bad_setting_is_invalid_input_before_any_file_is_created(tmp_path, setting):
    """A registry with a wrong setting is not opened, and no file is created."""
    for value in BAD_SETTINGS[setting]:
        with pytest.raises(InvalidInputError) as caught:
            Registry(**{"target": str(tmp_path / "new.db"), setting: value})
        assert caught.value.details["errors"][0]["field"] == setting
        assert list(tmp_path.iterdir()) == []


def test_a_clock_that_returns_no_aware_datetime_is_refused_at_the_first_write(path, unchanged):
    """Naive datetimes and anything else are invalid input, and nothing is written."""
    for now in (datetime(2026, 1, 1), None, 3, date(2026, 1, 1), "now"):
        with Registry(path, clock=lambda now=now: now) as registry, unchanged():
            with pytest.raises(InvalidInputError):
                registry.create("a", "x")
            assert len(registry.list()) == 0


def database(path, *statements):
    """Create a SQLite file of another application."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_file_that_is_not_a_registry_is_refused_and_unchanged(tmp_path):
    """Text, junk, and other applications' databases raise `StorageError`, and no byte of them changes."""
    (tmp_path / "text").write_bytes(b"not a database, but long enough to be read as one" * 40)
    (tmp_path / "short").write_bytes(b"hi")
    (tmp_path / "zeros").write_bytes(b"\0" * 8192)
    database(tmp_path / "tables", "CREATE TABLE t (a)")
    database(tmp_path / "application", "PRAGMA application_id = 5")
    database(tmp_path / "version", "PRAGMA user_version = 3")
    database(tmp_path / "wal", "PRAGMA journal_mode = WAL", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for file in before:
        for create in (True, False):
            with pytest.raises(StorageError) as caught:
                Registry(file, create=create)
            is_database = file.name in {"tables", "application", "version", "wal"}
            assert isinstance(caught.value, StorageCorruptError) is not is_database
            assert str(file) in str(caught.value)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_unsuitable_places_are_refused(tmp_path):
    """A folder, a missing folder, a file as a folder, and an absent file with create=False raise `StorageError`."""
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "x.db")
    before = set(tmp_path.rglob("*"))
    for place, create in (
        (tmp_path, True),
        (tmp_path, False),
        (tmp_path / "no" / "such" / "x.db", True),
        (tmp_path / "empty" / "x.db", True),
        (tmp_path / "absent.db", False),
        (tmp_path / "empty", False),
        (tmp_path / "link", True),
        (tmp_path / ("x" * 300), True),
        (Path("/dev/null"), True),
    ):
        with pytest.raises(StorageError) as caught:
            Registry(place, create=create)
        assert caught.value.code in {"internal_error", "storage_corrupt"}
        assert set(tmp_path.rglob("*")) == before


def test_a_sidecar_that_can_not_be_mapped_is_an_error_that_leaves_nothing_open(path, monkeypatch):
    """Without memory for the map the error is `StorageError`, no descriptor remains open, and later it opens."""
    Registry(path).close()
    before = os.listdir("/dev/fd")

    def fail(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr("promptreg.storage.sqlite.system.mmap.mmap", fail)
        with pytest.raises(StorageError, match="Cannot allocate memory") as kept:
            Registry(path)
    assert os.listdir("/dev/fd") == before
    assert isinstance(kept.value.__cause__, OSError)
    with Registry(path) as registry:
        assert registry.create("a", "x").version == 1


def test_an_unusual_path_is_a_path(tmp_path):
    """Spaces and special characters of URIs are part of a file's name; an empty file becomes a registry."""
    for name in ("we ird#?%41&mode=ro.db", "é☕.db", "file:x"):
        with Registry(tmp_path / name) as registry:
            assert registry.path == str(tmp_path / name)
            registry.create("a", "x")
        assert (tmp_path / name).is_file()
    (tmp_path / "empty").touch()
    with Registry(tmp_path / "empty") as registry:
        assert len(registry.list()) == 0


URLS = {
    "sqlite:///{}": "sqlite",
    "sqlite:{}": "sqlite",
    "SQLite://user:s3cr%65t@h/x": "sqlite",
    "file:{}": "file",
    "file:{}?mode=ro": "file",
    "file://{}": "file",
    "mysql://user:s3cr%65t@host/db": "mysql",
    "mysql+pymysql://user:s3cr%65t@host:3306/db?x=s3cret": "mysql+pymysql",
    "mysql:user:s3cr%65t@host": "mysql",
    "postgresql+psycopg://user:s3cret@host/db": "postgresql://… without it",
    "jdbc:postgresql://user:s3cret@host/db": "jdbc",
    "postgresql:user:s3cret@host": "postgresql://…",
    "jdbc:sqlite:{}": "jdbc",
    "https://user:s3cret@host/prompts.db": "https",
    "x-unknown://user:s3cret@host": "x-unknown",
    "a" * 100_000 + "://user:s3cret@host": "aaa",
    "postgresql://user:s3cret@host/db\0": "target",
    "host=h dbname=d user=me password=s3cret": "postgresql://…",
    " password = s3cret  dbname = d": "postgresql://…",
}


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("url", URLS, ids=[url[:24].strip() for url in URLS])
def test_a_url_is_invalid_input_and_only_its_scheme_is_repeated(tmp_path, monkeypatch, url, create):
    """It creates no file, and no output contains a password of it, encoded or decoded."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError) as caught:
        Registry(url.format(tmp_path / "new.db"), create=create)
    error = caught.value
    assert [entry["field"] for entry in error.details["errors"]] == ["target"]
    assert URLS[url] in error.message
    texts = "".join(traceback.format_exception(error)) + repr(error) + str(error.to_dict()) + repr(error.__dict__)
    assert "s3cr" not in texts
    assert "user" not in str(error.to_dict())
    assert (error.__cause__, error.__context__, len(error.message) < 200) == (None, None, True)
    assert list(tmp_path.iterdir()) == []


def test_no_password_of_a_target_is_in_a_span_or_printed_by_the_command(monkeypatch, capsys, tmp_path):
    """This holds even if content is captured, and for standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    with tracing() as spans:
        assert main(["demo", "--db", "mysql://user:s3cr%65t@host/db"]) == 1
    out, err = capsys.readouterr()
    output = out + err + repr([span.to_json() for span in spans()])
    assert "no storage has the scheme 'mysql'" in err
    assert "s3cr" not in output
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_resembles_a_scheme_is_a_file(tmp_path, monkeypatch):
    """A drive letter, a word before a colon, a time, and any `Path` are files."""
    monkeypatch.chdir(tmp_path)
    for target, made in (
        ("C:x.db", "C:x.db"),
        ("c:/x.db", "c:/x.db"),
        ("C:\\x.db", "C:\\x.db"),
        ("a:b.db", "a:b.db"),
        ("prompts:v2.db", "prompts:v2.db"),
        ("10:30.db", "10:30.db"),
        ("./sqlite:x.db", "sqlite:x.db"),
        ("user=5.db", "user=5.db"),
        (Path("host=h dbname=d"), "host=h dbname=d"),
        (Path("sqlite:x"), "sqlite:x"),
        (Path("file:y?mode=ro"), "file:y?mode=ro"),
    ):
        (tmp_path / "c:").mkdir(exist_ok=True)
        with Registry(target) as registry:
            assert registry.path == str(tmp_path / made)
            registry.create("a", "x")
        assert (tmp_path / made).is_file()


@pytest.mark.parametrize("doubled", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_registry_is_neither_copied_nor_pickled(registry, doubled):
    """Neither is a view; the error says what to do, because users of `spawn` get it first."""
    for held in (registry, registry.scope(namespace="other")):
        with pytest.raises(TypeError, match="open one in each process"):
            doubled(held)


def test_a_newer_schema_is_refused(path):
    """A file of a newer promptreg raises `SchemaTooNewError`, and is unchanged."""
    Registry(path).close()
    database(path, "PRAGMA user_version = 9999")
    with pytest.raises(SchemaTooNewError) as caught:
        Registry(path)
    assert (caught.value.code, caught.value.http_status) == ("schema_too_new", 500)
