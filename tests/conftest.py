"""Fixtures of many tests: registries, a clock that ticks, and a check that a refused call changed nothing."""

import gc
import itertools
import os
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from promptreg import Registry
from tests import browser as browsers
from tests import postgres
from tests.storages import DATABASES, ON_BOTH, everything, runs, wait_for_answers

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # as no test asserts a duration

collect_ignore = ["without_posix.py"]  # a plugin that removes what other tests need


def pytest_xdist_auto_num_workers() -> int:
    """Run one process more than there are cores, as tests that wait leave a third of them idle."""
    return (os.cpu_count() or 1) + 1


MEMORY = Path("/dev/shm")  # a file system in memory, where Linux has one
ENOUGH = 4 << 30  # bytes; the files of a run take 600 MB


def pytest_configure(config: pytest.Config) -> None:
    """Keep the files of a plain run in memory if there is room, as waiting for the disk takes a quarter of its time.

    Slow tests, which kill processes in the middle of writes, use the disk. `PYTEST_DEBUG_TEMPROOT` chooses a folder.
    """
    is_plain = "not slow" in config.option.markexpr
    has_room = hasattr(os, "statvfs") and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH
    if is_plain and has_room:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without the garbage collector, which takes a third of the time, and let it ignore what is there then.

    On Python 3.14 it does not: Hypothesis looks for what refers to its random numbers, and finds nothing frozen.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        if sys.version_info < (3, 14):
            gc.freeze()
        gc.enable()


class Ticking:
    """A clock that moves a second at each reading."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def holds_anything(registry: Registry) -> bool:
    """Return whether this thread holds a connection of the registry or a place in its queue."""
    storage: Any = registry._core.storage
    locks = [*storage._connections._all, *([] if storage._queue is None else [storage._queue])]
    return any(lock.is_held() for lock in locks)


def assert_other_threads_open(path: str) -> None:
    """Fail if this thread still holds a lock that another needs to open and close a registry, as after an interrupt."""
    other = threading.Thread(target=lambda: Registry(path).close(), daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition holds; fail where it does not within these seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing within {seconds} s"
        time.sleep(0.002)


TEMPORARY = itertools.count()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """An empty folder, as pytest's own, which searches all earlier ones for a number and links the newest."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    return tmp_path_factory.mktemp(f"{name}-{next(TEMPORARY)}", numbered=False)


@pytest.fixture
def clock() -> Ticking:
    """A clock that moves a second at each reading."""
    return Ticking()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deselect what is not run on PostgreSQL."""
    counts: Counter[str] = Counter()
    items[:] = [item for item in items if runs(item, counts)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of some modules on every database, unless they are marked `sqlite`."""
    is_everywhere = metafunc.module.__name__ in ON_BOTH and metafunc.definition.get_closest_marker("sqlite") is None
    if is_everywhere and "database" in metafunc.fixturenames:
        is_chosen = "not postgres" not in metafunc.config.option.markexpr  # else collecting them takes seconds
        metafunc.parametrize("database", DATABASES if is_chosen else DATABASES[:1], indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The database that `path` is in."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def path(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The target of a registry: the path of one that does not exist yet, or the URL of one that holds nothing.

    In PostgreSQL its reads wait for answers, so that what they return is neither stale nor missing in the cache.
    """
    if database == "sqlite":
        yield str(tmp_path / "prompts.db")
    else:
        with pytest.MonkeyPatch.context() as patch:
            wait_for_answers(patch)
            yield request.getfixturevalue("empty_schema").empty()


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The URL of the PostgreSQL server that all processes of this run share."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: install the extra postgres")
    url = postgres.shared_url()
    if url is None:
        pytest.skip(postgres.MISSING)
    return url


@pytest.fixture
def postgres_target(postgres_url: str) -> Iterator[str]:
    """The target of a registry that does not exist yet, in a schema of its own on the shared server."""
    with postgres.fresh_target(postgres_url) as target:
        yield target


@pytest.fixture(scope="module")
def browser() -> Iterator[browsers.Browser]:
    """The browser of all tests of a module."""
    pytest.importorskip("selenium", reason="selenium is not installed: install the extra test")
    found = browsers.programs()
    if found is None:
        pytest.skip(browsers.MISSING)
    with ExitStack() as stack:
        try:
            started = stack.enter_context(browsers.started(found))
        except browsers.unable() as error:
            pytest.skip(f"{found.browser} does not start by {found.driver}: {str(error).splitlines()[0]}")
        yield started


@pytest.fixture(scope="module")
def shop_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small registry."""
    from tests.report_pages import shop, written

    return written(shop(), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def markup_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a registry that is all markup."""
    from tests.report_pages import markup, written

    return written(markup(), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def empty_schema(postgres_url: str) -> Iterator[postgres.EmptySchema]:
    """A registry of this process that is emptied before each test that uses it."""
    with postgres.fresh_target(postgres_url) as target:
        Registry(target).close()
        schema = postgres.EmptySchema(target)
        yield schema
        schema.connection.close()


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a registry that holds nothing, to be copied: that takes a seventh of the time of creating one."""
    file = tmp_path_factory.mktemp("empty") / "prompts.db"
    Registry(file).close()
    return file


@pytest.fixture
def registry(database: str, path: str, clock: Ticking, empty_file: Path) -> Iterator[Registry]:
    """A new registry, as the application itself."""
    if database == "sqlite":
        shutil.copyfile(empty_file, path)
    with Registry(path, clock=clock) as opened:
        yield opened


@pytest.fixture
def unchanged(path: str) -> Callable[[], AbstractContextManager[None]]:
    """A context manager that fails unless every table holds the same rows after it as before."""

    @contextmanager
    def check() -> Iterator[None]:
        before = everything(path)
        yield
        assert everything(path) == before

    return check


@pytest.fixture
def destructors_may_be_interrupted(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[list[type[BaseException]]]:
    """Allow an interrupt in a destructor, which Python reports and ignores, and which pytest would count a failure.

    The fixture is the list of their types. Hypothesis's callback of the garbage collector, which would swallow one too,
    is removed. The test runs in a generator, as an interrupt within an `except` may leave its exception the one
    that is being handled, and so the context of later ones, until the thread or generator ends.
    """
    ignored: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: ignored.append(report.exc_type))
    callbacks, test = gc.callbacks[:], request.function

    @wraps(test)
    def in_generator(**given: object) -> None:
        next(test(**given) for _ in range(1))

    monkeypatch.setattr(request.node, "obj", in_generator)
    gc.callbacks.clear()
    yield ignored
    gc.callbacks[:] = callbacks
    gc.collect()
