"""promptreg: an in-process, embeddable prompt registry. What SQLite is to data, it is to prompts.

`Registry("prompts.db")` opens a file, for the processes of one machine; `Registry("postgresql://…")` a schema of a
PostgreSQL database, for many, with the extra `promptreg-embedded[postgres]`.

pytest leaves the assertions of this package as they are: PYTEST_DONT_REWRITE.
"""

from promptreg.errors import (
    CommitUnknownError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    InvalidVariablesError,
    MissingVariablesError,
    NameTakenError,
    NoProductionVersionError,
    NotFoundError,
    NotModifiableError,
    PromptDisabledError,
    PromptregError,
    PublishCheckError,
    RenderError,
    RenderLimitError,
    SchemaTooNewError,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
    TemplateError,
    TemplatePolicyError,
    TemplateSyntaxError,
    UnauthorizedError,
    VersionConflictError,
    VersionNotFoundError,
)
from promptreg.models import UNSET, Actor, Event, Grant, Role, StatusUpdate, Variable, Version
from promptreg.prompt import Page, Prompt
from promptreg.registry import Registry
from promptreg.rendered import Rendered
from promptreg.rendering.limits import RenderLimits
from promptreg.rules.names import slugify

__all__ = [
    "UNSET",
    "Actor",
    "CommitUnknownError",
    "ConflictError",
    "Event",
    "ForbiddenError",
    "Grant",
    "InvalidInputError",
    "InvalidVariablesError",
    "MissingVariablesError",
    "NameTakenError",
    "NoProductionVersionError",
    "NotFoundError",
    "NotModifiableError",
    "Page",
    "Prompt",
    "PromptDisabledError",
    "PromptregError",
    "PublishCheckError",
    "Registry",
    "RenderError",
    "RenderLimitError",
    "RenderLimits",
    "Rendered",
    "Role",
    "SchemaTooNewError",
    "StatusUpdate",
    "StorageBusyError",
    "StorageCorruptError",
    "StorageError",
    "StorageFullError",
    "StorageReadOnlyError",
    "TemplateError",
    "TemplatePolicyError",
    "TemplateSyntaxError",
    "UnauthorizedError",
    "Variable",
    "Version",
    "VersionConflictError",
    "VersionNotFoundError",
    "slugify",
]
