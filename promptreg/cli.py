"""The command line, `promptreg`: parses arguments, and turns errors into one line and an exit status."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from promptreg.demo import run_demo
from promptreg.errors import PromptregError
from promptreg.telemetry.metrics import installed_version
from promptreg.telemetry.span_tree import NotShownError, printed_spans

SIGPIPE_STATUS = 128 + 13


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status: 0, or 1 with one line on standard error.

    Where standard output is a closed pipe, as after `| head -1`, print nothing, and return what shells do for SIGPIPE.
    """
    try:
        try:
            return _run(_parser().parse_args(arguments))
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        _discard_output()
        return SIGPIPE_STATUS
    except OSError as error:
        _discard_output()
        print(f"promptreg: the output can't be written: {error.strerror}", file=sys.stderr)
        return 1


def _discard_output() -> None:
    """Redirect standard output to the null device, as Python would fail again as it flushes it at exit."""
    with suppress(OSError), open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def _run(options: argparse.Namespace) -> int:
    try:
        with printed_spans(sys.stdout) if options.trace else nullcontext():
            _demo(options.db)
    except NotShownError as error:
        print(f"promptreg: {error}", file=sys.stderr)
        return 1
    except PromptregError as error:
        print(f"promptreg: {error.code}: {error.message}", file=sys.stderr)
        return 1
    return 0


def _demo(path: str | None) -> None:
    if path is not None:
        run_demo(path, sys.stdout)
        return
    with TemporaryDirectory(prefix="promptreg-demo-") as folder:
        run_demo(str(Path(folder, "prompts.db")), sys.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="promptreg", description="An in-process, embeddable prompt registry.")
    parser.add_argument("--version", action="version", version=f"promptreg {installed_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="show the life of a prompt, step by step, in a temporary folder")
    demo.add_argument("--db", metavar="FILE", help="use this registry, in a new namespace, and keep it")
    demo.add_argument("--trace", action="store_true", help="show OpenTelemetry's spans as a tree afterwards")
    return parser
