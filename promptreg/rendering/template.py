"""A version's template, compiled: one text or a chat's messages, with the declared variables.

Here each text is rendered by the fast tier or the metered one, and what is wrong with variables is reported. How the
tiers work is in `fast/` and `metered/`; how values are checked against declarations is in `promptreg/variables.py`.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from promptreg.errors import LISTED, MissingVariablesError, TemplateError, TemplatePolicyError, listed
from promptreg.jsonvalues import FrozenList
from promptreg.messages import Message, Part, length_of, parts_of
from promptreg.models import Syntax
from promptreg.nearest import did_you_mean, nearest
from promptreg.rendering.fast.costs import is_affordable, most_text
from promptreg.rendering.fast_paths import FastPart, FastPaths, Most, Output, fast_paths_of, placeholder_function
from promptreg.rendering.hints import of_literal
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.messages import chat_output
from promptreg.rendering.metered.compiler import Rendering
from promptreg.rendering.parsing import parse
from promptreg.rendering.placeholders import passed_messages
from promptreg.rendering.policy import BUILTINS
from promptreg.rendering.reads import variables_read
from promptreg.rendering.template_text import DataText, PlainText, TemplateText
from promptreg.rendering.values import AbsentVariable
from promptreg.variables import bind, effective, is_optional, may_be_left_out, only_required, placeholder_flaw

MAX_MEANT = 5  # absent variables that are named beside one that is not read

_ALWAYS_READ = (
    "{name} is declared as not required, but read outside every condition; declare it as required,"
    " give it a default, or read it within {{% if {name} %}}."
)


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
        declarations = _kept_declarations(declarations, self._sources, syntax)
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
        self.reads = _merged(
            {part: part not in self._optional} if isinstance(part, str) else part.reads for part in self._parts
        )
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
        functions: list[FastPart] = []
        prices: list[int] = []
        for part in self._parts:
            if isinstance(part, str):
                functions.append(FastPart(placeholder_function(part, is_optional=part in self._optional)))
            elif part.fast is None:
                return FastPaths()
            else:
                functions.append(FastPart(part.fast, part.is_data))
                prices.append(part.price)
        if not is_affordable(prices, self.limits):
            return FastPaths()
        names = ([part] if isinstance(part, str) else part.loaded for part in self._parts)
        arity = len(frozenset().union(*names))
        is_fixed = self.syntax == "plain"
        most = Most(most_text(self.limits), self.limits.data_characters)
        return fast_paths_of(self.template, self._sources, functions, arity, most, is_fixed=is_fixed)

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


def variables_of(
    template: str | FrozenList, declarations: FrozenList, limits: RenderLimits, syntax: Syntax
) -> FrozenList:
    """Return the effective variables that a compiled template has, without compiling it, in a quarter of the time.

    Where it does not compile, they are the declared ones, and those that the parts before the flaw read.

    >>> [variable.name for variable in variables_of("{{ a }} {{ b }}", FrozenList(), RenderLimits(), "jinja")]
    ['a', 'b']
    """
    sources = parts_of(template)
    declarations = _kept_declarations(declarations, sources, syntax)
    optional = frozenset(d["name"] for d in declarations if may_be_left_out(d))
    reads: list[Mapping[str, bool]] = []
    try:
        for source in () if _too_long(template, limits) else sources:
            reads.append(_reads_of(source, optional, limits, syntax))
    except TemplateError:
        pass
    return effective(declarations, _merged(reads))


def _reads_of(source: Part, optional: Container[str], limits: RenderLimits, syntax: Syntax) -> Mapping[str, bool]:
    if source.placeholder is not None:
        return {source.placeholder: source.placeholder not in optional}
    if syntax == "plain":
        return {}
    tree, _ = parse(source.template, limits, trims=syntax == "jinja-trim")
    return variables_read(tree, BUILTINS)


def _kept_declarations(declarations: FrozenList, sources: Sequence[Part], syntax: Syntax) -> FrozenList:
    """Return the declarations that hold for a syntax: where it is plain, none but a placeholder's is required."""
    if syntax != "plain" or not declarations:
        return declarations
    return only_required(declarations, [source.placeholder for source in sources])


def _merged(reads: Iterable[Mapping[str, bool]]) -> dict[str, bool]:
    """Return the reads of all parts, each needed where any part needs it."""
    merged: dict[str, bool] = {}
    for of_part in reads:
        for name, is_needed in of_part.items():
            merged[name] = merged.get(name, False) or is_needed
    return merged


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
            text = _compiled_text(source, limits, syntax)
            count += text.nodes
            if count > limits.nodes:
                reason = f"The messages have more than {limits.nodes:,} syntax nodes together."
                raise TemplatePolicyError(reason, line=None)
        except TemplateError as error:
            if source.where:
                error.put_before(source.where)
            raise
        parts.append(text)


def _compiled_text(source: Part, limits: RenderLimits, syntax: Syntax) -> TemplateText:
    if syntax == "plain":
        return PlainText(source.template, limits, is_data=not source.is_shown)
    return (TemplateText if source.is_shown else DataText)(source.template, limits, syntax)


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
