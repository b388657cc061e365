"""A process that has no more than Windows has: what only POSIX offers is hidden, before promptreg is loaded.

`python -m pytest -p tests.without_posix FILES` runs tests so, in all the processes that they start too. It shows that
nothing which is hidden is needed; it does not show how those systems behave.
"""

import mmap
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests import HIDDEN

# What Python and the tests' own tools take of these as they load, they are to have.
import asyncio  # isort: skip  # noqa: F401
import concurrent.futures.thread  # isort: skip  # noqa: F401
import logging  # isort: skip  # noqa: F401
import multiprocessing.forkserver  # isort: skip
import multiprocessing.util  # isort: skip
import multiprocessing.resource_tracker  # isort: skip  # noqa: F401
import random  # isort: skip  # noqa: F401
import shutil  # isort: skip  # noqa: F401
import tempfile  # isort: skip  # noqa: F401

# The tests that are about what is hidden, by name, and why they say nothing here.
NO_FORK = "a system without fork has nothing to do around one"
NO_MAP = "no page is mapped here, so each read looks, and none is compared"
ABOUT_POSIX = {
    "test_both_sides_of_a_fork_go_on": NO_FORK,
    "test_forks_while_threads_are_busy_lose_nothing": NO_FORK,
    "test_the_stamp_differs_from_a_positions_once_anything_has_changed[sqlite file]": NO_MAP,
    "test_a_revision_that_is_published_again_has_another_stamp[file]": NO_MAP,
    "test_a_page_that_is_made_whole_is_none_that_anybody_knew": NO_MAP,
    "test_what_one_reader_has_seen_every_reader_sees": NO_MAP,
    "test_a_writer_tells_those_who_opened_after_the_sidecar_was_removed": NO_MAP,
    "test_what_is_known_outlives_the_change_to_the_connection_that_looks": NO_MAP,
}


def hide() -> None:
    """Take away what only POSIX has, in this process and in all that it starts."""
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
    """Refuse to remove a file that this process has open, or to put another one in its place, as Windows does."""

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
    """Skip what is about POSIX itself, and say why."""
    for item in items:
        reason = ABOUT_POSIX.get(getattr(item, "originalname", item.name)) or ABOUT_POSIX.get(item.name)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


if "promptreg.storage" in sys.modules:
    raise RuntimeError("promptreg is loaded already, and knows what the system has")
hide()
