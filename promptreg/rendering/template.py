"""A version's template, ready to render: text or chat, with its variables."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from promptreg.errors import InvalidVariablesError, MissingVariablesError, TemplateError
from promptreg.jsonvalues import FrozenList, thaw
from promptreg.rendering import sandbox
from promptreg.rendering.compiler import compile_fast
from promptreg.rendering.policy import BUILTINS, RenderLimits
from promptreg.rendering.reads import variables_read
from promptreg.rendering.values import AbsentVariable
from promptreg.variables import bind, effective, invalid

Message = dict[str, Any]


class Output(NamedTuple):
    """What a render gives: the text, and for a chat prompt its messages, else None."""

    text: str
    messages: list[Message] | None


class TemplateText:
    """One text of a template, compiled: by the fast tier where it is in its subset, else by the metered one.

    `fast` gives exactly what the metered tier gives, or fails; then the metered tier renders, or tells
    what is wrong. Never changes, so it may be shared and kept for as long as anyone likes.
    """

    __slots__ = ("_limits", "_metered", "fast", "reads", "source")

    def __init__(self, source: str, limits: RenderLimits) -> None:
        """Compile; raise `TemplateSyntaxError` or `TemplatePolicyError` with the line, or `TemplateError`."""
        tree = sandbox.parse(source, limits)
        reads = variables_read(tree, BUILTINS)
        self.source = source
        self.reads = reads.needed
        self._limits = limits
        self.fast = compile_fast(tree, limits)
        self._metered = None if self.fast else sandbox.Metered(tree, reads.unguarded, limits)

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
        """Give the text by the metered tier alone; it is compiled at its first use where there is a fast one."""
        metered = self._metered
        if metered is None:
            tree = sandbox.parse(self.source, self._limits)
            metered = sandbox.Metered(tree, variables_read(tree, BUILTINS).unguarded, self._limits)
            self._metered = metered
        try:
            return metered.render(values)
        except TemplateError:
            raise
        except Exception as error:
            if isinstance(error, AbsentVariable) and error.name not in values:
                raise
            raise metered.failed(error, self.source) from None


class CompiledTemplate:
    """One template and its declared variables, compiled. Never changes."""

    __slots__ = ("_declarations", "_parts", "limits", "reads", "template", "variables")

    def __init__(self, template: str | FrozenList, declarations: FrozenList, limits: RenderLimits) -> None:
        """Compile; raise `TemplateSyntaxError` or `TemplatePolicyError` with the line, or `TemplateError`."""
        self.template = template
        self.limits = limits
        self._declarations = declarations
        self._parts: list[TemplateText | str]  # a text, or the name of the variable that fills a placeholder
        if isinstance(template, str):
            self._parts = [TemplateText(template, limits)]
        else:
            self._parts = [
                m["placeholder"] if "placeholder" in m else TemplateText(m["content"], limits) for m in template
            ]
        self.reads: dict[str, bool] = {}
        for part in self._parts:
            for name, is_needed in ({part: True} if isinstance(part, str) else part.reads).items():
                self.reads[name] = self.reads.get(name, False) or is_needed
        self.variables = effective(declarations, self.reads)

    def render(self, name: str, values: dict[str, Any], *, forbids_extra: bool) -> Output:
        """Render with these variables; `name` is the prompt's, for errors.

        Raises `InvalidVariablesError`, `MissingVariablesError` with every absent name, `RenderLimitError`
        or `RenderError`.
        """
        try:
            return self._rendered(values, forbids_extra)
        except TemplateError as error:
            error.details = {"name": name, **error.details}
            raise

    def _rendered(self, values: dict[str, Any], forbids_extra: bool) -> Output:
        if forbids_extra:
            _require_known(values, {variable.name for variable in self.variables})
        bound, absent = bind(self._declarations, values) if self._declarations else (values, [])
        if absent:
            raise self._missing(bound, absent)
        try:
            return self._output(bound)
        except AbsentVariable as error:
            raise self._missing(bound, [error.name]) from None

    def _output(self, bound: dict[str, Any]) -> Output:
        messages: list[Message] = []
        for i, part in enumerate(self._parts):
            if isinstance(part, str):
                messages += _passed_messages(part, bound)
            elif isinstance(self.template, str):
                return Output(part.render(bound), None)
            else:
                messages.append({"role": self.template[i]["role"], "content": part.render(bound)})
        return Output(joined(messages), messages)

    def _missing(self, bound: Mapping[str, Any], read: Sequence[str]) -> MissingVariablesError:
        needed = [name for name, is_needed in self.reads.items() if is_needed and name not in bound]
        names = list(dict.fromkeys([*needed, *read]))
        return MissingVariablesError(f"Variables are missing: {', '.join(names)}; pass them to render.", missing=names)


def joined(messages: Sequence[Mapping[str, Any]]) -> str:
    """Give the text of messages: their contents, where they are text, joined by a blank line."""
    return "\n\n".join(m["content"] for m in messages if isinstance(m["content"], str))


def _require_known(values: Mapping[str, Any], known: set[str]) -> None:
    extra = [name for name in values if name not in known]
    if extra:
        raise invalid([{"field": name, "reason": "is not a variable of this prompt"} for name in extra])


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
