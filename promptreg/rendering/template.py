"""A version's template, ready to render: text or chat, with its variables."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, TypeAlias

from pydantic import BaseModel

from promptreg.errors import (
    LISTED,
    InvalidVariablesError,
    MissingVariablesError,
    RenderError,
    TemplateError,
    listed,
)
from promptreg.jsonvalues import FrozenList, thaw
from promptreg.nearest import did_you_mean, nearest
from promptreg.rendering import sandbox
from promptreg.rendering.compiler import compile_fast, is_paid, most_text
from promptreg.rendering.fast import Unfit
from promptreg.rendering.policy import BUILTINS, RenderLimits
from promptreg.rendering.reads import variables_read
from promptreg.rendering.sandbox import Cause, Metered, Rendering
from promptreg.rendering.values import AbsentVariable
from promptreg.variables import bind, effective, invalid

BETWEEN_MESSAGES = "\n\n"
MAX_LAZY = 500  # syntax nodes, which compile in well under 0.1 s when a render turns out to need it

Message: TypeAlias = dict[str, Any]


Messages: TypeAlias = list[Message] | tuple[list[str | None], list[str]] | None
Output: TypeAlias = tuple[str, Messages]
"""What a render gives: the text, and for a chat prompt its messages, or their roles and contents; else None."""

Fast: TypeAlias = Callable[[dict[str, Any]], Output]


class TemplateText:
    """One text of a template, compiled: by the fast tier where it is in its subset, else by the metered one.

    `fast` gives exactly what the metered tier gives, or fails; then the metered tier renders, or tells
    what is wrong. `read` are the variables that `fast` always reads, where it reads no others; `price` is the fuel that
    what it passes may take.
    What it gives never changes, so it may be shared and kept for as long as anyone likes.
    """

    __slots__ = ("_limits", "_metered", "fast", "price", "read", "reads", "source")

    def __init__(self, source: str, limits: RenderLimits) -> None:
        """Compile; raise `TemplateSyntaxError` or `TemplatePolicyError` with the line, or `TemplateError`."""
        tree, count = sandbox.parse(source, limits)
        reads = variables_read(tree, BUILTINS)
        self.source = source
        self.reads = reads.needed
        self._limits = limits
        compiled = compile_fast(tree, limits)
        self.fast = None if compiled is None else compiled.render
        self.read = None if compiled is None else compiled.read
        self.price = 0 if compiled is None else compiled.price
        is_at_once = self.fast is None or count > MAX_LAZY
        self._metered = Metered(tree, reads.unguarded) if is_at_once else None

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
            tree, _ = sandbox.parse(self.source, self._limits)
            metered = self._metered = Metered(tree, variables_read(tree, BUILTINS).unguarded)
        try:
            return metered.render(rendering)
        except Exception as error:
            failure = metered.failed(error, self.source, rendering)
        raise failure  # out here, where no context is chained to it that quotes a value


class CompiledTemplate:
    """One template and its declared variables, compiled. What it gives never changes."""

    __slots__ = (
        "_declarations",
        "_fast",
        "_parts",
        "_refusal",
        "_roles",
        "limits",
        "reads",
        "short_arity",
        "short_text",
        "short_way",
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
        messages = [{"content": template}] if isinstance(template, str) else template
        self._parts: list[TemplateText | str] = []  # texts, and the names of the variables that fill placeholders
        self._refusal: TemplateError | None = None
        try:
            for message in messages:
                is_text = "placeholder" not in message
                self._parts.append(TemplateText(message["content"], limits) if is_text else message["placeholder"])
        except TemplateError as error:
            if not isinstance(template, str):
                error.put_before(_message(len(self._parts), len(messages)))
            self._refusal = error
        self._roles = None if isinstance(template, str) else [message.get("role") for message in messages]
        self._fast = _fast(self._parts, self._roles, limits) if self._refusal is None else None
        self.short_way = None if declarations else self._fast
        only = self._parts[0] if self._roles is None and self.short_way is not None else None
        self.short_text = only.fast if isinstance(only, TemplateText) else None  # the same, of a text prompt
        self.short_arity = _arity(self._parts)
        self.reads: dict[str, bool] = {}
        for part in self._parts:
            for name, is_needed in ({part: True} if isinstance(part, str) else part.reads).items():
                self.reads[name] = self.reads.get(name, False) or is_needed
        self.variables = effective(declarations, self.reads)

    def render(self, name: str, values: dict[str, Any], *, forbids_extra: bool, is_tried: bool = False) -> Output:
        """Render with these variables; `name` is the prompt's, for errors; `is_tried` says that the short way failed.

        Raises `InvalidVariablesError`, `MissingVariablesError` with every absent name, `RenderLimitError`
        or `RenderError`.
        """
        try:
            self.require_valid()
            bound = self._bound(values, forbids_extra) if self._declarations or forbids_extra else values
            if self._fast is not None and not is_tried:
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

    def _bound(self, values: dict[str, Any], forbids_extra: bool) -> dict[str, Any]:
        if forbids_extra:
            _require_known(values, [variable.name for variable in self.variables])
        bound, absent = bind(self._declarations, values)
        if absent:
            raise self._missing(bound, absent)
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
                    messages += _passed(part, bound)
        except AbsentVariable as error:
            absent = error.name
        except TemplateError as error:
            if self._roles is not None:
                error.put_before(_message(done, len(self._parts)))
            raise
        if absent is not None:
            raise self._missing(bound, [absent])
        if self._roles is None:
            return messages[0]["content"], None
        return BETWEEN_MESSAGES.join([m["content"] for m in messages if isinstance(m["content"], str)]), messages

    def _missing(self, bound: Mapping[str, Any], read: Sequence[str]) -> MissingVariablesError:
        needed = [name for name, is_needed in self.reads.items() if is_needed and name not in bound]
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

    def render(values: dict[str, Any]) -> Output:
        contents = [fast(values) for fast in fasts]
        if sum(map(len, contents)) > most:
            raise Unfit
        return BETWEEN_MESSAGES.join(contents), (roles, contents)

    return render


def _require_known(values: Mapping[str, Any], known: Sequence[str]) -> None:
    extra = [name for name in values if name not in known]
    if extra:
        absent = [name for name in known if name not in values]
        meant = [did_you_mean(name, absent) for name in extra[:LISTED]] + [""] * (len(extra) - LISTED)
        reason = "is not a variable of this prompt"
        raise invalid([{"field": n, "reason": reason + m} for n, m in zip(extra, meant, strict=True)])


def _passed(name: str, bound: Mapping[str, Any]) -> list[Message]:
    """Give the messages of a placeholder; what the application's own code raises there is told by its type alone."""
    try:
        return _passed_messages(name, bound)
    except (InvalidVariablesError, AbsentVariable):
        raise
    except Exception as error:
        failure = RenderError(f"The messages in {name} can't be read ({type(error).__name__}).", line=None)
        failure.__cause__ = Cause(type(error).__name__)
    raise failure


def _passed_messages(name: str, bound: Mapping[str, Any]) -> list[Message]:
    if name not in bound:
        raise AbsentVariable(name)
    value = bound[name]
    if not isinstance(value, list | tuple):
        raise _no_messages(name)
    return [_passed_message(name, item) for item in value]


def _passed_message(name: str, item: object) -> Message:
    plain = item.model_dump() if isinstance(item, BaseModel) else item
    if not isinstance(plain, Mapping) or not {"role", "content"} <= set(plain):
        raise _no_messages(name)
    message: Message = thaw(plain)
    if not isinstance(message["role"], str) or not isinstance(message["content"], str | list | None):
        raise _no_messages(name)
    return message


def _no_messages(name: str) -> InvalidVariablesError:
    return invalid([{"field": name, "reason": 'must be a list of messages {"role", "content"}'}])
