"""A process with only what Windows has: the functions of POSIX are removed before promptreg is imported.

`python -m pytest -p tests.without_posix FILES` runs tests so, in all the processes that they start too. It shows that
nothing that is removed is needed; it does not show how those systems behave.
"""

import mmap
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests import HIDDEN

# Python and the tools of the tests need these functions when they are imported, so they are imported first.
import asyncio  # isort: skip  # noqa: F401
import concurrent.futures.thread  # isort: skip  # noqa: F401
import logging  # isort: skip  # noqa: F401
import multiprocessing.forkserver  # isort: skip
import multiprocessing.util  # isort: skip
import multiprocessing.resource_tracker  # isort: skip  # noqa: F401
import random  # isort: skip  # noqa: F401
import shutil  # isort: skip  # noqa: F401
import tempfile  # isort: skip  # noqa: F401

# The tests of what is removed, by name, and the reasons why they are skipped.
NO_FORK = "this system has no fork"
NO_MAP = "no page is mapped here, so each read checks for changes and compares no stamp"
ABOUT_POSIX = {
    "test_both_sides_of_a_fork_keep_working": NO_FORK,
    "test_forks_while_threads_are_busy_lose_nothing": NO_FORK,
    "test_a_dump_is_of_one_moment_and_stops_nobody": NO_FORK,
    "test_the_stamp_differs_from_a_positions_once_anything_has_changed[sqlite file]": NO_MAP,
    "test_a_revision_that_is_published_again_has_another_stamp[file]": NO_MAP,
    "test_the_stamp_of_a_repaired_sidecar_is_new": NO_MAP,
    "test_a_commit_that_one_reader_has_seen_every_reader_sees": NO_MAP,
    "test_a_writer_publishes_to_processes_that_opened_after_the_sidecar_was_removed": NO_MAP,
    "test_the_cache_survives_the_change_to_the_connection_that_checks": NO_MAP,
}


def hide() -> None:
    """Remove what only POSIX has, in this process and in all that it starts."""
    os.environ["PROMPTREG_TESTS_WITHOUT_POSIX"] = "1"
    sys.modules["fcntl"] = None  # type: ignore[assignment]
    for name in HIDDEN:
        if name != "O_NONBLOCK":  # without which newer Pythons can't even remove a folder
            delattr(os, name)
    del mmap.PROT_READ
    os.supports_effective_ids = {found for found in os.supports_effective_ids if found is not os.access}
    for name in ("unlink", "remove", "rename", "replace"):
        setattr(os, name, _refusing_open_files(getattr(os, name)))


def _refusing_open_files(change: Callable[..., None]) -> Callable[..., None]:
    """Refuse to remove or replace a file that this process has open, as Windows does."""

    def refuse_or_change(path: Any, *more: Any, **options: Any) -> None:
        for target in (path, *more):
            if os.path.realpath(os.fsdecode(target)) in _open_files():
                raise PermissionError(13, "another process has it open", os.fsdecode(target))
        change(path, *more, **options)

    return refuse_or_change


def _open_files() -> Iterable[str]:
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of POSIX itself, with the reason."""
    for item in items:
        reason = ABOUT_POSIX.get(getattr(item, "originalname", item.name)) or ABOUT_POSIX.get(item.name)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


if "promptreg.storage" in sys.modules:
    raise RuntimeError("promptreg has been imported already, and has found out what the system has")
hide()
