"""`promptreg report`: prompts as one page to look at in a browser."""

import os
import sys

import click

from promptreg.cli.completion import complete_names
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.output import note, print_one
from promptreg.cli.private_file import write_private
from promptreg.harmless import one_line

STREAM = "-"


@click.command(short_help="Write a page to look at in a browser.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_names)
@click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    default="report.html",
    show_default=True,
    type=click.Path(),
    help="Where to; -: standard output.",
)
@click.option("--all", "all_versions", is_flag=True, help="Every version and event, not the newest 20 and 200 of each.")
@output_options
@registry_options
@click.pass_obj
def report(settings: Settings, names: tuple[str, ...], path: str, all_versions: bool) -> None:
    """Write a page about prompts: versions, differences, what was live when, labels, events.

    It is about the prompts that are named, or all of the namespace that you may read. The page is one file that needs
    no server and no network. Only you may read the file; one that is there is overwritten, once all is written.
    """
    if path == STREAM and settings.for_programs:
        raise click.UsageError(
            "--json and --nl say what was written, which a file is needed for: standard output has the page."
        )
    with settings.registry() as registry:

        def page() -> bytes:
            return registry.report(names or None, all_versions=all_versions).encode()

        if path == STREAM:
            data = page()
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            return
        size = write_private(path, page, registry.path)
    made = {"path": os.path.abspath(path), "bytes": size}
    print_one(settings, made, lambda _: note(f"{one_line(path)} is written; open it in a browser."))
