"""What verbs give: a `Prompt` resolved to one version, a `Page` of them, and what a render gives."""

import builtins
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, PrivateAttr, computed_field

from promptreg.jsonvalues import FrozenDict, FrozenList, freeze, frozen_list, thaw
from promptreg.models import Status, Value, Version, built
from promptreg.records import Container, VersionRecord
from promptreg.rendering.limits import DEFAULT_LIMITS, RenderLimits
from promptreg.rendering.template import CompiledTemplate, Fast, Messages, Output
from promptreg.rules.inputs import read_variables
from promptreg.rules.statuses import disabled
from promptreg.telemetry.links import linked
from promptreg.telemetry.names import CONTENT_HASH, NAMESPACE, PROMPT_NAME, PROMPT_VERSION
from promptreg.variables import as_values, declared


class Rendered:
    """What one render gives; made on every model call, so a light object.

    `text` is the whole text (of messages, the contents that are text); `messages` is a fresh list of
    `{"role", "content"}` (a text prompt is one user message; a placeholder's messages pass through
    whole); `name`, `version` and `config` say what it came from, and `prompt` is the `Prompt` itself.
    A rendered default has neither version nor prompt. `str(rendered)` is the text. It compares by
    value and pickles.

    >>> from promptreg import Registry
    >>> with Registry(":memory:") as registry:
    ...     _ = registry.create("greet", "Hello {{ name }}!")
    ...     rendered = registry.render("greet", name="Ana")
    >>> rendered.text, rendered.messages, rendered.version
    ('Hello Ana!', [{'role': 'user', 'content': 'Hello Ana!'}], 1)
    """

    __slots__ = ("_messages", "_name", "prompt", "text")

    def __init__(
        self,
        name: str,
        text: str,
        messages: Messages = None,
        prompt: "Prompt | None" = None,
    ) -> None:
        self._name = name
        self.text: str = text
        self._messages = messages
        self.prompt: Prompt | None = prompt

    @property
    def name(self) -> str:
        """The prompt's name."""
        return self._name

    @property
    def version(self) -> int | None:
        """The number of the version that was rendered; None for a rendered default."""
        return self.prompt.version if self.prompt else None

    @property
    def config(self) -> Mapping[str, Any]:
        """The version's config; empty for a rendered default."""
        return self.prompt.config if self.prompt else FrozenDict()

    @property
    def messages(self) -> builtins.list[Any]:
        """The messages, a fresh list on each call, so that changing them changes nothing else.

        Each is a dict; typed `Any`, so that the message types of every SDK take it without a cast.
        """
        if self._messages is None:
            return [{"role": "user", "content": self.text}]
        if isinstance(self._messages, tuple):  # made when asked for: most of what a render of messages takes
            return [{"role": role, "content": content} for role, content in zip(*self._messages, strict=True)]
        messages: list[dict[str, Any]] = thaw(self._messages)
        return messages

    def trace_attributes(self) -> dict[str, str]:
        """Return what a span of the model call should say of the prompt, for those who set attributes by hand.

        Nothing, where it is a rendered default.

        >>> from promptreg import Registry
        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello {{ name }}!")
        ...     attributes = registry.render("greet", name="Ana").trace_attributes()
        >>> attributes["gen_ai.prompt.name"], attributes["gen_ai.prompt.version"]
        ('greet', '1')
        """
        if self.prompt is None:
            return {}
        return {
            PROMPT_NAME: self.name,
            PROMPT_VERSION: str(self.prompt.version),
            NAMESPACE: self.prompt.namespace,
            CONTENT_HASH: self.prompt.content_hash,
        }

    def trace_context(self) -> AbstractContextManager[None]:
        """Put the prompt on OpenTelemetry's current context, so that spans started within carry its name and version.

        OpenInference's (Phoenix), Langfuse's and Traceloop's instrumentations read it there; for every other there is
        `promptreg.telemetry.PromptSpanProcessor`. Nothing goes into baggage. Within that of a rendered default no
        prompt is credited, whatever is around it.

        >>> from promptreg import Registry
        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello {{ name }}!")
        ...     rendered = registry.render("greet", name="Ana")
        >>> with rendered.trace_context():
        ...     answer = "…"  # the model call
        """
        return linked(self.trace_attributes())

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Rendered(name={self.name!r}, version={self.version!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rendered):
            return NotImplemented
        return self._value() == other._value()

    def __hash__(self) -> int:
        return hash((self.name, self.version, self.text))

    def __reduce__(self) -> tuple[Any, ...]:
        return Rendered, (self.name, self.text, self._messages, self.prompt)

    def _value(self) -> tuple[Any, ...]:
        return self.name, self.text, self.messages, self.prompt


class Prompt(Version):
    """A prompt resolved to one of its versions: what the container is, and what the version says.

    Of the container: `id`, `namespace`, `name`, `status`, `is_active`, `is_disabled` (what is disabled does not render;
    an archived prompt may be, underneath), `access_grants`, `labels` (with
    `latest`, and `production` where there is one), `production_version`, `latest_version`,
    `created_by`, `created_at`, `updated_at`. The rest is the version's. Times are aware UTC
    datetimes. Frozen all the way down; compares by value, hashes and pickles.
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

    _compile: Callable[[], CompiledTemplate] | None = PrivateAttr(default=None)
    _compiled: CompiledTemplate | None = PrivateAttr(default=None)
    _declared: FrozenList | None = PrivateAttr(default=None)
    _is_candidate: bool = PrivateAttr(default=False)
    _forbids_extra: bool = PrivateAttr(default=False)
    _known: tuple[dict[str, Any], Fast, str] | None = PrivateAttr(default=None)
    _is_stale: bool = PrivateAttr(default=False)
    _limits: RenderLimits = PrivateAttr(default=DEFAULT_LIMITS)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def is_active(self) -> bool:
        """Tell whether the status is `active`."""
        return self.status == "active"

    @property
    def stale(self) -> bool:
        """Tell whether the database was gone when this was read from the cache, so that nobody knows if it still holds.

        >>> from promptreg import Registry
        >>> with Registry(":memory:") as registry:
        ...     registry.create("greet", "Hello {{ name }}!").stale
        False
        """
        return self._is_stale

    def render(self, variables: Mapping[str, Any] | BaseModel | None = None, /, **more: Any) -> Rendered:
        """Render exactly this version, whatever has happened in the registry since.

        Takes a mapping or pydantic model, keywords, or both (keywords win). Raises
        `PromptDisabledError` when this value says disabled (rule 13), `MissingVariablesError`,
        `InvalidVariablesError`, `RenderLimitError` and `RenderError`.

        >>> from promptreg import Registry
        >>> with Registry(":memory:") as registry:
        ...     prompt = registry.create("greet", "Hello {{ name }}!")
        >>> prompt.render(name="Ana").text
        'Hello Ana!'
        """
        # pydantic's own access to private attributes takes longer than a whole render
        private: dict[str, Any] = self.__pydantic_private__  # type: ignore[assignment]
        values = read_variables(variables, more)
        known = private["_known"]
        is_tried = False
        if known is not None and known[0] is self.__dict__:
            try:
                text, messages = known[1](values)
                return Rendered(known[2], text, messages, self)
            except Exception:  # which the whole way tells, or does without
                is_tried = True
        return self._render(values, is_tried=is_tried)  # out here, where no context is chained that quotes a value

    def _render(self, values: dict[str, Any], *, is_tried: bool) -> Rendered:
        """Render the whole way; know the short one from then on, where nothing but the values can stand against it.

        What is known holds for this very value: a copy of it may say another status or template.
        """
        private: dict[str, Any] = self.__pydantic_private__  # type: ignore[assignment]
        forbids_extra = private["_forbids_extra"]
        if (self.is_disabled or self.status == "disabled") and not private["_is_candidate"]:
            raise disabled(self.name, is_archived=self.status == "archived")
        compiled = self._template()
        text, messages = compiled.render(self.name, values, forbids_extra=forbids_extra, is_tried=is_tried)
        if compiled.short_way is not None and not forbids_extra:
            private["_known"] = (self.__dict__, compiled.short_way, self.name)
        return Rendered(self.name, text, messages, self)

    def _template(self) -> CompiledTemplate:
        private: dict[str, Any] = self.__pydantic_private__  # type: ignore[assignment]  # as in `render`
        compiled: CompiledTemplate | None = private["_compiled"]
        if compiled is None and private["_compile"] is not None:
            compiled = private["_compiled"] = private["_compile"]()
        if compiled is None or compiled.template != self.template:
            compiled = CompiledTemplate(freeze(self.template), self._declarations(), private["_limits"])
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
        private = {**(state["__pydantic_private__"] or {}), "_compiled": None, "_known": None}
        return {**state, "__pydantic_private__": private}


class Page(Value):
    """Some of the prompts that `list` found; `next`, passed as `after`, gives those that follow, None ends.

    Iterable and sized over its `items`.
    """

    items: Annotated[builtins.list[Prompt], AfterValidator(frozen_list)]
    next: str | None

    def __iter__(self) -> Iterator[Prompt]:  # type: ignore[override]
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Compile:
    """Compiles a template at its first use, which may be in any thread; copies share it."""

    __slots__ = ("_compiled", "_make")

    def __init__(self, make: Callable[[], CompiledTemplate]) -> None:
        self._make = make
        self._compiled: CompiledTemplate | None = None

    def __call__(self) -> CompiledTemplate:
        """Return the template, compiled."""
        if self._compiled is None:
            self._compiled = self._make()
        return self._compiled

    def __deepcopy__(self, _: object) -> "Compile":
        return self


def version_fields(record: VersionRecord) -> dict[str, Any]:
    """Return the fields of a `Version` but for its effective variables, all frozen already."""
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
    """Return a version without its prompt, as `history` does."""
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
    """Return the prompt resolved to this version; `name` and `access_grants` are the container's.

    A candidate, which publish checks receive before it goes live, renders whatever its status is.
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
            "_known": None,
            "_is_stale": False,
            "_limits": limits,
        },
        fields_set=_PROMPT_FIELDS,
    )


_VERSION_FIELDS, _PROMPT_FIELDS = set(Version.model_fields), set(Prompt.model_fields)


class FastPaths(NamedTuple):
    """What renders a prompt where nothing but the values can stand against it: its text, or its messages too.

    `arity` is how many variables these always read, where they read no others.
    """

    text: Callable[[dict[str, Any]], str] | None = None
    output: Fast | None = None
    arity: int | None = None


def fast_paths(prompt: Prompt) -> FastPaths:
    """Return the direct ways of a prompt that has any; it is compiled for that."""
    if prompt._forbids_extra or prompt.is_disabled or prompt.status == "disabled":
        return FastPaths()
    compiled = prompt._template()
    return FastPaths(compiled.short_text, compiled.short_way, compiled.short_arity)


def render_whole(prompt: Prompt, values: dict[str, Any], *, is_tried: bool) -> Rendered:
    """Render where the direct ways are none, or failed when they were tried; or raise why not."""
    return prompt._render(values, is_tried=is_tried)


def limits_of(prompt: Prompt) -> RenderLimits:
    """Return the limits that a prompt renders under."""
    return prompt._limits


def stale_copy(prompt: Prompt) -> Prompt:
    """Give the prompt, marked as one that may not hold any more."""
    copy = prompt.model_copy()
    copy._is_stale = True
    return copy


def rendered_default(name: str, output: Output) -> Rendered:
    """Give a rendered default: no version, no prompt."""
    return Rendered(name, *output)
