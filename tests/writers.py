"""Writer processes that share a file: `python -m tests.writers PATH PROCESSES SECONDS` prints what each wrote."""

import json
import os
import sys
import time
import traceback
from typing import Any

from promptreg import Registry


def _write(path: str, deadline: float) -> dict[str, Any]:
    """Publish versions of one prompt until the deadline; return their numbers and the longest wait."""
    numbers, longest = [], 0.0
    with Registry(path, busy_timeout=60) as registry:
        while time.monotonic() < deadline:
            begin = time.monotonic()
            numbers.append(registry.update("shared", template=f"{os.getpid()} {len(numbers)}").version)
            longest = max(longest, time.monotonic() - begin)
    return {"numbers": numbers, "longest": longest, "errors": []}


def _start(path: str, deadline: float) -> int:
    """Fork a writer, and return the pipe that its report comes from."""
    out, into = os.pipe()
    if os.fork():
        os.close(into)
        return out
    try:
        report = _write(path, deadline)
    except BaseException:
        report = {"numbers": [], "longest": 0, "errors": [traceback.format_exc()]}
    with os.fdopen(into, "w") as pipe:
        json.dump(report, pipe)
    os._exit(0)


def _report(out: int) -> dict[str, Any]:
    with os.fdopen(out) as pipe:
        return dict(json.load(pipe))


if __name__ == "__main__":
    end = time.monotonic() + float(sys.argv[3])
    print(json.dumps([_report(out) for out in [_start(sys.argv[1], end) for _ in range(int(sys.argv[2]))]]))
