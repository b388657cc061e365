"""Compiled templates, kept by their content: those of versions, and those that calls of `render` pass as `default=`.

A compiled template depends on nothing but its text, its syntax, its declared variables and the limits, so it never
becomes stale and any number of views and threads share it. Nothing in here knows a storage: keeping a prompt keeps no
file open.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from promptreg.cache import add_bounded
from promptreg.errors import TemplateError
from promptreg.jsonvalues import FrozenList, compact
from promptreg.models import Version
from promptreg.prompt import Compile, Prompt, make_prompt, make_version
from promptreg.records import Container, Snapshot, VersionRecord
from promptreg.rendering.limits import RenderLimits, readable_characters
from promptreg.rendering.template import CompiledTemplate
from promptreg.rules.version_fields import read_default

MAX_DEFAULTS = 1_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """At most about `size` values that never change, each made at its first use."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value, and make it first where it is absent."""
        value = self._values.get(key)
        if value is None:
            value = make()
            self.add(key, value)
        return value

    def find(self, key: K) -> V | None:
        """Return the value, or None where it is absent."""
        return self._values.get(key)

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
    for one lookup.
    """

    def __init__(self, limits: RenderLimits) -> None:
        self._limits = limits
        self._compiled: Memo[Hashable, tuple[str | FrozenList, CompiledTemplate]] = Memo(MAX_DEFAULTS)

    def is_compiled(self, default: Any) -> bool:
        """Return whether a default is compiled already. Each fast render that passes one calls this."""
        if type(default) is str:
            return default in self._compiled
        try:
            found = self._compiled.find(_messages_key(default))
            return found is not None and found[0] == default
        except Exception:  # what is no default is refused by `compiled`
            return False

    def read(self, default: object) -> str | FrozenList:
        """Read a default; raise `InvalidInputError`."""
        return read_default(default, most=readable_characters(self._limits))

    def compiled(self, default: object, name: str) -> CompiledTemplate:
        """Return the compiled template of a default that a render of the prompt `name` passes.

        Raises `InvalidInputError`, `TemplateSyntaxError`, `TemplatePolicyError` or `TemplateError`.
        """
        template = self.read(default)
        key = template if isinstance(template, str) else _messages_key(template)
        found = self._compiled.find(key)
        if found is not None and found[0] == template:
            return found[1]
        compiled = CompiledTemplate(template, FrozenList(), self._limits)
        try:
            compiled.require_valid()
        except TemplateError as error:
            error.put_before("the default")
            error.put_name(name)
            raise
        self._compiled.add(key, (template, compiled))
        return compiled


def _messages_key(messages: Sequence[Any]) -> Hashable:
    """Return a key for a list of messages that is cheap to make; lists with the same key are then compared."""
    first, last = messages[0].get("content"), messages[-1].get("content")
    return len(messages), first if type(first) is str else None, last if type(last) is str else None
