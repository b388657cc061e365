"""The tree of errors: classes, codes, statuses, details, the envelope, pickles, and wrong signatures."""

import copy
import json
import pickle
from uuid import UUID

import pytest

import promptreg
from promptreg import Actor, Grant, PromptregError, Registry

# Each error: its parent, codes, status, and details.
TREE = {
    "InvalidInputError": ("PromptregError", "validation_error", 400, {"errors": [{"field": "x", "reason": "y"}]}),
    "UnauthorizedError": ("PromptregError", "unauthorized", 401, {}),
    "ForbiddenError": ("PromptregError", "forbidden", 403, {"names": ["a"], "action": "update"}),
    "NotFoundError": ("PromptregError", "not_found", 404, {"names": ["a", "b"]}),
    "VersionNotFoundError": ("NotFoundError", "version_not_found", 404, {"name": "a", "version": 3}),
    "NoProductionVersionError": ("NotFoundError", "no_production_version", 404, {"name": "a", "version": None}),
    "ConflictError": ("PromptregError", "conflict", 409, {}),
    "NameTakenError": ("ConflictError", "name_taken", 409, {"name": "a"}),
    "VersionConflictError": ("ConflictError", "version_conflict", 409, {"expected": 1, "actual": 2}),
    "NotModifiableError": ("ConflictError", "version_not_modifiable", 409, {"names": ["a"], "state": "published"}),
    "PromptDisabledError": ("ConflictError", "prompt_disabled", 409, {"name": "a"}),
    "TemplateError": ("PromptregError", "template_error", 422, {"name": "a", "line": 1}),
    "TemplateSyntaxError": ("TemplateError", "template_syntax_error", 422, {"line": 2}),
    "TemplatePolicyError": ("TemplateError", "template_policy", 422, {"line": 2}),
    "MissingVariablesError": ("TemplateError", "missing_variables", 422, {"missing": ["x"]}),
    "InvalidVariablesError": ("TemplateError", "invalid_variables", 422, {"errors": [{"field": "x", "reason": "y"}]}),
    "RenderLimitError": ("TemplateError", "render_limit", 422, {"limit": "seconds"}),
    "RenderError": ("TemplateError", "render_error", 422, {}),
    "PublishCheckError": ("PromptregError", "publish_check_failed", 422, {"reasons": ["r"]}),
    "StorageError": ("PromptregError", "internal_error", 500, {}),
    "StorageBusyError": ("StorageError", "service_unavailable", 503, {"retry_after": 1.0}),
    "StorageFullError": ("StorageError", "service_unavailable", 503, {"retry_after": None}),
    "StorageReadOnlyError": ("StorageError", "service_unavailable", 503, {"retry_after": None}),
    "StorageCorruptError": ("StorageError", "storage_corrupt", 500, {}),
    "SchemaTooNewError": ("StorageError", "schema_too_new", 500, {}),
    "CommitUnknownError": ("StorageError", "commit_unknown", 500, {}),
}


def test_the_tree_of_errors_is_the_documented_one():
    """Every error is exported, and there is no error that is not in the table."""
    exported = {
        name
        for name in promptreg.__all__
        if isinstance(getattr(promptreg, name), type) and issubclass(getattr(promptreg, name), Exception)
    }
    assert exported == {*TREE, "PromptregError"}
    assert PromptregError.__mro__[1] is Exception


@pytest.mark.parametrize("name", TREE)
def test_an_error_has_its_place_code_status_and_envelope(name):
    """Each class has its parent, code and status, and returns them in the JSON envelope."""
    parent, code, status, details = TREE[name]
    kind = getattr(promptreg, name)
    error = kind("What happened.", **details)
    assert kind.__bases__ == (getattr(promptreg, parent),)
    assert (error.code, error.http_status, error.message, error.details) == (code, status, "What happened.", details)
    assert str(error) == "What happened."
    assert str(UUID(error.request_id)) == error.request_id
    assert kind("Another.").request_id != error.request_id
    assert error.to_dict() == {
        "error": {"code": code, "message": "What happened.", "details": details},
        "request_id": error.request_id,
    }
    assert json.loads(json.dumps(error.to_dict())) == error.to_dict()
    assert kind.__doc__


@pytest.mark.parametrize("name", TREE)
def test_every_error_pickles(name):
    """A pickle or a copy of an error has its class, code, message, details and request id."""
    kind = getattr(promptreg, name)
    error = kind("What happened.", code="prompt_archived", **TREE[name][3])
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(same) is kind
        assert same.to_dict() == error.to_dict()
        assert (same.http_status, str(same), same.args) == (error.http_status, str(error), error.args)


def raised(registry):
    """Return the errors that real calls raise, by their code."""
    registry.create("a", "{{ x }}", variables=[{"name": "x", "type": "integer"}])
    registry.update("a", title="Draft", is_production=False)
    registry.create("off", "x")
    registry.set_status("off", "disabled")
    registry.create("old", "x")
    registry.archive("old")
    registry.create("draft", "x", is_production=False)
    member = registry.scope(actor=Actor("m", "team_member"))
    return {
        "validation_error": lambda: registry.get("A"),
        "unauthorized": lambda: registry.scope(actor=None),
        "forbidden": lambda: member.update("a", title="x"),
        "not_found": lambda: registry.get("absent"),
        "version_not_found": lambda: registry.get("a@9"),
        "no_production_version": lambda: registry.get("draft"),
        "conflict": lambda: registry.rollback("a", reason="x"),
        "name_taken": lambda: registry.create("a", "x"),
        "version_conflict": lambda: registry.update("a", title="x", expected_version=9),
        "version_not_modifiable": lambda: registry.update("a@1", title="x"),
        "prompt_archived": lambda: registry.update("old", title="x"),
        "prompt_disabled": lambda: registry.render("off"),
        "template_syntax_error": lambda: registry.create("new", "\n{{"),
        "template_policy": lambda: registry.create("new", "\n{% include 'x' %}"),
        "missing_variables": lambda: registry.render("a"),
        "invalid_variables": lambda: registry.render("a", x="SECRET"),
        "publish_check_failed": lambda: registry.create("new", "{{ x }}", examples=[{}]),
        "render_error": lambda: registry.render("none", default="{{ 1 / 0 }}"),
    }


EVIDENCE = {
    "unauthorized": {},
    "forbidden": {"names": ["a"], "action": "update"},
    "not_found": {"names": ["absent"]},
    "version_not_found": {"name": "a", "version": 9},
    "no_production_version": {"name": "draft", "version": None},
    "conflict": {},
    "name_taken": {"name": "a"},
    "version_conflict": {"expected": 9, "actual": 1},
    "version_not_modifiable": {"names": ["a"], "state": "published"},
    "prompt_archived": {"names": ["old"], "state": "archived"},
    "prompt_disabled": {"name": "off"},
    "template_syntax_error": {"name": "new", "line": 2},
    "template_policy": {"name": "new", "line": 2},
    "missing_variables": {"name": "a", "missing": ["x"]},
}
KEYS = {
    "validation_error": {"errors"},
    "invalid_variables": {"name", "errors"},
    "publish_check_failed": {"name", "reasons"},
    "render_error": {"name", "line"},
}


def test_errors_of_real_calls_have_their_details_and_change_nothing(registry, unchanged):
    """Each refusal has the code, details and status of the table, is JSON, can be pickled, and quotes no value."""
    codes = {code: status for _, code, status, _ in TREE.values()} | {"prompt_archived": 409}
    for code, call in raised(registry).items():
        warm = registry.get("a")
        with unchanged(), pytest.raises(PromptregError) as caught:
            call()
        error = caught.value
        assert (error.code, error.http_status) == (code, codes[code])
        if code in EVIDENCE:
            assert error.details == EVIDENCE[code]
        else:
            assert set(error.details) == KEYS[code]
        assert json.loads(json.dumps(error.to_dict())) == error.to_dict()
        assert pickle.loads(pickle.dumps(error)).to_dict() == error.to_dict()
        assert "SECRET" not in str(error.to_dict())
        assert registry.get("a") == warm


def test_wrong_python_signatures_are_type_errors(registry, unchanged):
    """Too few, too many or unknown arguments raise Python's `TypeError`, and change nothing."""
    registry.create("a", "x")
    with unchanged():
        for call in (
            lambda: Registry("x.db", "namespace"),
            lambda: Registry("x.db", colour="red"),
            lambda: registry.scope("support"),
            lambda: registry.create("b"),
            lambda: registry.create("b", "x", "title"),
            lambda: registry.create("b", "x", colour="red"),
            lambda: registry.save("a"),
            registry.get,
            lambda: registry.get("a", 1),
            registry.render,
            lambda: registry.render("a", {}, 1),
            registry.update,
            lambda: registry.update("a", "template"),
            lambda: registry.update("a", colour="red"),
            lambda: registry.publish("a", 1, 1),
            lambda: registry.rollback("a"),
            lambda: registry.rollback("a", 1, "reason"),
            lambda: registry.set_status("a"),
            lambda: registry.set_status("a", "disabled", True),
            registry.archive,
            lambda: registry.restore("a", "b"),
            lambda: registry.discard("a", 1, 2),
            lambda: registry.set_label("a"),
            lambda: registry.set_label("a", "x", 1, 2),
            lambda: registry.remove_label("a"),
            lambda: registry.history("a", 5),
            lambda: registry.diff("a", 1),
            lambda: registry.list("active"),
            registry.search,
            lambda: registry.search("x", 5),
            lambda: registry.events("a", 5),
            lambda: registry.namespaces("x"),
            lambda: registry.get("a").render({}, {}),
            promptreg.slugify,
            Actor,
            lambda: Actor("a", None, (), "x"),
            lambda: Actor("a", colour="red"),
            lambda: Grant("anyone"),
            lambda: Grant("anyone", "read", "x"),
        ):
            with pytest.raises(TypeError):
                call()
