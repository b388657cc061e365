"""Writers that share a file, each a process: `python -m tests.writers PATH PROCESSES SECONDS` tells what they wrote."""

import json
import os
import sys
import time
import traceback
from typing import Any

from promptreg import Registry


def _write(path: str, until: float) -> dict[str, Any]:
    """Publish versions of one prompt until then; give their numbers and the longest wait."""
    numbers, longest = [], 0.0
    with Registry(path, busy_timeout=60) as registry:
        while time.monotonic() < until:
            begin = time.monotonic()
            numbers.append(registry.update("shared", template=f"{os.getpid()} {len(numbers)}").version)
            longest = max(longest, time.monotonic() - begin)
    return {"numbers": numbers, "longest": longest, "errors": []}


def _start(path: str, until: float) -> int:
    """Fork a writer, and give the pipe with what it tells."""
    out, into = os.pipe()
    if os.fork():
        os.close(into)
        return out
    try:
        told = _write(path, until)
    except BaseException:
        told = {"numbers": [], "longest": 0, "errors": [traceback.format_exc()]}
    with os.fdopen(into, "w") as pipe:
        json.dump(told, pipe)
    os._exit(0)


def _told(out: int) -> dict[str, Any]:
    with os.fdopen(out) as pipe:
        return dict(json.load(pipe))


if __name__ == "__main__":
    end = time.monotonic() + float(sys.argv[3])
    print(json.dumps([_told(out) for out in [_start(sys.argv[1], end) for _ in range(int(sys.argv[2]))]]))
