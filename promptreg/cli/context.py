"""Which registry a command uses, and as whom: options, before or after the command, and the environment."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from promptreg.errors import StorageError
from promptreg.models import Actor, Role, built, checked_id
from promptreg.nearest import did_you_mean
from promptreg.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")

MISSING = frozenset({"missing_file", "missing_schema"})
"""The reasons of a `StorageError` that `promptreg init` helps against."""


@dataclass
class Settings:
    """What the options and the environment say; `--json` and `--nl` are read by `output.py`."""

    db: str | None = None
    namespace: str | None = None
    acting: str | None = None
    json: bool = False
    nl: bool = False

    @property
    def target(self) -> str:
        """The database, a path or a URL: `--db`, else PROMPTREG_DB, else `prompts.db`."""
        return _chosen("--db", self.db, "PROMPTREG_DB") or "prompts.db"

    @property
    def actor(self) -> Actor:
        """Who acts: `--as`, else PROMPTREG_AS, else the system's user as `org_admin`."""
        text = _chosen("--as", self.acting, "PROMPTREG_AS")
        return read_actor(text, "PROMPTREG_AS" if self.acting is None else "--as") if text else system_user()

    @property
    def for_programs(self) -> bool:
        """Whether JSON was asked for."""
        return self.json or self.nl

    @contextmanager
    def registry(self, *, create: bool = False) -> Iterator[Registry]:
        """Open the registry for a command that reads; with `create` for one that writes, which creates the database."""
        namespace = _chosen("--namespace", self.namespace, "PROMPTREG_NAMESPACE") or "default"
        with _opened(self.target, namespace, self.actor, create=create) as registry:
            yield registry


def run_checked(
    settings: Settings, run: Callable[[Registry, bool], R], *, is_dry: bool, is_refused: Callable[[R], object]
) -> R:
    """Return `run(registry, is_dry)`; make a database that is not there only once nothing is refused.

    A dry run never makes one. What it returns of a database that is not there is what it returns of an empty one in
    memory.
    """
    try:
        with settings.registry() as registry:
            return run(registry, is_dry)
    except StorageError as error:
        if error.details.get("reason") not in MISSING:
            raise
    with replace(settings, db=":memory:").registry(create=True) as registry:
        checked = run(registry, True)
    if is_dry or is_refused(checked):
        return checked
    with settings.registry(create=True) as registry:
        return run(registry, False)


def _opened(target: str, namespace: str, actor: Actor, *, create: bool) -> Registry:
    try:
        return Registry(target, namespace=namespace, actor=actor, create=create)
    except StorageError as error:
        if error.details.get("reason") == "missing_file":
            error.restate(
                f"There is no database {target}. `promptreg init` creates it; --db or PROMPTREG_DB names another."
            )
        raise


def _chosen(option: str, value: str | None, variable: str) -> str | None:
    """Return an option's value, else the variable's, where an empty one counts as not set; refuse an empty option.

    `--as "$SOMEBODY"` without a SOMEBODY is a mistake, which must not become a call as the system's user.
    """
    if value == "":
        raise click.BadParameter("is empty", param_hint=option)
    return value or os.environ.get(variable)


def read_actor(text: str, source: str = "--as") -> Actor:
    """Return the actor that `USER` or `USER:ROLE` means; `USER:` is one without a role, whose id may hold colons.

    >>> read_actor("ana:team_editor").role, read_actor("ana").role
    (<Role.TEAM_EDITOR: 'team_editor'>, None)
    """
    user, _, role = text.rpartition(":") if ":" in text else (text, "", "")
    if role and role not in [*Role]:
        reason = f"there is no role {role!r}; the roles are {', '.join(Role)}{did_you_mean(role, map(str, Role))}"
        raise click.BadParameter(reason, param_hint=source)
    try:
        return _actor(user, Role(role) if role else None)
    except ValueError as error:
        raise click.BadParameter(f"USER {error}; write USER or USER:ROLE", param_hint=source) from error


def system_user() -> Actor:
    """Return the system's user as `org_admin`; one that has no name acts under its number, as `uid-1000`."""
    try:
        return _actor(getpass.getuser(), Role.ORG_ADMIN)
    except (KeyError, OSError, ImportError, ValueError):
        return _actor(f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown", Role.ORG_ADMIN)


def _actor(user: str, role: Role | None) -> Actor:
    """Return the actor without pydantic: its first validator takes as long as all of `promptreg list` beside it."""
    return built(Actor, {"id": checked_id(user), "role": role, "groups": ()})


def _stored(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    """Store the value of an option in the settings; one after the command wins over one before it."""
    if value is not None and value is not False:
        setattr(ctx.ensure_object(Settings), str(option.name), value)


def _option(*names: str, **more: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_stored, is_eager=True, **more)


def registry_options(command: F) -> F:
    """Add the options that say which registry is used, and as whom."""
    for option in (
        _option("--as", "acting", metavar="USER[:ROLE]", help="Who acts; else PROMPTREG_AS, else you, as org_admin."),
        _option("--namespace", metavar="NAME", help="The namespace; else PROMPTREG_NAMESPACE, else default."),
        _option(
            "--db",
            metavar="FILE|URL",
            type=click.Path(),
            help="The database, a file or a postgresql:// URL; else PROMPTREG_DB, else prompts.db.",
        ),
    ):
        command = option(command)
    return command


def output_options(command: F) -> F:
    """Add the options for programs that read the output."""
    command = _option("--nl", is_flag=True, help="Print JSON, one value a line.")(command)
    return _option("--json", is_flag=True, help="Print JSON.")(command)
