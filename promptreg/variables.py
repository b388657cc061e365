"""Declared variables (rule 21): reading declarations, checking values against them, filling in defaults.

In a snapshot a declaration is plain JSON: `name`, `type`, and those of `required`, `default`, `description` and `enum`
that were declared. Nothing here knows templates: which variables a template reads is an argument.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from enum import Enum
from itertools import islice
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from promptreg.errors import LISTED, LONGEST, InvalidInputError, InvalidVariablesError, listed
from promptreg.jsonvalues import (
    FrozenDict,
    FrozenList,
    NotJSON,
    freeze,
    frozen_dict,
    frozen_list,
    is_builtin,
    unreadable_reason,
)
from promptreg.models import Variable, VariablesArgument, built
from promptreg.nearest import did_you_mean
from promptreg.untrusted import FieldReader, bounded_dict, read_untrusted, reads_untrusted

RESERVED = frozenset(["true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else"])
MAX_IDENTIFIER = 128  # characters; Python normalises identifiers in quadratic time
MAX_VARIABLES = 1_000
MAX_KEYS = 100  # of a declaration, known or not
MAX_CHOICES = 1_000  # values of an enum, as a value may be compared with each of them
OPTIONAL_KEYS = ("required", "default", "description", "enum")
_DEFAULTS = {"name": "", "type": "any", "required": True, "default": None, "description": "", "enum": None}

_TYPES: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_ACCEPTED: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": (list, tuple),
    "object": (Mapping, BaseModel),
    "any": object,
}


@reads_untrusted("variables")
def declared(argument: VariablesArgument) -> FrozenList:
    """Return the declarations of a `variables=` argument; raise `InvalidInputError` for an invalid one.

    >>> declared([{"name": "words", "type": "integer", "default": 20}])
    [{'name': 'words', 'type': 'integer', 'default': 20}]
    """
    if argument is None:
        return FrozenList()
    if isinstance(argument, type) and issubclass(argument, BaseModel):
        given: Iterable[tuple[str, Any]] = _fields_of(argument)
    elif isinstance(argument, str | bytes | Mapping) or not isinstance(argument, Iterable):
        raise InvalidInputError.of("variables", "must be a list of variables, or a pydantic model class")
    else:
        given = ((f"variables[{i}]", item) for i, item in enumerate(argument))
    listed = list(islice(given, MAX_VARIABLES + 1))
    if len(listed) > MAX_VARIABLES:
        raise InvalidInputError.of("variables", f"declares more than {MAX_VARIABLES:,} variables; that is the most")
    fields = FieldReader()
    declarations = FrozenList(fields.read(_declaration, item, where) for where, item in listed)
    fields.require_valid()
    names = Counter(declaration["name"] for declaration in declarations)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise InvalidInputError.of("variables", f"declared twice: {', '.join(twice)}")
    return declarations


def canonical_form(declarations: FrozenList) -> FrozenList:
    """Return declarations without a `required` beside a default, which already implies that it is false.

    >>> canonical_form(declared([{"name": "n", "default": 1, "required": False}]))
    [{'name': 'n', 'type': 'any', 'default': 1}]
    """
    if not any("required" in d and "default" in d for d in declarations):
        return declarations
    return frozen_list([_without_required(d) if "default" in d else d for d in declarations])


def as_values(declarations: FrozenList) -> FrozenList:
    """Return declarations as `Variable`s; the fields that count as set are those that were declared."""
    return frozen_list([built(Variable, {**_DEFAULTS, **d}, fields_set=set(d)) for d in declarations])


def effective(declarations: FrozenList, reads: Mapping[str, bool]) -> FrozenList:
    """Return the effective list: the declared variables, then the other ones that the template reads.

    `reads` maps each variable that the template reads to whether any use of it is unguarded.
    """
    listed = {d["name"]: _described(d, reads) for d in declarations}
    found = {name: _found(name, needed) for name, needed in reads.items() if name not in listed}
    return FrozenList([*listed.values(), *found.values()])


def only_required(declarations: FrozenList, names: Container[str | None]) -> FrozenList:
    """Return declarations of which none but those of these names are required.

    >>> only_required(declared([{"name": "n", "required": True}, {"name": "history"}]), {"history"})
    [{'name': 'n', 'type': 'any', 'required': False}, {'name': 'history', 'type': 'any'}]
    """
    return frozen_list([d if d["name"] in names else frozen_dict({**d, "required": False}) for d in declarations])


def is_optional(declaration: Mapping[str, Any]) -> bool:
    """Return whether a variable is declared as not required, without a default."""
    return declaration.get("required") is False and "default" not in declaration


def may_be_left_out(declaration: Mapping[str, Any]) -> bool:
    """Return whether a render may leave the variable out, by its declaration."""
    return declaration.get("required") is False or "default" in declaration


def placeholder_flaw(declaration: Mapping[str, Any] | None) -> str | None:
    """Return why a variable of that declaration can't fill a placeholder; None where it can."""
    if declaration is None:
        return None
    if declaration["type"] not in {"array", "any"}:
        return f"takes a list of messages, but is declared as {declaration['type']}; declare it as array"
    for key, values in (("default", [declaration.get("default")]), ("enum", declaration.get("enum") or ())):
        if not all(value is None or isinstance(value, list) for value in values):
            return f"takes a list of messages, so its {key} must be of lists"
    return None


def bind(
    declarations: FrozenList,
    values: Mapping[str, Any],
    *,
    may_be_none: Container[str] = (),
    errors: Iterable[dict[str, str]] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Return the variables with defaults filled in, and the names of required ones that are absent.

    A variable in `may_be_none` may be None whatever its type. Raises `InvalidVariablesError` with the given errors and
    one for each value that is not as declared; it quotes no value.
    """
    bound, missing, errors = dict(values), [], [*errors]
    for declaration in declarations:
        name = declaration["name"]
        if name in bound:
            if bound[name] is not None or name not in may_be_none:
                bound[name], reason = _as_declared(declaration, bound[name])
                errors += [{"field": name, "reason": reason}] if reason else []
        elif "default" in declaration:
            bound[name] = declaration["default"]
        elif declaration.get("required"):
            missing.append(name)
    if errors:
        raise invalid(errors)
    return bound, missing


def invalid(errors: list[dict[str, str]]) -> InvalidVariablesError:
    """Return the error for variables that are not as declared, each `{"field", "reason"}`."""
    shown = "; ".join(f"{e['field'][:LONGEST]} {e['reason']}" for e in errors[:LISTED])
    more = f" and {len(errors) - LISTED} more" if len(errors) > LISTED else ""
    text = f"Variables are not as declared: {shown}{more}"
    return InvalidVariablesError(text if text.endswith("?") else f"{text}.", errors=errors)


def _found(name: str, is_needed: bool) -> Variable:
    return built(Variable, {**_DEFAULTS, "name": name, "required": is_needed}, fields_set={"name", "required"})


def _described(declaration: Mapping[str, Any], reads: Mapping[str, bool]) -> Variable:
    is_needed = declaration.get("required", reads.get(declaration["name"], False)) and "default" not in declaration
    return Variable.model_construct(**{**declaration, "required": is_needed})


def _without_required(declaration: FrozenDict) -> FrozenDict:
    return frozen_dict({key: value for key, value in declaration.items() if key != "required"})


def _declaration(item: object, where: str) -> FrozenDict:
    given = _given(item, where)
    variable = _checked(given, where)
    default = given.get("default")
    if "default" in given and not (default is None and not given.get("enum")):
        reason = _mismatch({**given, "type": variable.type}, default)
        if reason:
            raise InvalidInputError.of(f"{where}.default", reason)
    return FrozenDict({"name": variable.name, "type": variable.type, **given})


def _given(item: object, where: str) -> dict[str, Any]:
    """Return the keys of a declaration, without an empty enum or description and a None that means no default."""
    if isinstance(item, Variable):
        given = {key: getattr(item, key) for key in ("name", "type", *OPTIONAL_KEYS) if key in item.model_fields_set}
    elif isinstance(item, Mapping):
        given = bounded_dict(item, where, "keys", MAX_KEYS)
    else:
        raise InvalidInputError.of(where, f"must be a Variable or a mapping, not {type(item).__name__}")
    unknown = sorted(str(key) for key in given if key not in {"name", "type", *OPTIONAL_KEYS})
    if unknown:
        meant = did_you_mean(unknown[0], ("name", "type", *OPTIONAL_KEYS))
        raise InvalidInputError.of(where, f"unknown keys: {listed(unknown)}{meant}")
    for key, empty in (("enum", None), ("description", "")):
        if key in given and given[key] == empty:
            del given[key]
    if given.get("required") is True and given.get("default", 0) is None:
        del given["default"]
    try:
        return dict(freeze(given))
    except NotJSON as error:
        raise InvalidInputError.of(where, str(error)) from None


def _checked(given: dict[str, Any], where: str) -> Variable:
    try:
        variable = Variable(**given)
    except InvalidInputError as error:
        raise error.within(where) from None
    if not isinstance(given.get("required", False), bool):
        raise InvalidInputError.of(f"{where}.required", "must be true or false")
    if not is_readable(variable.name):
        raise InvalidInputError.of(
            f"{where}.name",
            f"must be a name that a template can read, such as user_name, of at most {MAX_IDENTIFIER} characters",
        )
    if variable.enum is not None and not variable.enum:
        raise InvalidInputError.of(f"{where}.enum", "must list at least one value")
    if len(variable.enum or ()) > MAX_CHOICES:
        raise InvalidInputError.of(f"{where}.enum", f"lists more than {MAX_CHOICES:,} values; that is the most")
    for i, value in enumerate(variable.enum or ()):
        reason = _mismatch({"type": variable.type}, value)
        if reason and value is not None:
            raise InvalidInputError.of(f"{where}.enum[{i}]", reason)
    return variable


def _as_declared(declaration: Mapping[str, Any], value: Any) -> tuple[Any, str | None]:
    """Return a value, an enum's member as its value, and the reason where it is not as declared or can't be read."""
    try:
        plain = _unwrapped(value)
        return plain, _mismatch(declaration, plain)
    except Exception as error:
        if is_builtin(value):
            raise
        return value, unreadable_reason(error)


def is_readable(name: str) -> bool:
    """Return whether a template can read a variable of that name."""
    return len(name) <= MAX_IDENTIFIER and name.isidentifier() and name not in RESERVED


def _mismatch(declaration: Mapping[str, Any], value: object) -> str | None:
    kind = declaration["type"]
    if value is None and "default" in declaration and declaration["default"] is None:
        return None
    is_truth = isinstance(value, bool) and kind in {"integer", "number"}
    if is_truth or not isinstance(value, _ACCEPTED[kind]):
        return f"must be of type {kind}, not {type(value).__name__}"
    if "enum" in declaration and not _is_listed(value, declaration["enum"]):
        return "must be one of the values that its enum lists"
    return None


def _is_listed(value: Any, enum: Iterable[Any]) -> bool:
    """Return whether a value is one of those; a value whose comparison raises is not."""
    try:
        return any(_same(value, allowed) for allowed in enum)
    except Exception:
        return False


def _same(value: Any, allowed: Any) -> bool:
    """Return whether two values are equal as JSON, at every depth: true is not 1."""
    if isinstance(value, Mapping) and isinstance(allowed, Mapping):
        return value.keys() == allowed.keys() and all(_same(value[key], allowed[key]) for key in allowed)
    if isinstance(value, list | tuple) and isinstance(allowed, list):
        return len(value) == len(allowed) and all(map(_same, value, allowed))
    return isinstance(value, bool) == isinstance(allowed, bool) and bool(value == allowed)


def _unwrapped(value: Any) -> Any:
    """Return the value of an enum's member; anything else stays as it is."""
    return value.value if isinstance(value, Enum) else value


def _fields_of(model: type[BaseModel]) -> Iterable[tuple[str, dict[str, Any]]]:
    for name, field in model.model_fields.items():
        annotation = field.annotation if field.is_required() or field.default is not None else _only(field.annotation)
        given: dict[str, Any] = {"name": name, **_typed(annotation), "required": field.is_required()}
        if not field.is_required():
            given["default"] = _default(name, field)
        if field.description:
            given["description"] = field.description
        yield f"variables.{name[:MAX_IDENTIFIER]}", given


def _only(annotation: Any) -> Any:
    """Return the X of `X | None`, as a default of None allows None anyway."""
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    is_optional = get_origin(annotation) in {Union, UnionType} and len(kinds) == 1
    return kinds[0] if is_optional else annotation


def _default(name: str, field: FieldInfo) -> Any:
    value = read_untrusted(f"variables.{name}.default", field.get_default, call_default_factory=True, validated_data={})
    plain = _unwrapped(value)
    return plain.model_dump(mode="json") if isinstance(plain, BaseModel) else plain


def _typed(annotation: Any) -> dict[str, Any]:
    """Return the type and the enum, if any, that a Python annotation stands for."""
    if get_origin(annotation) is Literal:
        return _enumerated(get_args(annotation))
    plain = get_origin(annotation) or annotation
    if not isinstance(plain, type):
        return {"type": "any"}
    if issubclass(plain, Enum):
        return _enumerated(tuple(member.value for member in plain))
    if plain in _TYPES:
        return {"type": _TYPES[plain]}
    if issubclass(plain, list | tuple):
        return {"type": "array"}
    return {"type": "object" if issubclass(plain, Mapping | BaseModel) else "any"}


def _enumerated(values: tuple[Any, ...]) -> dict[str, Any]:
    kinds = {type(value) for value in values} - {NoneType}
    only = kinds.pop() if len(kinds) == 1 and None not in values else None
    return {"type": _TYPES.get(only, "any") if only else "any", "enum": list(values)}
