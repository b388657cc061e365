"""What verbs return: `Prompt`, resolved to one version, and a `Page` of prompts.

They hold everything that they need: a prompt renders without its registry. Nothing in here reads a database.
"""

import builtins
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, PrivateAttr, computed_field

from promptreg.jsonvalues import FrozenList, freeze, frozen_list, is_same
from promptreg.models import Status, Value, Version, built
from promptreg.records import Container, VersionRecord
from promptreg.rendered import Rendered
from promptreg.rendering.fast_paths import Fast, FastPaths
from promptreg.rendering.limits import DEFAULT_LIMITS, RenderLimits
from promptreg.rendering.template import CompiledTemplate
from promptreg.rules.inputs import read_variables
from promptreg.rules.refusals import disabled
from promptreg.variables import as_values, declared

_new = object.__new__


class Prompt(Version):
    """A prompt resolved to one of its versions: the fields of the container and those of the version.

    The container's fields are `id`, `namespace`, `name`, `status`, `is_active`, `is_disabled` (True also for an
    archived prompt that was disabled before, which does not render), `access_grants`, `labels` (with `latest`, and
    `production` where a version is live), `production_version`, `latest_version`, `created_by`, `created_at`,
    `updated_at` and `stale`. The other fields are those of `Version`. Times are aware UTC datetimes. A prompt is
    frozen, and so are its lists and dictionaries; prompts compare by value, hash, pickle, and have a JSON schema.

    >>> from promptreg import Registry
    >>> with Registry(":memory:") as registry:
    ...     prompt = registry.create("greet", "Hello {{ name }}!", config={"model": "m"})
    >>> prompt.version, prompt.labels, prompt.config["model"], prompt.render(name="Ana").text
    (1, {'latest': 1, 'production': 1}, 'm', 'Hello Ana!')
    """

    id: str
    namespace: str
    status: Status
    is_disabled: bool
    labels: Annotated[dict[str, int], AfterValidator(freeze)]
    production_version: int | None
    latest_version: int
    created_by: str | None
    created_at: datetime
    updated_at: datetime

    _SHOWN: ClassVar[tuple[str, ...]] = ("name", "version", "state", "status", "production_version", "template")
    _compile: Callable[[], CompiledTemplate] | None = PrivateAttr(default=None)
    _compiled: CompiledTemplate | None = PrivateAttr(default=None)
    _declared: FrozenList | None = PrivateAttr(default=None)
    _is_candidate: bool = PrivateAttr(default=False)
    _forbids_extra: bool = PrivateAttr(default=False)
    _fast_path: tuple[dict[str, Any], Fast, str] | None = PrivateAttr(default=None)
    _is_stale: bool = PrivateAttr(default=False)
    _limits: RenderLimits = PrivateAttr(default=DEFAULT_LIMITS)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def is_active(self) -> bool:
        """Whether the status is `active`."""
        return self.status == "active"

    @property
    def stale(self) -> bool:
        """Whether this came from the cache while the database was removed or unreadable, so that it may be outdated.

        >>> from promptreg import Registry
        >>> with Registry(":memory:") as registry:
        ...     registry.create("greet", "Hello {{ name }}!").stale
        False
        """
        return self._is_stale

    def render(self, variables: Mapping[str, Any] | BaseModel | None = None, /, **more: Any) -> Rendered:
        """Render exactly this version, whatever has changed in the registry since it was read.

        `variables` is a mapping or a pydantic model; keywords may be passed instead or as well, and win. Raises
        `PromptDisabledError` where this value is disabled (rule 13), `MissingVariablesError` with every absent name,
        `InvalidVariablesError`, `RenderLimitError` and `RenderError`.

        >>> from promptreg import Registry
        >>> with Registry(":memory:") as registry:
        ...     prompt = registry.create("greet", "Hello {{ name }}!")
        >>> prompt.render(name="Ana").text
        'Hello Ana!'
        """
        # pydantic's access to private attributes takes longer than a whole render
        private: dict[str, Any] = self.__pydantic_private__  # type: ignore[assignment]
        values = read_variables(variables, more)
        fast_path = private["_fast_path"]
        fast_failed = False
        if fast_path is not None and fast_path[0] is self.__dict__:
            try:
                rendered = _new(Rendered)  # filled here: calling `__init__` takes twice as long
                rendered.text, rendered._messages = fast_path[1](values)
                rendered._name, rendered.prompt = fast_path[2], self
                return rendered
            except Exception:  # the slow path renders it, or raises what is wrong
                fast_failed = True
        return self._render(values, fast_failed=fast_failed)  # out here, so that no context is chained with a value

    def _render(self, values: dict[str, Any], *, fast_failed: bool) -> Rendered:
        """Render by the slow path, and remember the fast path if there is one.

        It is remembered with the fields of this very value, because a copy may have another status or template.
        """
        private: dict[str, Any] = self.__pydantic_private__  # type: ignore[assignment]
        forbids_extra = private["_forbids_extra"]
        if (self.is_disabled or self.status == "disabled") and not private["_is_candidate"]:
            raise disabled(self.name, is_archived=self.status == "archived")
        compiled = self._template()
        text, messages = compiled.render(self.name, values, forbids_extra=forbids_extra, fast_failed=fast_failed)
        if compiled.fast_paths.output is not None and not forbids_extra:
            private["_fast_path"] = (self.__dict__, compiled.fast_paths.output, self.name)
        return Rendered(self.name, text, messages, self)

    def _template(self) -> CompiledTemplate:
        private: dict[str, Any] = self.__pydantic_private__  # type: ignore[assignment]  # as in `render`
        compiled: CompiledTemplate | None = private["_compiled"]
        if compiled is None and private["_compile"] is not None:
            compiled = private["_compiled"] = private["_compile"]()
        if compiled is None or compiled.syntax != self.syntax or not is_same(compiled.template, self.template):
            compiled = CompiledTemplate(freeze(self.template), self._declarations(), private["_limits"], self.syntax)
            private["_compiled"] = compiled
        return compiled

    def _declarations(self) -> FrozenList:
        """Return the declared variables as they are stored."""
        return declared(self.declared_variables) if self._declared is None else self._declared

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prompt) and self._complete() == other._complete()

    def __hash__(self) -> int:
        return hash((self.id, self.version, self.content_hash, self.updated_at))

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        private = {**(state["__pydantic_private__"] or {}), "_compiled": None, "_fast_path": None}
        return {**state, "__pydantic_private__": private}


class Page(Value):
    """One page of what `list` found: the prompts in `items`, and the cursor `next` of the following page.

    `next` is passed to `list` as `after`; it is None on the last page. A page is iterable and sized over its items.
    """

    items: Annotated[builtins.list[Prompt], AfterValidator(frozen_list)]
    next: str | None

    def __repr_args__(self) -> builtins.list[tuple[str | None, Any]]:
        from promptreg import reprs  # noqa: PLC0415 (loaded at first use)

        fields = self.__dict__
        return reprs.shortened(self.__repr_name__(), {**fields, "items": reprs.references(fields.get("items"))}.items())

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a table of the prompts."""
        from promptreg import notebooks  # noqa: PLC0415

        return notebooks.page_html(self)

    def __iter__(self) -> Iterator[Prompt]:  # type: ignore[override]
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Compile:
    """Compiles a template at the first call, which may come from any thread; copies of a prompt share it."""

    __slots__ = ("_compiled", "_make")

    def __init__(self, make: Callable[[], CompiledTemplate]) -> None:
        self._make = make
        self._compiled: CompiledTemplate | None = None

    def __call__(self) -> CompiledTemplate:
        """Return the compiled template."""
        if self._compiled is None:
            self._compiled = self._make()
        return self._compiled

    def __deepcopy__(self, _: object) -> "Compile":
        return self


def version_fields(record: VersionRecord) -> dict[str, Any]:
    """Return the fields of a `Version`, frozen, without its effective variables, which are found by compiling."""
    content = record.snapshot.fields()
    content["declared_variables"] = as_values(content.pop("variables"))
    return {
        **content,
        "name": record.name,
        "version": record.number,
        "state": record.state,
        "kind": record.snapshot.kind,
        "access_grants": frozen_list(record.access_grants),
        "commit_message": record.commit_message,
        "author": record.author,
        "base_version": record.base_version,
        "version_created_at": datetime.fromisoformat(record.created_at),
        "published_at": record.published_at and datetime.fromisoformat(record.published_at),
        "content_hash": record.snapshot.content_hash,
        "failure": record.failure,
    }


def make_version(record: VersionRecord, compile_: Compile) -> Version:
    """Return a version without its container, as `history` does."""
    return built(Version, version_fields(record), {"_compile": compile_}, fields_set=_VERSION_FIELDS)


def make_prompt(
    container: Container,
    record: VersionRecord,
    compile_: Compile,
    limits: RenderLimits,
    *,
    forbids_extra: bool,
    is_candidate: bool = False,
) -> Prompt:
    """Return a prompt resolved to a version. `name` and `access_grants` are those of the container.

    A candidate is a prompt as publish checks see it, before it is live: it renders although it may be disabled.
    """
    return built(
        Prompt,
        {
            **version_fields(record),
            "id": container.id,
            "namespace": container.namespace,
            "name": container.name,
            "status": container.status,
            "is_disabled": container.is_disabled,
            "access_grants": frozen_list(container.access_grants),
            "labels": container.all_labels(),
            "production_version": container.production_version,
            "latest_version": container.latest_version,
            "created_by": container.created_by,
            "created_at": datetime.fromisoformat(container.created_at),
            "updated_at": datetime.fromisoformat(container.updated_at),
        },
        {
            "_compile": compile_,
            "_compiled": None,
            "_declared": record.snapshot.variables,
            "_is_candidate": is_candidate,
            "_forbids_extra": forbids_extra,
            "_fast_path": None,
            "_is_stale": False,
            "_limits": limits,
        },
        fields_set=_PROMPT_FIELDS,
    )


_VERSION_FIELDS, _PROMPT_FIELDS = set(Version.model_fields), set(Prompt.model_fields)


def fast_paths(prompt: Prompt) -> FastPaths:
    """Compile a prompt, and return its fast paths; none where more than the values can prevent a render."""
    if prompt._forbids_extra or prompt.is_disabled or prompt.status == "disabled":
        return FastPaths()
    return prompt._template().fast_paths


def limits_of(prompt: Prompt) -> RenderLimits:
    """Return the limits that a prompt is rendered under."""
    return prompt._limits


def stale_copy(prompt: Prompt) -> Prompt:
    """Return a copy of a prompt that is marked as stale."""
    copy = prompt.model_copy()
    copy._is_stale = True
    return copy
