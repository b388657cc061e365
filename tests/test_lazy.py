"""Templates are compiled when they are rendered, checked or their variables are read, which has no visible effect."""

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from promptreg import Page, Prompt, PromptDisabledError, Registry, Version, templates
from promptreg.rendering.template import CompiledTemplate


class Compiled:
    """The templates that were compiled since the last call of `since`."""

    def __init__(self) -> None:
        self._templates: list[Any] = []

    def compile(self, template: Any, *rest: Any) -> CompiledTemplate:
        """Compile, and record it."""
        self._templates.append(template)
        return CompiledTemplate(template, *rest)

    def since(self) -> list[Any]:
        """Return them, and clear the list."""
        templates, self._templates = self._templates, []
        return templates


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the file of three prompts, one of which has a draft."""
    path = tmp_path / "lazy.db"
    with Registry(path) as registry:
        for name in "abc":
            registry.create(name, f"{name} {{{{ x }}}}")
        registry.update("a", template="draft {{ x }}", is_production=False)
    return path


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Compiled:
    """Record what registries compile from now on."""
    compiled = Compiled()
    monkeypatch.setattr(templates, "CompiledTemplate", compiled.compile)
    return compiled


@pytest.fixture
def fresh(path: Path, compiled: Compiled) -> Iterator[Registry]:
    """Open the file again, with nothing compiled."""
    with Registry(path) as registry:
        yield registry


def test_no_read_compiles(fresh: Registry, compiled: Compiled) -> None:
    """Listing, searching, getting and comparing compile no template."""
    assert len(fresh.list()) == len(fresh.search("x")) == 3
    fresh.get("a")
    fresh.get("a@2")
    fresh.get("a")
    fresh.history("a")
    fresh.diff("a", 1, 2)
    fresh.events("a")
    assert compiled.since() == []


def test_a_verb_that_writes_no_version_compiles_nothing(fresh: Registry, compiled: Compiled) -> None:
    """Changes of status and labels, rollback, discard, and calls without a change compile no template."""
    fresh.set_status(["a", "b"], "disabled")
    fresh.set_status("a", "active")
    fresh.set_label("a", "staging", 1)
    fresh.remove_label("a", "staging")
    fresh.archive("c")
    fresh.restore("c")
    fresh.discard("a", 2)
    assert compiled.since() == []


def test_a_saved_template_is_compiled_once(fresh: Registry, compiled: Compiled) -> None:
    """Saving or publishing compiles the template once for checks, variables and renders."""
    fresh.create("d", "d {{ x }}", examples=[{"x": 1}])
    assert compiled.since() == ["d {{ x }}"]
    assert [variable.name for variable in fresh.update("d", template="e {{ x }}").variables] == ["x"]
    assert fresh.render("d", x=1).text == "e 1"
    assert compiled.since() == ["e {{ x }}"]
    fresh.publish("a", 2)
    assert compiled.since() == ["draft {{ x }}"]
    fresh.rollback("a", reason="…")
    assert compiled.since() == []


def test_a_render_and_the_variables_compile_once(fresh: Registry, compiled: Compiled) -> None:
    """The first use of either compiles, and later ones use the result."""
    prompt = fresh.get("a")
    assert [variable.name for variable in prompt.variables] == ["x"]
    assert prompt.variables is prompt.variables
    assert [fresh.render("a", x=i).text for i in range(4)] == ["a 0", "a 1", "a 2", "a 3"]
    assert prompt.render(x=1).text == fresh.get("a").render(x=1).text == "a 1"
    assert compiled.since() == ["a {{ x }}"]
    assert [fresh.render("b", {"x": i}).text for i in range(4)] == ["b 0", "b 1", "b 2", "b 3"]
    assert compiled.since() == ["b {{ x }}"]


def test_a_disabled_prompt_is_not_compiled(fresh: Registry, compiled: Compiled) -> None:
    """It is refused before its template is read."""
    fresh.set_status("a", "disabled")
    for _ in range(3):
        with pytest.raises(PromptDisabledError):
            fresh.render("a", x=1)
    assert compiled.since() == []


def _prompt(registry: Registry) -> Prompt:
    return registry.get("a")


def _version(registry: Registry) -> Version:
    return registry.history("a")[1]


class Holder(BaseModel):
    """A model of an application that holds what verbs return."""

    held: Prompt | Version


@pytest.mark.parametrize("read", [_prompt, _version])
def test_values_are_the_same_before_and_after_compiling(path: Path, read: Any) -> None:
    """Every operation on a value returns the same as on one whose variables were read before."""
    with Registry(path) as registry:
        computed = read(registry)
        assert [variable.name for variable in computed.variables] == ["x"]
        assert [*dict(computed)] == [*type(computed).model_fields]

    def uncomputed() -> Any:
        with Registry(path) as registry:
            return read(registry)

    kind = type(computed)
    for same in (
        lambda value: value.model_dump(),
        lambda value: list(value.model_dump(mode="json").items()),
        lambda value: value.model_dump(include={"variables", "name"}),
        lambda value: value.model_dump(exclude_unset=True),
        lambda value: value.model_dump_json(),
        repr,
        str,
        lambda value: list(dict(value).items()),
        hash,
        lambda value: value.model_fields_set,
        lambda value: getattr(value, "variables"),  # noqa: B009 - as any code that reads fields by their names
        lambda value: value.model_copy(),
        lambda value: value.model_copy(deep=True),
        lambda value: value.model_copy(update={"template": "y {{ y }}"}).variables,
        lambda value: value.model_copy(update={"variables": []}).variables,
        copy.copy,
        lambda value: copy.deepcopy(value).variables,
        lambda value: pickle.loads(pickle.dumps(value)),
        lambda value: pickle.loads(pickle.dumps(value)).variables,
        lambda value: kind.model_validate(value).variables,
        lambda value: kind.model_validate(value, from_attributes=True),
        lambda value: TypeAdapter(kind).dump_python(value),
        lambda value: Holder(held=value).model_dump(),
        lambda value: Holder(held=value).model_dump_json(),
        lambda value: Holder.model_construct(held=value).model_dump_json(),
    ):
        assert same(uncomputed()) == same(computed)
    assert uncomputed() == computed
    assert computed == uncomputed()
    assert uncomputed() == uncomputed()
    assert len({uncomputed(), computed}) == 1
    assert kind.model_validate_json(uncomputed().model_dump_json()) == computed


def test_a_page_dumps_the_variables(path: Path) -> None:
    """Dumps of a page, and of models that contain prompts, have the variables."""
    with Registry(path) as registry:
        dumped = registry.list().model_dump(mode="json")
        assert [[variable["name"] for variable in item["variables"]] for item in dumped["items"]] == [["x"]] * 3
        assert Page.model_validate(dumped) == registry.list()


def test_prompts_that_differ_only_in_variables_are_unequal(path: Path) -> None:
    """Equality compares the variables, even if they have not been computed yet."""
    with Registry(path) as registry:
        assert registry.get("a").model_copy(update={"variables": []}) != registry.get("a")
        assert registry.get("a") != registry.get("a").model_copy(update={"variables": []})
        assert registry.history("a")[0] != registry.history("a")[1]


def test_a_value_outlives_its_registry(path: Path) -> None:
    """A prompt that was read has its variables, and renders, after the registry is closed."""
    with Registry(path) as registry:
        prompt, version = registry.get("a"), registry.history("a")[1]
    assert (
        [variable.name for variable in prompt.variables] == [variable.name for variable in version.variables] == ["x"]
    )
    assert prompt.render(x=1).text == "a 1"
    with pytest.raises(AttributeError):
        prompt.absent  # noqa: B018
