"""Rule 22 where people have changed what is live, other writers come in between, and what is kept."""

import logging
import os
from collections.abc import Callable

import pytest

from promptreg import ConflictError, Prompt, PublishCheckError, Registry, TemplateError, VersionConflictError
from tests.forks import fork, in_child, of_child
from tests.seeds import EDITOR, actions, conflicting, last_event, live, only_the_seed_moves, versions
from tests.test_rules_meanwhile import meanwhile
from tests.test_storage_sqlite import raw

# Another, and people have changed what is live


def test_rule_22_a_draft_is_made_and_what_is_live_stays(registry, caplog):
    """The call returns what is live, and warns by the logger `promptreg`, with names and numbers only."""
    conflicting(registry)
    last, before = last_event(registry), registry.get("x")
    returned = registry.scope(actor=EDITOR).seed("x", "shipped")
    assert returned == registry.get("x")
    assert (returned.version, returned.template, returned.latest_version) == (2, "people's", 3)
    assert returned.updated_at > before.updated_at
    draft = registry.get("x@3")
    assert (draft.state, draft.template, draft.base_version, draft.author) == ("draft", "shipped", 2, "ana")
    assert actions(registry, last) == [("update", 3)]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("promptreg", logging.WARNING)
    assert record.getMessage() == (
        "'x' was changed by people since version 1 was seeded, so version 2 stays live; what is seeded now"
        " is version 3 (draft), which publish('x', 3) makes live."
    )


def test_rule_22_the_warning_comes_after_the_commit(registry):
    """A log handler may use the registry, which is neither locked nor in a transaction."""
    found = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(registry.publish("x").version)

    handler = Handler()
    logging.getLogger("promptreg").addHandler(handler)
    try:
        conflicting(registry)
        registry.seed("x", "shipped")
    finally:
        logging.getLogger("promptreg").removeHandler(handler)
    assert (found, live(registry)) == ([3], (3, "shipped"))


def test_rule_22_what_was_never_seeded_is_people_s(registry, caplog):
    """A prompt that exists and is live with other content, and was never seeded, is kept."""
    registry.create("x", "people's")
    assert registry.seed("x", "shipped").template == "people's"
    assert registry.get("x@2").state == "draft"
    registry.seed("x", "shipped later")
    for record in caplog.records:
        assert record.getMessage().startswith("'x' was made by people, so version 1 stays")


def test_rule_22_a_rollback_is_a_change_by_people(registry):
    """What the next release ships is a draft beside what people rolled back to."""
    registry.seed("x", "one")
    registry.seed("x", "two")
    registry.rollback("x", reason="r")
    assert registry.seed("x", "three").version == 1
    assert versions(registry)[2] == (3, "draft", "three")


def test_rule_22_the_draft_of_the_last_seed_is_edited(registry, unchanged, caplog):
    """Release after release edits it, each with a warning, and a restart writes and warns of nothing."""
    conflicting(registry)
    registry.seed("x", "two")
    registry.update("x", config={"model": "people's"})
    last, made = last_event(registry), registry.get("x@3")
    registry.scope(actor=EDITOR).seed("x", "three", tags=["a"])
    edited = registry.get("x@3")
    assert (edited.template, edited.tags, edited.state) == ("three", ["a"], "draft")
    assert (edited.author, edited.version_created_at) == (made.author, made.version_created_at)
    assert (edited.config, edited.base_version) == ({"model": "people's"}, 4)  # it is what would go live now
    assert actions(registry, last) == [("edit", 3)]
    with unchanged():
        assert registry.seed("x", "three", tags=["a"]).version == 4
    assert len(caplog.records) == 2
    assert caplog.records[1].getMessage() == (
        "'x' was changed by people since version 1 was seeded, so version 4 stays live; what is seeded now is version 3"
        " (draft), which publish('x', 3) makes live."
    )


@pytest.mark.parametrize(
    ("edit", "left"),
    [
        (lambda r: r.update("x@3", template="edited"), (3, "draft", "edited")),
        (lambda r: r.update("x@3", config={"n": 1}), (3, "draft", "two")),
        (lambda r: r.update("x@3", commit_message="Mine"), (3, "draft", "two")),
        (lambda r: [r.publish("x@3"), r.publish("x", 2)], (3, "published", "two")),
        (lambda r: r.discard("x@3"), None),
    ],
    ids=["its template", "a field", "its message", "published", "discarded"],
)
def test_rule_22_a_draft_that_people_edited_is_left_to_them(registry, edit, left):
    """Another draft is made; one that was discarded, or published and replaced, is not touched either."""
    conflicting(registry)
    registry.seed("x", "two")
    edit(registry)
    registry.seed("x", "three")
    assert versions(registry)[2:] == [*([left] if left else []), (4, "draft", "three")]
    registry.seed("x", "four")
    assert versions(registry)[-1] == (4, "draft", "four")


def test_rule_22_a_draft_that_failed_its_checks_is_still_the_seed_s(path):
    """Somebody tried to publish it, and nobody edited it: it is edited, and a draft again."""

    def refuse(prompt: Prompt) -> None:
        if prompt.template == "two":
            raise ValueError("no")

    with Registry(path, publish_checks=[refuse]) as registry:
        conflicting(registry)
        registry.seed("x", "two")
        with pytest.raises(PublishCheckError):
            registry.publish("x")
        registry.seed("x", "three")
        assert versions(registry)[2:] == [(3, "draft", "three")]
        assert registry.get("x@3").failure is None


def test_rule_22_a_label_on_the_draft_is_no_edit(registry):
    """What the label shows is what the code ships now."""
    conflicting(registry)
    registry.seed("x", "two")
    registry.set_label("x", "shipped", 3)
    registry.seed("x", "three")
    assert registry.get("x@shipped").template == "three"


def test_rule_22_somebody_s_equal_draft_is_not_made_twice(registry, caplog):
    """The warning names it; it stays its author's, so the next seed makes another."""
    conflicting(registry)
    registry.update("x", template="two", is_production=False)
    with only_the_seed_moves(registry):
        registry.seed("x", "two")
    assert "is version 3 (draft)" in caplog.text
    registry.seed("x", "three")
    assert versions(registry)[2:] == [(3, "draft", "two"), (4, "draft", "three")]


def test_rule_22_the_draft_that_people_publish_is_what_was_seeded(registry):
    """Then nobody has changed what is live, and the next release goes live at once."""
    conflicting(registry)
    registry.seed("x", "two")
    registry.publish("x")
    assert registry.seed("x", "three").production_version == 4


def test_rule_22_publish_replaces_what_people_made(registry, caplog):
    """As a new version, or as an earlier one with that content."""
    conflicting(registry)
    assert registry.seed("x", "two", on_conflict="publish").production_version == 3
    registry.update("x", template="theirs again")
    last = last_event(registry)
    assert registry.seed("x", "one", on_conflict="publish").production_version == 1
    assert (actions(registry, last), caplog.records) == ([("publish", 1)], [])


def test_rule_22_error_moves_nothing(registry, unchanged):
    """`ConflictError` names the prompt, what is live and the fields, and the next call is refused as well."""
    conflicting(registry)
    for _ in range(2):
        with unchanged(), pytest.raises(ConflictError) as caught:
            registry.seed("x", "two", tags=["a"], on_conflict="error")
        assert (type(caught.value), caught.value.code) == (ConflictError, "conflict")
        assert caught.value.details == {"name": "x", "production": 2, "fields": ["template", "tags"]}
    assert caught.value.message == (
        "'x' was changed by people since version 1 was seeded, and version 2, which is live, differs from"
        " what is seeded now in template, tags; take it over into what you seed, or pass on_conflict='publish' to"
        " replace it."
    )
    assert registry.seed("x", "one", on_conflict="error").version == 2  # the same as last seeded


# Other writers


def test_rule_22_a_name_that_is_taken_meanwhile_is_found(registry, path, monkeypatch):
    """Between the read and the write another process creates the prompt: equal, it is kept; else it is theirs."""
    meanwhile(monkeypatch, path, lambda other: other.seed("x", "one"))
    assert registry.seed("x", "one").version == 1
    assert actions(registry) == [("create", 1), ("publish", 1)]
    meanwhile(monkeypatch, path, lambda other: other.create("y", "theirs"))
    assert registry.seed("y", "one").template == "theirs"


def test_rule_22_what_people_publish_meanwhile_is_kept(registry, path, monkeypatch, caplog):
    """The decision is made again within the write."""
    registry.seed("x", "one")
    meanwhile(monkeypatch, path, lambda other: other.update("x", template="people's"))
    assert registry.seed("x", "two").template == "people's"
    assert versions(registry)[-1] == (3, "draft", "two")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [({"examples": [{}]}, PublishCheckError), ({"variables": [{"name": "n", "required": False}]}, TemplateError)],
    ids=["examples", "variables"],
)
def test_rule_22_what_is_written_after_all_is_checked(registry, path, monkeypatch, change, error):
    """A version was to be published again, but people have changed a field that is not seeded: it is a new one."""
    registry.seed("x", "{{ n }}")
    registry.seed("x", "one")
    meanwhile(monkeypatch, path, lambda other: other.update("x", **change))
    with pytest.raises(error):
        registry.seed("x", "{{ n }}")
    assert registry.get("x").version == 3


def test_rule_22_a_conflict_of_checks_is_tried_again(path):
    """While the checks run somebody publishes: what is seeded is decided anew, as in `save`."""
    people = iter(["theirs"])

    def check(prompt: Prompt) -> None:
        for text in people:
            with Registry(path) as other:
                other.update("x", template=text)

    with Registry(path) as registry:
        registry.seed("x", "one")
    with Registry(path, publish_checks=[check]) as registry:
        assert registry.seed("x", "two").template == "theirs"
        assert versions(registry)[-1] == (3, "draft", "two")


def test_rule_22_a_conflict_without_an_end_is_raised(path):
    """After some tries the call is `VersionConflictError`, and nothing of it was written."""

    def check(prompt: Prompt) -> None:
        with Registry(path) as other:
            other.update("x", config={"n": other.get("x").version})

    with Registry(path) as registry:
        registry.seed("x", "one")
    with Registry(path, publish_checks=[check]) as registry:
        with pytest.raises(VersionConflictError):
            registry.seed("x", "two")
        assert registry.get("x").template == "one"


@pytest.mark.slow
def test_rule_22_eight_processes_at_once_write_once(registry, path):
    """Each returns the same version, whether the prompt is made, goes live, or gets a draft; one of them writes."""
    rounds: list[tuple[Callable[[Registry], object], list[tuple[str, int]], tuple[int, str]]] = [
        (lambda r: None, [("create", 1), ("publish", 1)], (1, "one")),
        (lambda r: None, [("update", 2), ("publish", 2)], (2, "two")),
        (lambda r: r.update("x", template="people's"), [("update", 4)], (3, "people's")),
    ]
    for text, (prepare, written, expected) in zip(("one", "two", "three"), rounds, strict=True):
        prepare(registry)
        last = registry.events(limit=1000)[-1].seq if registry.events() else 0
        assert set(at_once(path, text, 8)) == {expected}
        assert actions(registry, last) == written


def at_once(path: str, text: str, count: int) -> list[tuple[int, str]]:
    """Seed x in that many processes, which begin together; return what each got."""
    gate, opener = os.pipe()
    running = []
    for _ in range(count):
        out, into = os.pipe()
        child, _ = fork()
        if child == 0:
            in_child(lambda: seeded(path, text, gate), into)
        os.close(into)
        running.append((child, out))
    os.write(opener, b"x" * count)
    results = [of_child(*process) for process in running]
    os.close(gate)
    os.close(opener)
    return results


def seeded(path: str, text: str, gate: int) -> tuple[int, str]:
    logging.getLogger("promptreg").setLevel(logging.ERROR)
    with Registry(path, busy_timeout=60) as registry:
        os.read(gate, 1)
        prompt = registry.seed("x", text)
        return prompt.version, str(prompt.template)


# What is kept


def test_a_prompt_does_not_show_what_was_seeded(registry):
    """The value of a seeded prompt equals that of one which was saved, but for id, name and times."""
    seeded, saved = registry.seed("x", "one", title="T"), registry.save("y", "one", title="T")
    hidden = {"id", "name", *(field for field in Prompt.model_fields if field.endswith("_at"))}
    assert seeded.model_dump(exclude=hidden) == saved.model_dump(exclude=hidden)


def test_what_was_seeded_is_kept_through_every_other_change(registry, unchanged):
    """Labels, statuses, drafts, publications and grants leave it as it is."""
    registry.seed("x", "one")
    registry.update("x", template="two", is_production=False)
    registry.update("x@2", title="T")
    registry.set_label("x", "a", 2)
    registry.remove_label("x", "a")
    registry.discard("x")
    registry.set_status("x", "disabled")
    registry.set_status("x", "active")
    registry.update("x", access_grants=[("anyone", "read")])
    registry.update("x", template="three")
    registry.rollback("x", 1, reason="r")
    registry.publish("x", 4)
    with unchanged():
        assert registry.seed("x", "one").version == 4


@pytest.mark.sqlite
def test_a_changed_seed_is_damage(registry):
    """The row's hash covers it, so `verify` and reads report what no registry wrote."""
    registry.seed("x", "one")
    connection = raw(registry.path)
    connection.execute("UPDATE prompts SET seed = NULL")
    connection.commit()
    connection.close()
    assert len(registry.verify()) == 1


@pytest.mark.sqlite
def test_no_value_is_in_what_is_kept(registry):
    """It holds names of fields, hashes and numbers."""
    registry.seed("x", "secret-text", title="secret-title", config={"secret-key": "secret"}, release=3)
    registry.update("x", template="other")
    registry.seed("x", "secret-text 2")
    connection = raw(registry.path)
    ((kept,),) = connection.execute("SELECT seed FROM prompts").fetchall()
    connection.close()
    assert "secret" not in kept
    assert '"fields":["template"]' in kept


def test_a_view_seeds_in_its_namespace(registry):
    """The same name elsewhere is another prompt, with what was seeded there."""
    team = registry.scope(namespace="team")
    registry.seed("x", "one")
    team.seed("x", "ours")
    assert (live(registry), live(team)) == ((1, "one"), (1, "ours"))
    assert team.seed("x", "ours too").version == 2


def test_a_registry_in_memory_seeds(caplog):
    """Every case works there as in a file."""
    with Registry(":memory:") as registry:
        conflicting(registry)
        registry.seed("x", "two")
        assert versions(registry)[-1] == (3, "draft", "two")
        assert registry.seed("x", "one", on_conflict="publish").version == 1
