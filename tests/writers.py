"""Writer processes that share a file: `python -m tests.writers PATH PROCESSES SECONDS` prints what each wrote.

They go on for longer, until none is far behind the others, but not for ever: on a busy machine one may have to wait for
its first turn of the processor, and then catches up if it is not starved.
"""

import json
import mmap
import os
import sys
import time
import traceback
from typing import Any

from promptreg import Registry

PATIENCE = 90.0  # seconds more, in which each must come to a fifth of what the one with the most writes has made
COUNTS = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")  # of all processes: 1 when they should end, and writes


def _is_over(processes: int, deadline: float) -> bool:
    """Return whether all processes should end."""
    if time.monotonic() > deadline and not COUNTS[0]:
        counts = COUNTS[1 : 1 + processes].tolist()
        COUNTS[0] = min(counts) >= 0.2 * max(counts) > 0 or time.monotonic() > deadline + PATIENCE
    return bool(COUNTS[0])


def _write(path: str, number: int, processes: int, deadline: float) -> dict[str, Any]:
    """Publish versions of one prompt until all should end; return their numbers and the longest wait."""
    numbers, longest = [], 0.0
    with Registry(path, busy_timeout=60) as registry:
        while not _is_over(processes, deadline):
            begin = time.monotonic()
            numbers.append(registry.update("shared", template=f"{os.getpid()} {len(numbers)}").version)
            longest = max(longest, time.monotonic() - begin)
            COUNTS[1 + number] = len(numbers)
    return {"numbers": numbers, "longest": longest, "errors": []}


def _start(path: str, number: int, processes: int, deadline: float) -> int:
    """Fork a writer, and return the pipe that its report comes from."""
    out, into = os.pipe()
    if os.fork():
        os.close(into)
        return out
    try:
        report = _write(path, number, processes, deadline)
    except BaseException:
        report = {"numbers": [], "longest": 0, "errors": [traceback.format_exc()]}
    with os.fdopen(into, "w") as pipe:
        json.dump(report, pipe)
    os._exit(0)


def _report(out: int) -> dict[str, Any]:
    with os.fdopen(out) as pipe:
        return dict(json.load(pipe))


if __name__ == "__main__":
    file, count, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
    started = [_start(file, number, count, end) for number in range(count)]
    print(json.dumps([_report(out) for out in started]))
