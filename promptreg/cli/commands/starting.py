"""`promptreg init`."""

import os

import click

from promptreg.cli.context import MISSING, Settings, output_options, registry_options
from promptreg.cli.output import note, print_one
from promptreg.errors import StorageError
from promptreg.harmless import one_line
from promptreg.storage.opening import is_postgres


@click.command()
@output_options
@registry_options
@click.pass_obj
def init(settings: Settings) -> None:
    """Create the database, or in PostgreSQL the schema.

    One that is there already stays, and is brought up to date.
    """
    is_there = _is_there(settings)
    with settings.registry(create=True) as registry:
        location = registry._core.storage.profile.location
        made: dict[str, object] = {"path": registry.path, "created": not is_there}
    said = "was there already" if is_there else "is created"
    print_one(settings, made, lambda _: note(f"{one_line(location)} {said}."))


def _is_there(settings: Settings) -> bool:
    if not is_postgres(settings.target):
        return os.path.exists(settings.target)
    try:
        with settings.registry():
            return True
    except StorageError as error:
        if error.details.get("reason") not in MISSING:
            raise
        return False
