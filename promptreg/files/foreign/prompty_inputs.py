"""The inputs of a `.prompty` file as declared variables, in the forms of Prompty's first and second version.

In Prompty an input that may be left out renders nothing where it is absent. Here it gets a default that does.
"""

from typing import Any, NamedTuple

from promptreg.variables import is_readable

_TYPES = {
    **dict.fromkeys(("string", "str", "image", "file", "audio"), "string"),
    **dict.fromkeys(("number", "float"), "number"),
    **dict.fromkeys(("integer", "int"), "integer"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("array", "list", "thread"), "array"),
    **dict.fromkeys(("object", "dict"), "object"),
}
_FORMS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "any": object,
}
_NOTHING: dict[str, Any] = {"string": "", "array": []}
"""A default that renders nothing, of the types that have one."""
_READ = {"name", "kind", "type", "nullable", "required", "description", "enumValues", "default", "example"}


class Inputs(NamedTuple):
    """Declared variables, the example that the inputs give, the kind of each, and what was changed or left out."""

    variables: list[dict[str, Any]]
    example: dict[str, Any]
    kinds: dict[str, str]
    notes: list[str]


def read_inputs(given: dict[str, Any] | list[dict[str, Any]]) -> Inputs:
    """Read the inputs, by name or as a list; one that is neither object nor null is an example.

    >>> read_inputs({"q": {"kind": "string", "required": True}, "n": {"kind": "integer", "default": 3}}).variables
    [{'name': 'q', 'type': 'string'}, {'name': 'n', 'type': 'integer', 'default': 3}]
    """
    listed = [_named(name, value) for name, value in given.items()] if isinstance(given, dict) else given
    inputs = Inputs([], {}, {}, [])
    for item in listed:
        name = item.get("name")
        if isinstance(name, str) and is_readable(name):
            _add(inputs, name, item)
        else:
            inputs.notes.append("an input whose name is no variable's is not carried over")
    needed = {variable["name"] for variable in inputs.variables if "default" not in variable}
    return inputs if needed <= inputs.example.keys() else inputs._replace(example={})


def _named(name: str, given: Any) -> dict[str, Any]:
    return {**given, "name": name} if isinstance(given, dict) else {"name": name, "example": given}


def _add(inputs: Inputs, name: str, given: dict[str, Any]) -> None:
    kind = given.get("kind", given.get("type"))
    kind = kind if isinstance(kind, str) else ""
    declared: dict[str, Any] = {"name": name, "type": "any" if given.get("nullable") else _TYPES.get(kind, "any")}
    if isinstance(given.get("description"), str):
        declared["description"] = given["description"]
    if isinstance(given.get("enumValues"), list) and given["enumValues"]:
        declared["enum"] = given["enumValues"]
    _add_default(inputs, declared, given, kind)
    inputs.variables.append(declared)
    inputs.kinds[name] = kind
    if given.get("example") is not None and kind != "thread":
        inputs.example[name] = given["example"]
    inputs.notes.extend(f"{key} of the input {name} is not carried over" for key in given if key not in _READ)


def _add_default(inputs: Inputs, declared: dict[str, Any], given: dict[str, Any], kind: str) -> None:
    name, default, is_required = declared["name"], given.get("default"), bool(given.get("required"))
    if default is not None:
        if not _fits(default, declared):
            inputs.notes.append(f"the default of {name} is not of its type, so it takes any value")
            declared["type"] = "any"
            declared.pop("enum", None)
        declared["default"] = default
    elif kind == "thread":
        declared["required"] = is_required
    elif not is_required and declared["type"] in _NOTHING and "enum" not in declared:
        declared["default"] = _NOTHING[declared["type"]]
    elif not is_required:
        inputs.notes.append(f"{name} must be passed: Prompty renders nothing where it is absent")


def _fits(value: Any, declared: dict[str, Any]) -> bool:
    is_truth = isinstance(value, bool) and declared["type"] in {"integer", "number"}
    return not is_truth and isinstance(value, _FORMS[declared["type"]]) and value in declared.get("enum", [value])
