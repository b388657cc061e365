"""The worker of one peer, in the peer's environment: checks its results, then measures ways on request.

`python worker.py PEER` writes one line of JSON with its package, machine and ways, then answers each line of its
input, the number of a way, with `[seconds of the peer, seconds of the floor]`. It ends when its input does.
`run.py` starts it; started by hand it needs `benchmarks` on PYTHONPATH.
"""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from timing import Meter
from ways import Way


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a peer that prints must not spoil the answers
    peer = import_module(f"of_{sys.argv[1]}")
    with tempfile.TemporaryDirectory() as folder:
        ways = list(peer.ways(Path(folder)))
        require_expected(ways)
        about = {"package": f"{peer.PACKAGE} {version(peer.PACKAGE)}", "machine": machine()}
        send(answers, {**about, "ways": [[way.name, way.prompt, way.stale] for way in ways]})
        meters = [Meter(way.row()) for way in ways]
        for line in sys.stdin:
            send(answers, meters[int(line)].measure())


def require_expected(ways: Sequence[Way]) -> None:
    """Exit unless every way renders the texts of the floor."""
    if differences := [difference for way in ways if (difference := way.differs())]:
        sys.exit("\n".join(differences))


def machine() -> str:
    """Return the versions and the machine on which the figures depend."""
    return f"Python {platform.python_version()}, Jinja2 {version('jinja2')}, {platform.machine()}, {sys.platform}"


def send(answers: TextIO, answer: object) -> None:
    """Write one line of JSON."""
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
