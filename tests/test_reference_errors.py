"""What the errors of names, references and versions say to pass instead."""

import pytest

from promptreg import InvalidInputError, NoProductionVersionError


def test_what_has_no_production_version_is_answered_with_a_reference_that_each_verb_takes(registry):
    """It names the latest version with `@`; where `production` itself was asked for, only publishing helps."""
    registry.create("draft", "x", is_production=False)
    registry.update("draft", template="y", is_production=False)
    for call in (registry.get, registry.render, lambda name: registry.get_many([name])):
        with pytest.raises(NoProductionVersionError) as caught:
            call("draft")
        reason = "No version of 'draft' is in production; publish one, or choose one, such as 'draft@2'."
        assert caught.value.message == reason
        call("draft@2")
    for call in (lambda: registry.get("draft@production"), lambda: registry.diff("draft", "production", 1)):
        with pytest.raises(NoProductionVersionError) as caught:
            call()
        assert caught.value.message == "No version of 'draft' is in production; publish one."


def test_a_version_chosen_twice_is_answered_with_the_arguments_that_the_verb_has(registry):
    """`label` is named only where it was passed, as few verbs have it."""
    registry.create("a", "x")
    for call, ways in (
        (lambda: registry.publish("a@1", 1), "@ or version="),
        (lambda: registry.get("a@1", version=1), "@ or version="),
        (lambda: registry.get("a@1", label="x"), "@, version= or label="),
    ):
        with pytest.raises(InvalidInputError) as caught:
            call()
        assert caught.value.message == f"version: choose one version: with {ways}, once"


TAKES_A_VERSION = {
    "version": [
        lambda r, bad: r.get("a", version=bad),
        lambda r, bad: r.render("a", version=bad),
        lambda r, bad: r.publish("a", bad),
        lambda r, bad: r.publish(["a"], bad),
        lambda r, bad: r.rollback("a", bad, reason="x"),
        lambda r, bad: r.check("a", bad),
        lambda r, bad: r.discard("a", bad),
        lambda r, bad: r.set_label("a", "x", bad),
        lambda r, bad: r.update("a", version=bad),
    ],
    "old": [lambda r, bad: r.diff("a", bad, 1)],
    "before": [lambda r, bad: r.history("a", before=bad)],
}


def test_what_is_no_version_is_answered_with_number_or_label(registry):
    """Wherever a version is asked for, either is taken."""
    registry.create("a", "x")
    for field, calls in TAKES_A_VERSION.items():
        for call in calls:
            for bad in (["spring"], 1.5, True):
                with pytest.raises(InvalidInputError) as caught:
                    call(registry, bad)
                assert caught.value.message == f"{field}: must be a number or a label, not {type(bad).__name__}"


TAKES_A_NAME = {
    "name": [
        lambda r, bad: r.get(bad),
        lambda r, bad: r.render(bad),
        lambda r, bad: r.create(bad, "x"),
        lambda r, bad: r.save(bad, "x"),
        lambda r, bad: r.seed(bad, "x"),
        lambda r, bad: r.update(bad),
        lambda r, bad: r.publish(bad),
        lambda r, bad: r.rollback(bad, reason="x"),
        lambda r, bad: r.check(bad),
        lambda r, bad: r.archive(bad),
        lambda r, bad: r.enable(bad),
        lambda r, bad: r.delete(bad),
        lambda r, bad: r.set_label(bad, "x", 1),
        lambda r, bad: r.remove_label(bad, "x"),
        lambda r, bad: r.history(bad),
        lambda r, bad: r.diff(bad, 1, 1),
        lambda r, bad: r.events(bad),
    ],
    "name[0]": [lambda r, bad: r.publish([bad]), lambda r, bad: r.rollback([bad], reason="x")],
    "names": [
        lambda r, bad: r.get_many(bad),
        lambda r, bad: r.set_status(bad, "disabled"),
        lambda r, bad: r.report(bad),
    ],
    "names[0]": [
        lambda r, bad: r.get_many([bad]),
        lambda r, bad: r.set_status([bad], "disabled"),
        lambda r, bad: r.report([bad]),
    ],
    "new_name": [lambda r, bad: r.update("a", new_name=bad)],
    "namespace": [lambda r, bad: r.scope(namespace=bad)],
    "expected_production": [lambda r, bad: r.publish(["a"], expected_production={bad: 1})],
}


def test_a_prompt_in_place_of_its_name_is_answered_with_the_name(registry):
    """Wherever a name is read, the error says to pass that of the value."""
    prompt = registry.create("a", "x")
    for field, calls in TAKES_A_NAME.items():
        for call in calls:
            for bad in (prompt, registry.history("a")[0]):
                with pytest.raises(InvalidInputError) as caught:
                    call(registry, bad)
                assert caught.value.message == f"{field}: must be text, not {type(bad).__name__}; pass its name"
    with pytest.raises(InvalidInputError, match="must be text, not Prompt; pass its name"):
        registry.publish(registry.list())
