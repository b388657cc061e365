"""Registry: each verb's steps, in their order. No SQL, no Jinja, no rule, no span code lives here."""

import builtins
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import wraps
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, cast, overload

from pydantic import BaseModel

from promptreg.cache import Cache
from promptreg.checks import PublishCheck
from promptreg.clock import Clock, new_id
from promptreg.core import (
    CacheEntry,
    Core,
    Evidence,
    NegativeEntry,
    View,
    find,
    find_all,
    find_any,
    load_version,
    shown,
)
from promptreg.errors import (
    NotFoundError,
    PromptregError,
    PublishCheckError,
    StorageError,
    UnauthorizedError,
    VersionConflictError,
)
from promptreg.gathering import BadFields
from promptreg.jsonvalues import FrozenList
from promptreg.models import (
    UNSET,
    Actor,
    Event,
    GrantsArgument,
    StatusUpdate,
    TargetStatus,
    Unset,
    VariablesArgument,
    Version,
)
from promptreg.prompt import Page, Prompt, Rendered, render_whole, rendered_default
from promptreg.records import Container, Query, VersionRecord
from promptreg.rendering.limits import RenderLimits
from promptreg.rules import access, conflicts, edits, inputs, lifecycle, names, statuses
from promptreg.rules.diffing import diff_versions
from promptreg.rules.edits import Draft
from promptreg.rules.inputs import Expected, Progress
from promptreg.rules.lifecycle import Author, Outcome
from promptreg.rules.names import Reference, Selector, read_references
from promptreg.settings import read_actor, read_settings
from promptreg.storage.base import Reader
from promptreg.storage.opening import open_storage
from promptreg.telemetry.compat import TRACE_STATE, TRACER_PROVIDER
from promptreg.telemetry.content import Redact
from promptreg.telemetry.spans import note, note_default, sampled_start, traced

D = TypeVar("D")
F = TypeVar("F", bound=Callable[..., Any])
TemplateArgument = str | Sequence[Mapping[str, str]]

SAVE_RETRIES = 4
_new = object.__new__
EMPTY_CACHE: Cache[CacheEntry, NegativeEntry] = Cache(0, compares=True)
"""What a view of another namespace or for an actor finds on the short way: nothing, so that it takes the whole one."""


def verb(operation: str, *, takes_name: bool = True) -> Callable[[F], F]:
    """Make a method a verb: run it in a span, and refuse it on a closed registry before its arguments are read.

    `get` and `render` do the latter themselves, as a `default` answers for a closed registry too.
    """

    def decorate(method: F) -> F:
        @wraps(method)
        def run(view: "Registry", /, *args: Any, **kwargs: Any) -> Any:
            view._core.require_open()
            return method(view, *args, **kwargs)

        return traced(operation, takes_name=takes_name)(cast(F, run))

    return decorate


class Registry:
    """Versioned, governed prompts in one SQLite file, as fresh as the last write of any process.

    `target` is the file, made with its schema when absent (unless `create=False`), or `":memory:"`, one
    database for all threads of this process; a URL is neither (`sqlite:///x`, `file:x`, `postgresql://…`), while a
    `pathlib.Path` is always a file. `namespace` and `actor` are whom and where calls are
    for; `actor=None` is the embedding application, which may do everything.

    `max_staleness` is how old a read may be, in seconds; at 0, the default, a read sees every write that
    returned before it, in whatever process; more than 0.05 is as 0.05.
    `cache_size` bounds the prompts kept in memory. `durability` is `"full"` (a commit survives a power
    cut) or `"normal"`. `busy_timeout` is how long a writer waits for
    others, in seconds. `publish_checks` are called with each `Prompt` before it goes into production, and
    refuse it by raising. `extra_variables` is `"ignore"` or `"forbid"`. `clock` gives aware datetimes.
    `render_limits` are how much a template may hold and a render may do; there are defaults.

    To OpenTelemetry a registry tells names and numbers only, unless `capture_content` is true (None: as the standard
    variable OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says); then spans of renders hold template, variables
    and text, each text first passed through `redact`. `spans` is `"child"`, or `"attributes"`, which puts them on
    the current span instead of making one. `render_duration=False` does without the histogram of renders.

    Safe to share between threads and over a fork; any number of processes may open one file. Raises
    `InvalidInputError` for bad settings, `StorageError` for a file that can't be used.

    >>> with Registry(":memory:") as registry:
    ...     _ = registry.create("summarize", "Summarize in {{ n }} words:\\n{{ text }}", tags=["writing"])
    ...     print(registry.render("summarize", n=20, text="…").text)
    Summarize in 20 words:
    …
    """

    __slots__ = ("__weakref__", "_core", "_home", "_is_view", "_view")

    def __init__(
        self,
        target: str | os.PathLike[str] = "prompts.db",
        *,
        namespace: str = "default",
        actor: Actor | None = None,
        create: bool = True,
        max_staleness: float = 0.0,
        cache_size: int = 10_000,
        durability: str = "full",
        busy_timeout: float = 5.0,
        publish_checks: Iterable[PublishCheck] = (),
        extra_variables: str = "ignore",
        clock: Clock | None = None,
        render_limits: RenderLimits | None = None,
        capture_content: bool | None = None,
        redact: Redact | None = None,
        spans: str = "child",
        render_duration: bool = True,
    ) -> None:
        bad = BadFields()
        view = View(bad.read(names.checked_name, namespace, "namespace"), bad.read(read_actor, actor))
        settings = bad.read(
            read_settings,
            target=target,
            create=create,
            max_staleness=max_staleness,
            cache_size=cache_size,
            durability=durability,
            busy_timeout=busy_timeout,
            publish_checks=publish_checks,
            extra_variables=extra_variables,
            render_limits=render_limits,
            clock=clock,
            capture_content=capture_content,
            redact=redact,
            spans=spans,
            render_duration=render_duration,
        )
        bad.require_none()
        self._begin(Core(open_storage(settings.storage), settings, view.namespace), view, is_view=False)

    def _begin(self, core: Core, view: View, *, is_view: bool) -> None:
        self._core, self._view, self._is_view = core, view, is_view
        self._home = core.cache if view == View(core.home, None) else EMPTY_CACHE

    # The registry and its views

    @property
    def path(self) -> str:
        """The absolute path of the file, or `":memory:"`."""
        return self._core.storage.profile.location

    @property
    def namespace(self) -> str:
        """The namespace that names are looked up in."""
        return self._view.namespace

    @property
    def actor(self) -> Actor | None:
        """On whose behalf calls are made; None is the application itself."""
        return self._view.actor

    def scope(self, *, namespace: str | Unset = UNSET, actor: Actor | None | Unset = UNSET) -> "Registry":
        """Give a view with another namespace or actor, over the same storage and cache.

        What is not passed is unchanged. Moved to another namespace, the actor keeps id and groups but
        not its role, unless that is `org_admin` (rule 17). `actor=None` said outright is
        `UnauthorizedError`: nobody becomes the application by accident. Closing a view does nothing.

        >>> with Registry(":memory:") as registry:
        ...     team = registry.scope(namespace="support", actor=Actor("ana", "team_editor"))
        ...     team.create("reply", "Dear {{ name }}").created_by
        'ana'
        """
        self._core.require_open()
        if actor is None:
            raise UnauthorizedError("A view needs an actor; pass an Actor, or leave it out to keep this one.")
        here = self._view
        bad = BadFields()
        there = here.namespace if namespace is UNSET else bad.read(names.checked_name, namespace, "namespace")
        who = here.actor if actor is UNSET else bad.read(read_actor, actor)
        bad.require_none()
        if who is not None and actor is UNSET:
            who = access.moved(who, is_elsewhere=there != here.namespace)
        view = object.__new__(Registry)
        view._begin(self._core, View(there, who), is_view=True)
        return view

    def close(self) -> None:
        """Close the files; every later call on the registry and its views is `StorageError`.

        >>> registry = Registry(":memory:")
        >>> registry.close()
        >>> registry.get("summarize")
        Traceback (most recent call last):
            ...
        promptreg.errors.StorageError: The registry of :memory: is closed; open a new one.
        """
        if not self._is_view:
            self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        who = "" if self.actor is None else f", actor={self.actor.id!r}"
        return f"Registry({self.path!r}, namespace={self.namespace!r}{who})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Registry can't be copied or pickled; open the file in each process, and share it in one")

    # Reading and rendering

    @overload
    def get(self, name: str, *, version: Selector | None = None, label: str | None = None) -> Prompt: ...
    @overload
    def get(
        self, name: str, *, version: Selector | None = None, label: str | None = None, default: D
    ) -> Prompt | D: ...
    def get(self, name: str, *, version: Selector | None = None, label: str | None = None, default: Any = UNSET) -> Any:
        """Give a prompt: its production version, or the one that `@`, `version` or `label` chooses.

        Raises `NotFoundError`, `VersionNotFoundError`, and `NoProductionVersionError` where none was ever
        published; with a `default`, these and `StorageError` give that instead, as it is.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello {{ name }}!")
        ...     prompt = registry.get("greet")
        ...     registry.get("absent", default=None) is None
        True
        >>> prompt.version, prompt.variables[0].name, prompt.labels
        (1, 'name', {'latest': 1, 'production': 1})
        """
        # This and the beginning of `render` are on the path of every model call: written out, without a call of ours.
        known = self._home.direct
        if monotonic() < known.until and known.stamp == known.seen_stamp and version is None is label:
            try:
                return known.entries[name].prompt
            except KeyError:
                pass
            except Exception:  # what can't be hashed is no name; of a text only a signal's handler raises here
                if type(name) is str:
                    raise
        recalled = self._core.recalled(self._view, name, version, label)
        return self._get(name, version, label, default) if recalled is None else recalled.prompt

    def render(  # noqa: PLR0912 (written out, as `get` is)
        self,
        name: str,
        variables: Mapping[str, Any] | BaseModel | None = None,
        /,
        *,
        version: Selector | None = None,
        label: str | None = None,
        default: TemplateArgument | Unset = UNSET,
        **more: Any,
    ) -> Rendered:
        """Render a prompt with variables: a mapping or pydantic model, keywords, or both (keywords win).

        Variables named `version`, `label` or `default` go in the mapping (at most 100,000, if it is no `dict`).
        Raises what `get` raises, then
        `PromptDisabledError` (rule 13), `MissingVariablesError` with every absent name,
        `InvalidVariablesError`, `RenderLimitError` and `RenderError`. `default` is a Jinja template, text (which may
        be empty) or messages, rendered when the prompt is not found or the storage fails, and for nothing else. It is
        compiled at the first call that passes it, so a broken one is refused at once; `extra_variables="forbid"` does
        not apply to it.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("ask", [{"role": "user", "content": "Why {{ what }}?"}])
        ...     registry.render("ask", what="so").messages
        [{'role': 'user', 'content': 'Why so?'}]
        """
        start = None if TRACE_STATE[TRACER_PROVIDER] is None else sampled_start()
        known = self._home.direct
        if (monotonic() < known.until and known.stamp == known.seen_stamp) and (
            version is None is label and (default is UNSET or self._core.defaults.is_known(default))
        ):
            found = None
            try:
                found = known.entries[name]
                if type(variables) is dict and len(variables) == found.arity and not more:
                    values = variables  # its names are those that are read, or one is absent and the render fails
                else:
                    values = more if variables is None else inputs.read_variables(variables, more)
                if found.output is not None:
                    rendered = _new(Rendered)  # filled here, as calling its `__init__` takes twice as long
                    if found.text is not None:
                        rendered.text, rendered._messages = found.text(values), None
                    else:
                        rendered.text, rendered._messages = found.output(values)
                    rendered._name, rendered.prompt = found.name, found.prompt
                    if start is None:
                        return rendered
                    return self._core.instrumentation.record(rendered, found.told, start, variables, more)
            except Exception:  # which the whole way tells, or does without
                pass
            if found is not None:
                is_tried = found.output is not None
                found.learn()
                if start is not None:
                    return self._core.instrumentation.render(found.prompt, found.told, start, variables, more)
                return render_whole(found.prompt, inputs.read_variables(variables, more), is_tried=is_tried)
        if self._core.cache.may_be_direct and (default is UNSET or self._core.defaults.is_known(default)):
            # A look is told by the span of the whole way.
            recalled = self._core.recalled(self._view, name, version, label, looks=start is None)
            if recalled is not None and start is not None:
                return self._core.instrumentation.render(recalled.prompt, recalled.told, start, variables, more)
            if recalled is not None and self._core.cache.may_be_direct:  # which a look may have changed
                return recalled.prompt.render(variables, **more)
        return self._render(name, variables, more, version, label, default)

    @traced("get_prompt")
    def _get(self, name: str, version: Selector | None, label: str | None, default: Any) -> Any:
        try:
            return self._core.resolve(self._view, name, version, label)
        except (NotFoundError, StorageError) as error:
            if default is UNSET:
                raise
            self._core.release_after(error)
            note_default()
            return default

    @traced("render_prompt")
    def _render(
        self,
        name: str,
        variables: Mapping[str, Any] | BaseModel | None,
        more: dict[str, Any],
        version: Selector | None,
        label: str | None,
        default: TemplateArgument | Unset,
    ) -> Rendered:
        if default is UNSET:
            self._core.require_open()
        bad = BadFields()
        values = bad.read(inputs.read_variables, variables, more)
        if default is UNSET and bad.are_none():
            return self._core.resolve(self._view, name, version, label).render(values)
        versioned = bad.read(names.read_versioned, name, version, label)
        if default is not UNSET and not bad.are_none():
            bad.read(edits.read_default, default)
        bad.require_none()
        reference = versioned[0]
        fallback = self._core.defaults.compiled(default, reference.text)
        try:
            prompt = self._core.resolve(self._view, name, version, label)
        except (NotFoundError, StorageError) as error:
            self._core.release_after(error)
            return rendered_default(reference.text, fallback.render(reference.text, values, forbids_extra=False))
        return prompt.render(values)

    @verb("history_prompt")
    def history(self, name: str, *, limit: int = 20, before: Selector | None = None) -> builtins.list[Version]:
        """Give the versions of a prompt, newest first; `before`, a number or label, leaves out that and newer ones.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.update("greet", template="Hi", commit_message="Shorter")
        ...     [(v.version, v.commit_message) for v in registry.history("greet")]
        [(2, 'Shorter'), (1, 'Initial version')]
        """
        bad = BadFields()
        reference = bad.read(names.plain_reference, name)
        most = bad.read(names.checked_number, limit, "limit", least=1)
        bound = None if before is None else bad.read(names.checked_selector, before, "before")
        bad.require_none()
        with self._core.read() as reader:
            container = find(reader, self._view, reference)
            number = None if bound is None else lifecycle.number_of(container, bound)
            records = reader.versions(container, before=number, limit=most)
        return [self._core.version(record) for record in records]

    @verb("diff_prompt")
    def diff(self, name: str, old: Selector, new: Selector) -> str:
        """Give what changed between two versions, as a unified diff of the whole snapshots; equal gives `""`.

        Where too much has changed to be compared line by line, all of it is one block, whose heading says so.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.update("greet", template="Hi")
        ...     print(registry.diff("greet", 1, "production").splitlines()[3])
        -Hello
        """
        bad = BadFields()
        reference = bad.read(names.plain_reference, name)
        chosen = bad.read(names.checked_selector, old, "old"), bad.read(names.checked_selector, new, "new")
        bad.require_none()
        with self._core.read() as reader:
            container = find(reader, self._view, reference)
            before, after = (load_version(reader, container, selector) for selector in chosen)
        return diff_versions(container.name, before, after)

    @verb("list_prompts", takes_name=False)
    def list(
        self,
        *,
        status: str | Iterable[str] | None = None,
        tag: str | None = None,
        category: str | None = None,
        created_by: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page:
        """List prompts by name, `limit` at a time; a page's `next`, passed as `after`, gives those that follow.

        Active and disabled ones, unless a status or several are asked for. Each is resolved to its
        production version, else its latest; `tag` and `category` are that version's.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("b", "…", tags=["x"]), registry.create("a", "…")
        ...     [prompt.name for prompt in registry.list()], len(registry.list(tag="x"))
        (['a', 'b'], 1)
        """
        bad = BadFields()
        most = bad.read(names.checked_number, limit, "limit", least=1)
        filters = {"tag": tag, "category": category, "created_by": created_by}
        query = Query(
            namespace=self.namespace,
            audience=access.audience(self.actor),
            statuses=bad.read(inputs.read_statuses, status),
            limit=most,
            after="" if after is None else bad.read(names.read_cursor, after),
            **{key: bad.read(inputs.read_text, value, key) for key, value in filters.items() if value is not None},
        )
        bad.require_none()
        query = query._replace(limit=most + 1)
        prompts = self._query(query)
        cursor = names.cursor(prompts[most - 1].name) if len(prompts) > most else None
        return Page.model_construct(items=FrozenList(prompts[:most]), next=cursor)

    @verb("search_prompts", takes_name=False)
    def search(self, text: str, *, status: str | Iterable[str] | None = None, limit: int = 20) -> builtins.list[Prompt]:
        """Find prompts by the words of their names, titles, descriptions, tags and templates, best matches first.

        All words must match, whole and in any case. Marks of Latin, Greek, Cyrillic, Hebrew and Arabic do not count.
        Words of scripts written without spaces are found wherever they stand, a run of them as a phrase (rule 24).
        At most 64 words, of 1,000 characters together; a text without a letter, digit or symbol finds nothing. The
        status filter is that of `list`. Searching ranks by bm25 only up to about a thousand hits in the whole file;
        of more, the newest prompts come first.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Say hello to {{ name }}", description="For the café in 東京タワー")
        ...     [prompt.name for prompt in registry.search("HELLO cafe 東京")]
        ['greet']
        """
        bad = BadFields()
        query = Query(
            namespace=self.namespace,
            audience=access.audience(self.actor),
            statuses=bad.read(inputs.read_statuses, status),
            limit=bad.read(names.checked_number, limit, "limit", least=1),
            text=bad.read(inputs.read_search, text),
        )
        bad.require_none()
        return self._query(query)

    @verb("events_prompt")
    def events(self, name: str | None = None, *, after: int = 0, limit: int = 100) -> builtins.list[Event]:
        """Give the record of who did what, oldest first: of the namespace, or of one prompt.

        `after` is the `seq` of the last event seen. A prompt's events go with it through renames. Of a
        deleted prompt the events stay, without name and details; only its `delete` keeps the name.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     [event.action for event in registry.events("greet")]
        ['create', 'publish']
        """
        bad = BadFields()
        reference = None if name is None else bad.read(names.plain_reference, name)
        first = bad.read(names.checked_number, after, "after", least=0)
        most = bad.read(names.checked_number, limit, "limit", least=1)
        bad.require_none()
        audience = access.audience(self.actor)
        with self._core.read() as reader:
            found = None if reference is None else find(reader, self._view, reference).id
            return reader.events(self.namespace, audience, prompt_id=found, after=first, limit=most)

    @verb("list_namespaces", takes_name=False)
    def namespaces(self) -> builtins.list[str]:
        """Give the namespaces in which the actor may read something, in order.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.scope(namespace="support").create("reply", "…")
        ...     registry.namespaces()
        ['support']
        """
        audience, home = access.reach(self.actor, self.namespace)
        with self._core.read() as reader:
            return reader.namespaces(audience, home)

    @verb("verify_prompts", takes_name=False)
    def verify(self, *, progress: Progress | None = None) -> builtins.list[str]:
        """Return what is wrong with the stored data, by the names of prompts and the numbers of versions and events.

        Nothing, where all is whole. Every row is held against its hash, every prompt against its versions, labels,
        publications and full text, every event against the one before it and the last one that was written; SQLite
        checks the file's pages. Nothing is changed. Of more than 1,000 lines only their number is told.

        It reads in slices of about 50 ms, each of one moment, so it goes on beside writers and takes little memory.
        `progress(done, total)` is called between them, with the rows that were checked and those that there are; it may
        use the registry, and what it raises ends the call. For the application and org admins: else `ForbiddenError`.
        Raises `StorageError` where the file can't be read, which is no damage.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     registry.verify(progress=lambda done, total: None)
        []
        """
        called = inputs.read_progress(progress)
        access.require_verifying(self.actor)
        wrong: builtins.list[str] = []
        with closing(self._core.storage.verify()) as steps:
            for step in steps:
                wrong += step.problems
                called(step.done, step.total)
        return wrong

    # Writing versions

    @verb("create_prompt")
    def create(
        self,
        name: str,
        template: TemplateArgument,
        *,
        title: str | None = None,
        description: str = "",
        category: str = "",
        tags: Iterable[str] = (),
        variables: VariablesArgument = None,
        config: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        examples: Iterable[Mapping[str, Any]] = (),
        access_grants: GrantsArgument = (),
        commit_message: str = "Initial version",
        is_production: bool = True,
    ) -> Prompt:
        """Make a prompt with its version 1, in production unless `is_production=False` [VERSION].

        `template` is text, or messages `{"role", "content"}` and placeholders `{"placeholder": NAME}` for
        a variable that is a whole list of messages; at most 256 KiB, and 1,000 messages. The title defaults to the
        name. All else together takes at most 1 MiB of JSON and holds at most 1,000 tags, variables and grants each,
        and 100 examples, which may take no longer together than one render. Raises `InvalidInputError`,
        `ForbiddenError`, `NameTakenError`, `TemplateSyntaxError`, `TemplatePolicyError`, `PublishCheckError`; then
        nothing is written.

        >>> with Registry(":memory:") as registry:
        ...     prompt = registry.create("greet", "Hello {{ name }}!", tags=["demo"], config={"model": "m"})
        >>> prompt.version, prompt.state, prompt.title, prompt.config
        (1, 'published', 'greet', {'model': 'm'})
        """
        bad = BadFields()
        prompt_name = bad.read(names.checked_name, name)
        edit = bad.read(
            edits.read_edit,
            required=["template"],
            template=template,
            title=UNSET if title is None else title,
            description=description,
            category=category,
            tags=tags,
            variables=variables,
            config=config,
            meta=meta,
            examples=examples,
        )
        draft = bad.read(
            edits.read_draft,
            edit=edit,
            message=commit_message,
            is_production=is_production,
            grants=access_grants,
        )
        bad.require_none()
        author, prompt_id = self._core.author(self._view), new_id()

        def plan(reader: Reader) -> Outcome:
            access.require_creating(self.actor, prompt_name)
            self._require_free(reader, prompt_name)
            return lifecycle.plan_create(prompt_id, self.namespace, prompt_name, draft, author)

        return self._commit(plan, self._core.vet_saved)

    @verb("save_prompt")
    def save(
        self,
        name: str,
        template: TemplateArgument,
        *,
        title: str | None | Unset = UNSET,
        description: str | Unset = UNSET,
        category: str | Unset = UNSET,
        tags: Iterable[str] | Unset = UNSET,
        variables: VariablesArgument | Unset = UNSET,
        config: Mapping[str, Any] | None | Unset = UNSET,
        meta: Mapping[str, Any] | None | Unset = UNSET,
        examples: Iterable[Mapping[str, Any]] | Unset = UNSET,
        access_grants: GrantsArgument | Unset = UNSET,
        commit_message: str | None = None,
        is_production: bool = True,
    ) -> Prompt:
        """Create the prompt, or update it where there is one; nothing is written when it is live and equal.

        What is not passed is not touched. Safe when many processes seed at once: one creates, the others
        find it equal, in the archive too. It states what the prompt is to say, so it replaces what
        somebody published since; to seed only what is absent, `create` and catch `NameTakenError`.
        Raises what `create` and `update` raise.

        >>> with Registry(":memory:") as registry:
        ...     [registry.save("greet", "Hello").version for _ in range(3)]
        [1, 1, 1]
        """
        bad = BadFields()
        reference = bad.read(names.plain_reference, name)
        edit = bad.read(
            edits.read_edit,
            required=["template"],
            template=template,
            title=UNSET if title is None else title,
            description=description,
            category=category,
            tags=tags,
            variables=variables,
            config=config,
            meta=meta,
            examples=examples,
        )
        message = UNSET if commit_message is None else commit_message
        updated = bad.read(
            edits.read_draft, edit=edit, message=message, is_production=is_production, grants=access_grants
        )
        bad.require_none()
        created = updated._replace(message="Initial version") if message is UNSET else updated
        author, prompt_id = self._core.author(self._view), new_id()

        def plan(reader: Reader) -> Outcome:
            try:
                return self._plan_save(reader, reference, updated, author)
            except NotFoundError:
                if reference.is_id:
                    raise
            access.require_creating(self.actor, reference.text)
            return lifecycle.plan_create(prompt_id, self.namespace, reference.text, created, author)

        for _ in range(SAVE_RETRIES):
            with suppress(VersionConflictError):
                return self._commit(plan, self._core.vet_saved)
        return self._commit(plan, self._core.vet_saved)

    @verb("update_prompt")
    def update(
        self,
        name: str,
        *,
        template: TemplateArgument | Unset = UNSET,
        title: str | Unset = UNSET,
        description: str | Unset = UNSET,
        category: str | Unset = UNSET,
        tags: Iterable[str] | Unset = UNSET,
        variables: VariablesArgument | Unset = UNSET,
        config: Mapping[str, Any] | None | Unset = UNSET,
        meta: Mapping[str, Any] | None | Unset = UNSET,
        examples: Iterable[Mapping[str, Any]] | Unset = UNSET,
        access_grants: GrantsArgument | Unset = UNSET,
        new_name: str | Unset = UNSET,
        commit_message: str | Unset = UNSET,
        is_production: bool | Unset = UNSET,
        version: Selector | Unset = UNSET,
        expected_version: int | Unset = UNSET,
        expected_hash: str | Unset = UNSET,
    ) -> Prompt:
        """Make a new version, or with `version` (or `name@3`) edit a draft or failed one in place.

        What is not passed comes from the base: the production version, or the latest where none was ever
        live. Where nothing differs, nothing is written. `is_production` defaults to True: the new version
        goes live at once; False makes a draft, or returns the latest version where that is equal. Where nothing is
        live, and a field of the version was passed and the base holds all that was asked for, True publishes the base,
        which keeps its own commit message (rules 1 to 3) [VERSION].

        An edit in place never publishes, and takes neither `new_name` nor `access_grants` (rule 7) [EDIT].

        `expected_version` is the number of the base, and goes with no edit in place; `expected_hash` is the
        `content_hash` of the version edited, or of the base; otherwise it is `VersionConflictError`. `None` empties
        `variables`, `config` and `meta`. Raises also what `create` raises, and `NotModifiableError` for a published
        version or an archived prompt.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     draft = registry.update("greet", template="Hi", is_production=False)
        ...     edited = registry.update("greet@2", template="Hi there")
        ...     live = registry.get("greet")
        >>> draft.version, edited.version, edited.template, live.template
        (2, 2, 'Hi there', 'Hello')
        """
        bad = BadFields()
        chosen = bad.read(inputs.read_given, version, "version")
        versioned = bad.read(names.read_versioned, name, chosen if bad.are_none() else None)
        edit = bad.read(
            edits.read_edit,
            template=template,
            title=title,
            description=description,
            category=category,
            tags=tags,
            variables=variables,
            config=config,
            meta=meta,
            examples=examples,
        )
        draft = bad.read(
            edits.read_draft,
            edit=edit,
            message=commit_message,
            is_production=is_production,
            grants=access_grants,
            new_name=new_name,
        )
        expected = bad.read(inputs.read_expected, version=expected_version, content_hash=expected_hash)
        bad.read(
            edits.require_in_place,
            versioned,
            is_production=is_production,
            expected_version=expected_version,
            new_name=new_name,
            access_grants=access_grants,
        )
        bad.require_none()
        reference, selector = versioned
        author = self._core.author(self._view)

        def plan(reader: Reader) -> Outcome:
            if selector is None:
                return self._plan_update(reader, reference, draft, expected, author)
            container, record = self._versioned(reader, reference, selector, "update")
            lifecycle.require_unarchived(container)
            lifecycle.require_modifiable(container, record)
            conflicts.require_expected(container, record, expected)
            message = None if commit_message is UNSET else draft.message
            return lifecycle.plan_edit(container, record, edit, message, author)

        return self._commit(plan, self._core.vet_saved)

    @verb("publish_prompt")
    def publish(
        self,
        name: str,
        version: Selector | None = None,
        *,
        expected_production: int | Unset = UNSET,
        expected_hash: str | Unset = UNSET,
    ) -> Prompt:
        """Make a version the production version: `publish("x@staging")` promotes what the label names.

        Without a version it is the one draft or failed version that there is; several are `ConflictError`, whose
        `details["versions"]` lists them. Where there is none, what is live is returned, if it is the latest version
        too; otherwise it is `ConflictError`. Publishing what is live changes nothing (rules 4 and 5).

        A version that was never live must pass the checks first; when they fail it is marked `failed`, and
        `PublishCheckError` carries every reason, though somebody has edited or discarded the version meanwhile. Where
        the mark can't be stored, that `StorageError` is its `__cause__`. What changed while checks passed is
        `VersionConflictError`, whose `details["field"]` says what: `production`, `name`, `status`, `version` (the
        label was moved) or `content_hash` (rule 9).

        `expected_production` is the number that must be live (0: none), `expected_hash` the `content_hash` of the
        version to publish, so that what was reviewed is what goes live; otherwise it is `VersionConflictError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     reviewed = registry.update("greet", template="Hi", is_production=False)
        ...     registry.publish("greet", expected_hash=reviewed.content_hash).production_version
        2
        """
        bad = BadFields()
        versioned = bad.read(names.read_versioned, name, version)
        expected = bad.read(inputs.read_expected, production=expected_production, content_hash=expected_hash)
        bad.require_none()
        reference, selector = versioned
        author = self._core.author(self._view)

        def plan(reader: Reader) -> Outcome:
            nonlocal selector
            container, record = self._chosen(reader, reference, selector, "publish", lifecycle.number_to_publish)
            if selector is None:  # chosen once: a draft that is saved while this one is checked is no conflict
                selector = record.number
            conflicts.require_expected(container, record, expected)
            return lifecycle.plan_publish(container, record, author)

        def vet(outcome: Outcome) -> Evidence:
            try:
                return self._core.vet_published(outcome)
            except PublishCheckError as error:
                raise error from self._mark_failed(outcome, error.details["reasons"], author)

        return self._commit(plan, vet)

    @verb("rollback_prompt")
    def rollback(
        self, name: str, version: Selector | None = None, *, reason: str, expected_production: int | Unset = UNSET
    ) -> Prompt:
        """Bring back the version that was live before, or the published version named (rule 5).

        Without a version it pops the stack of publications; with one, back to that version's place on it,
        or pushes it where it has none. Runs no checks. Raises `ConflictError` where nothing was live
        before or the version was never published. `expected_production` is the number that must be live (0: none),
        otherwise it is `VersionConflictError`: so that two who roll back the same mistake go back one version.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.update("greet", template="Hi")
        ...     registry.rollback("greet", reason="Too short", expected_production=2).template
        'Hello'
        """
        bad = BadFields()
        versioned = bad.read(names.read_versioned, name, version)
        told = bad.read(inputs.read_filled_text, reason, "reason")
        expected = bad.read(inputs.read_expected, production=expected_production)
        bad.require_none()
        reference, selector = versioned
        author = self._core.author(self._view)

        def plan(reader: Reader) -> Outcome:
            container = self._changeable(reader, reference, "rollback")
            target = None if selector is None else load_version(reader, container, selector)
            lifecycle.require_unarchived(container)
            stack = reader.version_numbers(container, "publications")
            depth = lifecycle.rollback_depth(container, target, stack)
            if target is None:
                target = load_version(reader, container, stack[-2])
            conflicts.require_expected(container, target, expected)
            return lifecycle.plan_rollback(container, target, depth, told, author)

        return self._commit(plan)

    @verb("discard_prompt")
    def discard(self, name: str, version: Selector | None = None) -> Prompt:
        """Throw away a draft or failed version; its number stays used (rule 10).

        Without a version it is the one that there is; none, or several, which `details["versions"]` lists, are
        `ConflictError` (rule 5). So is a labelled version, or the prompt's only one. Raises `NotModifiableError` for a
        published version.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.update("greet", template="Hi", is_production=False)
        ...     registry.discard("greet").latest_version
        1
        """
        reference, selector = names.read_versioned(name, version)
        author = self._core.author(self._view)

        def plan(reader: Reader) -> Outcome:
            container, record = self._chosen(reader, reference, selector, "discard", lifecycle.number_to_discard)
            newest = [v.number for v in reader.versions(container, before=None, limit=2)]
            others = [number for number in newest if number != record.number]
            change = lifecycle.plan_discard(container, record, others, author)
            remaining = lifecycle.after_discard(shown(reader, change.subject), record.number)
            return Outcome(change.subject, remaining, change)

        return self._commit(plan)

    # Labels

    @verb("set_label_prompt")
    def set_label(self, name: str, label: str, version: Selector | None = None) -> Prompt:
        """Move a label to a version, given once: `set_label("greet@3", "staging")`, or as `version`.

        The version is a number or another label. Raises `InvalidInputError` for a malformed label and for
        `production` and `latest`, which the registry keeps; `VersionNotFoundError`; `ConflictError` where the prompt
        has 1,000 labels already.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.set_label("greet@latest", "staging")
        ...     registry.get("greet@staging").version
        1
        """
        bad = BadFields()
        versioned = bad.read(names.read_one_version, name, version)
        own = bad.read(names.checked_own_label, label)
        bad.require_none()
        reference, selector = versioned
        author = self._core.author(self._view)

        def plan(reader: Reader) -> Outcome:
            container, record = self._versioned(reader, reference, selector, "set_label")
            lifecycle.require_unarchived(container)
            return lifecycle.plan_label(container, shown(reader, container), own, record.number, author)

        return self._commit(plan)

    @verb("remove_label_prompt")
    def remove_label(self, name: str, label: str) -> Prompt:
        """Take a label away; raises `VersionNotFoundError` where the prompt has no such label.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.set_label("greet", "staging", 1)
        ...     registry.remove_label("greet", "staging").labels
        {'latest': 1, 'production': 1}
        """
        bad = BadFields()
        reference = bad.read(names.plain_reference, name)
        own = bad.read(names.checked_own_label, label)
        bad.require_none()
        author = self._core.author(self._view)

        def plan(reader: Reader) -> Outcome:
            container = self._changeable(reader, reference, "remove_label")
            lifecycle.number_of(container, own)
            lifecycle.require_unarchived(container)
            return lifecycle.plan_label(container, shown(reader, container), own, None, author)

        return self._commit(plan)

    # Status

    @verb("set_status_prompt")
    def set_status(self, names: str | Iterable[str], status: TargetStatus, *, dry_run: bool = False) -> StatusUpdate:
        """Bring one prompt or many to a status, in one transaction, all or nothing [BULK, ARCHIVE].

        `status` is `active`, `disabled`, `archived` or `deleted`; at most 100,000 names. Prompts that are there
        already are skipped, and need no more than reading. `dry_run=True` validates everything, permissions included,
        gives the same counts and writes nothing. Raises `NotFoundError` with every unknown name, `ForbiddenError` and
        `NotModifiableError` with every prompt that stands against it: an archived prompt takes only
        `active`, which restores it.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("a", "…"), registry.create("b", "…")
        ...     _ = registry.set_status("a", "disabled")
        ...     registry.set_status(["a", "b"], "disabled")
        StatusUpdate(dry_run=False, updated_prompts=1, updated=['b'], skipped=['a'])
        """
        bad = BadFields()
        references = bad.read(read_references, names)
        target = bad.read(inputs.read_choice, status, "status", inputs.TARGET_STATUSES)
        is_dry = bad.read(inputs.read_flag, dry_run, "dry_run")
        bad.require_none()
        author = self._core.author(self._view)

        def plan(reader: Reader) -> statuses.StatusPlan:
            containers = find_all(reader, self._view, references)
            return statuses.plan_statuses(containers, target, self.actor, author)

        if is_dry:
            with self._core.read() as reader:
                done = plan(reader)
            note(changed=False)
        else:
            done = self._core.commit(self._view, plan)
        updated = [change.subject.name for change in done.changes]
        return StatusUpdate.model_construct(
            dry_run=is_dry,
            updated_prompts=len(updated),
            updated=FrozenList(updated),
            skipped=FrozenList(done.skipped),
        )

    @verb("archive_prompt")
    def archive(self, name: str) -> Prompt:
        """Archive a prompt: it still renders, for ever, but leaves `list` and `search`, and nothing of it can change.

        Archiving twice is fine. Needs the role of an admin (rules 14 and 17) [ARCHIVE].

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     registry.archive("greet").status, registry.render("greet").text, len(registry.list())
        ('archived', 'Hello', 0)
        """
        return self._move(name, "archived")

    @verb("restore_prompt")
    def restore(self, name: str) -> Prompt:
        """Take a prompt out of the archive: the same as `set_status(name, "active")`, so it enables a disabled one.

        A prompt that was archived while disabled is disabled again.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello"), registry.archive("greet")
        ...     registry.restore("greet").status
        'active'
        """
        return self._move(name, "active")

    # The steps that verbs share

    def _commit(self, plan: Callable[[Reader], Outcome], vet: Callable[[Outcome], Evidence] | None = None) -> Prompt:
        outcome = self._core.commit(self._view, plan, vet)
        return self._core.prompt(outcome.container, outcome.version)

    def _query(self, query: Query) -> builtins.list[Prompt]:
        with self._core.read() as reader:
            found = reader.query(query)
        return [self._core.prompt(container, record) for container, record in found]

    def _changeable(self, reader: Reader, reference: Reference, action: str) -> Container:
        container = find(reader, self._view, reference)
        access.require(self.actor, [action], container)
        return container

    def _versioned(
        self, reader: Reader, reference: Reference, selector: Selector, action: str
    ) -> tuple[Container, VersionRecord]:
        container = self._changeable(reader, reference, action)
        return container, load_version(reader, container, selector)

    def _chosen(
        self,
        reader: Reader,
        reference: Reference,
        selector: Selector | None,
        action: str,
        default: Callable[[Container, Sequence[int]], int],
    ) -> tuple[Container, VersionRecord]:
        """Find the version that a call chooses; without one, that which `default` chooses of the unpublished ones."""
        container = self._changeable(reader, reference, action)
        record = None if selector is None else load_version(reader, container, selector)
        lifecycle.require_unarchived(container)
        if record is None:
            unpublished = reader.version_numbers(container, "unpublished")
            record = load_version(reader, container, default(container, unpublished))
        return container, record

    def _require_free(self, reader: Reader, name: str) -> None:
        if find_any(reader, self.namespace, Reference(name, is_id=False)) is not None:
            raise lifecycle.name_taken(name)

    def _plan_update(
        self, reader: Reader, reference: Reference, draft: Draft, expected: Expected, author: Author
    ) -> Outcome:
        container = self._drafted(reader, reference, draft)
        lifecycle.require_unarchived(container)
        base = shown(reader, container)
        conflicts.require_expected(container, base, expected)
        if draft.name is not None and draft.name != container.name:
            self._require_free(reader, draft.name)
        latest = load_version(reader, container, container.latest_version)
        return lifecycle.plan_update(container, base, latest, draft, author)

    def _plan_save(self, reader: Reader, reference: Reference, draft: Draft, author: Author) -> Outcome:
        container = self._drafted(reader, reference, draft)
        base, latest = shown(reader, container), load_version(reader, container, container.latest_version)
        outcome = lifecycle.plan_update(container, base, latest, draft, author)
        if outcome.change is not None:
            lifecycle.require_unarchived(container)
        return outcome

    def _drafted(self, reader: Reader, reference: Reference, draft: Draft) -> Container:
        container = self._changeable(reader, reference, "update")
        access.require(self.actor, draft.moves(container), container)
        return container

    def _mark_failed(self, checked: Outcome, reasons: Sequence[str], author: Author) -> StorageError | None:
        """Mark the version that failed its checks, unless it has become another; return what kept it from being stored.

        Whatever has become of the version meanwhile, the caller gets the reasons.
        """
        reference, number = Reference(checked.container.id, is_id=True), checked.version.number

        def plan(reader: Reader) -> Outcome:
            container, record = self._versioned(reader, reference, number, "publish")
            lifecycle.require_unarchived(container)
            return lifecycle.plan_check_failed(container, record, checked.version, reasons, author)

        try:
            self._core.commit(self._view, plan)
        except StorageError as error:
            self._core.release_after(error)
            error.__context__ = None  # which is the error that this becomes the cause of
            return error
        except PromptregError as error:
            self._core.release_after(error)
        return None

    def _move(self, name: str, status: str) -> Prompt:
        reference = names.plain_reference(name)
        author = self._core.author(self._view)

        def plan(reader: Reader) -> Outcome:
            container = find(reader, self._view, reference)
            changes = statuses.plan_statuses([container], status, self.actor, author).changes
            record = shown(reader, container)
            return Outcome(changes[0].subject, record, changes[0]) if changes else Outcome(container, record)

        return self._commit(plan)
