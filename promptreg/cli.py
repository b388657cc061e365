"""The command line: `promptreg demo`, the main job in one screen."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from promptreg.demo import run_demo
from promptreg.errors import PromptregError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit status: 0, or 1 with one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        if options.db is not None:
            run_demo(options.db, sys.stdout)
        else:
            with TemporaryDirectory(prefix="promptreg-demo-") as folder:
                run_demo(str(Path(folder, "prompts.db")), sys.stdout)
    except PromptregError as error:
        print(f"promptreg: {error.code}: {error.message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="promptreg", description="An in-process, embeddable prompt registry.")
    parser.add_argument("--version", action="version", version=f"promptreg {version('promptreg-embedded')}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="show the main job, step by step, in a temporary folder")
    demo.add_argument("--db", metavar="FILE", help="work in this registry, in a namespace of its own, and keep it")
    return parser
