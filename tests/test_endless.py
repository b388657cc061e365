"""Endless arguments, and those whose code raises while a similar word is searched, are refused at once."""

from collections.abc import Iterator, Mapping
from itertools import repeat

import pytest

from promptreg import (
    Actor,
    Grant,
    InvalidInputError,
    InvalidVariablesError,
    NotFoundError,
    Registry,
    TemplateSyntaxError,
    Variable,
)


class Endless(Mapping[str, object]):
    """A mapping whose keys never end."""

    def __getitem__(self, key: str) -> object:
        if key not in {"role", "content", "name", "principal"}:
            raise KeyError(key)
        return "x"

    def __iter__(self) -> Iterator[str]:
        return (f"k{i}" for i, _ in enumerate(repeat(None)))

    def __len__(self) -> int:
        return 1


class Raising(str):
    """A text whose code raises."""

    def __getitem__(self, key: object) -> str:
        raise KeyError("SECRET")


CALLS = {
    "groups": lambda r: Actor("x", None, range(10**12)),
    "enum": lambda r: Variable(name="x", enum=repeat("a")),
    "permission": lambda r: Grant("anyone", Raising("raed")),
    "template": lambda r: r.create("new", [Endless()]),
    "grants": lambda r: r.create("new", "x", access_grants=[Endless()]),
    "variables": lambda r: r.create("new", "x", variables=[Endless()]),
    "config": lambda r: r.create("new", "x", config=Endless()),
    "passed": lambda r: r.render("a", Endless()),
    "names": lambda r: r.set_status(repeat("a"), "active"),
    "references": lambda r: r.publish(repeat("a")),
    "expected": lambda r: r.publish(["a"], expected_production=Endless()),
    "names to get": lambda r: r.get_many(repeat("a")),
    "names to report": lambda r: r.report(repeat("a")),
    "statuses": lambda r: r.list(status=repeat("active")),
    "tags": lambda r: r.iterate(tag=repeat("a")),
    "actions": lambda r: r.events(action=repeat("create")),
    "publish_checks": lambda r: Registry(":memory:", publish_checks=repeat(len)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_endless_argument_is_invalid_input(call):
    """No argument is read beyond its bound, and what its code raises is not reported."""
    with Registry(":memory:") as registry:
        registry.create("a", "one")
        with pytest.raises(InvalidInputError) as caught:
            call(registry)
    assert "SECRET" not in str(caught.value)


def test_many_bad_names_are_reported_in_linear_time():
    """20,000 malformed names are 20,000 errors; comparing each with all others would take over ten seconds."""
    with Registry(":memory:") as registry, pytest.raises(InvalidInputError) as caught:
        registry.set_status(["A B"] * 20_000, "active")
    assert len(caught.value.details["errors"]) == 20_000
    with Registry(":memory:") as registry, pytest.raises(NotFoundError) as caught:
        registry.publish(f"absent-{i}" for i in range(1_000))
    assert len(caught.value.details["names"]) == 1_000


TOLD = [
    (
        lambda r: r.update("a@2", is_production=True, new_name="b", access_grants=[], expected_version=1, title=3),
        ["title", "is_production", "expected_version", "new_name", "access_grants"],
    ),
    (lambda r: r.create("b", [{"role": "sytem", "content": 3}]), ["template[0].role", "template[0].content"]),
]


@pytest.mark.parametrize(("call", "fields"), TOLD, ids=["in place", "message"])
def test_all_bad_fields_are_reported_together(call, fields):
    """This holds for an edit in place, and for one message, as for all other calls."""
    with Registry(":memory:") as registry:
        registry.create("a", "one")
        registry.update("a", template="two", is_production=False)
        with pytest.raises(InvalidInputError) as caught:
            call(registry)
    assert [error["field"] for error in caught.value.details["errors"]] == fields


def test_a_message_names_the_actual_fault():
    """A label of digits is refused as a label, and a fault after @ is not reported as one of the name."""
    with Registry(":memory:") as registry:
        registry.create("a", "one")
        for call, start in (
            (lambda: registry.set_label("a@1", "5"), "label: must be 1 to 50 of"),
            (lambda: registry.get("a@0"), "name: the version after @ must be at least 1"),
            (lambda: registry.get("a@x y"), "name: what follows @ must be 1 to 50 of"),
        ):
            with pytest.raises(InvalidInputError) as caught:
                call()
            assert str(caught.value).startswith(start)


def test_an_error_of_a_default_does_not_blame_the_prompt():
    """The error names the default, because the prompt of that name is valid."""
    with Registry(":memory:") as registry:
        registry.create("a", "one")
        with pytest.raises(TemplateSyntaxError, match=r"^'a': the default: Line 1: "):
            registry.render("a", default="{{ bad")


def test_unknown_and_wrong_variables_are_reported_together():
    """If extra variables are forbidden, they are reported together with variables of a wrong type."""
    with Registry(":memory:", extra_variables="forbid") as registry:
        registry.create("a", "{{ n }}", variables=[{"name": "n", "type": "integer"}])
        with pytest.raises(InvalidVariablesError) as caught:
            registry.render("a", n="SECRET", word=1)
    assert [error["field"] for error in caught.value.details["errors"]] == ["word", "n"]
    assert "SECRET" not in str(caught.value)
