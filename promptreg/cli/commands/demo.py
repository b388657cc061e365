"""`promptreg demo`."""

import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from promptreg.cli.context import Settings
from promptreg.cli.demo import run_demo
from promptreg.telemetry.span_tree import NotShownError, printed_spans


@click.command()
@click.option("--db", metavar="FILE|URL", help="Use this registry, in a new namespace, and keep it.")
@click.option("--trace", is_flag=True, help="Show OpenTelemetry's spans as a tree afterwards.")
@click.pass_obj
def demo(settings: Settings, db: str | None, trace: bool) -> None:
    """Show the life of a prompt, step by step.

    It leaves nothing behind, unless --db names a registry to do it in.
    """
    try:
        with printed_spans(sys.stdout) if trace else nullcontext():
            _run(db or settings.db)
    except NotShownError as error:
        raise click.ClickException(str(error)) from error


def _run(path: str | None) -> None:
    if path is not None:
        run_demo(path, sys.stdout)
        return
    with TemporaryDirectory(prefix="promptreg-demo-") as folder:
        run_demo(str(Path(folder, "prompts.db")), sys.stdout)
