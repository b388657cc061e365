"""Closing files whose content nobody needs any more, also in a child that was forked while they were written."""

import os
from contextlib import suppress
from typing import IO


def discard(file: IO[bytes], owner: int) -> None:
    """Close a file of the process `owner`; what is still buffered may be lost.

    A forked child shares the file and the position in it with its parent, and closing writes what is buffered. So the
    child first puts nothing in the file's place.
    """
    with suppress(OSError):
        if os.getpid() != owner:
            with open(os.devnull, "r+b", buffering=0) as nothing:
                os.dup2(nothing.fileno(), file.fileno())
        file.close()
