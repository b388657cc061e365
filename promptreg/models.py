"""The public frozen values that need no registry: actors, roles, grants, variables, versions, events.

What renders is in `prompt.py`, what is stored in `records.py`. No storage, template or rule is known here.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum, StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Protocol, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from promptreg.errors import InvalidInputError
from promptreg.jsonvalues import (
    MAX_NODES,
    FrozenDict,
    FrozenList,
    NotJSON,
    checked_text,
    freeze,
    frozen_list,
    is_builtin,
)
from promptreg.untrusted import read_untrusted, unreadable_error


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""The value of an argument that was not passed, so that nothing is changed."""

VariableType: TypeAlias = Literal["string", "integer", "number", "boolean", "array", "object", "any"]
Permission: TypeAlias = Literal["read", "write"]
Kind: TypeAlias = Literal["text", "chat"]
Syntax: TypeAlias = Literal["jinja", "jinja-trim", "plain"]
State: TypeAlias = Literal["draft", "failed", "published"]
Status: TypeAlias = Literal["active", "disabled", "archived"]
TargetStatus: TypeAlias = Literal["active", "disabled", "archived", "deleted"]
OnConflict: TypeAlias = Literal["draft", "publish", "error"]
Action: TypeAlias = Literal[
    "create", "update", "edit", "publish", "rollback", "check_failed", "discard", "set_label", "remove_label",
    "rename", "grant", "disable", "enable", "archive", "restore", "delete",
]  # fmt: skip
Json: TypeAlias = Annotated[Any, AfterValidator(freeze)]
JsonObject: TypeAlias = Annotated[dict[str, Any], AfterValidator(freeze)]

MAX_IDENTITY = 256
MAX_CLASS_NAME = 60  # characters of a subclass's name that `repr` shows
MAX_GROUPS = 1_000  # of an actor, as each read of a prompt compares them with its grants


class Value(BaseModel):
    """A frozen value: it compares by value, hashes, pickles and has a JSON schema.

    Validators are built at their first use: at import they took a third of the time. So values whose fields are valid
    already are made by `built` or `model_construct`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, defer_build=True)

    def __init__(self, **fields: Any) -> None:
        self._require_uninitialized()
        super().__init__(**fields)

    def _fill(self, what: str, fields: dict[str, Any]) -> None:
        """Validate and set the fields; raise `InvalidInputError`, which quotes none of their values."""
        self._require_uninitialized()
        for name, value in fields.items():  # pydantic reads it too, and prints what that raises to stderr
            read_untrusted(name, getattr, value, "__class__")
        try:
            super().__init__(**fields)
            return
        except ValidationError as error:
            from promptreg.validation import refused  # noqa: PLC0415 (loaded at first use)

            refusal = refused(error, type(self).model_fields)
        except Exception as error:
            if is_builtin(fields):
                raise
            refusal = unreadable_error(what, error)
        raise refusal  # outside `except`, as a chained context would quote values

    def __setstate__(self, state: dict[Any, Any]) -> None:
        self._require_uninitialized()
        super().__setstate__(state)

    @property
    def model_fields_set(self) -> set[str]:
        """The names of the fields that were set explicitly, as a copy."""
        return set(self.__pydantic_fields_set__)

    def __repr_name__(self) -> str:
        return type(self).__name__[:MAX_CLASS_NAME]

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        from promptreg import reprs  # noqa: PLC0415 (loaded at first use)

        return reprs.shortened(self.__repr_name__(), super().__repr_args__())

    def _require_uninitialized(self) -> None:
        """Raise `TypeError` where the value has its fields already, as other threads may hold it."""
        if hasattr(self, "__pydantic_fields_set__"):
            raise TypeError(f"{type(self).__name__} is read-only; model_copy(update=…) makes another one")


V = TypeVar("V", bound=Value)


def built(
    kind: type[V],
    fields: dict[str, Any],
    private: dict[str, Any] | None = None,
    *,
    fields_set: set[str] | None = None,
) -> V:
    """Return a value with all its fields and private attributes, neither validated nor copied.

    `model_construct` does the same, but resolves each alias and copies each default: 33 µs a prompt instead of 5.
    `fields_set` are the fields that count as set, a set that nobody changes; all of them by default.
    """
    value = kind.__new__(kind)
    for name, content in (
        ("__dict__", fields),
        ("__pydantic_fields_set__", set(fields) if fields_set is None else fields_set),
        ("__pydantic_extra__", None),
        ("__pydantic_private__", private),
    ):
        object.__setattr__(value, name, content)
    return value


def checked_id(text: str) -> str:
    """Return the id of an actor; raise `ValueError` with the reason for any other text."""
    text = str.__str__(text)
    if not text or text.isspace() or len(text) > MAX_IDENTITY:
        raise ValueError(f"must be text of 1 to {MAX_IDENTITY} characters")
    try:
        return checked_text(text)
    except NotJSON as error:
        raise ValueError(str(error)) from None


def _checked_principal(text: str) -> str:
    text = str.__str__(text)
    kind, colon, identity = text.partition(":")
    if text != "anyone" and not (colon and identity and kind in {"user", "group"}):
        raise ValueError("must be user:ID, group:ID or anyone")
    checked_id(identity or text)  # the limits of an actor's id, so that every actor can have grants
    return text


def _few(groups: Any) -> Any:
    """Return at most one group more than the limit, as pydantic would read an endless iterable for ever."""
    if isinstance(groups, str | bytes | Mapping) or not isinstance(groups, Iterable):
        return groups
    return tuple(islice(groups, MAX_GROUPS + 1))


Identity: TypeAlias = Annotated[str, AfterValidator(checked_id)]


class Role(StrEnum):
    """What somebody may do in a namespace (rule 17); `org_admin` counts in every namespace [ARCHIVE].

    >>> Role("team_editor") is Role.TEAM_EDITOR
    True
    """

    TEAM_MEMBER = "team_member"
    TEAM_EDITOR = "team_editor"
    TEAM_ADMIN = "team_admin"
    ORG_ADMIN = "org_admin"


class Actor(Value):
    """Who a call is made for: an id, the role held in the view's namespace, and groups.

    Without a role an actor sees only what it owns or is granted. Raises `InvalidInputError` for an
    unknown role, an empty id, groups that are not texts, or more than 1,000 of them.

    >>> Actor("ana", Role.TEAM_EDITOR)
    Actor(id='ana', role=<Role.TEAM_EDITOR: 'team_editor'>, groups=())
    """

    id: Identity
    role: Role | None = None
    groups: Annotated[tuple[Identity, ...], Field(max_length=MAX_GROUPS)] = ()

    def __init__(self, id: str, role: Role | str | None = None, groups: Iterable[str] = ()) -> None:
        self._fill("actor", {"id": id, "role": role, "groups": read_untrusted("groups", _few, groups)})


class Grant(Value):
    """The permission to read, or to read and write, one prompt.

    `principal` is `user:ID`, `group:ID` or `anyone`; `permission` is `read` or `write`; `anyone`
    reads only. Raises `InvalidInputError` for anything else.

    >>> Grant("group:legal", "read")
    Grant(principal='group:legal', permission='read')
    """

    principal: Annotated[str, AfterValidator(_checked_principal)]
    permission: Permission

    def __init__(self, principal: str, permission: str) -> None:
        self._fill("grant", {"principal": principal, "permission": permission})
        if (self.principal, self.permission) == ("anyone", "write"):
            raise InvalidInputError.of("permission", "anyone may only read")


class Variable(Value):
    """A variable of a template, declared or found in it (rule 21).

    `type` is checked strictly (a boolean is no integer). A `required` variable must be passed to render, unless it has
    a `default`. `enum` lists the allowed values.

    >>> Variable(name="words", type="integer", required=False, default=20).default
    20
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", defer_build=True)

    name: str
    type: VariableType = "any"
    required: bool = True
    default: Json = None
    description: str = ""
    enum: Annotated[list[Any], Field(max_length=MAX_NODES), AfterValidator(freeze)] | None = None

    def __init__(self, **fields: Any) -> None:
        self._fill("variable", fields)


def _declared(variables: list[Variable]) -> list[dict[str, Any]]:
    """Return variables as JSON of what was declared: a default of None differs from no default."""
    return [variable.model_dump(exclude_unset=True) for variable in variables]


class Effective(Protocol):
    """Something with the effective list of variables: a compiled template."""

    @property
    def variables(self) -> FrozenList:
        """The declared variables, then the other ones that the template reads."""
        ...


class Version(Value):
    """A numbered snapshot of all that a prompt holds (rules 1 to 8).

    `name` and `access_grants` are those that the prompt had when the version was made. `template` is text, or a list of
    messages and placeholders, each a dictionary. `variables` is the effective list, found by compiling the template
    when it is first read. `declared_variables` can be passed to `save` or `update` again, and a
    dump of them holds only what was declared. `failure` lists the reasons of a failed version, else it is None.
    `base_version` is the number of the version that this one was made from: None for the first, and where that version
    has been discarded.
    """

    name: str
    version: int
    state: State
    kind: Kind
    syntax: Syntax
    template: Annotated[str | list[dict[str, Any]], AfterValidator(freeze)]
    variables: Annotated[list[Variable], AfterValidator(frozen_list)]
    declared_variables: Annotated[list[Variable], AfterValidator(frozen_list), PlainSerializer(_declared)]
    config: JsonObject
    title: str
    description: str
    category: str
    tags: Annotated[list[str], AfterValidator(freeze)]
    meta: JsonObject
    examples: Annotated[list[dict[str, Any]], AfterValidator(freeze)]
    access_grants: Annotated[list[Grant], AfterValidator(frozen_list)]
    commit_message: str
    author: str | None
    base_version: int | None
    version_created_at: datetime
    published_at: datetime | None
    content_hash: str
    failure: Annotated[list[str], AfterValidator(freeze)] | None

    _SHOWN: ClassVar[tuple[str, ...]] = ("name", "version", "state", "author", "commit_message", "template")
    _compile: Callable[[], Effective] | None = PrivateAttr(default=None)

    if not TYPE_CHECKING:  # to which it would mean that a version has every attribute

        def __getattr__(self, name: str) -> Any:
            """Return the effective variables, which compiles the template when they are first read."""
            return self._complete()["variables"] if name == "variables" else super().__getattr__(name)

    def _complete(self) -> dict[str, Any]:
        """Return all fields by name, in their order, including the effective variables."""
        fields = self.__dict__
        if "variables" not in fields:
            compile_ = self._compile
            if compile_ is None:
                raise AttributeError("variables")
            found = {**fields, "variables": compile_().variables}
            fields = {name: found[name] for name in type(self).model_fields if name in found}
            object.__setattr__(self, "__dict__", fields)  # in one step, as other threads may read it
        return fields

    @model_serializer(mode="wrap")
    def _serialized(self, serialize: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]  # noqa: ANN202
        # No return type, as pydantic would take it for the JSON schema.
        self._complete()
        return serialize(self)

    def __iter__(self) -> Any:
        self._complete()
        return super().__iter__()

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        from promptreg import reprs  # noqa: PLC0415

        return reprs.chosen(self.__repr_name__(), self.__dict__, self._SHOWN)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a table of the fields, the variables and the template."""
        from promptreg import notebooks  # noqa: PLC0415

        return notebooks.version_html(self)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._complete() == other._complete()

    def __hash__(self) -> int:
        return hash((self.name, self.version, self.content_hash))

    def __getstate__(self) -> dict[Any, Any]:
        self._complete()
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {**(state["__pydantic_private__"] or {}), "_compile": None}}


class StatusUpdate(Value):
    """What `set_status` did, or with `dry_run` would do [BULK].

    `updated_prompts` is the number of changed prompts; `updated` and `skipped` are names, in the order of the call.
    """

    dry_run: bool
    updated_prompts: int
    updated: Annotated[list[str], AfterValidator(freeze)]
    skipped: Annotated[list[str], AfterValidator(freeze)]


class Event(Value):
    """One line of the record of who did what; `seq` increases by one in the whole file.

    `action` is one of `Action`, or one that a newer release of promptreg wrote. `details` holds only names, numbers,
    labels, field names, hashes, principals and reasons. When a prompt is deleted, `name` and `details` of its events
    are deleted too, except the name of the `delete` event itself.
    """

    seq: int
    at: datetime
    actor: str | None
    action: str
    namespace: str
    prompt_id: str
    name: str | None
    version: int | None
    details: JsonObject = Field(default_factory=FrozenDict)


VariablesArgument: TypeAlias = Iterable[Variable | Mapping[str, Any]] | type[BaseModel] | None
GrantsArgument: TypeAlias = Iterable[Grant | tuple[str, str] | Mapping[str, str]]
