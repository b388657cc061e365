"""A version's template, ready to render: text or chat, with its variables."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, TypeAlias

from promptreg.errors import LISTED, MissingVariablesError, TemplateError, TemplatePolicyError, listed
from promptreg.jsonvalues import FrozenList
from promptreg.nearest import did_you_mean, nearest
from promptreg.rendering.fast.compiler import compile_fast
from promptreg.rendering.fast.costs import is_paid, most_text
from promptreg.rendering.fast.guards import Bailout
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.metered.compiler import MeteredText, Rendering
from promptreg.rendering.parsing import parse
from promptreg.rendering.placeholders import BETWEEN_TEXTS, Message, joined_text, passed_messages
from promptreg.rendering.policy import BUILTINS
from promptreg.rendering.reads import surely_needed, variables_read
from promptreg.rendering.values import AbsentVariable
from promptreg.variables import bind, effective, is_optional, may_be_left_out, placeholder_flaw

MAX_LAZY = 500  # syntax nodes, which compile in well under 0.1 s when a render turns out to need it

Messages: TypeAlias = list[Message] | tuple[list[str | None], list[str]] | None
Output: TypeAlias = tuple[str, Messages]
"""What a render gives: the text, and for a chat prompt its messages, or their roles and contents; else None."""

_UNKEPT = (
    "{name} is declared as not required, but read outside every condition; declare it as required,"
    " give it a default, or read it within {{% if {name} %}}."
)

Fast: TypeAlias = Callable[[dict[str, Any]], Output]


class FastPaths:
    """How to render a template where only the values can prevent it. Frozen: it is shared between threads.

    `output` returns what a render returns, and is None where the template has no fast path. `text` returns the text
    alone, of a text prompt. `arity` is the number of variables that are always read, where no others are.
    """

    __slots__ = ("arity", "output", "text")

    def __init__(
        self,
        output: Fast | None = None,
        text: Callable[[dict[str, Any]], str] | None = None,
        arity: int | None = None,
    ) -> None:
        self.output = output
        self.text = text
        self.arity = arity


class TemplateText:
    """One text of a template, compiled: by the fast tier where it is in its subset, else by the metered one.

    `fast` gives exactly what the metered tier gives, or fails; then the metered tier renders, or tells
    what is wrong. `read` are the variables that `fast` always reads, where it reads no others; `price` is the fuel that
    what it passes may take, and `nodes` how many its syntax tree has.
    What it gives never changes, so it may be shared and kept for as long as anyone likes.
    """

    __slots__ = ("_declared", "_limits", "_metered", "fast", "nodes", "price", "read", "reads", "source")

    def __init__(self, source: str, limits: RenderLimits, declared: frozenset[str] = frozenset()) -> None:
        """Compile; raise `TemplateSyntaxError` or `TemplatePolicyError` with the line, or `TemplateError`.

        `declared` are the variables that are false where they are absent and their truth is tested.
        """
        tree, count = parse(source, limits)
        reads = variables_read(tree, BUILTINS, declared)
        self.source = source
        self.nodes = count
        self.reads = reads.needed
        self._declared = declared
        self._limits = limits
        compiled = compile_fast(tree, limits, declared)
        self.fast = None if compiled is None else compiled.render
        self.read = None if compiled is None else compiled.read
        self.price = 0 if compiled is None else compiled.price
        is_at_once = self.fast is None or count > MAX_LAZY
        self._metered = MeteredText(tree, reads.unguarded, declared) if is_at_once else None

    def render(self, values: dict[str, Any]) -> str:
        """Give the text; raise `AbsentVariable`, `RenderLimitError` or `RenderError`."""
        if self.fast is not None:
            # Whatever fails there has had no effect, and the metered tier either does it or tells why not.
            try:
                return self.fast(values)
            except Exception:
                pass
        return self.metered(values)

    def metered(self, values: dict[str, Any]) -> str:
        """Give the text by the metered tier alone."""
        return self.render_metered(Rendering(values, self._limits))

    def render_metered(self, rendering: Rendering) -> str:
        """Give the text by the metered tier, as a part of a render; that is compiled at its first use."""
        metered = self._metered
        if metered is None:
            tree, _ = parse(self.source, self._limits)
            unguarded = variables_read(tree, BUILTINS, self._declared).unguarded
            metered = self._metered = MeteredText(tree, unguarded, self._declared)
        try:
            return metered.render(rendering)
        except Exception as error:
            failure = metered.failed(error, self.source, rendering)
        raise failure  # out here, where no context is chained to it that quotes a value

    def surely_needed(self, names: frozenset[str]) -> dict[str, int]:
        """Return those of the variables without which every render fails, each with the line that reads it first."""
        found = names.intersection(self.reads)
        return surely_needed(parse(self.source, self._limits)[0], found) if found else {}


class CompiledTemplate:
    """One template and its declared variables, compiled. What it gives never changes."""

    __slots__ = (
        "_declarations",
        "_fast",
        "_may_be_none",
        "_optional",
        "_parts",
        "_refusal",
        "_roles",
        "fast_paths",
        "limits",
        "reads",
        "template",
        "variables",
    )

    def __init__(self, template: str | FrozenList, declarations: FrozenList, limits: RenderLimits) -> None:
        """Compile. What can't be is told by `require_valid` and by each render.

        A stored prompt may have been saved under looser limits, and must be found all the same.
        """
        self.template = template
        self.limits = limits
        self._declarations = declarations
        self._optional = frozenset(d["name"] for d in declarations if may_be_left_out(d))
        declared = frozenset([declaration["name"] for declaration in declarations])
        messages = [{"content": template}] if isinstance(template, str) else template
        self._parts: list[TemplateText | str] = []  # texts, and the names of the variables that fill placeholders
        self._refusal: TemplateError | None = None
        try:
            _compile_parts(messages, limits, declared, self._parts)
        except TemplateError as error:
            if not isinstance(template, str):
                error.put_before(_message(len(self._parts), len(messages)))
            self._refusal = error
        self._roles = None if isinstance(template, str) else [message.get("role") for message in messages]
        self._fast = _fast(self._parts, self._roles, limits) if self._refusal is None else None
        self.fast_paths = FastPaths() if declarations else _fast_paths(self._fast, self._parts, self._roles)
        self._may_be_none = self._optional.intersection(part for part in self._parts if isinstance(part, str))
        self.reads: dict[str, bool] = {}
        for part in self._parts:
            reads = {part: part not in self._optional} if isinstance(part, str) else part.reads
            for name, is_needed in reads.items():
                self.reads[name] = self.reads.get(name, False) or is_needed
        self.variables = effective(declarations, self.reads)

    def render(self, name: str, values: dict[str, Any], *, forbids_extra: bool, fast_failed: bool = False) -> Output:
        """Render with these variables; `name` is the prompt's, for errors; `fast_failed`: a fast path was tried.

        Raises `InvalidVariablesError`, `MissingVariablesError` with every absent name, `RenderLimitError`
        or `RenderError`.
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
        """Raise `TemplateSyntaxError` or `TemplatePolicyError` with the line, or `TemplateError`."""
        if self._refusal is not None:
            raise copy(self._refusal)

    def require_kept(self) -> None:
        """Raise what `require_valid` raises, and `TemplateError` for declarations that no render could keep to.

        That is a variable that may be left out and is read outside every condition, or a placeholder that is no array.
        A stored version that holds one renders where it can.
        """
        self.require_valid()
        optional = frozenset([d["name"] for d in self._declarations if is_optional(d)])
        kinds = {declaration["name"]: declaration for declaration in self._declarations}
        for i, part in enumerate(self._parts):
            if isinstance(part, TemplateText):
                for name, line in part.surely_needed(optional).items():
                    raise self._unkept(i, line, _UNKEPT.format(name=name))
            elif reason := placeholder_flaw(kinds.get(part)):
                raise self._unkept(i, None, f"the placeholder {part} {reason}.")

    def _unkept(self, number: int, line: int | None, reason: str) -> TemplateError:
        """Return the refusal of a declaration; in a chat it says which message reads it."""
        error = TemplateError(reason if line is None else f"Line {line}: {reason}", line=line)
        if self._roles is not None:
            error.put_before(_message(number, len(self._parts)))
        return error

    def _bound(self, values: dict[str, Any], forbids_extra: bool) -> dict[str, Any]:
        extra = _extra(values, [variable.name for variable in self.variables]) if forbids_extra else []
        bound, absent = bind(self._declarations, values, may_be_none=self._may_be_none, errors=extra)
        if absent:
            raise self._missing(bound, absent, but=self._optional)
        return bound

    def _output(self, bound: dict[str, Any]) -> Output:
        """Render part by part on one account, where not all is fast."""
        rendering = Rendering(bound, self.limits)
        messages: list[Message] = []
        absent: str | None = None
        done = 0
        try:
            for at, (role, part) in enumerate(zip(self._roles or [None], self._parts, strict=True)):
                done = at
                if isinstance(part, TemplateText):
                    messages.append({"role": role, "content": part.render_metered(rendering)})
                else:
                    messages += self._passed(part, bound)
        except AbsentVariable as error:
            absent = error.name
        except TemplateError as error:
            if self._roles is not None:
                error.put_before(_message(done, len(self._parts)))
            raise
        if absent is not None:
            raise self._missing(bound, [absent], but=() if absent in self._optional else self._optional)
        if self._roles is None:
            return messages[0]["content"], None
        return joined_text(messages), messages

    def _passed(self, name: str, bound: Mapping[str, Any]) -> list[Message]:
        """Return the messages of a placeholder: none where it may be left out, and is absent or None."""
        if bound.get(name) is None and name in self._optional:
            return []
        if name not in bound:
            raise AbsentVariable(name)
        return passed_messages(name, bound[name])

    def _missing(
        self, bound: Mapping[str, Any], read: Sequence[str], *, but: Container[str] = ()
    ) -> MissingVariablesError:
        """Return the refusal of absent variables: those read, and others that the template reads unguarded."""
        needed = [name for name, is_needed in self.reads.items() if is_needed and name not in bound and name not in but]
        names = list(dict.fromkeys([*needed, *read]))
        known = {variable.name for variable in self.variables}
        unread = [name for name in bound if name not in known]
        passed = f" Passed and not read: {_unread(unread, names)}." if unread else ""
        return MissingVariablesError(
            f"Variables are missing: {', '.join(names)}; pass them to render.{passed}", missing=names
        )


def _message(at: int, count: int) -> str:
    return f"message {at + 1} of {count}"


def _unread(names: Sequence[str], missing: Sequence[str]) -> str:
    """Name the variables that nothing reads, and those that are missing which they may be meant for."""
    few = [(listed([name]), nearest(name, missing)) for name in names[:LISTED]]
    told = ", ".join(name if near is None else f"{name} (for {near!r}?)" for name, near in few)
    return f"{told} and {len(names) - LISTED} more" if len(names) > LISTED else told


def _compile_parts(
    messages: Iterable[Mapping[str, str]],
    limits: RenderLimits,
    declared: frozenset[str],
    parts: list[TemplateText | str],
) -> None:
    """Add the part of each message; raise `TemplateError` for the first that is refused, or too many nodes together."""
    count = 0
    for message in messages:
        if "placeholder" in message:
            parts.append(message["placeholder"])
            continue
        text = TemplateText(message["content"], limits, declared)
        count += text.nodes
        if count > limits.nodes:
            raise TemplatePolicyError(f"The messages have more than {limits.nodes:,} syntax nodes together.", line=None)
        parts.append(text)


def _fast_paths(fast: Fast | None, parts: Sequence[TemplateText | str], roles: list[str | None] | None) -> FastPaths:
    only = parts[0] if roles is None and fast is not None else None
    return FastPaths(fast, only.fast if isinstance(only, TemplateText) else None, _arity(parts))


def _arity(parts: Sequence[TemplateText | str]) -> int | None:
    """Give how many variables the fast tier always reads, where it reads no others."""
    read = [part.read for part in parts if isinstance(part, TemplateText) and part.read is not None]
    return len(frozenset().union(*read)) if len(read) == len(parts) else None


def _fast(parts: Sequence[TemplateText | str], roles: list[str | None] | None, limits: RenderLimits) -> Fast | None:
    """Give the whole template's fast tier, where each of its parts has one, and the fuel pays for all of them."""
    texts = [part for part in parts if isinstance(part, TemplateText)]
    fasts = [text.fast for text in texts if text.fast is not None]
    if len(fasts) < len(parts) or not is_paid([text.price for text in texts], limits):
        return None
    most = most_text(limits)
    if roles is None:
        only = fasts[0]
        return lambda values: (only(values), None)

    join = BETWEEN_TEXTS.join  # found once, which takes a twentieth of a short render

    def render(values: dict[str, Any]) -> Output:
        contents = [fast(values) for fast in fasts]
        if sum(map(len, contents)) > most:
            raise Bailout
        return join(contents), (roles, contents)

    return render


def _extra(values: Mapping[str, Any], known: Sequence[str]) -> list[dict[str, str]]:
    """Return what is wrong with the variables that are none of the prompt."""
    extra = [name for name in values if name not in known]
    absent = [name for name in known if name not in values]
    meant = [did_you_mean(name, absent) for name in extra[:LISTED]] + [""] * (len(extra) - LISTED)
    reason = "is not a variable of this prompt"
    return [{"field": n, "reason": reason + m} for n, m in zip(extra, meant, strict=True)]
