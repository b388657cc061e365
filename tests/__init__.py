"""The tests. `HIDDEN` is what only POSIX has of `os`, which `tests/without_posix.py` takes away."""

import os

HIDDEN = (
    "O_CLOEXEC O_NOFOLLOW O_NONBLOCK ST_RDONLY fchmod fchown geteuid link posix_fallocate pread pwrite"
    " register_at_fork statvfs"
).split()

if os.environ.get("PROMPTREG_TESTS_WITHOUT_POSIX"):  # in every process of such a run
    from tests import without_posix  # noqa: F401
