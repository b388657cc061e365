"""The tests. `HIDDEN` names the functions of `os` that only POSIX has, which `tests/without_posix.py` removes."""

import os

HIDDEN = (
    "O_CLOEXEC O_NOFOLLOW O_NONBLOCK ST_RDONLY fchmod fchown geteuid link posix_fallocate pread pwrite"
    " register_at_fork statvfs"
).split()

if os.environ.get("PROMPTREG_TESTS_WITHOUT_POSIX"):  # in every process of such a run
    from tests import without_posix  # noqa: F401
