"""The tree of errors that promptreg raises.

Catch the branch that you can act on:

    PromptregError
    ├── InvalidInputError            400 validation_error
    ├── UnauthorizedError            401 unauthorized
    ├── ForbiddenError               403 forbidden
    ├── NotFoundError                404 not_found
    │   ├── VersionNotFoundError         version_not_found
    │   └── NoProductionVersionError     no_production_version
    ├── ConflictError                409 conflict
    │   ├── NameTakenError               name_taken
    │   ├── VersionConflictError         version_conflict
    │   ├── NotModifiableError           version_not_modifiable, prompt_archived
    │   └── PromptDisabledError          prompt_disabled
    ├── TemplateError                422 template_error
    │   ├── TemplateSyntaxError          template_syntax_error
    │   ├── TemplatePolicyError          template_policy
    │   ├── MissingVariablesError        missing_variables
    │   ├── InvalidVariablesError        invalid_variables
    │   ├── RenderLimitError             render_limit
    │   └── RenderError                  render_error
    ├── PublishCheckError            422 publish_check_failed
    └── StorageError                 500 internal_error
        ├── StorageBusyError         503 service_unavailable
        ├── StorageFullError         503 service_unavailable
        ├── StorageReadOnlyError     503 service_unavailable
        ├── StorageCorruptError      500 storage_corrupt
        ├── SchemaTooNewError        500 schema_too_new
        └── CommitUnknownError       500 commit_unknown

No message holds a variable's value. Who raises which error, and when, is decided elsewhere.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar
from uuid import uuid4

LISTED = 10  # names or fields in a message
LONGEST = 128  # characters of each, as many as a name of a prompt has at most


class PromptregError(Exception):
    """The base of every error of promptreg.

    `code` is stable, for programs; `message` is for people; `details` holds the evidence, with keys that depend on the
    code; `request_id` is unique to this error, to find it in logs and traces; `http_status` is the status that a web
    service would answer with. Errors pickle with all of these.

    >>> error = NotFoundError("There is no prompt 'welcome'.", names=["welcome"])
    >>> error.code, error.http_status, error.details
    ('not_found', 404, {'names': ['welcome']})
    >>> sorted(error.to_dict())
    ['error', 'request_id']
    """

    default_code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, /, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message: str = message
        self.code: str = code or self.default_code
        self.details: dict[str, Any] = details
        self.request_id: str = str(uuid4())

    def to_dict(self) -> dict[str, Any]:
        """Return the error as the JSON object that a web service would answer with [EDIT].

        >>> ConflictError("Nothing was published before.").to_dict()["error"]
        {'code': 'conflict', 'message': 'Nothing was published before.', 'details': {}}
        """
        error = {"code": self.code, "message": self.message, "details": self.details}
        return {"error": error, "request_id": self.request_id}

    def restate(self, message: str) -> None:
        """Replace the message."""
        self.message = message
        self.args: tuple[Any, ...] = (message,)

    def put_before(self, where: str) -> None:
        """Put the place of the error before the message, where the code that raised it did not know the place."""
        self.restate(f"{where}: {self.message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.message, dict(self.__dict__))


def listed(names: Sequence[str]) -> str:
    """Return names for a message: the first ten, each cut at 128 characters, and how many more there are.

    >>> listed(["b", "a"])
    "'b', 'a'"
    """
    shown = ", ".join(repr(name if len(name) <= LONGEST else f"{name[:LONGEST]}…") for name in names[:LISTED])
    return f"{shown} and {len(names) - LISTED} more" if len(names) > LISTED else shown


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "prompt"), counted(1200, "prompt")
    ('1 prompt', '1,200 prompts')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _restore(kind: type[PromptregError], message: str, state: Mapping[str, Any]) -> PromptregError:
    error = kind(message)
    error.__dict__.update(state)
    return error


class InvalidInputError(PromptregError):
    """An argument is not valid; `details["errors"]` lists each such field with the reason."""

    default_code = "validation_error"
    http_status = 400

    @classmethod
    def of(cls, field: str, reason: str) -> "InvalidInputError":
        """Return the error for one field.

        >>> InvalidInputError.of("limit", "must be at least 1").message
        'limit: must be at least 1'
        """
        return cls(f"{field}: {reason}", errors=[{"field": field, "reason": reason}])

    @classmethod
    def of_all(cls, errors: list[dict[str, str]]) -> "InvalidInputError":
        """Return the error for several fields, each `{"field", "reason"}`."""
        shown = "; ".join(f"{e['field']}: {e['reason']}" for e in errors[:LISTED])
        more = f"; and {len(errors) - LISTED} more" if len(errors) > LISTED else ""
        return cls(shown + more, errors=errors)

    def within(self, where: str) -> "InvalidInputError":
        """Return the same error with each field named as a part of another one."""
        errors = [{**e, "field": f"{where}.{e['field']}"} for e in self.details["errors"]]
        return InvalidInputError.of_all(errors)


class UnauthorizedError(PromptregError):
    """The call needs an actor and has none."""

    default_code = "unauthorized"
    http_status = 401


class ForbiddenError(PromptregError):
    """The actor may read these prompts but may not do this to them; `details`: `names`, `action`."""

    default_code = "forbidden"
    http_status = 403


class NotFoundError(PromptregError):
    """There are no such prompts, or the actor may not read them; `details["names"]` lists them all."""

    default_code = "not_found"
    http_status = 404


class VersionNotFoundError(NotFoundError):
    """The prompt has no such version or label; `details`: `name`, `version`."""

    default_code = "version_not_found"


class NoProductionVersionError(NotFoundError):
    """No version of the prompt was ever published; `details`: `name`, `version` (None)."""

    default_code = "no_production_version"


class ConflictError(PromptregError):
    """The call conflicts with what is stored."""

    default_code = "conflict"
    http_status = 409


class NameTakenError(ConflictError):
    """Another prompt of the namespace has this name; `details["name"]`."""

    default_code = "name_taken"


class VersionConflictError(ConflictError):
    """Another writer changed the prompt first; `details`: the `expected` version or content hash, and the `actual` one.

    Where the prompt changed while its publish checks ran, `details["field"]` names what changed: `production`, `name`,
    `status`, `version` or `content_hash`; `expected` and `actual` are its values before and after.
    """

    default_code = "version_conflict"


class NotModifiableError(ConflictError):
    """The version is published or the prompt archived (see `code`); `details`: `names`, `state`."""

    default_code = "version_not_modifiable"


class PromptDisabledError(ConflictError):
    """The prompt is disabled, so it does not render; `details["name"]`."""

    default_code = "prompt_disabled"


class TemplateError(PromptregError):
    """A template can't be saved or rendered; `details` has `name` and `line` where there are any."""

    default_code = "template_error"
    http_status = 422

    def put_name(self, name: str) -> None:
        """Name the prompt whose template failed, in the message and in `details`."""
        self.put_before(repr(name))
        self.details: dict[str, Any] = {"name": name, **self.details}


class TemplateSyntaxError(TemplateError):
    """The template is not valid Jinja2; `details["line"]` counts from 1 within its text or message."""

    default_code = "template_syntax_error"


class TemplatePolicyError(TemplateError):
    """The template uses something that templates may not use; `details["line"]`."""

    default_code = "template_policy"


class MissingVariablesError(TemplateError):
    """Variables that the template reads were not passed; `details["missing"]` names them all."""

    default_code = "missing_variables"


class InvalidVariablesError(TemplateError):
    """Variables are not as declared; `details["errors"]` lists each such field with the reason."""

    default_code = "invalid_variables"


class RenderLimitError(TemplateError):
    """The render exceeded a limit; `details["limit"]` names the setting, or is None for a fixed limit."""

    default_code = "render_limit"


class RenderError(TemplateError):
    """The template failed with these variables."""

    default_code = "render_error"


class PublishCheckError(PromptregError):
    """The version may not become production; `details["reasons"]` lists every failed check."""

    default_code = "publish_check_failed"
    http_status = 422


STORAGE_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "closed": "the registry was closed",
        "nested": "the call was made in the middle of another call of the same thread, of a fork or of closing",
        "driver": "psycopg, which talks to PostgreSQL, is not installed",
        "unreachable": "no server answers at the address",
        "refused": "the server refused the connection: the user, the password or the database",
        "connection_lost": "the connection to the server broke; nothing was written",
        "unanswered": "the server did not answer within `busy_timeout`",
        "not_reached": "the revision that was waited for did not arrive in time",
        "permission": "the role lacks a right in the database; the message says which",
        "missing_schema": "the database has no such schema with a registry, and it may not be created",
        "encoding": "the database is not in UTF-8",
        "old_server": "the server is older than those that are supported",
        "fork": "the process was forked without Python's hooks, or in the middle of a call",
        "missing_file": "there is no such file, and it may not be created",
        "missing_folder": "there is no such folder",
        "folder": "the path is a folder",
        "not_a_registry": "the file, or the schema, is not a registry",
        "log_missing": "the file is empty, as is a copy of an open registry that was made without its write-ahead log",
        "removed": "the file, or the schema, was removed while it was open",
        "replaced": "the file was replaced while it was open",
        "log_lost": "the file's write-ahead log was removed while it was open",
        "foreign_log": "the write-ahead log beside the file belongs to another file that was there before",
        "sidecar": "the sidecar file is not one, or this process may not write it",
        "read_only": "this process may not write the file, its folder or a file beside it; or the server is a standby",
        "in_use": "other processes write to the file, which this process may only read",
        "old_schema": "the database has an older schema, which this call does not migrate",
        "schema_too_new": "a newer promptreg wrote the database",
        "busy": "other writers held the database, or others every connection, for longer than `busy_timeout`",
        "full": "the disk, or that of the server, is full",
        "damaged": "the database does not hold what was written to it",
        "io_error": "a read or write of the disk failed",
        "commit_unknown": "the commit may or may not have happened",
        "unsettled": "an earlier commit may or may not have happened, and the disk still fails",
        "unusable": "the system, SQLite or the server failed in another way; the message says how",
    }
)
"""Every `details["reason"]` of a `StorageError`, with its meaning."""


class StorageError(PromptregError):
    """The database can't be used; `details["reason"]`, a key of `STORAGE_REASONS`, says why."""


RETRY_AFTER = 1.0
"""Seconds after which a `StorageBusyError` says to try again."""


class StorageBusyError(StorageError):
    """The database, or every connection of this process, was in use for longer than `busy_timeout`.

    Retry after `details["retry_after"]` seconds.
    """

    default_code = "service_unavailable"
    http_status = 503


class StorageFullError(StorageError):
    """The disk is full, and nothing was written; `details["retry_after"]` is None, as no time can be named."""

    default_code = "service_unavailable"
    http_status = 503


class StorageReadOnlyError(StorageError):
    """The database can't be written by this process.

    `details["retry_after"]` is None, or with the reason `in_use` a number of seconds.
    """

    default_code = "service_unavailable"
    http_status = 503


class StorageCorruptError(StorageError):
    """The database is damaged: what it holds is not what was written; restore a backup."""

    default_code = "storage_corrupt"


class SchemaTooNewError(StorageError):
    """A newer promptreg wrote this database; upgrade promptreg."""

    default_code = "schema_too_new"


class CommitUnknownError(StorageError):
    """The commit failed in such a way that it may or may not have happened, and the registry could not find out.

    The same call on `registry.once(details["operation_id"])` writes only what does not hold. Calls that have no such id
    are those of `sync` and full imports: read before you retry.
    """

    default_code = "commit_unknown"
