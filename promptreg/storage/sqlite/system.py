"""The only module that asks what the operating system offers, and what is done where something is missing.

| without | this happens |
| --- | --- |
| shared memory maps, `os.pwrite`, `os.pread` | each read asks the database whether anything was committed |
| `fcntl` | there is no writers' queue: writers wait in SQLite's busy handler |
| `os.register_at_fork` | connections stay open over a fork, and the child's calls are refused |
| `os.link`, or a file system that supports it | a new file is made under its final name |
| `os.fchmod`, `os.fchown` | a new file has the system's default permissions |
| `os.statvfs` | no medium is recognised as read-only |
| `os.access(effective_ids=True)` | the real user's permissions are checked |
| `O_NOFOLLOW` | a symbolic link is looked for before a file is opened |

Windows has none of these; macOS has them all. There durability needs `F_FULLFSYNC`, which a setting of SQLite turns on.
"""

import errno
import mmap
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

# On Windows a map need not show what is written to the file by other means, and a mapped file can't be removed.
MAPS = all(hasattr(module, name) for module, name in ((mmap, "PROT_READ"), (os, "pwrite"), (os, "pread")))
LOCKS = fcntl is not None and hasattr(os, "pwrite")
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT"))


def open_file(path: str, access: int, mode: int = 0o600) -> int:
    """Return a descriptor that no child inherits; raise `OSError`, with `ELOOP` for a symbolic link."""
    if not hasattr(os, "O_NOFOLLOW") and os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return os.open(path, access | _FLAGS, mode)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Read up to `size` bytes; where `MAPS` is false, no other thread may use the descriptor."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)


def write_at(descriptor: int, content: bytes, offset: int) -> None:
    """Write in one system call; where `MAPS` is false, no other thread may use the descriptor."""
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, content, offset)
        return
    os.lseek(descriptor, offset, os.SEEK_SET)
    os.write(descriptor, content)


def map_to_read(descriptor: int, size: int) -> memoryview:
    """Return a live view of the first bytes of a file; only where `MAPS` is true."""
    return memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ))


def lock_bytes(descriptor: int, start: int, length: int) -> bool:
    """Lock bytes of a file, and return False where another process has one; only where `LOCKS` is true."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except (BlockingIOError, PermissionError):
        return False
    return True


def unlock_bytes(descriptor: int, start: int = 0, length: int = 0) -> None:
    """Unlock bytes of a file; all of them, unless a length is given."""
    fcntl.lockf(descriptor, fcntl.LOCK_UN, length, start)


def may_write(path: str) -> bool:
    """Return whether the permissions let this process write the file or folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def is_on_fixed_media(path: str) -> bool:
    """Return whether the file system is mounted read-only."""
    return hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & getattr(os, "ST_RDONLY", 0))


def take_name(making: str, path: str) -> bool:
    """Rename a new file, unless the name is taken; return False where the file system has no hard links."""
    if not hasattr(os, "link"):
        return False
    try:
        os.link(making, path)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def move_new(making: str, path: str) -> None:
    """Rename a new file, in one step; raise `FileExistsError` where anything has it.

    A file system without hard links shows an empty file of the name for a moment.
    """
    try:
        os.link(making, path)
    except FileExistsError:
        raise
    except (OSError, AttributeError):
        if os.name != "nt":  # where a rename replaces nothing
            os.close(open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        os.replace(making, path) if os.name != "nt" else os.rename(making, path)


def sync(path: str) -> None:
    """Write what the system still holds of a file to its disk."""
    descriptor = open_file(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: str) -> None:
    """Write the names in a folder to its disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def follow_rights(descriptor: int, model: os.stat_result) -> None:
    """Copy owner, group and mode of a file to another one, as far as this process may."""
    if not hasattr(os, "fchmod"):
        return
    found = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) != (model.st_uid, model.st_gid):
        for owner in (model.st_uid, -1):  # other users than root may still set a group that they are in
            with suppress(OSError):
                os.fchown(descriptor, owner, model.st_gid)
                break
    if stat.S_IMODE(found.st_mode) != stat.S_IMODE(model.st_mode):
        with suppress(OSError):
            os.fchmod(descriptor, stat.S_IMODE(model.st_mode))


def on_fork(before: Callable[[], None], in_parent: Callable[[], None], in_child: Callable[[], None]) -> None:
    """Register hooks that are called around each fork of this process, where the system has forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def uri_path(path: str, separator: str = os.sep) -> str:
    r"""Return an absolute path as a URI spells it: `/tmp/x`, and on Windows `/C:/x` and `//server/share/x`.

    >>> uri_path("/tmp/a b.db", "/"), uri_path("C:\\x\\a#b.db", "\\"), uri_path("\\\\server\\share\\x.db", "\\")
    ('/tmp/a%20b.db', '/C:/x/a%23b.db', '//server/share/x.db')
    """
    plain = path if separator == "/" else path.replace(separator, "/")
    return quote(os.fsencode(plain if plain.startswith("/") else f"/{plain}"), safe="/:")
