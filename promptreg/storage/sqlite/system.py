"""What the operating system offers, asked here and nowhere else; what one lacks is left out, or done in another way.

| where there is no | then |
| --- | --- |
| shared map of a file, `os.pwrite`, `os.pread` | each read asks the database whether anything was committed |
| `fcntl` | there is no queue: writers wait in SQLite |
| `os.register_at_fork` | nothing is done around a fork; whoever is forked with an open registry is refused |
| `os.link`, or a file system that has none | a file is made under its own name |
| `os.fchmod`, `os.fchown`, `os.geteuid` | a file has the rights that the system gives it |
| `os.statvfs` | no medium is taken for one that nobody can write |
| `os.access(effective_ids=True)` | the real user's rights are asked for |
| `O_NOFOLLOW` | a link is looked for before a file is opened |

Windows lacks all of these; macOS has them. Durability needs `F_FULLFSYNC` there, which is a setting of SQLite's.
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
except ImportError:  # of Windows
    fcntl = None  # type: ignore[assignment]

# Windows does not promise that a map shows what is written to the file otherwise, and lets no mapped file be removed.
MAPS = all(hasattr(module, name) for module, name in ((mmap, "PROT_READ"), (os, "pwrite"), (os, "pread")))
LOCKS = fcntl is not None and hasattr(os, "pwrite")
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT"))


def open_file(path: str, access: int, mode: int = 0o600) -> int:
    """Return a descriptor of a file, which no child inherits; raise `OSError`, with `ELOOP` for a symbolic link."""
    if not hasattr(os, "O_NOFOLLOW") and os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return os.open(path, access | _FLAGS, mode)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Read at most so many bytes; where `MAPS` is false the descriptor must be the caller's own."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)


def write_at(descriptor: int, content: bytes, offset: int) -> None:
    """Write in one step; where `MAPS` is false the descriptor must be the caller's own."""
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, content, offset)
        return
    os.lseek(descriptor, offset, os.SEEK_SET)
    os.write(descriptor, content)


def map_to_read(descriptor: int, size: int) -> memoryview:
    """Return what shows the first bytes of a file, whoever writes them; only where `MAPS`."""
    return memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ))


def lock_bytes(descriptor: int, start: int, length: int) -> bool:
    """Lock bytes of a file until it is closed, unless another process has one of them; only where `LOCKS`."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except (BlockingIOError, PermissionError):
        return False
    return True


def unlock_bytes(descriptor: int, start: int = 0, length: int = 0) -> None:
    """Unlock bytes of a file; all, if no length is given."""
    fcntl.lockf(descriptor, fcntl.LOCK_UN, length, start)


def may_write(path: str) -> bool:
    """Return whether this process may write what is there, as far as the system tells."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def is_on_fixed_media(path: str) -> bool:
    """Return whether nobody can write there, whatever their rights are."""
    return hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & getattr(os, "ST_RDONLY", 0))


def take_name(making: str, path: str) -> bool:
    """Name a file that is made, unless the name is taken; return False where the file system can't."""
    if not hasattr(os, "link"):
        return False
    try:
        os.link(making, path)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def follow_rights(descriptor: int, model: os.stat_result) -> None:
    """Set owner, group and mode of a file to those of another, as far as this process may and the system has them."""
    if not hasattr(os, "fchmod"):
        return
    found = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) != (model.st_uid, model.st_gid):
        for owner in (model.st_uid, -1):  # who is not root may still give it one of their own groups
            with suppress(OSError):
                os.fchown(descriptor, owner, model.st_gid)
                break
    if stat.S_IMODE(found.st_mode) != stat.S_IMODE(model.st_mode):
        with suppress(OSError):
            os.fchmod(descriptor, stat.S_IMODE(model.st_mode))


def on_fork(before: Callable[[], None], in_parent: Callable[[], None], in_child: Callable[[], None]) -> None:
    """Have these called around each fork of this process; never, where it does not fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def uri_path(path: str, separator: str = os.sep) -> str:
    r"""Return how a URI spells an absolute path: `/tmp/x`, and of Windows `/C:/x` and `//server/share/x`.

    >>> uri_path("/tmp/a b.db", "/"), uri_path("C:\\x\\a#b.db", "\\"), uri_path("\\\\server\\share\\x.db", "\\")
    ('/tmp/a%20b.db', '/C:/x/a%23b.db', '//server/share/x.db')
    """
    plain = path if separator == "/" else path.replace(separator, "/")
    return quote(os.fsencode(plain if plain.startswith("/") else f"/{plain}"), safe="/:")
