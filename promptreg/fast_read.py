"""The fast path of `get` and `render`: reading a cached prompt, written out in one function each.

Every model call of an application renders a prompt, and nearly every render finds it in the cache. These functions
compare the time and the stamp of the cache's generation, read one dictionary, and call the compiled template, with as
few other calls as there can be. `Core.find_cached` and `Prompt.render` do the same in smaller functions, which take
longer: 0.65 µs for a `get` instead of 0.18, and 1.94 µs for a render of a short prompt instead of 0.74 (0.28 of the
time of plain Jinja2 instead of 0.11). So this is the one file that repeats others, and it does so for speed alone.

It takes no lock, calls no storage and raises nothing of its own. Whatever is unusual (another namespace, an actor, a
chosen version, a name that is not cached, a value that the fast tier does not take, any exception) goes to the slow
path: to `Core.find_cached`, and then to the decorated method, which is the body of the verb.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from time import monotonic
from typing import Any, Protocol, TypeVar, cast

from pydantic import BaseModel

from promptreg.cache import Cache, CacheEntry
from promptreg.core import Core
from promptreg.models import UNSET
from promptreg.rendered import Rendered
from promptreg.rules.access import View
from promptreg.rules.inputs import read_variables
from promptreg.rules.names import Selector
from promptreg.telemetry.compat import TRACE_STATE, TRACER_PROVIDER
from promptreg.telemetry.spans import SpanStart, sampled_start

F = TypeVar("F", bound=Callable[..., Any])

_new = object.__new__


class Reading(Protocol):
    """The parts of a `Registry` that a fast read uses: `_cache` is empty where only the slow path can answer."""

    _core: Core
    _view: View
    _cache: Cache


def fast_get(slow_path: F) -> F:
    """Make `get` return the cached prompt; the decorated method is the slow path."""

    @wraps(slow_path)
    def get(
        self: Reading, name: str, *, version: Selector | None = None, label: str | None = None, default: Any = UNSET
    ) -> Any:
        generation = self._cache.fast
        if monotonic() < generation.until and generation.stamp == generation.seen_stamp and version is None is label:
            try:
                return generation.entries[name].prompt
            except KeyError:
                pass
            except Exception:  # what can't be hashed is no name; with a text only a signal handler raises here
                if type(name) is str:
                    raise
        entry = self._core.find_cached(self._view, name, version, label)
        return slow_path(self, name, version=version, label=label, default=default) if entry is None else entry.prompt

    return cast(F, get)


def fast_render(slow_path: F) -> F:
    """Make `render` render the cached prompt; the decorated method is the slow path."""

    @wraps(slow_path)
    def render(
        self: Reading,
        name: str,
        variables: Mapping[str, Any] | BaseModel | None = None,
        /,
        *,
        version: Selector | None = None,
        label: str | None = None,
        default: Any = UNSET,
        **more: Any,
    ) -> Rendered:
        start = None if TRACE_STATE[TRACER_PROVIDER] is None else sampled_start()
        generation = self._cache.fast
        if (monotonic() < generation.until and generation.stamp == generation.seen_stamp) and (
            version is None is label and (default is UNSET or self._core.defaults.is_compiled(default))
        ):
            entry = None
            try:
                entry = generation.entries[name]
                fast = entry.fast_paths
                if variables is None and fast.fixed is not None and start is None:
                    rendered = _new(Rendered)  # filled here: calling `__init__` takes twice as long
                    rendered.text, rendered._messages = fast.fixed, None
                    rendered._name, rendered.prompt = entry.name, entry.prompt
                    return rendered
                if type(variables) is dict and len(variables) == fast.arity and not more:
                    values = variables  # these are the names that are read; otherwise one is absent and this fails
                else:
                    values = more if variables is None else read_variables(variables, more)
                if fast.output is not None:
                    rendered = _new(Rendered)  # filled here: calling `__init__` takes twice as long
                    if fast.text is not None:
                        rendered.text, rendered._messages = fast.text(values), None
                    else:
                        rendered.text, rendered._messages = fast.output(values)
                    rendered._name, rendered.prompt = entry.name, entry.prompt
                    if start is None:
                        return rendered
                    return self._core.instrumentation.record(rendered, entry.render_span, start, variables, more)
            except Exception:  # the slow path renders it, or raises what is wrong
                pass
            if entry is not None:
                return _render_entry(self, entry, start, variables, more)
        if default is UNSET or self._core.defaults.is_compiled(default):
            rendered_cached = _render_cached(self, name, version, label, start, variables, more)
            if rendered_cached is not None:
                return rendered_cached
        slow: Rendered = slow_path(self, name, variables, version=version, label=label, default=default, **more)
        return slow

    return cast(F, render)


def _render_entry(
    view: Reading,
    entry: CacheEntry,
    start: SpanStart | None,
    variables: Mapping[str, Any] | BaseModel | None,
    more: dict[str, Any],
) -> Rendered:
    """Render a cached prompt by the slow path, after its fast path failed, or before it is known whether it has one."""
    fast_failed = entry.fast_paths.output is not None
    entry.compile()
    if start is not None:
        return view._core.instrumentation.render(entry.prompt, entry.render_span, start, variables, more)
    return entry.prompt._render(read_variables(variables, more), fast_failed=fast_failed)


def _render_cached(
    view: Reading,
    name: str,
    version: Selector | None,
    label: str | None,
    start: SpanStart | None,
    variables: Mapping[str, Any] | BaseModel | None,
    more: dict[str, Any],
) -> Rendered | None:
    """Render what any other view or selector finds in the cache; None where only the slow path can.

    While spans are recorded the storage is not asked for changes here, because the span of the slow path records that.
    """
    core = view._core
    if not core.cache.allows_fast_reads:
        return None
    entry = core.find_cached(view._view, name, version, label, may_check=start is None)
    if entry is None:
        return None
    if start is not None:
        return core.instrumentation.render(entry.prompt, entry.render_span, start, variables, more)
    if not core.cache.allows_fast_reads:  # which that check may have changed
        return None
    return entry.prompt.render(variables, **more)
