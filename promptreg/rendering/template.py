"""A version's template, ready to render: text or chat, with its variables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import nodes
from pydantic import BaseModel

from promptreg.errors import InvalidVariablesError, MissingVariablesError, RenderError, TemplateError
from promptreg.jsonvalues import FrozenList, thaw
from promptreg.rendering import policy, sandbox
from promptreg.rendering.reads import Reads, variables_read
from promptreg.variables import bind, effective, invalid

Message = dict[str, Any]


class Output(NamedTuple):
    """What a render gives: the text, and for a chat prompt its messages, else None."""

    text: str
    messages: list[Message] | None


class CompiledTemplate:
    """One template and its declared variables, parsed once and compiled at the first render.

    Never changes, so it may be shared and kept for as long as anyone likes.
    """

    __slots__ = ("_declarations", "_parts", "reads", "template", "variables")

    def __init__(self, template: str | FrozenList, declarations: FrozenList) -> None:
        """Parse; raise `TemplateSyntaxError` or `TemplatePolicyError` with the line."""
        self.template = template
        self._declarations = declarations
        self._parts: list[Callable[[Mapping[str, Any]], str]] | None = None
        self.reads: dict[str, bool] = {}
        for source, placeholder in _sources(template):
            needed = {placeholder: True} if placeholder else _parsed(source)[1].needed
            for name, is_needed in needed.items():
                self.reads[name] = self.reads.get(name, False) or is_needed
        self.variables = effective(declarations, self.reads)

    def compile(self) -> None:
        """Make the code; raise `TemplateError` where that can't be done."""
        self._compiled()

    def render(self, name: str, values: Mapping[str, Any], *, forbids_extra: bool) -> Output:
        """Render with these variables; `name` is the prompt's, for errors.

        Raises `InvalidVariablesError`, `MissingVariablesError` with every absent name, or `RenderError`.
        """
        try:
            return self._rendered(values, forbids_extra)
        except TemplateError as error:
            error.details = {"name": name, **error.details}
            raise

    def _rendered(self, values: Mapping[str, Any], forbids_extra: bool) -> Output:
        if forbids_extra:
            _require_known(values, {variable.name for variable in self.variables})
        try:
            bound, absent = bind(self._declarations, values)
            if absent:
                raise self._missing(bound, absent)
            return self._output(bound)
        except TemplateError:
            raise
        except sandbox.AbsentVariable as error:
            if error.name in bound:
                raise self._failed(error) from None
            raise self._missing(bound, [error.name]) from None
        except Exception as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> RenderError:
        return sandbox.failed(error, "\n".join(source for source, _ in _sources(self.template)))

    def _output(self, bound: Mapping[str, Any]) -> Output:
        parts = self._compiled()
        if isinstance(self.template, str):
            return Output(parts[0](bound), None)
        messages: list[Message] = []
        for message, part in zip(self.template, parts, strict=True):
            if "role" in message:
                messages.append({"role": message["role"], "content": part(bound)})
            else:
                messages += _passed_messages(message["placeholder"], bound)
        return Output(joined(messages), messages)

    def _compiled(self) -> list[Callable[[Mapping[str, Any]], str]]:
        if self._parts is None:
            parsed = [_parsed(source) for source, _ in _sources(self.template)]
            self._parts = [sandbox.compile_tree(tree, reads.unguarded) for tree, reads in parsed]
        return self._parts

    def _missing(self, bound: Mapping[str, Any], read: Sequence[str]) -> MissingVariablesError:
        needed = [name for name, is_needed in self.reads.items() if is_needed and name not in bound]
        names = list(dict.fromkeys([*needed, *read]))
        return MissingVariablesError(f"Variables are missing: {', '.join(names)}; pass them to render.", missing=names)


def joined(messages: Sequence[Mapping[str, Any]]) -> str:
    """Give the text of messages: their contents, where they are text, joined by a blank line."""
    return "\n\n".join(m["content"] for m in messages if isinstance(m["content"], str))


def _sources(template: str | FrozenList) -> list[tuple[str, str | None]]:
    """Give each part as its source and, for a placeholder, the variable that fills it."""
    if isinstance(template, str):
        return [(template, None)]
    return [(message.get("content", ""), message.get("placeholder")) for message in template]


def _parsed(source: str) -> tuple[nodes.Template, Reads]:
    tree = sandbox.parse(source)
    policy.require_allowed(tree, sandbox.ENVIRONMENT.filters, sandbox.ENVIRONMENT.tests)
    return tree, variables_read(tree, sandbox.BUILTINS)


def _require_known(values: Mapping[str, Any], known: set[str]) -> None:
    extra = [name for name in values if name not in known]
    if extra:
        raise invalid([{"field": name, "reason": "is not a variable of this prompt"} for name in extra])


def _passed_messages(name: str, bound: Mapping[str, Any]) -> list[Message]:
    if name not in bound:
        raise sandbox.AbsentVariable(name)
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
