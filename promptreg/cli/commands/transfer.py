"""`promptreg export` and `import`: prompts as files in a folder, and everything as one file."""

import os
import sys
from functools import partial
from typing import IO

import click

from promptreg.cli.context import Settings, output_options, registry_options, run_checked
from promptreg.cli.output import note, print_one, say
from promptreg.cli.progress import progress
from promptreg.dump import Counts
from promptreg.errors import counted
from promptreg.files import ImportReport, import_from
from promptreg.files import export as export_folder
from promptreg.files.foreign.importing import KINDS
from promptreg.files.full import export_full, import_full
from promptreg.harmless import one_line
from promptreg.registry import Registry

STREAM = "-"


@click.command(short_help="Write the live prompts as files, or everything as one.")
@click.argument("folder", metavar="[DIR]", required=False)
@click.option(
    "--full", "file", metavar="FILE", help="Everything, of all namespaces, as JSON Lines; -: standard output."
)
@click.option("--force", is_flag=True, help="Overwrite files in DIR that say something else.")
@output_options
@registry_options
@click.pass_obj
def export(settings: Settings, folder: str | None, file: str | None, force: bool) -> None:
    """Write the namespace's live prompts to DIR, one file each; or with --full everything to one file.

    What --full writes, `promptreg import` reads into a new registry: histories, drafts, labels, grants and events too.
    It overwrites FILE, once all is written. Files in DIR are only overwritten with --force, and never removed.
    """
    if (folder is None) == (file is None):
        raise click.UsageError("Give a folder, or --full and a file.")
    if folder is not None:
        _export_folder(settings, folder, force)
    elif force:
        raise click.UsageError("--force is about a folder; --full overwrites its file anyway.")
    else:
        _export_full(settings, str(file))


def _export_folder(settings: Settings, folder: str, force: bool) -> None:
    with settings.registry() as registry, progress("Exporting") as advance:
        report = export_folder(registry, folder, force=force, progress=advance)
    print_one(settings, report, lambda _: note(f"{counted(len(report.written), 'file')} written to {one_line(folder)}, "
              f"{report.unchanged} unchanged."))  # fmt: skip


def _export_full(settings: Settings, file: str) -> None:
    out: str | IO[bytes] = file
    if file == STREAM:
        if settings.for_programs:
            raise click.UsageError(
                "--json and --nl say what was written, which a file is needed for: standard output has the export."
            )
        sys.stdout.flush()
        out = sys.stdout.buffer
    with settings.registry() as registry, progress("Exporting") as advance:
        counts = export_full(registry, out, progress=advance)
    _print_counts(settings, counts, "Exported", file)


@click.command("import", short_help="Read everything from one file, or prompts of another tool.")
@click.argument("source", metavar="FILE")
@click.option("--from", "kind", type=click.Choice(KINDS), help="FILE, or a folder, is of this tool.")
@click.option("--dry-run", is_flag=True, help="With --from: check everything, say what would be done, write nothing.")
@output_options
@registry_options
@click.pass_obj
def import_(settings: Settings, source: str, kind: str | None, dry_run: bool) -> None:
    """Read everything that `promptreg export --full` wrote into a new registry; -: standard input.

    The registry must hold nothing; it is created. All or nothing is imported, and no event is added.

    With --from the prompts of another tool are added to a registry: what Langfuse's API returns, .prompty files, an
    export of Open WebUI, or plain text files. What is printed has every change, and what could not be carried over.
    """
    if kind is not None:
        _import_from(settings, kind, source, dry_run)
    elif dry_run:
        raise click.UsageError("--dry-run goes with --from.")
    else:
        _import_full(settings, source)


def _import_from(settings: Settings, kind: str, source: str, dry_run: bool) -> None:
    if source == STREAM:
        raise click.UsageError("With --from give a file or a folder.")
    run = partial(_imported, kind=kind, source=source)
    print_one(settings, run_checked(settings, run, is_dry=dry_run, is_refused=lambda _: False), _print_report)


def _imported(registry: Registry, is_dry: bool, *, kind: str, source: str) -> ImportReport:
    with progress("Importing") as advance:
        return import_from(registry, kind, source, dry_run=is_dry, progress=advance)


def _print_report(report: ImportReport) -> None:
    for line in report.lines():
        say(one_line(line))
    versions = sum(prompt.versions for prompt in report.prompts)
    done = "Nothing was written; this would be imported" if report.dry_run else "Imported"
    note(f"{done}: {counted(len(report.prompts), 'prompt')}, {counted(versions, 'version')}.")


def _import_full(settings: Settings, source: str) -> None:
    if source != STREAM and not os.path.exists(source):  # before the database is created
        raise click.BadParameter("there is no such file.", param_hint="FILE")
    given: str | IO[bytes] = sys.stdin.buffer if source == STREAM else source
    with settings.registry(create=True) as registry, progress("Importing") as advance:
        counts = import_full(registry, given, progress=advance)
    _print_counts(settings, counts, "Imported", source)


def _print_counts(settings: Settings, counts: Counts, what: str, file: str) -> None:
    numbers = [counted(count, name.removesuffix("s")) for name, count in counts._asdict().items()]
    text = f"{what} {', '.join(numbers[:-1])} and {numbers[-1]}."
    if file == STREAM and what == "Exported":
        note(text)
    else:
        print_one(settings, counts._asdict(), lambda _: note(text))
