"""A version's template, compiled: one text or a chat's messages, with the declared variables.

Here each text is rendered by the fast tier or the metered one, and what is wrong with variables is reported. How the
tiers work is in `fast/` and `metered/`; how values are checked against declarations is in `promptreg/variables.py`.
"""

from collections.abc import Container, Mapping, Sequence
from copy import copy
from typing import Any

from jinja2 import nodes

from promptreg.errors import LISTED, MissingVariablesError, TemplateError, TemplatePolicyError, listed
from promptreg.jsonvalues import FrozenList
from promptreg.messages import Message, Part, length_of, parts_of
from promptreg.models import Syntax
from promptreg.nearest import did_you_mean, nearest
from promptreg.rendering.fast.compiler import compile_fast
from promptreg.rendering.fast.costs import is_affordable, most_text
from promptreg.rendering.fast_paths import FastPaths, Output, fast_paths_of, placeholder_function
from promptreg.rendering.hints import of_literal
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.messages import chat_output
from promptreg.rendering.metered.compiler import MeteredText, Rendering
from promptreg.rendering.metered.failures import translated
from promptreg.rendering.metered.meter import Exceeded
from promptreg.rendering.parsing import parse
from promptreg.rendering.placeholders import passed_messages
from promptreg.rendering.policy import BUILTINS
from promptreg.rendering.reads import surely_needed, variables_read
from promptreg.rendering.values import AbsentVariable
from promptreg.variables import bind, effective, is_optional, may_be_left_out, only_required, placeholder_flaw

MAX_MEANT = 5  # absent variables that are named beside one that is not read
MAX_LAZY = 500  # syntax nodes, which compile in well under 0.1 s when a render turns out to need it

_ALWAYS_READ = (
    "{name} is declared as not required, but read outside every condition; declare it as required,"
    " give it a default, or read it within {{% if {name} %}}."
)


class TemplateText:
    """One text of a template, compiled by the fast tier where it is in its subset, else by the metered one.

    `fast` is the fast tier's function, or None: it returns what the metered tier returns, or raises any exception, and
    then the metered tier renders or raises what is wrong. `price` is the most fuel that the metered tier takes for what
    `fast` returns, and `loaded` are the variables that it loads. `nodes` is the size of the syntax tree. `reads` maps
    each variable to whether some read of it is unguarded. Immutable but for the metered tier's code, which is compiled
    when it is first used.
    """

    __slots__ = ("_limits", "_metered", "_trims", "fast", "loaded", "nodes", "price", "reads", "source")

    def __init__(self, source: str, limits: RenderLimits, syntax: Syntax = "jinja") -> None:
        """Compile; raise `TemplateSyntaxError` or `TemplatePolicyError` with the line, or `TemplateError`."""
        self._trims = syntax == "jinja-trim"
        self._limits = limits
        self.source = source
        tree, count = self._parsed()
        self.nodes = count
        self.reads = variables_read(tree, BUILTINS)
        compiled = compile_fast(tree, limits)
        self.fast = None if compiled is None else compiled.render
        self.loaded = frozenset() if compiled is None else compiled.loaded
        self.price = 0 if compiled is None else compiled.price
        is_at_once = self.fast is None or count > MAX_LAZY
        self._metered = MeteredText(tree) if is_at_once else None

    def render(self, values: dict[str, Any]) -> str:
        """Return the text; raise `AbsentVariable`, `RenderLimitError` or `RenderError`."""
        if self.fast is not None:
            try:
                return self.fast(values)
            except Exception:  # it has had no effect; the metered tier renders, or raises what is wrong
                pass
        return self.metered(values)

    def metered(self, values: dict[str, Any]) -> str:
        """Return the text, rendered by the metered tier alone; raise as `render` does."""
        return self.render_metered(Rendering(values, self._limits))

    def render_metered(self, rendering: Rendering) -> str:
        """Return the text, rendered by the metered tier as a part of a render, whose fuel all parts share."""
        metered = self._metered
        if metered is None:
            metered = self._metered = MeteredText(self._parsed()[0])
        try:
            return metered.render(rendering)
        except Exception as error:
            failure = metered.failed(error, self.source, rendering, self.reads)
        raise failure  # outside the `except`, so that no context is chained that quotes a value

    def surely_needed(self, names: frozenset[str]) -> dict[str, int]:
        """Return which of these variables no render can do without, each with the line that reads it first."""
        found = names.intersection(self.reads)
        return surely_needed(self._parsed()[0], found) if found else {}

    def _parsed(self) -> tuple[nodes.Template, int]:
        """Return a new syntax tree, as compiling changes it, and the number of its nodes."""
        return parse(self.source, self._limits, trims=self._trims)


class PlainText(TemplateText):
    """One text whose syntax is `plain`: nothing in it means anything, and it renders to itself."""

    __slots__ = ()

    def __init__(self, source: str, limits: RenderLimits) -> None:
        self.source = source
        self._limits = limits
        self.nodes = self.price = 0
        self.reads = {}
        self.loaded = frozenset()
        self.fast = (lambda _: source) if len(source) <= most_text(limits) else None

    def render_metered(self, rendering: Rendering) -> str:
        """Return the text; raise `RenderLimitError` where it is longer than the limits allow."""
        try:
            return rendering.printed(rendering.paid(self.source))
        except Exceeded as error:
            raise translated(error, None, self.source, rendering.variables, rendering.limits) from None


class CompiledTemplate:
    """A text or chat template and its declared variables, compiled. Immutable.

    `syntax` says how each text is read; one that is `plain` reads no variable, and requires none but placeholders.
    `reads` maps each variable that the template reads to whether it is needed; `variables` are the effective ones.
    """

    __slots__ = (
        "_declarations",
        "_fast",
        "_may_be_none",
        "_optional",
        "_parts",
        "_refusal",
        "_sources",
        "fast_paths",
        "limits",
        "reads",
        "syntax",
        "template",
        "variables",
    )

    def __init__(
        self, template: str | FrozenList, declarations: FrozenList, limits: RenderLimits, syntax: Syntax = "jinja"
    ) -> None:
        """Compile; an error is kept for `require_valid` and for each render.

        So a stored prompt that was saved under higher limits can still be read.
        """
        self.template = template
        self.limits = limits
        self.syntax = syntax
        self._sources = parts_of(template)
        if syntax == "plain" and declarations:
            declarations = only_required(declarations, [source.placeholder for source in self._sources])
        self._declarations = declarations
        self._optional = frozenset(d["name"] for d in declarations if may_be_left_out(d))
        self._parts: list[TemplateText | str] = []  # texts, and the names of the variables that fill placeholders
        self._refusal: TemplateError | None = _too_long(template, limits)
        try:
            _compile_parts([] if self._refusal else self._sources, limits, syntax, self._parts)
        except TemplateError as error:
            self._refusal = error
        made = FastPaths() if self._refusal is not None else self._made_fast_paths()
        self._fast = made.output
        self.fast_paths = FastPaths() if declarations else made
        self._may_be_none = self._optional.intersection(part for part in self._parts if isinstance(part, str))
        self.reads: dict[str, bool] = {}
        for part in self._parts:
            reads = {part: part not in self._optional} if isinstance(part, str) else part.reads
            for name, is_needed in reads.items():
                self.reads[name] = self.reads.get(name, False) or is_needed
        self.variables = effective(declarations, self.reads)

    def render(self, name: str, values: dict[str, Any], *, forbids_extra: bool, fast_failed: bool = False) -> Output:
        """Render with these variables; `name` is the prompt's, for errors.

        `fast_failed` says that a fast path was tried before, so only the metered tier is left. Raises what
        `require_valid` raises, `InvalidVariablesError`, `MissingVariablesError` with every absent name,
        `RenderLimitError` or `RenderError`.
        """
        try:
            self.require_valid()
            bound = self._bound(values, forbids_extra) if self._declarations or forbids_extra else values
            if self._fast is not None and not fast_failed:
                try:
                    return self._fast(bound)
                except Exception:  # as in `TemplateText.render`
                    pass
            return self._output(bound)
        except TemplateError as error:
            error.put_name(name)
            raise

    def require_valid(self) -> None:
        """Raise the compile error: `TemplateSyntaxError` or `TemplatePolicyError` with the line, or `TemplateError`."""
        if self._refusal is not None:
            raise copy(self._refusal)

    def require_consistent(self) -> None:
        """Raise what `require_valid` raises, and `TemplateError` for declarations that no render could satisfy.

        These are an optional variable that is read outside every condition, and a placeholder that is no array (rule
        21). They are refused when a version is saved; a version that was stored with one renders where it can.
        """
        self.require_valid()
        optional = frozenset([d["name"] for d in self._declarations if is_optional(d)])
        kinds = {declaration["name"]: declaration for declaration in self._declarations}
        for source, part in zip(self._sources, self._parts, strict=True):
            if isinstance(part, TemplateText):
                for name, line in part.surely_needed(optional).items():
                    raise _inconsistent(source.where, line, _ALWAYS_READ.format(name=name))
            elif reason := placeholder_flaw(kinds.get(part)):
                raise _inconsistent(source.where, None, f"the placeholder {part} {reason}.")

    def _made_fast_paths(self) -> FastPaths:
        """Return the fast paths, if each part has a fast function, and the fuel pays for all of them."""
        texts = [part for part in self._parts if isinstance(part, TemplateText)]
        if any(text.fast is None for text in texts) or not is_affordable([text.price for text in texts], self.limits):
            return FastPaths()
        functions = [self._fast_part(part) for part in self._parts]
        names = ([part] if isinstance(part, str) else part.loaded for part in self._parts)
        arity = len(frozenset().union(*names))
        is_fixed = self.syntax == "plain"
        return fast_paths_of(self.template, self._sources, functions, arity, most_text(self.limits), is_fixed=is_fixed)

    def _fast_part(self, part: TemplateText | str) -> Any:
        if isinstance(part, TemplateText):
            return part.fast
        return placeholder_function(part, is_optional=part in self._optional)

    def _bound(self, values: dict[str, Any], forbids_extra: bool) -> dict[str, Any]:
        """Return the values checked against the declarations, with their defaults."""
        extra = _extra(values, [variable.name for variable in self.variables]) if forbids_extra else []
        bound, absent = bind(self._declarations, values, may_be_none=self._may_be_none, errors=extra)
        if absent:
            raise self._missing(bound, absent, but=self._optional)
        return bound

    def _output(self, bound: dict[str, Any]) -> Output:
        """Render part by part with the metered tier; all parts share the fuel and the time of one render."""
        rendering = Rendering(bound, self.limits)
        made: list[Any] = []
        absent: str | None = None
        where = ""
        try:
            for source, part in zip(self._sources, self._parts, strict=True):
                where = source.where
                if isinstance(part, TemplateText):
                    made.append(part.render_metered(rendering))
                else:
                    made.append(self._placeholder_messages(part, bound))
        except AbsentVariable as error:
            absent = error.name
        except TemplateError as error:
            if where:
                error.put_before(where)
            raise
        if absent is not None:
            raise self._missing(bound, [absent], but=() if absent in self._optional else self._optional)
        return (made[0], None) if isinstance(self.template, str) else chat_output(self.template, self._sources, made)

    def _placeholder_messages(self, name: str, bound: Mapping[str, Any]) -> list[Message]:
        """Return the messages that fill a placeholder: none where it is optional, and absent or None."""
        if bound.get(name) is None and name in self._optional:
            return []
        if name not in bound:
            raise AbsentVariable(name)
        return passed_messages(name, bound[name])

    def _missing(
        self, bound: Mapping[str, Any], read: Sequence[str], *, but: Container[str] = ()
    ) -> MissingVariablesError:
        """Return the error that names the absent variables: those read, and others that are read unguarded."""
        needed = [name for name, is_needed in self.reads.items() if is_needed and name not in bound and name not in but]
        names = list(dict.fromkeys([*needed, *read]))
        known = [variable.name for variable in self.variables]
        unread = [name for name in bound if name not in known]
        meant = [*names, *(name for name in known if name not in bound)]
        passed = f" Passed and not read: {_unread(unread, meant)}." if unread else ""
        return MissingVariablesError(
            f"Variables are missing: {', '.join(names)}; pass them to render.{passed}{self._literal(bound)}",
            missing=names,
        )

    def _literal(self, bound: Mapping[str, Any]) -> str:
        """Return what a text may be of whose variables none was passed: code whose braces were never a template's."""
        if self.syntax == "plain" or any(name in bound for name in self.reads):
            return ""
        texts = (part.source for part in self._parts if isinstance(part, TemplateText))
        return next(filter(None, map(of_literal, texts)), "")


def _too_long(template: str | FrozenList, limits: RenderLimits) -> TemplatePolicyError | None:
    """Return the error for a template of more than `source_characters`, which no work is done for."""
    length, most = length_of(template), limits.source_characters
    if length <= most:
        return None
    return TemplatePolicyError(
        f"The template has {length:,} characters, and the limit source_characters is {most:,}; shorten it, or open the"
        f" registry with render_limits=RenderLimits(source_characters={length}).",
        line=None,
    )


def _inconsistent(where: str, line: int | None, reason: str) -> TemplateError:
    """Return the error of a declaration; in a chat it names the message."""
    error = TemplateError(reason if line is None else f"Line {line}: {reason}", line=line)
    if where:
        error.put_before(where)
    return error


def _unread(names: Sequence[str], absent: Sequence[str]) -> str:
    """Return the names of variables that nothing reads, each with the absent one that may be meant."""
    few = [(listed([name]), nearest(name, absent)) for name in names[:LISTED]]
    text = ", ".join(name if near is None else f"{name} (for {near!r}?)" for name, near in few)
    return f"{text} and {len(names) - LISTED} more" if len(names) > LISTED else text


def _compile_parts(
    sources: Sequence[Part],
    limits: RenderLimits,
    syntax: Syntax,
    parts: list[TemplateText | str],
) -> None:
    """Append each compiled part to `parts`; raise `TemplateError` for the first that does not compile.

    The error names its message. Too many nodes together are an error too.
    """
    count = 0
    for source in sources:
        if source.placeholder is not None:
            parts.append(source.placeholder)
            continue
        try:
            text = _compiled_text(source.template, limits, syntax)
            count += text.nodes
            if count > limits.nodes:
                reason = f"The messages have more than {limits.nodes:,} syntax nodes together."
                raise TemplatePolicyError(reason, line=None)
        except TemplateError as error:
            if source.where:
                error.put_before(source.where)
            raise
        parts.append(text)


def _compiled_text(source: str, limits: RenderLimits, syntax: Syntax) -> TemplateText:
    return PlainText(source, limits) if syntax == "plain" else TemplateText(source, limits, syntax)


def _extra(values: Mapping[str, Any], known: Sequence[str]) -> list[dict[str, str]]:
    """Return an error for each variable that the prompt does not have, which names those that may be meant."""
    extra = [name for name in values if name not in known]
    absent = [name for name in known if name not in values]
    hints = [_meant(name, absent) for name in extra[:LISTED]] + [""] * (len(extra) - LISTED)
    reason = "is not a variable of this prompt"
    return [{"field": name, "reason": reason + hint} for name, hint in zip(extra, hints, strict=True)]


def _meant(name: str, absent: Sequence[str]) -> str:
    """Return the end of a sentence: the absent variable that is nearest to a name, else the first absent ones."""
    some = ", ".join(map(repr, absent[:MAX_MEANT])) + (" …" if len(absent) > MAX_MEANT else "")
    return did_you_mean(name, absent) or (f"; not passed: {some}" if absent else "")
