"""Compiled templates, kept by their content: those of versions, and those that calls of `render` pass as `default=`.

A compiled template depends on nothing but its text, its syntax, its declared variables and the limits, so it never
becomes stale and any number of views and threads share it. Nothing in here knows a storage: keeping a prompt keeps no
file open.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from promptreg.cache import add_bounded
from promptreg.errors import TemplateError
from promptreg.jsonvalues import FrozenList, compact, is_same
from promptreg.models import Version
from promptreg.prompt import Compile, Prompt, make_prompt, make_version
from promptreg.records import Container, Snapshot, VersionRecord
from promptreg.rendering.limits import RenderLimits, readable_characters
from promptreg.rendering.template import CompiledTemplate
from promptreg.rules.version_fields import read_default

MAX_DEFAULTS = 1_000
MAX_ALIKE = 16  # lists of one length with the same first text
Alike: TypeAlias = tuple[tuple[FrozenList, CompiledTemplate], ...]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """At most about `size` values that never change, each made at its first use."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[K, V] = {}
        self.find: Callable[[K], V | None] = self._values.get
        """Returns the value, or None where it is absent: the dictionary's own method, as renders call it."""

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value, and make it first where it is absent."""
        value = self._values.get(key)
        if value is None:
            value = make()
            self.add(key, value)
        return value

    def add(self, key: K, value: V) -> None:
        """Add a value; the oldest makes room."""
        add_bounded(self._values, key, value, self._size)

    def __contains__(self, key: K) -> bool:
        return key in self._values


class Templates:
    """The templates of about `size` versions, each compiled at its first use, and the prompts that render by them."""

    def __init__(self, size: int, limits: RenderLimits, *, forbids_extra: bool) -> None:
        self._limits = limits
        self._forbids_extra = forbids_extra
        self._compiled: Memo[Hashable, CompiledTemplate] = Memo(size)

    def compiled(self, snapshot: Snapshot) -> CompiledTemplate:
        """Return the template of a version, compiled with its declared variables."""
        template = snapshot.template if isinstance(snapshot.template, str) else compact(snapshot.template)
        key = snapshot.kind, snapshot.syntax, template, compact(snapshot.variables)
        parts = snapshot.template, snapshot.variables, self._limits, snapshot.syntax
        return self._compiled.get(key, lambda: CompiledTemplate(*parts))

    def prompt(self, container: Container, record: VersionRecord, *, is_candidate: bool = False) -> Prompt:
        """Return a prompt resolved to a version, which compiles at its first use; a candidate is not live yet."""
        return make_prompt(
            container,
            record,
            self._lazily(record.snapshot),
            self._limits,
            forbids_extra=self._forbids_extra,
            is_candidate=is_candidate,
        )

    def version(self, record: VersionRecord) -> Version:
        """Return a version, which compiles its template when it is asked for the variables."""
        return make_version(record, self._lazily(record.snapshot))

    def _lazily(self, snapshot: Snapshot) -> Compile:
        return Compile(lambda: self.compiled(snapshot))


class Defaults:
    """The templates passed as `default=`, each compiled at the first call that passes it.

    So a broken default is refused before it is needed, and a render that passes a good one and finds its prompt pays
    for one lookup. Lists of messages are looked up by their length and first text, and then compared, because the
    caller may have changed a list; that takes 0.03 µs a message.
    """

    def __init__(self, limits: RenderLimits) -> None:
        self._limits = limits
        self._texts: Memo[str, CompiledTemplate] = Memo(MAX_DEFAULTS)
        self._messages: Memo[Hashable, Alike] = Memo(MAX_DEFAULTS)

    def is_compiled(self, default: Any) -> bool:
        """Return whether a default is compiled already. Each fast render that passes one calls this."""
        if type(default) is str:
            return self._texts.find(default) is not None
        try:
            first = default[0].get("content")  # `_key` written out, as calling it takes a sixth of the time
            alike = self._messages.find((len(default), first if type(first) is str else None))
            messages = list(default) if type(default) is tuple else default
            for template, _ in alike or ():
                if template == messages:
                    return True
        except Exception:  # what is no default is refused by `compiled`
            pass
        return False

    def read(self, default: object) -> str | FrozenList:
        """Read a default; raise `InvalidInputError`."""
        return read_default(default, most=readable_characters(self._limits))

    def compiled(self, default: object, name: str) -> CompiledTemplate:
        """Return the compiled template of a default that a render of the prompt `name` passes.

        Raises `InvalidInputError`, `TemplateSyntaxError`, `TemplatePolicyError` or `TemplateError`.
        """
        template = self.read(default)
        if isinstance(template, str):
            return self._texts.get(template, lambda: self._compile(template, name))
        key = _key(template)
        alike = self._messages.find(key) or ()
        for known, compiled in alike:
            if is_same(known, template):
                return compiled
        compiled = self._compile(template, name)
        self._messages.add(key, (*alike[1 - MAX_ALIKE :], (template, compiled)))
        return compiled

    def _compile(self, template: str | FrozenList, name: str) -> CompiledTemplate:
        compiled = CompiledTemplate(template, FrozenList(), self._limits)
        try:
            compiled.require_valid()
        except TemplateError as error:
            error.put_before("the default")
            error.put_name(name)
            raise
        return compiled


def _key(messages: Sequence[Any]) -> Hashable:
    """Return a key for a list of messages that is cheap to make."""
    first = messages[0].get("content")
    return len(messages), first if type(first) is str else None
