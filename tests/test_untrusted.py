"""Arguments and variables whose code raises: the PromptregError names the type and quotes nothing."""

import pickle
from collections import UserDict
from collections.abc import Iterator, Mapping

import pytest
from pydantic import BaseModel, Field

from promptreg import (
    Actor,
    Grant,
    InvalidInputError,
    InvalidVariablesError,
    PromptregError,
    PublishCheckError,
    Registry,
    RenderLimits,
    TemplateError,
    Variable,
)
from tests.test_bad_input import VERBS, answer, fill

SECRET = "what nobody may read"


class OwnError(ValueError):
    """An exception of the application; a `ValueError`, which validators would take for a validation error."""

    def __init__(self, *_):
        super().__init__(SECRET)


def fail(*_, **__):
    """Raise it."""
    raise OwnError


class NoClass:
    """An object whose class can't be read."""

    __class__ = property(fail)


class NoAttribute:
    """An object of which no attribute can be read."""

    __getattribute__ = fail


class NoIterator(list):
    """A list that can't be iterated."""

    __iter__ = fail


class NoLength(list):
    """A list without a length."""

    __len__ = __bool__ = fail


class NoKeys(UserDict):
    """A mapping that can't be iterated."""

    __iter__ = keys = items = fail


class NoItems(Mapping):
    """A mapping with keys, whose items can't be read."""

    def __iter__(self):
        return iter(["role", "content"])

    def __len__(self):
        return 2

    __getitem__ = fail


class NoHash(str):
    """A text that can't be hashed, and of which no method works."""

    __hash__ = __eq__ = __len__ = __contains__ = fail
    encode = isspace = strip = partition = lower = split = fail


class NoNumber(int):
    """A number that can't be compared."""

    __hash__ = __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __str__ = __repr__ = __index__ = __int__ = fail


def broken() -> Iterator[str]:
    """Yield something, and then fail."""
    yield "a"
    fail()


class Path:
    """A path that can't be read."""

    __fspath__ = fail


KINDS = {
    "class": NoClass,
    "attribute": NoAttribute,
    "iterator": lambda: NoIterator(["a"]),
    "length": lambda: NoLength(["a"]),
    "keys": lambda: NoKeys(a=1),
    "items": NoItems,
    "generator": broken,
    "text": lambda: NoHash("x"),
    "number": lambda: NoNumber(2),
    "path": Path,
    "in a list": lambda: [NoClass()],
    "list in a list": lambda: [NoIterator(["a"])],
    "mapping in a list": lambda: [NoKeys(a=1)],
    "items in a list": lambda: [NoItems()],
    "text in a list": lambda: [NoHash("a")],
    "in a mapping": lambda: {"a": NoClass()},
    "list in a mapping": lambda: {"a": NoIterator([1])},
    "mapping in a mapping": lambda: {"a": NoItems()},
    "number in a mapping": lambda: {"a": NoNumber(3)},
    "in a declaration": lambda: [{"name": NoClass(), "default": NoItems()}],
    "in an enum": lambda: [{"name": "a", "enum": NoIterator([1])}],
    "in a default": lambda: [{"name": "a", "default": [NoItems()]}],
    "in a message": lambda: [{"role": NoClass(), "content": NoAttribute()}],
    "in a grant": lambda: [("user:a", NoClass())],
    "grant of an iterator": lambda: [NoIterator(["user:a", "read"])],
}


def require_safe(error: BaseException | None, what: object) -> None:
    """Require that an error is a PromptregError, and that no error of its chain quotes the text."""
    if error is None:
        return
    assert isinstance(error, PromptregError), (what, error)
    assert pickle.loads(pickle.dumps(error)).to_dict() == error.to_dict()
    waiting, seen = [error], set()
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            assert SECRET not in f"{link!r} {link} {getattr(link, 'details', '')}", (what, link)
            waiting += [link.__cause__, link.__context__]


@pytest.mark.parametrize("kind", KINDS)
def test_no_argument_leaks_what_its_code_raises(kind):
    """For every verb, each argument raises a PromptregError, or is accepted if its code does not run."""
    with Registry(":memory:") as registry:
        fill(registry)
        for verb, (good, arguments) in VERBS.items():
            for argument in {"name": None, **arguments} if "name" in good else arguments:
                require_safe(answer(registry, verb, {**good, argument: KINDS[kind]()}), (verb, argument))
        for call in (
            registry.get,
            lambda value: registry.get("a", version=value),
            lambda value: registry.scope(namespace="other").get(value),
            lambda value: registry.scope(actor=Actor("a", "org_admin")).get("a", label=value),
            lambda value: registry.render(value, n=1),
            lambda value: registry.render("a", n=1, version=value),
            lambda value: registry.render("a", value),
            lambda value: registry.get("a").render(value),
            lambda value: registry.render("a", {"a": value}),
            lambda value: registry.render("none", default=value),
            Actor,
            lambda value: Actor("a", value),
            lambda value: Actor("a", groups=value),
            lambda value: Grant(value, "read"),
            lambda value: Grant("user:a", value),
            lambda value: Variable(name=value),
            lambda value: Variable(name="a", default=value),
            lambda value: Variable(name="a", enum=value),
            lambda value: RenderLimits(fuel=value),
            *(
                lambda value, setting=setting: Registry(**{"target": ":memory:", setting: value}).close()
                for setting in (
                    *("target", "namespace", "actor", "create", "max_staleness", "freshness", "cache_size"),
                    *(
                        "durability",
                        "busy_timeout",
                        "publish_checks",
                        "extra_variables",
                        "render_limits",
                        "clock",
                        "redact",
                        "spans",
                    ),
                )
            ),
        ):
            value = KINDS[kind]()
            try:
                call(value)
            except Exception as error:
                require_safe(error, kind)


def test_an_error_of_the_clock_is_raised_unchanged():
    """An error that the clock raises, or a signal handler during it, belongs to the application."""
    raised = TimeoutError("of the application")

    def late():
        raise raised

    with Registry(":memory:", clock=late) as registry:
        with pytest.raises(TimeoutError) as caught:
            registry.create("new", "x")
        assert caught.value is raised
        assert registry.get("new", default=None) is None


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda r: r.create("new", "x", tags=broken()), "tags"),
        (lambda r: r.create("new", "x", tags=NoIterator(["a"])), "tags"),
        (lambda r: r.create("new", "x", examples=broken()), "examples"),
        (lambda r: r.create("new", "x", examples=[NoItems()]), "examples"),
        (lambda r: r.create("new", "x", access_grants=broken()), "access_grants"),
        (lambda r: r.create("new", "x", access_grants=NoIterator([1])), "access_grants"),
        (lambda r: r.create("new", "x", config=NoKeys(a=1)), "config"),
        (lambda r: r.create("new", "x", config={"a": NoItems()}), "config"),
        (lambda r: r.create("new", "x", meta=NoItems()), "meta"),
        (lambda r: r.create("new", "x", variables=NoIterator([1])), "variables"),
        (lambda r: r.create("new", "x", variables=[NoItems()]), "variables"),
        (lambda r: r.create("new", "x", variables=Failing), "variables.a.default"),
        (lambda r: r.create("new", NoIterator([1])), "template"),
        (lambda r: r.create("new", [NoItems()]), "template"),
        (lambda r: r.create("new", "x", title=NoClass()), "title"),
        (lambda r: r.get(NoClass()), "name"),
        (lambda r: r.get("a", version=NoClass()), "version"),
        (lambda r: r.set_status(NoIterator(["a"]), "active"), "names"),
        (lambda r: r.set_status(broken(), "active"), "names"),
        (lambda r: r.publish(NoIterator(["a"])), "name"),
        (lambda r: r.publish(broken()), "name"),
        (lambda r: r.publish(NoClass()), "name"),
        (lambda r: r.rollback(broken(), reason="x"), "name"),
        (lambda r: r.publish(["a"], expected_production=NoKeys(a=1)), "expected_production"),
        (lambda r: r.publish(["a"], expected_hash=NoItems()), "expected_hash"),
        (lambda r: r.list(status=broken()), "status"),
        (lambda r: r.list(limit=NoClass()), "limit"),
        (lambda r: r.render("a", NoKeys(a=1)), "variables"),
        (lambda r: r.render("a", NoItems()), "variables"),
        (lambda _: Actor("a", groups=broken()), "groups"),
        (lambda _: Variable(name="a", enum=broken()), "enum"),
        (lambda _: Registry(":memory:", publish_checks=broken()), "publish_checks"),
        (lambda _: Registry(Path()), "target"),
    ],
)
def test_an_unreadable_argument_is_invalid_input(call, field):
    """The error names the argument and the type of the cause."""
    with Registry(":memory:") as registry:
        registry.create("a", "x")
        with pytest.raises(InvalidInputError) as caught:
            call(registry)
        require_safe(caught.value, field)
        (flaw,) = caught.value.details["errors"]
        assert flaw["field"] == field or flaw["field"].startswith(f"{field}.")
        assert registry.get("new", default=None) is None
        assert [event.action for event in registry.events()] == ["create", "publish"]


class Failing(BaseModel):
    """A model whose default can't be created."""

    a: str = Field(default_factory=fail)


class FailingField(BaseModel):
    """A model that can't be iterated."""

    a: str = "x"

    __iter__ = fail


def test_a_model_that_can_not_be_iterated_is_invalid_input():
    """A model of variables that raises is refused like a mapping that raises, whether or not the prompt is cached."""
    with Registry(":memory:", cache_size=0) as uncached, Registry(":memory:") as cached:
        for registry in (uncached, cached):
            registry.create("a", "{{ a }}")
        for call in (lambda v: uncached.render("a", v), lambda v: cached.render("a", v), cached.get("a").render):
            with pytest.raises(
                InvalidInputError, match="variables: can't be read: its own code raised OwnError"
            ) as caught:
                call(FailingField())
            require_safe(caught.value, "model")
            assert str(caught.value.__cause__) == "OwnError"


@pytest.mark.parametrize("kind", ["string", "integer", "number", "boolean", "array", "object", "any"])
def test_a_declared_variable_whose_code_raises_is_not_as_declared(kind):
    """Errors of its class, attributes or comparison with an enum are reported with all others, and not quoted."""
    with Registry(":memory:") as registry:
        declared = [{"name": "a", "type": kind, "required": False}, {"name": "b", "type": "integer"}]
        prompt = registry.create("p", "{% if a is defined %}{{ b }}{% endif %}", variables=declared)
        for value in (NoClass(), NoAttribute()):
            for call in (lambda **v: registry.render("p", **v), prompt.render):
                with pytest.raises(InvalidVariablesError) as caught:
                    call(a=value, b="1")
                require_safe(caught.value, kind)
                reasons = {e["field"]: e["reason"] for e in caught.value.details["errors"]}
                assert reasons["b"] == "must be of type integer, not str"
                assert reasons["a"] == "can't be read: its own code raised OwnError"


@pytest.mark.parametrize(
    "template", ["{{ a }}", "{{ a.b }}", "{% for x in a %}{{ x }}{% endfor %}", "{{ a is string }}"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_no_render_leaks_what_a_variable_raises(template, kind):
    """This holds for undeclared variables in a text, and for messages of a placeholder."""
    with Registry(":memory:") as registry:
        registry.create("p", template)
        registry.create("chat", [{"placeholder": "a"}])
        for name in ("p", "chat", "p", "chat"):
            for wrap in (
                lambda value: value,
                lambda value: [value],
                lambda value: [{"role": "user", "content": value}],
            ):
                try:
                    registry.render(name, a=wrap(KINDS[kind]()))
                except TemplateError as error:
                    require_safe(error, (name, kind))


def test_a_check_without_a_name_is_reported_by_its_type():
    """An error of its `__name__` is not raised; what the check raises is its reason as usual."""

    class Check:
        def __call__(self, prompt):
            raise ValueError("no")

        def __getattr__(self, name):
            raise OwnError

    with Registry(":memory:", publish_checks=[Check()]) as registry, pytest.raises(PublishCheckError) as caught:
        registry.create("p", "x")
    assert caught.value.details["reasons"] == ["Check: no"]


@pytest.mark.parametrize("template", ["x", [{"role": "user", "content": "x"}]])
def test_an_exception_is_raised_unchanged_if_no_code_of_the_caller_ran(monkeypatch, template):
    """An `Exception` of a signal handler, such as a soft time limit, is raised while builtin values are read."""

    def interrupted(*_, **__):
        raise TimeoutError("a soft time limit")

    with Registry(":memory:") as registry:
        with monkeypatch.context() as patch:
            patch.setattr("promptreg.rules.inputs.checked_text", interrupted)
            for passed in ({"template": template}, {"template": "x", "tags": ["a"], "config": {"a": [1, None]}}):
                with pytest.raises(TimeoutError, match="a soft time limit"):
                    registry.create("new", **passed)
        assert registry.create("new", template).version == 1
