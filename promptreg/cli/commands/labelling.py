"""`promptreg label` and `grant`: names for versions, and access for people."""

from collections.abc import Sequence
from typing import get_args

import click

from promptreg.cli.completion import ReferenceCommand, name_argument, reference_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.output import print_one
from promptreg.cli.results import show_grants, show_labels
from promptreg.errors import NotFoundError, VersionConflictError, listed
from promptreg.models import Grant, Permission
from promptreg.prompt import Prompt
from promptreg.registry import Registry
from promptreg.rules.names import plain_reference

RETRIES = 4


@click.command(cls=ReferenceCommand)
@reference_argument
@click.argument("label")
@click.option("--remove", is_flag=True, help="Remove the label from NAME.")
@output_options
@registry_options
@click.pass_obj
def label(settings: Settings, name: str, label: str, remove: bool) -> None:
    """Set LABEL to a version, or move it there: `label greet@3 staging`."""
    if not remove and "@" not in name:
        raise click.UsageError(f"which version? `promptreg label {name}@VERSION {label}`")
    with settings.registry(create=True) as registry:
        prompt = registry.remove_label(name, label) if remove else registry.set_label(name, label)
    print_one(settings, prompt, show_labels)


@click.command()
@name_argument
@click.argument("principal")
@click.argument("permission", required=False, type=click.Choice(get_args(Permission)))
@click.option("--revoke", is_flag=True, help="Take the access away that PRINCIPAL was given.")
@output_options
@registry_options
@click.pass_obj
def grant(settings: Settings, name: str, principal: str, permission: Permission | None, revoke: bool) -> None:
    """Let user:ID, group:ID or anyone read or write a prompt.

    It is in force at once, and stands in place of what PRINCIPAL had.
    """
    if revoke == (permission is not None):
        raise click.UsageError("pass a permission, read or write, or --revoke")
    with settings.registry(create=True) as registry:
        prompt = _change_grants(registry, name, principal, permission)
    print_one(settings, prompt, show_grants)


def _change_grants(registry: Registry, name: str, principal: str, permission: Permission | None) -> Prompt:
    """Change one grant among those that there are; where others change them meanwhile, once more."""
    for _ in range(RETRIES):
        try:
            return _change_once(registry, name, principal, permission)
        except VersionConflictError:
            continue
    return _change_once(registry, name, principal, permission)


def _change_once(registry: Registry, name: str, principal: str, permission: Permission | None) -> Prompt:
    plain_reference(name)
    prompt = registry.get(name, label="latest")
    grants = [given for given in prompt.access_grants if given.principal != principal]
    if permission is not None:
        grants.append(Grant(principal, permission))
    elif len(grants) == len(prompt.access_grants):
        raise _not_given(prompt.name, principal, grants)
    return registry.update(
        prompt.name,
        access_grants=grants,
        is_production=prompt.production_version is not None,  # what is a draft only does not go live by this
        expected_version=prompt.production_version or prompt.latest_version,
    )


def _not_given(name: str, principal: str, grants: Sequence[Grant]) -> NotFoundError:
    there = f"; there are {listed([given.principal for given in grants])}" if grants else ""
    return NotFoundError(f"{name!r} has no grant to {listed([principal])}{there}.", names=[name])
