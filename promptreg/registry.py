"""Registry: the signature, the documentation and the order of the steps of each verb, and nothing else.

Arguments are read in `arguments.py`, names are resolved and plans committed in `core.py`, and plans are made in
`planning.py`. No SQL, no template, no rule and no span code lives here.
"""

import builtins
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, overload

from pydantic import BaseModel

from promptreg import arguments
from promptreg.arguments import StatusChange
from promptreg.cache import EMPTY_CACHE
from promptreg.checks import Evidence, PublishCheck, SetEvidence
from promptreg.clock import Clock, new_id
from promptreg.core import Core
from promptreg.errors import UnauthorizedError, VersionConflictError
from promptreg.fast_read import fast_get, fast_render
from promptreg.jsonvalues import FrozenList
from promptreg.lookup import find, load_version
from promptreg.many import get_many
from promptreg.models import (
    UNSET,
    Action,
    Actor,
    Event,
    GrantsArgument,
    OnConflict,
    StatusUpdate,
    Syntax,
    TargetStatus,
    Unset,
    VariablesArgument,
    Version,
)
from promptreg.planning import Planner
from promptreg.prompt import Page, Prompt
from promptreg.records import Query
from promptreg.rendered import Rendered
from promptreg.rendering.limits import RenderLimits, readable_characters
from promptreg.rules import access, inputs, names
from promptreg.rules.access import View
from promptreg.rules.diffing import diff_versions
from promptreg.rules.inputs import Progress
from promptreg.rules.names import Reference, Selector, Versioned
from promptreg.rules.operations import Call, read_operation_id
from promptreg.rules.outcomes import Outcome, Outcomes
from promptreg.rules.seeding import conflict_warning, earlier_notice
from promptreg.rules.selection import number_of
from promptreg.rules.sets import read_set
from promptreg.sets import publish_all, rollback_all
from promptreg.settings import read_settings
from promptreg.storage.base import Reader
from promptreg.storage.opening import open_storage
from promptreg.telemetry.content import Redact
from promptreg.verbs import verb
from promptreg.vetting import vet_all_published, vet_published
from promptreg.waiting import revision_of, wait_for

if TYPE_CHECKING:
    from promptreg.dump import Dump, Entry
    from promptreg.rules.importing import ForeignPrompt
    from promptreg.rules.sync_items import SyncCall, SyncPlan

D = TypeVar("D")
TemplateArgument = str | Sequence[Mapping[str, Any]]

SAVE_RETRIES = 4
PAGE = 100  # prompts that `iterate` reads at a time
logger = logging.getLogger("promptreg")


class Registry:
    r"""Versioned, governed prompts in one SQLite file, or a PostgreSQL schema, that any number of processes share.

    A prompt is a named container in a namespace. It has numbered versions, each a whole snapshot of template,
    variables, config and metadata; at most one version is in production, which is the one that `get` and `render`
    use. Saving a version never changes another one.

    >>> registry = Registry(":memory:")  # or the path of a file, which is created when absent
    >>> prompt = registry.create("summarize", "Summarize in {{ n }} words:\n{{ text }}", tags=["writing"])
    >>> print(registry.render("summarize", n=20, text="…").text)
    Summarize in 20 words:
    …
    >>> draft = registry.update("summarize", template="In {{ n }} words:\n{{ text }}", is_production=False)
    >>> draft.version, draft.state, registry.get("summarize").version
    (2, 'draft', 1)
    >>> registry.publish("summarize").production_version, registry.rollback("summarize", reason="Too terse").version
    (2, 1)
    >>> registry.close()

    The verbs, by what they are for:

    - read: `get`, `get_many`, `render`, `history`, `diff`
    - find: `list`, `iterate`, `search`, `events`, `namespaces`
    - look at: `report`
    - write versions: `create`, `save` (create or update), `update` (a new version, or an edit of a draft)
    - bring prompts with the code: `seed`
    - go live: `check`, `publish`, `rollback`, `discard`, `set_label`, `remove_label`
    - change the status: `enable`, `disable`, `archive`, `restore`, `delete`, `set_status` (of many)
    - act for users and teams: `scope`
    - repeat safely: `once`
    - maintain: `verify`, `head`, `backup`, `close`

    A prompt is named by its name or its id. `"name@3"` and `"name@staging"` choose a version wherever a verb takes one.
    What is returned is frozen, and can be shared between threads; times are aware UTC datetimes, durations are seconds.

    Errors: every error is a `PromptregError` with `code`, `message`, `details` and `http_status`. Bad values are
    `InvalidInputError`, which lists every bad argument of the call. A refused call changes nothing, except that a draft
    whose publish checks fail is marked as failed. On a closed registry every call is `StorageError`. Any verb may also
    raise `StorageError` and its subclasses, such as `StorageBusyError` where other writers hold the database for longer
    than `busy_timeout`, and on behalf of an actor `NotFoundError` and `ForbiddenError` (rules 17 and 18).

    Threads and processes: share one registry between all threads. It works after a fork on both sides, and any number
    of processes may open one file, or of machines one schema. A read of a file sees every write that returned before it
    began, in whatever process; for PostgreSQL see `freshness`. The functions passed as `publish_checks` and `progress`
    are called outside any transaction and may use the registry.

    The arguments are:

    - `target`: the path of a file, created with its schema when absent unless `create=False`; or `":memory:"`, one
      database for all threads of this process, which is not shared with a fork; or the URL of a PostgreSQL database
      (`postgresql://user@host/database?promptreg_schema=NAME`), whose schema is made likewise. Other URLs (`file:x`)
      are refused, whereas a `pathlib.Path` is always a path.
    - `namespace`, `actor`: where names are looked up, and on whose behalf calls are made. `actor=None` is the
      application itself, which may do everything.
    - `max_staleness`: how old a read may be, in seconds. At 0, the default, every read of a file is current; for a file
      more than 0.05 is treated as 0.05. In PostgreSQL only more than 0.1 allows older reads than `freshness` says.
    - `cache_size`: how many prompts are kept in memory.
    - `durability`: `"full"`, where a commit survives a power cut, or `"normal"`; in PostgreSQL the server decides.
    - `busy_timeout`: how long a call waits for other writers, for a connection that other threads use, or for a server,
      in seconds.
    - `publish_checks`: functions that are called with each `Prompt` before it becomes production; one that raises
      prevents it (rule 9).
    - `extra_variables`: `"ignore"`, or `"forbid"` to refuse a render with a variable that the prompt does not have.
    - `clock`: a function that returns an aware datetime, for tests.
    - `render_limits`: how large a template may be and how much a render may do; see `RenderLimits`.
    - `capture_content`, `redact`: whether spans of renders hold template, variables and text, each text passed through
      `redact` first. Without `capture_content` the environment variable
      OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT decides; by default spans hold names and numbers only.
    - `spans`: `"child"` makes a span for each verb, `"attributes"` sets its attributes on the current span instead.
    - `render_duration`: whether the histogram of render durations is recorded.
    - `freshness`: `"bounded"`, where a read is as fresh as the storage declares and stale (`Prompt.stale`) where it
      does not answer; or `"strict"`, where each read sees every write on any machine that returned before it began, and
      is `StorageBusyError` instead of stale. A file is strict already but for that error. In PostgreSQL a strict read
      asks the server each time. It goes with no `max_staleness`.

    Raises `InvalidInputError` for bad settings, and `StorageError` for a database that can't be opened, with
    `details["reason"]`. A registry is a context manager, which closes it.
    """

    __slots__ = ("__weakref__", "_cache", "_core", "_is_view", "_view")

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
        freshness: str = "bounded",
    ) -> None:
        settings = read_settings(locals())
        self._begin(Core(open_storage(settings.storage), settings), settings.view, is_view=False)

    def _begin(self, core: Core, view: View, *, is_view: bool) -> None:
        self._core, self._view, self._is_view = core, view, is_view
        self._cache = core.cache if view.namespace == core.home and view.actor is None else EMPTY_CACHE

    # The registry and its views

    @property
    def path(self) -> str | None:
        """The absolute path of the file, or `":memory:"`; None where the registry is in no file."""
        return self._core.storage.profile.path

    @property
    def namespace(self) -> str:
        """The namespace that names are looked up in."""
        return self._view.namespace

    @property
    def actor(self) -> Actor | None:
        """The actor on whose behalf calls are made; None is the application itself."""
        return self._view.actor

    def scope(self, *, namespace: str | Unset = UNSET, actor: Actor | None | Unset = UNSET) -> "Registry":
        """Return a view with another namespace or actor, over the same storage and cache.

        What is not passed is unchanged. A view is a small object, to be made for each request. In another namespace the
        actor keeps its id and groups and, unless it is `org_admin`, loses its role (rule 17). Closing a view does
        nothing. Raises `InvalidInputError`, and `UnauthorizedError` for `actor=None`, so that an anonymous user never
        becomes the application by accident.

        >>> with Registry(":memory:") as registry:
        ...     team = registry.scope(namespace="support", actor=Actor("ana", "team_editor"))
        ...     team.create("reply", "Dear {{ name }}").created_by
        'ana'
        """
        self._core.require_open()
        if actor is None:
            raise UnauthorizedError("A view needs an actor; pass an Actor, or leave it out to keep this one.")
        return self._seen_as(arguments.read_scope(self._view, namespace, actor))

    def once(self, operation_id: str) -> "Registry":
        """Return a view in which a write that is repeated within a day writes once, for scripts that may run twice.

        `operation_id` is a text of 1 to 200 characters that names the operation, such as a deployment; all calls of a
        script may share one. What is remembered of a call, in the transaction of its write, is a hash of the operation
        id, the actor's id, the namespace, the verb and the arguments as they were read, so defaults may be passed or
        left out. Another verb or another argument is another call, which is made. Only hashes, ids, numbers of versions
        and actions are stored. Two processes that make the same call at once write once, and both return what that did.

        A repeat writes nothing, runs no publish checks, and returns the prompt as it is now, resolved to the version
        that was written then, whatever has happened since. A verb that writes no version, and `seed`, returns what is
        shown now, `set_status` the same counts and names, and `delete` None. Permissions are required again. Raises
        `NotFoundError` where the prompt has been deleted since, and `VersionNotFoundError` where the version was
        discarded. Calls that changed nothing are remembered too; refusals and dry runs are not. A day is 24 hours by
        the registry's `clock`, in PostgreSQL by the server's.

        It covers every verb that writes, and an import from another tool. `promptreg.files.sync` can be repeated in any
        view, as what is equal is left as it is; a whole registry can be imported only where there is nothing yet. Reads
        are as in any view. `scope` on the view keeps the operation id, and `once` the namespace and the actor.

        The `details["operation_id"]` of a `CommitUnknownError` are passed here too: then the same call returns what was
        written, if the commit has happened after all, and else writes it.

        >>> with Registry(":memory:") as registry:
        ...     deploy = registry.once("deploy-42")
        ...     for _ in range(2):
        ...         draft = deploy.update(deploy.save("greet", "Hello").name, template="Hi", is_production=False)
        ...         live = deploy.publish("greet", draft.version)
        ...     live.version, registry.get("greet").latest_version
        (2, 2)
        """
        self._core.require_open()
        return self._seen_as(self._view._replace(operation_id=read_operation_id(operation_id)))

    def _seen_as(self, view: View) -> "Registry":
        made = object.__new__(Registry)
        made._begin(self._core, view, is_view=True)
        return made

    @property
    def revision(self) -> int:
        """The revision of the database: it grows with each write, and is at least that of every write that returned.

        Pass it on with what depends on a write, and have the other side call `wait_for`. Raises `StorageError`.

        >>> with Registry(":memory:") as registry:
        ...     before = registry.revision
        ...     _ = registry.create("greet", "Hello")
        ...     before, registry.revision
        (0, 1)
        """
        return revision_of(self._core)

    def close(self) -> None:
        """Close every file and connection. Every later call on the registry and its views is `StorageError`.

        Closing twice is fine. In the middle of another call of the same thread it is `StorageError` too.

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
        return f"Registry({self._core.storage.profile.location!r}, namespace={self.namespace!r}{who})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Registry can't be copied or pickled; open one in each process, and share it between threads")

    # Reading and rendering

    @overload
    def get(self, name: str, *, version: Selector | None = None, label: str | None = None) -> Prompt: ...
    @overload
    def get(
        self, name: str, *, version: Selector | None = None, label: str | None = None, default: D
    ) -> Prompt | D: ...
    @fast_get
    @verb("get_prompt", requires_open=False)
    def get(self, name: str, *, version: Selector | None = None, label: str | None = None, default: Any = UNSET) -> Any:
        """Return a prompt, resolved to its production version or to the one that is chosen.

        `name` is a name or an id. One version may be chosen: by `@` in the name, by `version` (a number or a label),
        or by `label`. A prompt that is disabled or archived is returned as any other.

        Raises `NotFoundError`, `VersionNotFoundError` (rule 8), and `NoProductionVersionError` where no version was
        ever published. With a `default`, which is returned as it is, none of these is raised, and neither is
        `StorageError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello {{ name }}!")
        ...     prompt = registry.get("greet")
        ...     same = registry.get("greet@1") == registry.get("greet", label="production") == prompt
        ...     registry.get("absent", default=None) is None
        True
        >>> prompt.version, prompt.variables[0].name, prompt.labels, same
        (1, 'name', {'latest': 1, 'production': 1}, True)
        """
        return self._core.get(self._view, name, version, label, default)

    @verb("get_many_prompts", takes_name=False)
    def get_many(self, names: Iterable[str]) -> builtins.list[Prompt]:
        """Return several prompts, in the order of their names, as all of them were at one moment.

        `names` are up to 10,000 names or ids. Each is resolved as in `get`, and may choose a version by `@`; what is
        named twice is returned twice, and an empty list returns an empty list. A write that moves several prompts at
        once is seen in all of them or in none, which calls of `get` one after the other don't promise.

        Raises `NotFoundError` with every unknown name; where there is none, `VersionNotFoundError` for the first
        version or label that a prompt does not have, then `NoProductionVersionError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello"), registry.create("part", "Bye")
        ...     _ = registry.update("greet", template="Hi")
        ...     [(prompt.name, prompt.version) for prompt in registry.get_many(["part", "greet", "greet@1"])]
        [('part', 1), ('greet', 2), ('greet', 1)]
        """
        return get_many(self._core, self._view, names)

    @fast_render
    def render(
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
        """Render a prompt with variables, and return its text and messages.

        `name`, `version` and `label` choose the prompt and the version as in `get`. `variables` is a mapping (of at
        most 100,000 names, unless it is a `dict`) or a pydantic model; keywords may be passed instead or as well, and
        win. Variables named `version`, `label` or `default` are passed in the mapping. Values are data: nothing in them
        is read as template, role or delimiter (rule 20).

        `default` is a Jinja template, a text or a list of messages, which is rendered where the prompt is not found or
        the storage fails, and in no other case. It is compiled at the first call that passes it, so a broken one is
        refused before it is needed. `extra_variables="forbid"` does not apply to it. The result's `version` is None.

        Raises what `get` raises, then `PromptDisabledError` (rule 13), `MissingVariablesError` with every absent name,
        `InvalidVariablesError`, `RenderLimitError` and `RenderError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello {{ name }}!")
        ...     rendered = registry.render("greet", name="Ana")
        ...     fallback = registry.render("absent", {"name": "Bo"}, default="Hi {{ name }}")
        ...     _ = registry.create("ask", [{"role": "user", "content": "Why {{ what }}?"}])
        ...     chat = registry.render("ask", what="so")
        >>> rendered.text, rendered.version, str(fallback), fallback.version
        ('Hello Ana!', 1, 'Hi Bo', None)
        >>> chat.messages
        [{'role': 'user', 'content': 'Why so?'}]
        """
        return self._render(name, variables, more, version, label, default)

    @verb("render_prompt", requires_open=False)
    def _render(
        self,
        name: str,
        variables: Mapping[str, Any] | BaseModel | None,
        more: dict[str, Any],
        version: Selector | None,
        label: str | None,
        default: TemplateArgument | Unset,
    ) -> Rendered:
        return self._core.render(self._view, name, variables, more, version, label, default)

    @verb("history_prompt")
    def history(self, name: str, *, limit: int = 20, before: Selector | None = None) -> builtins.list[Version]:
        """Return the versions of a prompt, newest first.

        `limit` is how many at most. `before`, a number or a label, leaves out that version and all newer ones. Raises
        `NotFoundError`, and `VersionNotFoundError` for an unknown label.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.update("greet", template="Hi", commit_message="Shorter")
        ...     [(v.version, v.commit_message) for v in registry.history("greet")]
        [(2, 'Shorter'), (1, 'Initial version')]
        """
        reference, most, bound = arguments.read_history(name, limit, before)
        with self._core.read() as reader:
            container = find(reader, self._view, reference)
            number = None if bound is None else number_of(container, bound)
            records = reader.versions(container, before=number, limit=most)
        return [self._core.templates.version(record) for record in records]

    @verb("diff_prompt")
    def diff(self, name: str, old: Selector, new: Selector) -> str:
        r"""Return what changed between two versions, as a unified diff of the whole snapshots.

        `old` and `new` are numbers or labels. Of equal versions it is `""`. Versions that differ too much to be
        compared line by line are shown as one block, whose heading says so. Raises `NotFoundError` and
        `VersionNotFoundError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.update("greet", template="Hi")
        ...     print("\n".join(registry.diff("greet", 1, "production").splitlines()[3:5]))
        -Hello
        +Hi
        """
        reference, *selectors = arguments.read_diff(name, old, new)
        with self._core.read() as reader:
            container = find(reader, self._view, reference._replace(selector=selectors[0]))
            before, after = (load_version(reader, container, selector) for selector in selectors)
        return diff_versions(container.name, before, after)

    @verb("list_prompts", takes_name=False)
    def list(
        self,
        *,
        status: str | Iterable[str] | None = None,
        tag: str | Iterable[str] | None = None,
        category: str | None = None,
        created_by: str | None = None,
        prefix: str | None = None,
        label: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page:
        """Return a page of the prompts of the namespace that the actor may read, in the order of their names.

        Each prompt is resolved to its production version, or to the latest where none is live. With `label` only
        prompts that have that label are listed, each resolved to it; where none has it, the page is empty. `tag`, one
        or several that must all be there, and `category` are compared with the version that is shown.

        `status` is one status or several (`active`, `disabled`, `archived`); without it active and disabled prompts are
        listed. `created_by` is the id of the owner. `prefix` is how the name begins: no character in it is a wildcard,
        and as names are lower case, one in upper case finds nothing. `limit` is how many at most; the page's `next`,
        passed as `after`, continues the listing, and is None on the last page.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("b", "…", tags=["x"]), registry.create("a", "…")
        ...     first = registry.list(limit=1)
        ...     rest = registry.list(limit=1, after=first.next)
        ...     [prompt.name for prompt in first], [prompt.name for prompt in rest], len(registry.list(tag="x"))
        (['a'], ['b'], 1)
        """
        return self._page(arguments.read_list(self._view, locals()))

    @verb("iterate_prompts", takes_name=False)
    def iterate(
        self,
        *,
        status: str | Iterable[str] | None = None,
        tag: str | Iterable[str] | None = None,
        category: str | None = None,
        created_by: str | None = None,
        prefix: str | None = None,
        label: str | None = None,
    ) -> Iterator[Prompt]:
        """Return an iterator of all the prompts that `list` lists on its pages, in the order of their names.

        `status`, `tag`, `category`, `created_by`, `prefix` and `label` are the filters of `list`, and are checked by
        this call. The prompts are read when they are needed, 100 at a time, and nothing is held between two pages. So
        each prompt is as it was when its page was read. A prompt that is there and matches all the while is returned
        exactly once; one that is created, changed or deleted meanwhile may be missed, and one that is renamed may be
        returned under both names. `get_many` reads prompts of one moment.

        Each page is a `list_prompts` span. What `list` raises is raised here, or by the step that reads the page, which
        ends the iteration: `StorageError`, for example, once the registry is closed.

        >>> with Registry(":memory:") as registry:
        ...     _ = [registry.create(name, "…", tags=["x"]) for name in ("b", "a")], registry.create("c", "…")
        ...     [prompt.name for prompt in registry.iterate(tag="x")]
        ['a', 'b']
        """
        return self._pages(arguments.read_list(self._view, {**locals(), "limit": PAGE, "after": None}))

    @verb("search_prompts", takes_name=False)
    def search(
        self,
        text: str,
        *,
        status: str | Iterable[str] | None = None,
        tag: str | Iterable[str] | None = None,
        category: str | None = None,
        limit: int = 20,
    ) -> builtins.list[Prompt]:
        """Return the prompts that contain all words of a text, best matches first.

        Names, titles, descriptions, tags and templates are searched. Words match whole and in any case, and marks of
        Latin, Greek, Cyrillic, Hebrew and Arabic letters do not count; words of scripts written without spaces are
        found wherever they stand, a run of them as a phrase (rule 24). `text` has at most 1,000 characters and 64
        words; one without a letter, digit or symbol finds nothing. `status`, `tag` and `category` are those of `list`;
        `limit` is how many at most. Up to about a thousand hits in the whole database are ranked by how well they
        match; of more, the newest prompts come first.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Say hello to {{ name }}", description="For the café in 東京タワー")
        ...     [prompt.name for prompt in registry.search("HELLO cafe 東京")]
        ['greet']
        """
        return self._query(arguments.read_search(self._view, locals()))

    @verb("events_prompt")
    def events(
        self,
        name: str | None = None,
        *,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        action: Action | Iterable[Action] | None = None,
    ) -> builtins.list[Event]:
        """Return the record of who did what, oldest first: of the namespace, or of one prompt.

        `after` is the `seq` of the last event that the caller has seen; `limit` is how many at most. With
        `newest_first` the newest come first, and `after` continues with older ones; 0 begins with the newest. `action`
        is one action, such as `publish`, or several; without it events of every action are returned.

        The events of a prompt are found under its present name, also those from before it was renamed. The events of a
        deleted prompt remain without its name and their details, except that its `delete` keeps the name (rule 15).
        Raises `NotFoundError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     every = [event.action for event in registry.events("greet")]
        ...     every, [event.action for event in registry.events(newest_first=True, limit=1, action="create")]
        (['create', 'publish'], ['create'])
        """
        reference, query = arguments.read_events(self._view, locals())
        with self._core.read() as reader:
            if reference is not None:
                query = query._replace(prompt_id=find(reader, self._view, reference).id)
            return reader.events(query)

    @verb("list_namespaces", takes_name=False)
    def namespaces(self) -> builtins.list[str]:
        """Return the namespaces in which the actor may read a prompt, in order.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.scope(namespace="support").create("reply", "…")
        ...     registry.namespaces()
        ['support']
        """
        audience, home = access.audience_of_all_namespaces(self.actor, self.namespace)
        with self._core.read() as reader:
            return reader.namespaces(audience, home)

    @verb("report_prompts", takes_name=False)
    def report(self, names: str | Iterable[str] | None = None, *, all_versions: bool = False) -> str:
        r"""Return a page of HTML about prompts: versions, differences, what was live when, labels, events.

        The page needs no server and no network: write it to a file that only its readers may read, as `promptreg
        report` does, and open it in a browser. It shows all prompts of the namespace that the actor may read, of every
        status; or those of `names`, a name or id, or up to 100,000 of them, in that order. All is of one moment.

        Of each prompt the newest 20 versions are shown, those that are live or have a label, and the newest 200 events,
        or with `all_versions` all of them. The page says how many are not shown. A version is compared with the one
        before it, with its base, and with what is live where it is newer. The work is bounded: of versions that differ
        too much, all that differs is shown as one block.

        Nothing that prompts hold is executed by the browser: a policy in the page allows its one script alone. Raises
        `InvalidInputError`, also for a name with `@`, and `NotFoundError` with every unknown name.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "<b>Hello</b>")
        ...     page = registry.report("greet")
        ...     page.startswith("<!doctype html>"), "<b>" in page, "\\u003cb\\u003eHello" in page
        (True, False, True)
        """
        from promptreg.report import make_report  # noqa: PLC0415 (which an application rarely needs)

        references, is_all = arguments.read_report(names, all_versions)
        return make_report(self._core, self._view, references, is_all=is_all)

    @verb("verify_prompts", takes_name=False)
    def verify(self, *, head: str | None = None, progress: Progress | None = None) -> builtins.list[str]:
        """Check the stored data, and return what is wrong: one line each, with the names of prompts and the numbers.

        An empty list means that everything is whole. Every row is compared with its hash, every prompt with its
        versions, labels, publications and full text, and every event with the one before it and the last one written;
        SQLite checks the pages of the file; in PostgreSQL every table, index, constraint and trigger must be there.
        Nothing is changed. Of more than 1,000 lines only the number is reported.

        `head` is what `head()` returned at some time before, and was kept elsewhere. Where no event has that hash, the
        first line says so. Where nothing is reported, no event up to it was changed, cut or put between others since.

        It reads in slices of about 50 ms, so writers go on meanwhile. `progress(done, total)` is called between them
        with numbers of rows; it may use the registry, and an exception that it raises ends the call. Only for the
        application and org admins: raises `ForbiddenError` for others, and `StorageError` where it can't be read.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     head = registry.head()
        ...     _ = registry.update("greet", template="Hi")
        ...     registry.verify(head=head, progress=lambda done, total: None)
        []
        """
        kept, report = arguments.read_verify(head, progress)
        access.require_org_admin(self.actor, "verify", "a registry")
        wrong: builtins.list[str] = []
        with closing(self._core.storage.verify(kept)) as slices:
            for checked in slices:
                wrong += checked.problems
                report(checked.done, checked.total)
        return wrong

    @verb("read_head", takes_name=False)
    def head(self) -> str:
        """Return the hash of the last event of all namespaces: 64 hexadecimal digits, zeros before the first event.

        Each event's hash covers the event before, so this one stands for the whole record of who did what, and for the
        content hash of every version that was written. Keep it elsewhere, where nobody who can write the database can
        write: `verify(head=…)` then proves that nothing before it was changed or cut. Moving a registry to another
        database, and a backup, keep it.

        Only for the application and org admins: raises `ForbiddenError` for others, and `StorageCorruptError` where
        the last event is not the last one that was written.

        >>> with Registry(":memory:") as registry:
        ...     registry.head() == "0" * 64
        True
        """
        access.require_org_admin(self.actor, "read", "the head of a registry")
        with self._core.read() as reader:
            return reader.head()

    @verb("backup_registry", takes_name=False)
    def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Make a copy of everything, of all namespaces, as a new registry in one SQLite file.

        It is of one moment, while writers go on. It is made in a folder beside `path` and verified there: every row and
        event, and that its `head()` is the one of that moment. Then it takes its name at once, and is on the disk. What
        is refused, interrupted or killed leaves nothing of that name; a killed process may leave the folder, whose name
        ends with `.part`. The file opens like any other, with `Registry(path)`; its revisions begin anew.

        `progress(done, total)` is called with numbers of entries; it may use the registry, and an exception that it
        raises ends the call. Meanwhile the copy takes about twice its size in the folder for temporary files
        (`SQLITE_TMPDIR`), and twice beside `path`.

        Raises `ConflictError` where anything is at `path`, also a link or a folder, `InvalidInputError` for a URL or
        `":memory:"`, and `StorageError` where the file can't be made, or with `StorageCorruptError` where the registry
        is damaged. Only for the application and org admins: raises `ForbiddenError` for others.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     registry.backup(f"{folder}/backup.db")
        ...     with Registry(f"{folder}/backup.db") as restored:
        ...         restored.render("greet").text, restored.head() == registry.head()
        ('Hello', True)
        """
        from promptreg.backup import back_up  # noqa: PLC0415 (which no other verb needs)

        target, report = arguments.read_backup(path, progress)
        access.require_org_admin(self.actor, "backup", "a registry")
        back_up(self._core.storage, target, report)

    @verb("wait_for_revision", takes_name=False)
    def wait_for(self, revision: int, timeout: float | None = None) -> None:
        """Wait until every read of this registry sees a revision, which another process or machine has written.

        `revision` is what its `registry.revision` was after the write. `timeout` is in seconds; None stands for
        `busy_timeout`. Nothing is held meanwhile. After a failover that lost commits, revisions count on from the last
        one that was kept, so a lost one is reached once as many others were written.

        Raises `StorageBusyError` when the time is over.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     registry.wait_for(registry.revision, timeout=1)
        """
        wait_for(self._core, revision, timeout)

    @verb("export_registry", takes_name=False)
    def _dump(self, consume: "Callable[[Dump], D]") -> D:
        """Return what a function makes of everything that there is (`files/full/`)."""
        access.require_org_admin(self.actor, "export", "a whole registry")
        with self._core.storage.dump() as dump:
            return consume(dump)

    @verb("import_registry", takes_name=False)
    def _load(self, entries: "Iterable[Entry]") -> None:
        """Load everything into a registry that holds nothing (`files/full/`)."""
        access.require_org_admin(self.actor, "import", "a whole registry")
        self._core.load(entries)

    # Writing versions

    @verb("create_prompt")
    def create(
        self,
        name: str,
        template: TemplateArgument,
        *,
        syntax: Syntax = "jinja",
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
        """Create a prompt with its version 1, and return it [VERSION].

        - `name`: lower-case letters, digits and `_ - . /`; `slugify` makes one from any text (rule 19).
        - `template`: a text, or a list of messages `{"role", "content"}`, the content being a text or a list of parts,
          and of placeholders `{"placeholder": NAME}`, each for a variable that is a whole list of messages. At most
          1,000 messages, and as many characters as `RenderLimits.source_characters` says: 262,144 by default (rule 20).
        - `syntax`: how the template is read: `jinja`, `jinja-trim` (with `trim_blocks` and `lstrip_blocks`) or `plain`,
          kept and rendered byte for byte.
        - `title` (by default the name), `description`, `category` and `tags` describe it, for people and for `search`.
        - `variables`: declarations of type, default and so on, or a pydantic model class (rule 21). Variables that are
          not declared are found in the template.
        - `config`: settings of the model call, such as `{"model": "…"}`; `meta`: the application's own data.
        - `examples`: mappings of variables, each of which is rendered before the version becomes production.
        - `access_grants`: who may read or write the prompt beside those whose role allows it (rule 17).
        - `commit_message`: why; it is part of the version.
        - `is_production`: False makes version 1 a draft, which `publish` makes live.

        All but the template takes at most 1 MiB as JSON, with at most 1,000 tags, variables and grants each, and 100
        examples, which together may take no longer than one render.

        Raises `InvalidInputError`, `ForbiddenError`, `NameTakenError`, `TemplateSyntaxError` and `TemplatePolicyError`
        with the line, and `PublishCheckError` with every reason. Then nothing is written.

        >>> with Registry(":memory:") as registry:
        ...     prompt = registry.create("greet", "Hello {{ name }}!", tags=["demo"], config={"model": "m"})
        >>> prompt.version, prompt.state, prompt.title, prompt.config
        (1, 'published', 'greet', {'model': 'm'})
        """
        call = arguments.read_create(locals(), self._core.limits)
        plan = partial(self._core.planner(self._view).create, new_id(), call)
        return self._commit(Call("create", call), plan, self._core.checks.vet_saved)

    @verb("save_prompt")
    def save(
        self,
        name: str,
        template: TemplateArgument,
        *,
        syntax: Syntax | Unset = UNSET,
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
        """Create a prompt, or update it where it exists; write nothing where it is live and equal.

        The arguments are those of `create` and `update`; what is not passed is left as it is. Any number of processes
        may save the same at once: one creates, the others find it equal, in the archive too. It declares what the
        prompt is to be, so it replaces what somebody has published since. To write only what is absent, call `create`
        and catch `NameTakenError`. Raises what `create` and `update` raise.

        >>> with Registry(":memory:") as registry:
        ...     [registry.save("greet", "Hello").version for _ in range(3)]
        [1, 1, 1]
        """
        call = arguments.read_save(locals(), self._core.limits)
        plan = partial(self._core.planner(self._view).save, new_id(), call)
        return self._prompt(self._commit_declared(Call("save", call), plan, self._core.checks.vet_saved))

    @verb("seed_prompt")
    def seed(
        self,
        name: str,
        template: TemplateArgument,
        *,
        syntax: Syntax | Unset = UNSET,
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
        on_conflict: OnConflict = "draft",
        release: float | None = None,
    ) -> Prompt:
        """Bring in a prompt that the code ships, at the start of an application; what people have made stays live.

        A prompt that does not exist is created. The registry remembers what was last seeded: the fields that were
        passed, and no others. As long as they are the same, nothing is written, whatever people have published, rolled
        back, edited or archived meanwhile. Something new goes live at once, unless people have changed those fields of
        what is live; content that was live before is published again. If people have changed them, `on_conflict`
        decides (rule 22):

        - `"draft"` keeps what is live, makes a draft of what is seeded, or edits the one that the last seed made, and
          logs a warning to the logger `promptreg`;
        - `"publish"` makes what is seeded live; `"error"` raises `ConflictError`, and nothing is remembered.

        If what is seeded equals what is live, it is only remembered. An archived prompt stays as it is, a disabled one
        disabled, and one that was deleted or renamed is created again. The fields and `commit_message` are those of
        `create`; `access_grants` are only for a prompt that is created.

        Of two releases that seed in turns, such as old and new workers of one machine, the last one wins. With
        `release`, a number that grows, a seed whose number is lower than that of the last one does nothing, which is
        logged as information. A higher number is remembered, even where all else is the same.

        Returns what `get` returns, or the latest version where nothing is live. Needs the permissions of `save`, even
        where nothing is written. Raises what `save` raises, and `ConflictError`.

        >>> with Registry(":memory:") as registry:
        ...     one = registry.seed("greet", "Hello")
        ...     two = registry.seed("greet", "Hi")  # the next release
        ...     _ = registry.rollback("greet", reason="Too short")
        ...     restarted = registry.seed("greet", "Hi")
        >>> one.version, two.version, restarted.version, restarted.template
        (1, 2, 1, 'Hello')
        """
        call = arguments.read_seed(locals(), self._core.limits)
        plan = partial(self._core.planner(self._view).seed, new_id(), call)
        outcome = self._commit_declared(Call("seed", call), plan, self._core.checks.vet_seeded)
        warning = conflict_warning(outcome)
        if warning is not None:
            logger.warning(warning)
        notice = earlier_notice(outcome, call.shipped)
        if notice is not None:
            logger.info(notice)
        return self._prompt(outcome)

    @verb("update_prompt")
    def update(
        self,
        name: str,
        *,
        template: TemplateArgument | Unset = UNSET,
        syntax: Syntax | Unset = UNSET,
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
        """Make a new version of a prompt, or with `version` (or `name@3`) edit a draft or failed one in place.

        A new version starts from a base: the production version, or the latest where none was ever live. What is not
        passed comes from the base; `None` empties `variables`, `config` and `meta`. Where nothing differs, nothing is
        written. The new version goes live at once, or with `is_production=False` is a draft, which changes nothing of
        what `get` and `render` return; where the latest version is equal to it, that one is returned. Where nothing is
        live and the base equals what was passed, the base itself is published and keeps its commit message (rules 1
        to 3) [VERSION].

        An edit in place never publishes, returns a failed version to draft, and takes neither `new_name` nor
        `access_grants` (rule 7) [EDIT].

        - The fields of a version, `access_grants` and `commit_message` are those of `create`. `new_name` renames the
          prompt. Both `new_name` and `access_grants` belong to the prompt and are in force at once.
        - `expected_version`: the number that the base must have; not for an edit in place (rule 4).
        - `expected_hash`: the `content_hash` that the edited version, or the base, must have.

        Raises what `create` raises, `NotFoundError`, `VersionNotFoundError`, `NotModifiableError` for a published
        version or an archived prompt, and `VersionConflictError` where something is not as expected.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     draft = registry.update("greet", template="Hi", is_production=False)
        ...     edited = registry.update("greet@2", template="Hi there")
        ...     live = registry.get("greet")
        >>> draft.version, edited.version, edited.template, live.template
        (2, 2, 'Hi there', 'Hello')
        """
        call = arguments.read_update(locals(), self._core.limits)
        plan = partial(self._core.planner(self._view).update, call)
        return self._commit(Call("update", call), plan, self._core.checks.vet_saved)

    # Going live

    @overload  # a text is an iterable of texts, and taken by the first signature
    def publish(  # type: ignore[overload-overlap]
        self,
        name: str,
        version: Selector | None = None,
        *,
        expected_production: int | Unset = UNSET,
        expected_hash: str | Unset = UNSET,
    ) -> Prompt: ...
    @overload
    def publish(
        self,
        name: Iterable[str],
        version: Selector | None = None,
        *,
        expected_production: Mapping[str, int] | Unset = UNSET,
        expected_hash: Mapping[str, str] | Unset = UNSET,
    ) -> builtins.list[Prompt]: ...
    @verb("publish_prompt")
    def publish(
        self,
        name: str | Iterable[str],
        version: Selector | None = None,
        *,
        expected_production: int | Mapping[str, int] | Unset = UNSET,
        expected_hash: str | Mapping[str, str] | Unset = UNSET,
    ) -> Any:
        """Make a version the production version: `publish("x@staging")` promotes the one with that label.

        Without a version it is the one draft or failed version that there is. Several are `ConflictError`, whose
        `details["versions"]` lists them. Where there is none, what is live is returned if it is also the latest
        version; otherwise that is `ConflictError` too. Publishing what is live changes nothing (rules 4 and 5).

        A version that was never live must pass the checks first: its template compiles, its examples render, and no
        function of `publish_checks` raises. When they fail, the version is marked `failed` and `PublishCheckError` has
        every reason, also where somebody has edited or discarded the version meanwhile. Where the mark can't be stored,
        that `StorageError` is its `__cause__`. A change while the checks ran is `VersionConflictError`, and its
        `details["field"]` is `production`, `name`, `status`, `content_hash` or `version`, where the label was moved
        (rule 9).

        - `expected_production`: the number that must be live, 0 for none.
        - `expected_hash`: the `content_hash` of the version to publish, so that what was reviewed is what goes live.

        Where these differ, that is `VersionConflictError`. Raises also `NotFoundError`, `VersionNotFoundError`,
        `ForbiddenError`, and `NotModifiableError` for an archived prompt.

        Up to 100,000 prompts go live in one transaction, all or none: `publish(["a@spring", "b"])` returns a list of
        them in this order, each once. Then `version`, a label or a number, is one for all, and what is expected is a
        mapping by name. One prompt at two versions is `InvalidInputError`. Any other error names all prompts that are
        refused for that reason: `details["names"]`, and `details["refusals"]` with the details of each. When checks
        fail, every version that failed is marked, and nothing else changes (rule 23).

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     reviewed = registry.update("greet", template="Hi", is_production=False)
        ...     registry.publish("greet", expected_hash=reviewed.content_hash).production_version
        ...     for name in ("ask", "greet"):
        ...         _ = registry.save(name, "…", is_production=False), registry.set_label(name, "spring", "latest")
        ...     [(prompt.name, prompt.production_version) for prompt in registry.publish(["greet", "ask"], "spring")]
        2
        [('greet', 3), ('ask', 1)]
        """
        if issubclass(type(name), str):  # `isinstance` would call the argument's own code
            call = arguments.read_publish(name, version, expected_production, expected_hash)
            planner = self._core.planner(self._view)
            vet = vet_published(self._core, self._view, planner)
            return self._commit(Call("publish", call), planner.publish(call), vet)
        prompts = read_set(name, version, production=expected_production, content_hash=expected_hash)
        planner = self._core.planner(self._view)
        vet_all = vet_all_published(self._core, self._view, planner)
        return self._commit_all(Call("publish_all", prompts), publish_all(planner, prompts), vet_all)

    @overload  # a text is an iterable of texts, and taken by the first signature
    def rollback(  # type: ignore[overload-overlap]
        self, name: str, version: Selector | None = None, *, reason: str, expected_production: int | Unset = UNSET
    ) -> Prompt: ...
    @overload
    def rollback(
        self,
        name: Iterable[str],
        version: Selector | None = None,
        *,
        reason: str,
        expected_production: Mapping[str, int] | Unset = UNSET,
    ) -> builtins.list[Prompt]: ...
    @verb("rollback_prompt")
    def rollback(
        self,
        name: str | Iterable[str],
        version: Selector | None = None,
        *,
        reason: str,
        expected_production: int | Mapping[str, int] | Unset = UNSET,
    ) -> Any:
        """Bring back the version that was live before, or the published version that is named (rule 5).

        The registry keeps a stack of publications. Without a version, the top one is removed from it. With a version,
        all above it are removed, or if it is not on the stack, it is pushed. No checks are run. `reason` is kept in the
        event. `expected_production` is the number that must be live (0: none), otherwise that is
        `VersionConflictError`; so that two people who roll back the same mistake go back one version and not two.

        Raises `ConflictError` where nothing was live before or the version was never published, `NotFoundError`,
        `VersionNotFoundError`, `ForbiddenError`, and `NotModifiableError` for an archived prompt.

        Several prompts go back in one transaction, all or none, and are returned as a list, as by `publish` (rule 23).

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello"), registry.create("ask", "Why?")
        ...     _ = registry.update("greet", template="Hi"), registry.update("ask", template="Why so?")
        ...     registry.rollback("greet", reason="Too short", expected_production=2).template
        ...     _ = registry.publish("greet", 2)
        ...     [prompt.template for prompt in registry.rollback(["greet", "ask"], reason="The release was too early")]
        'Hello'
        ['Hello', 'Why?']
        """
        if issubclass(type(name), str):  # `isinstance` would call the argument's own code
            call = arguments.read_rollback(name, version, reason, expected_production)
            return self._commit(Call("rollback", call), partial(self._core.planner(self._view).rollback, call))
        prompts, why = arguments.read_rollback_all(name, version, reason, expected_production)
        plan = rollback_all(self._core.planner(self._view), prompts, why)
        return self._commit_all(Call("rollback_all", (prompts, why)), plan)

    @verb("check_prompt")
    def check(self, name: str, version: Selector | None = None) -> builtins.list[str]:
        """Return the reasons why a version could not be published now; an empty list where it could.

        They are those that `publish` would mark it as failed with: its template, each example, and each function of
        `publish_checks`; and that the prompt is archived. All are run, whatever the state of the version, also on one
        that was live before, of which `publish` would run none. Nothing is written, and reading is enough permission:
        whether the actor may publish is no reason (rules 9 and 17).

        Without a version it is the one draft or failed version that there is, or where there is none what is live
        (rule 5). Raises `ConflictError` for several, whose `details["versions"]` lists them, `NotFoundError` and
        `VersionNotFoundError`.

        >>> def is_polite(prompt):
        ...     assert "please" in prompt.template, "it is not polite"
        >>> with Registry(":memory:", publish_checks=[is_polite]) as registry:
        ...     _ = registry.create("ask", "Why, please?")
        ...     _ = registry.update("ask", template="Why?", is_production=False)
        ...     registry.check("ask"), registry.check("ask", "production")
        (['is_polite: it is not polite'], [])
        """
        versioned = names.read_versioned(name, version)
        planner = self._core.planner(self._view)
        with self._core.read() as reader:
            container, record = planner.check(versioned, reader)
        return self._core.checks.reasons(container, record, planner.author)

    @verb("discard_prompt")
    def discard(self, name: str, version: Selector | None = None) -> Prompt:
        """Discard a draft or failed version; its number is not used again (rule 10).

        Without a version it is the one that there is; none, or several, which `details["versions"]` lists, are
        `ConflictError` (rule 5). So is a labelled version, and the only version of a prompt. Raises also
        `NotModifiableError` for a published version or an archived prompt, `NotFoundError`, `VersionNotFoundError` and
        `ForbiddenError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.update("greet", template="Hi", is_production=False)
        ...     registry.discard("greet").latest_version
        1
        """
        versioned = names.read_versioned(name, version)
        return self._commit(Call("discard", versioned), partial(self._core.planner(self._view).discard, versioned))

    # Labels

    @verb("set_label_prompt")
    def set_label(self, name: str, label: str, version: Selector | None = None) -> Prompt:
        """Set or move a label to a version, which is chosen once: `set_label("greet@3", "staging")`, or by `version`.

        The version is a number or another label. Raises `InvalidInputError` for a malformed label and for `production`
        and `latest`, which the registry keeps; `NotFoundError`, `VersionNotFoundError`, `ForbiddenError`;
        `NotModifiableError` for an archived prompt; and `ConflictError` where the prompt has 1,000 labels already.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.set_label("greet@latest", "staging")
        ...     registry.get("greet@staging").version
        1
        """
        versioned, own = arguments.read_set_label(name, label, version)
        plan = partial(self._core.planner(self._view).set_label, versioned, own)
        return self._commit(Call("set_label", (versioned, own)), plan)

    @verb("remove_label_prompt")
    def remove_label(self, name: str, label: str) -> Prompt:
        """Remove a label; raise `VersionNotFoundError` where the prompt does not have it.

        Raises also `InvalidInputError` for `production` and `latest`, `NotFoundError`, `ForbiddenError`, and
        `NotModifiableError` for an archived prompt.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     _ = registry.set_label("greet", "staging", 1)
        ...     registry.remove_label("greet", "staging").labels
        {'latest': 1, 'production': 1}
        """
        reference, own = arguments.read_remove_label(name, label)
        plan = partial(self._core.planner(self._view).remove_label, reference, own)
        return self._commit(Call("remove_label", (reference, own)), plan)

    # Status

    @verb("set_status_prompt")
    def set_status(self, names: str | Iterable[str], status: TargetStatus, *, dry_run: bool = False) -> StatusUpdate:
        """Change the status of one prompt or many, in one transaction, all or nothing (rules 11 to 15) [BULK, ARCHIVE].

        - `names`: a name or id, or up to 100,000 of them.
        - `status`: `active`, `disabled` (`render` refuses), `archived` (renders, and can't be changed or listed) or
          `deleted` (for good, with its history). An archived prompt takes only `active`, which restores it.
        - `dry_run`: check everything, permissions included, return the same counts, and write nothing.

        Prompts that have the status already are skipped; for these, reading is enough permission. Raises
        `NotFoundError` with every unknown name, `ForbiddenError` and `NotModifiableError` with every prompt that is
        refused.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("a", "…"), registry.create("b", "…")
        ...     _ = registry.set_status("a", "disabled")
        ...     registry.set_status(["a", "b"], "disabled")
        StatusUpdate(dry_run=False, updated_prompts=1, updated=['b'], skipped=['a'])
        """
        call = arguments.read_set_status(names, status, dry_run)
        plan = partial(self._core.planner(self._view).set_statuses, call)
        made = Call("set_status", call)
        done = self._core.dry_run(plan) if call.is_dry_run else self._core.commit(self._view, plan, call=made)
        return StatusUpdate.model_construct(
            dry_run=call.is_dry_run,
            updated_prompts=len(done.updated),
            updated=FrozenList(done.updated),
            skipped=FrozenList(done.skipped),
        )

    @verb("archive_prompt")
    def archive(self, name: str) -> Prompt:
        """Archive a prompt: it still renders, but `list` and `search` leave it out and nothing of it can be changed.

        Archiving twice is fine. Needs the role of an admin (rules 14 and 17) [ARCHIVE]. Raises `NotFoundError` and
        `ForbiddenError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     registry.archive("greet").status, registry.render("greet").text, len(registry.list())
        ('archived', 'Hello', 0)
        """
        return self._set_status("archive", name, "archived")

    @verb("restore_prompt")
    def restore(self, name: str) -> Prompt:
        """Take a prompt out of the archive: the same as `set_status(name, "active")`, so it enables a disabled one.

        A prompt that was archived while it was disabled is disabled again (rule 14). Raises `NotFoundError` and
        `ForbiddenError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello"), registry.archive("greet")
        ...     registry.restore("greet").status
        'active'
        """
        return self._set_status("restore", name, "active")

    @verb("enable_prompt")
    def enable(self, name: str) -> Prompt:
        """Have a disabled prompt render again: the same as `set_status(name, "active")`.

        Of an active prompt it changes nothing. An archived one it restores, as `restore` does, which needs the role of
        an admin; one that was archived while it was disabled is then disabled again, and a second call enables it
        (rules 11 to 14). Raises `NotFoundError` and `ForbiddenError`.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello"), registry.disable("greet")
        ...     registry.enable("greet").status
        'active'
        """
        return self._set_status("enable", name, "active")

    @verb("disable_prompt")
    def disable(self, name: str) -> Prompt:
        """Have `render` refuse a prompt, of which nothing is lost: the same as `set_status(name, "disabled")`.

        Disabling twice is fine (rule 13). Raises `NotFoundError`, `ForbiddenError`, and `NotModifiableError` for an
        archived prompt.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     registry.disable("greet").is_disabled
        True
        """
        return self._set_status("disable", name, "disabled")

    @verb("delete_prompt")
    def delete(self, name: str) -> None:
        """Delete a prompt for good, with its history: the same as `set_status(name, "deleted")`.

        Its name is free afterwards. `archive` keeps what must not return or may be needed again. Needs the role
        of an admin (rules 15 and 17). Raises `NotFoundError`, `ForbiddenError`, and `NotModifiableError` for an
        archived prompt, which is restored first.

        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello")
        ...     registry.delete("greet")
        ...     registry.get("greet", default=None) is None
        True
        """
        call = StatusChange([names.plain_reference(name)], "deleted", is_dry_run=False)
        plan = partial(self._core.planner(self._view).set_statuses, call)
        self._core.commit(self._view, plan, call=Call("delete", call))

    # Files

    @verb("synchronise_prompts", takes_name=False)
    def _synchronise(
        self, call: "SyncCall", *, progress: Progress | None = None, begin: Callable[[], object] | None = None
    ) -> "SyncPlan":
        """Synchronise the files of a folder with the prompts of the namespace, in one transaction, all or nothing.

        A conflict prevents the whole: the plan that is returned then says so, and nothing is written. Raises
        `InvalidInputError` with every bad field of every file, `ForbiddenError` with every prompt that the actor may
        not change so, `TemplateError` or `PublishCheckError` with everything that fails, and `VersionConflictError`
        where the plan is stale when it is to be carried out. `promptreg.files.sync` reads the folder, and calls this.

        `progress(done, total)` is called with numbers of prompts that were checked, and `begin()` once nothing refuses
        what is to be written: both outside any transaction.
        """
        from promptreg import syncing  # noqa: PLC0415 (which an application never needs)
        from promptreg.rules.sync_inputs import read_call  # noqa: PLC0415 (as above)

        report = inputs.read_progress(progress)
        asked = read_call(call, readable_characters(self._core.limits))
        plan = syncing.synchronise(self._core.planner(self._view), asked)

        def vet(planned: syncing.Synchronised) -> syncing.SyncEvidence:
            evidence = syncing.vet_synchronised(self._core.checks, planned, report)
            if begin is not None and planned.changes and not asked.is_dry_run:
                begin()
            return evidence

        done = self._core.dry_run(plan) if asked.is_dry_run else self._core.commit(self._view, plan, vet)
        if asked.is_dry_run or done.plan.conflicts:
            vet(done)
            return done.plan
        return done.plan._replace(is_done=True)

    # What the command asks about before it writes

    @verb("publish_prompt")
    def _plan_publish(
        self,
        name: str | Iterable[str],
        *,
        expected_production: int | Mapping[str, int] | Unset = UNSET,
        expected_hash: str | Mapping[str, str] | Unset = UNSET,
    ) -> builtins.list[Prompt]:
        """Return the versions that `publish` would make live, of the prompts as they are; raise what it would refuse.

        Checks are not run, and nothing is written.
        """
        planner = self._core.planner(self._view)
        if isinstance(name, str):
            call = arguments.read_publish(name, None, expected_production, expected_hash)
            outcomes: Iterable[Outcome] = [self._core.dry_run(planner.publish(call))]
        else:
            prompts = read_set(name, None, production=expected_production, content_hash=expected_hash)
            outcomes = self._core.dry_run(publish_all(planner, prompts)).outcomes
        return [self._core.templates.prompt(outcome.named, outcome.version) for outcome in outcomes]

    @verb("discard_prompt")
    def _plan_discard(self, name: str) -> Prompt:
        """Return the version that `discard` would remove; raise what it would refuse, and write nothing."""
        return self._planned(Planner.to_discard, name)

    @verb("update_prompt")
    def _plan_edit(self, name: str) -> Prompt:
        """Return the version to edit: the one that is chosen, else the only draft, else what is live; write nothing.

        Raises what an update would refuse before it reads the new text, and `ConflictError` for several drafts.
        """
        return self._planned(Planner.to_edit, name)

    def _planned(self, find: Callable[[Planner, Versioned, Reader], Outcome], name: str) -> Prompt:
        versioned = names.read_versioned(name)
        return self._prompt(self._core.dry_run(partial(find, self._core.planner(self._view), versioned)))

    @verb("import_prompts", takes_name=False)
    def _import(
        self, prompts: "Sequence[ForeignPrompt]", *, dry_run: bool = False, progress: Progress | None = None
    ) -> None:
        """Make the prompts of another tool, all or none; with `dry_run` check everything, and write nothing."""
        from promptreg import importing  # noqa: PLC0415 (which an application never needs)
        from promptreg.rules.import_inputs import read_import  # noqa: PLC0415 (as above)

        report = inputs.read_progress(progress)
        read = read_import(prompts, readable_characters(self._core.limits))
        made = {new_id(): prompt for prompt in read}
        plan = importing.import_all(self._core.planner(self._view), made)
        vet = importing.vet_imported(self._core.checks, report)
        if dry_run:
            vet(self._core.dry_run(plan))
        else:
            named = [(Reference(prompt.name, is_id=False), prompt) for prompt in read]
            self._core.commit(self._view, plan, vet, Call("import", named))

    # Steps that verbs share

    def _set_status(self, verb: str, name: str, status: str) -> Prompt:
        reference = names.plain_reference(name)
        plan = partial(self._core.planner(self._view).set_status, reference, status)
        return self._commit(Call(verb, (reference, status)), plan)

    def _commit(
        self, call: Call, plan: Callable[[Reader], Outcome], vet: Callable[[Outcome], Evidence] | None = None
    ) -> Prompt:
        return self._prompt(self._core.commit(self._view, plan, vet, call))

    def _commit_declared(
        self, call: Call, plan: Callable[[Reader], Outcome], vet: Callable[[Outcome], Evidence]
    ) -> Outcome:
        """Commit what `save` and `seed` declare: where others have changed the prompt meanwhile, once more."""
        for _ in range(SAVE_RETRIES):
            with suppress(VersionConflictError):
                return self._core.commit(self._view, plan, vet, call)
        return self._core.commit(self._view, plan, vet, call)

    def _prompt(self, outcome: Outcome) -> Prompt:
        return self._core.templates.prompt(outcome.container, outcome.kept or outcome.version)

    def _pages(self, query: Query) -> Iterator[Prompt]:
        while True:
            page = self._read_page(query)
            yield from page
            if page.next is None:
                return
            query = query._replace(after=page.items[-1].name)

    @verb("list_prompts", takes_name=False)
    def _read_page(self, query: Query) -> Page:
        return self._page(query)

    def _page(self, query: Query) -> Page:
        prompts = self._query(query._replace(limit=query.limit + 1))
        cursor = names.cursor(prompts[query.limit - 1].name) if len(prompts) > query.limit else None
        return Page.model_construct(items=FrozenList(prompts[: query.limit]), next=cursor)

    def _commit_all(
        self, call: Call, plan: Callable[[Reader], Outcomes], vet: Callable[[Outcomes], SetEvidence] | None = None
    ) -> builtins.list[Prompt]:
        done = self._core.commit(self._view, plan, vet, call)
        return [self._core.templates.prompt(outcome.container, outcome.version) for outcome in done.outcomes]

    def _query(self, query: Query) -> builtins.list[Prompt]:
        with self._core.read() as reader:
            found = reader.query(query)
        return [self._core.templates.prompt(container, record) for container, record in found]
