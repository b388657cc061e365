"""Which registry a command uses, and as whom: options, before or after the command, and the environment."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from promptreg.models import Actor, Role
from promptreg.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """What the options and the environment say; `--json` and `--nl` are read by `output.py`."""

    db: str | None = None
    namespace: str | None = None
    acting: str | None = None
    json: bool = False
    nl: bool = False

    @contextmanager
    def registry(self, *, create: bool = False) -> Iterator[Registry]:
        """Open the registry; a command that writes creates it."""
        target = self.db or os.environ.get("PROMPTREG_DB") or "prompts.db"
        namespace = self.namespace or os.environ.get("PROMPTREG_NAMESPACE") or "default"
        actor = read_actor(self.acting or os.environ.get("PROMPTREG_AS") or "")
        with Registry(target, namespace=namespace, actor=actor, create=create) as registry:
            yield registry


def read_actor(text: str) -> Actor:
    """Return the actor that `USER` or `USER:ROLE` means, or for an empty text the system's user as `org_admin`.

    >>> read_actor("ana:team_editor").role, read_actor("ana").role
    (<Role.TEAM_EDITOR: 'team_editor'>, None)
    """
    if not text:
        return Actor(getpass.getuser(), Role.ORG_ADMIN)
    user, _, role = text.rpartition(":") if ":" in text else (text, "", "")
    return Actor(user, Role(role) if role else None)


def _stored(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    """Store the value of an option in the settings; one after the command wins over one before it."""
    if value not in {None, False}:
        setattr(ctx.ensure_object(Settings), str(option.name), value)


def _option(*names: str, **more: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_stored, is_eager=True, **more)


def registry_options(command: F) -> F:
    """Add the options that say which registry is used, and as whom."""
    for option in (
        _option("--as", "acting", metavar="USER[:ROLE]", help="Who acts; else PROMPTREG_AS, else you, as org_admin."),
        _option("--namespace", metavar="NAME", help="The namespace; else PROMPTREG_NAMESPACE, else default."),
        _option("--db", metavar="FILE", help="The database; else PROMPTREG_DB, else prompts.db."),
    ):
        command = option(command)
    return command


def output_options(command: F) -> F:
    """Add the options for programs that read the output."""
    command = _option("--nl", is_flag=True, help="Print JSON, one object a line.")(command)
    return _option("--json", is_flag=True, help="Print JSON.")(command)
