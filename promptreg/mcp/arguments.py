"""The arguments of a prompt, which are texts in MCP, and the variables that they become."""

from collections.abc import Iterable, Mapping
from typing import Any

from mcp.types import PromptArgument

from promptreg.errors import InvalidVariablesError
from promptreg.jsonvalues import compact
from promptreg.models import Variable
from promptreg.prompt import Prompt
from promptreg.strictjson import MalformedJSON, read
from promptreg.variables import bind, declared

FORMS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a JSON array",
    "object": "a JSON object",
    "messages": "a JSON array of messages",
}
"""How a value is written, by the type of its variable; those of the other types, `string` and `any`, are texts."""

HINTED = {"array", "object", "messages"}
MOST_COMPLETIONS = 100  # as many as the protocol allows in one answer


def prompt_arguments(prompt: Prompt) -> list[PromptArgument]:
    """Return the arguments that a prompt takes: its effective variables, with the form of those that are no texts."""
    placeholders = _placeholders(prompt)
    return [
        PromptArgument(
            name=variable.name,
            description=_description(variable.description, _type_of(variable, placeholders)),
            required=variable.required,
        )
        for variable in prompt.variables
    ]


def read_arguments(prompt: Prompt, arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return the variables of a render: texts, and JSON where the prompt declares another type than text.

    An empty text counts as not passed where it can't be a value, as clients send one for a field that was left empty.
    Raises `InvalidVariablesError` with every argument that is not as declared; it quotes no value.
    """
    placeholders = _placeholders(prompt)
    variables = {variable.name: variable for variable in prompt.variables}
    values: dict[str, Any] = {}
    errors: list[dict[str, str]] = []
    for name, text in arguments.items():
        variable = variables.get(name)
        kind = "any" if variable is None else _type_of(variable, placeholders)
        if kind in FORMS and not text.strip():
            continue
        try:
            values[name] = _value(text, kind, variable)
        except MalformedJSON as error:
            errors.append({"field": name, "reason": f"must be {FORMS[kind]}, but {error.reason_in_line}"})
    if errors:
        _refuse(prompt, values, errors)
    return values


def completions(prompt: Prompt, name: str, beginning: str) -> tuple[list[str], int]:
    """Return the values that an argument may have and that begin so, at most 100, and how many there are."""
    found = [
        text
        for variable in prompt.variables
        if variable.name == name
        for text in _choices(variable)
        if text.casefold().startswith(beginning.casefold())
    ]
    return found[:MOST_COMPLETIONS], len(found)


def _refuse(prompt: Prompt, values: dict[str, Any], errors: list[dict[str, str]]) -> None:
    """Raise the error with these errors, and with those of the values that could be read."""
    try:
        bind(declared(prompt.declared_variables), values, errors=errors)
    except InvalidVariablesError as error:
        error.put_name(prompt.name)
        raise


def _value(text: str, kind: str, variable: Variable | None) -> Any:
    for choice in (variable.enum or ()) if variable else ():
        if text == _as_text(choice):
            return choice
    return read(text) if kind in FORMS else text


def _choices(variable: Variable) -> Iterable[str]:
    return map(_as_text, variable.enum or ((True, False) if variable.type == "boolean" else ()))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else compact(value)


def _type_of(variable: Variable, placeholders: frozenset[str]) -> str:
    return "messages" if variable.name in placeholders else variable.type


def _placeholders(prompt: Prompt) -> frozenset[str]:
    messages = () if isinstance(prompt.template, str) else prompt.template
    return frozenset(message["placeholder"] for message in messages if "placeholder" in message)


def _description(description: str, kind: str) -> str | None:
    form = FORMS.get(kind)
    if description and kind in HINTED:
        return f"{description} ({form})"
    return description or (form and form[0].upper() + form[1:]) or None
