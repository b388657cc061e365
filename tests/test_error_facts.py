"""What errors report beside the fact: the prompt, related values that were passed, and the nearest existing name."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptreg import (
    Actor,
    Grant,
    InvalidInputError,
    InvalidVariablesError,
    MissingVariablesError,
    NotFoundError,
    PromptregError,
    Registry,
    RenderLimits,
    StorageError,
    TemplateError,
    VersionNotFoundError,
)
from promptreg.nearest import nearest
from promptreg.storage.sqlite.reader import SQLiteReader


@pytest.fixture
def memory() -> Iterator[Registry]:
    """A registry of one test."""
    with Registry(":memory:") as opened:
        yield opened


def message_of(call: Callable[[], object], kind: type[PromptregError] = PromptregError) -> str:
    """Return the message of the error that a call raises."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == caught.value.message == caught.value.args[0]
    return caught.value.message


# Variables


def test_a_missing_variable_is_reported_with_the_passed_ones_that_are_unused(memory: Registry) -> None:
    """Each passed variable that the template neither reads nor declares is listed with the missing one it resembles."""
    memory.create("summarize", "{{ words }} {{ text }}", variables=[{"name": "n", "required": False}])
    message = message_of(
        lambda: memory.render("summarize", word="SECRET", text="SECRET", n=1, zz=2), MissingVariablesError
    )
    assert message == (
        "'summarize': Variables are missing: words; pass them to render."
        " Passed and not read: 'word' (for 'words'?), 'zz'."
    )
    assert "Passed" not in message_of(lambda: memory.render("summarize", text="x"), MissingVariablesError)
    assert "'word' (for 'words'?)" in message_of(lambda: memory.get("summarize").render(word=1), MissingVariablesError)


def test_the_list_of_passed_variables_is_short(memory: Registry) -> None:
    """The message has at most ten names, of at most 128 characters each, and the number of further ones."""
    memory.create("summarize", "{{ words }}")
    many = {f"{'x' * 1_000}{i}": i for i in range(1_000)}
    message = message_of(lambda: memory.render("summarize", many), MissingVariablesError)
    assert " and 990 more." in message
    assert len(message) < 2_000
    with Registry(":memory:", extra_variables="forbid") as strict:
        strict.create("summarize", "{{ words }}")
        message = message_of(lambda: strict.render("summarize", many, words=1), InvalidVariablesError)
        assert " and 990 more." in message
        assert len(message) < 3_000


def test_a_forbidden_variable_is_reported_with_the_nearest() -> None:
    """The nearest is one of the variables that were not passed; without a near one, these are named."""
    with Registry(":memory:", extra_variables="forbid") as strict:
        strict.create("summarize", "{{ words }} {{ word2 }}")
        message = message_of(lambda: strict.render("summarize", word=1, word2=2, zz=3), InvalidVariablesError)
    assert "word is not a variable of this prompt; did you mean 'words'?" in message
    assert "zz is not a variable of this prompt; not passed: 'words'." in message


# The prompt of an error


def test_a_templates_error_names_the_prompt_and_in_a_chat_the_message(memory: Registry) -> None:
    """Errors of saving and of rendering, in both tiers, name the prompt, and in a chat the message."""
    chat = [{"role": "user", "content": "{{ a }}"}, {"placeholder": "h"}, {"role": "user", "content": "{{ 1 / z }}"}]
    memory.create("chat", chat)
    memory.create("text", "{{ 1 / z }}", variables=[{"name": "z", "type": "integer"}])
    for call, start in (
        (lambda: memory.save("text", "\n{{"), "'text': Line 2: "),
        (lambda: memory.save("new", "{% include 'x' %}"), "'new': Line 1: "),
        (lambda: memory.save("chat", [chat[0], {"role": "user", "content": "{{"}]), "'chat': message 2 of 2: Line 1: "),
        (lambda: memory.render("text", z=0), "'text': The template failed at line 1"),
        (lambda: memory.render("text", z="0"), "'text': Variables are not as declared"),
        (lambda: memory.render("chat", z=0, a=1, h=[]), "'chat': message 3 of 3: The template failed at line 1"),
        (lambda: memory.render("chat", z=1, a=1, h=3), "'chat': message 2 of 3: "),
        (lambda: memory.get("chat").render(z=0, a=1, h=[]), "'chat': message 3 of 3: "),
        (lambda: memory.render("chat", z=1, h=[]), "'chat': Variables are missing: a; "),
    ):
        for _ in range(2):
            assert message_of(call, TemplateError).startswith(start), start
    message = message_of(lambda: memory.create("checked", "{{ x }}", examples=[{}]))
    assert message.count("'checked'") == 1


# Names and labels


NAMED = [
    lambda r, name: r.get(name),
    lambda r, name: r.get_many([name]),
    lambda r, name: r.render(name),
    lambda r, name: r.render(f"{name}@2", x=1),
    lambda r, name: r.history(name),
    lambda r, name: r.diff(name, 1, 2),
    lambda r, name: r.events(name),
    lambda r, name: r.update(name, title="x"),
    lambda r, name: r.publish(name),
    lambda r, name: r.rollback(name, reason="x"),
    lambda r, name: r.discard(name),
    lambda r, name: r.set_label(name, "x", 1),
    lambda r, name: r.remove_label(name, "x"),
    lambda r, name: r.set_status(name, "disabled"),
    lambda r, name: r.set_status([name], "disabled", dry_run=True),
    lambda r, name: r.archive(name),
    lambda r, name: r.restore(name),
]


@pytest.mark.parametrize("verb", NAMED)
def test_an_absent_name_is_reported_with_its_namespace_and_the_nearest(
    memory: Registry, verb: Callable[[Registry, str], object]
) -> None:
    """Every verb does so, repeatedly, and after the names have changed; the details contain only the names."""
    support = memory.scope(namespace="support")
    support.create("summarize", "x")
    memory.create("sumarize2", "x")
    for _ in range(3):
        message = message_of(lambda: verb(support, "sumarize"), NotFoundError)
        assert "There is no prompt 'sumarize' in the namespace 'support'; did you mean 'summarize'? list() " in message
    assert "in the namespace 'support'; list() shows" in message_of(lambda: verb(support, "zzz"), NotFoundError)
    support.update("summarize", new_name="another")
    assert "in the namespace 'support'; list() shows" in message_of(lambda: verb(support, "sumarize"), NotFoundError)
    support.create("sumarized", "x")
    with pytest.raises(NotFoundError) as caught:
        verb(support, "sumarize")
    assert "did you mean 'sumarized'?" in str(caught.value)
    assert caught.value.details == {"names": ["sumarize"]}


def test_each_of_many_absent_names_is_reported_with_its_nearest(memory: Registry) -> None:
    """Each absent name has a suggestion; an absent id has none."""
    memory.create("summarize", "x")
    memory.create("translate", "x")
    unknown = memory.create("gone", "x").id
    memory.set_status("gone", "deleted")
    message = message_of(lambda: memory.set_status(["sumarize", "translat", "zzz", unknown, "translate"], "disabled"))
    assert f"'sumarize', 'translat', 'zzz', '{unknown}' in the namespace 'default'" in message
    assert "did you mean 'summarize' for 'sumarize', 'translate' for 'translat'? list()" in message
    assert message.startswith("There are no prompts ")


def test_no_name_is_suggested_that_the_actor_may_not_read(memory: Registry) -> None:
    """A prompt that the actor may not read is never suggested (rule 18), whoever has called before."""
    memory.create("summarize", "x", access_grants=[("user:lee", "read")])
    eve, lee = (memory.scope(actor=Actor(name)) for name in ("eve", "lee"))
    for _ in range(2):
        assert "did you mean 'summarize'" in message_of(lambda: memory.get("sumarize"))
        assert "did you mean 'summarize'" in message_of(lambda: lee.get("sumarize"))
        assert "mean" not in message_of(lambda: eve.get("sumarize"))
        assert "mean" not in message_of(lambda: eve.get("summarize"))
    memory.update("summarize", access_grants=[("user:eve", "read")])
    assert "did you mean 'summarize'" in message_of(lambda: eve.get("sumarize"))
    assert "mean" not in message_of(lambda: lee.get("sumarize"))


def test_an_absent_label_is_reported_with_the_existing_ones(memory: Registry) -> None:
    """The error lists the existing labels and the nearest; for an absent number it has the latest version."""
    memory.create("summarize", "x")
    memory.set_label("summarize", "staging", 1)
    has = "it has 'latest', 'production', 'staging'."
    for call in (
        lambda: memory.get("summarize@prodution"),
        lambda: memory.get("summarize", label="prodution"),
        lambda: memory.diff("summarize", 1, "prodution"),
        lambda: memory.publish("summarize", "prodution"),
        lambda: memory.set_label("summarize", "canary", "prodution"),
    ):
        for _ in range(2):
            message = message_of(call, VersionNotFoundError)
            assert message == f"'summarize' has no label 'prodution' (did you mean 'production'?); {has}"
    assert message_of(lambda: memory.get("summarize@zzz")) == f"'summarize' has no label 'zzz'; {has}"
    assert "'summarize' has no version 7; its latest is 1" in message_of(lambda: memory.get("summarize@7"))


def test_the_nearest_is_read_only_for_errors_that_are_raised(memory: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read for a default or a save; for the same name it is read once, until something changes."""
    sought: list[str] = []

    def counted(self: SQLiteReader, namespace: str, audience: object, name: str, *, limit: int) -> list[str]:
        sought.append(name)
        assert limit == 1_000
        return ["summarize"]

    monkeypatch.setattr(SQLiteReader, "names_near", counted)
    monkeypatch.setattr("promptreg.cache.monotonic", lambda: 0.0)  # no time passes, after which changes are checked for
    assert memory.get("sumarize", default=None) is None
    assert memory.render("sumarize", default="x").text == "x"
    memory.save("translate", "x")
    assert sought == []
    for _ in range(3):
        assert "did you mean 'summarize'?" in message_of(lambda: memory.get("sumarize"))
        assert "did you mean 'summarize'?" in message_of(lambda: memory.history("sumarize"))
    assert sought == ["sumarize"]
    memory.save("translate", "y")
    assert "did you mean 'summarize'?" in message_of(lambda: memory.get("sumarize"))
    assert sought == ["sumarize"] * 2


def test_the_first_error_is_raised_if_the_nearest_can_not_be_read(
    memory: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of the storage during the suggestion does not replace the first error."""

    def failing(*_: object, **__: object) -> list[str]:
        raise StorageError("gone")

    monkeypatch.setattr(SQLiteReader, "names_near", failing)
    assert "There is no prompt 'sumarize'" in message_of(lambda: memory.get("sumarize"), NotFoundError)
    memory.save("sumarize", "x")
    assert memory.get("sumarize").version == 1


def test_nearest_compares_few_candidates_in_little_time() -> None:
    """It compares a thousand candidates, and 64 characters of each, however similar and repetitive they are."""
    assert nearest("summarize", ["x"] * 1_000 + ["summarize"]) is None
    assert nearest("summarize", ["x"] * 999 + ["summarize"]) == "summarize"
    alike = ["ab" * 100_000 + str(i) for i in range(1_000)]
    assert nearest("ba" * 100_000, alike) == alike[0]
    assert [nearest(word, ["Production", "latest"]) for word in ("PRODUCTION", "prodution", "latset", "x", "")] == [
        "Production",
        "Production",
        "latest",
        None,
        None,
    ]


# Bad input


BAD = [
    (
        lambda r: r.create(
            "A B",
            7,
            title=1,
            tags=3,
            config=1,
            meta=2,
            commit_message=4,
            is_production="x",
            access_grants=5,
            examples=6,
        ),
        "name template title tags config meta examples commit_message is_production access_grants",
    ),
    (lambda r: r.save("A B", 7, tags=3, is_production=1), "name template tags is_production"),
    (
        lambda r: r.save(
            "a",
            ["x", {"role": "sytem", "content": "x"}, {"role": "user", "content": 3}, {"role": "user", "content": "x"}],
            tags=["t", "", 3],
            variables=[{"name": "a", "type": "x"}, {"name": "a b"}, {"name": "c"}],
            examples=[{}, 3, "x"],
            access_grants=[("x", "y"), 3, ("anyone", "read")],
        ),
        "template[0] template[1].role template[2].content tags[1] tags[2] variables[0].type variables[1].name"
        " examples[1] examples[2] access_grants[0].principal access_grants[0].permission access_grants[1]",
    ),
    (
        lambda r: r.update("A B", version="b c", tags=3, new_name="X Y", expected_version=-1),
        "name version tags new_name expected_version",
    ),
    (lambda r: r.update("A B", version=None, category=3), "version name category"),
    (lambda r: r.get("A B", version="b c"), "name version"),
    (lambda r: r.get("A B", label="b c"), "name label"),
    (lambda r: r.render("A B", 3, version="2", default=4), "variables name version default"),
    (
        lambda r: r.list(status=["archve"], tag=3, category=4, created_by=5, prefix=6, label=7, limit=0, after="x"),
        "status limit tag category created_by prefix label after",
    ),
    (lambda r: r.search("", status="x", tag=3, category=4, limit=0), "status limit tag category text"),
    (lambda r: r.search("x", status=["xxx", "yyy"]), "status"),
    (lambda r: r.set_status(["A B", "a", "C D"], "x", dry_run=3), "names[0] names[2] status dry_run"),
    (lambda r: r.publish("A B", "b c", expected_production=-1), "name version expected_production"),
    (lambda r: r.rollback("A B", "b c", reason=3), "name version reason"),
    (lambda r: r.discard("A B", "b c"), "name version"),
    (lambda r: r.set_label("A B", "latest", "b c"), "name version label"),
    (lambda r: r.remove_label("A B", "b c"), "name label"),
    (
        lambda r: r.events("A B", after=-1, limit=0, newest_first=3, action=4),
        "name after limit newest_first action",
    ),
    (lambda r: r.history("A B", limit=0, before="b c"), "name limit before"),
    (lambda r: r.diff("A B", "b c", "d e"), "name old new"),
    (lambda r: r.scope(namespace="A B", actor=3), "namespace actor"),
    (lambda r: Actor("", role="x", groups=3), "id role groups"),
    (lambda r: Grant("x", "y"), "principal permission"),
    (lambda r: RenderLimits(fuel=-1, items="x"), "fuel items"),
    (
        lambda r: Registry(
            4,  # type: ignore[arg-type]
            namespace="A B",
            actor=3,  # type: ignore[arg-type]
            create=3,  # type: ignore[arg-type]
            max_staleness=-1,
            freshness="x",
            cache_size=-1,
            durability="x",
            busy_timeout=-1,
            publish_checks=3,  # type: ignore[arg-type]
            extra_variables="x",
            clock=3,  # type: ignore[arg-type]
            render_limits=3,  # type: ignore[arg-type]
            capture_content=3,  # type: ignore[arg-type]
            redact=3,  # type: ignore[arg-type]
            spans="x",
            render_duration=3,  # type: ignore[arg-type]
        ),
        "namespace actor target create durability busy_timeout max_staleness freshness cache_size publish_checks"
        " extra_variables render_limits clock capture_content redact spans render_duration",
    ),
]


@pytest.mark.parametrize(("call", "fields"), BAD)
def test_all_invalid_fields_of_a_call_are_reported_together(
    memory: Registry, call: Callable[[Registry], object], fields: str
) -> None:
    """The details have each field once; the message has the first ten and the number of further ones."""
    with pytest.raises(InvalidInputError) as caught:
        call(memory)
    errors = caught.value.details["errors"]
    assert [error["field"] for error in errors] == fields.split()
    assert all(error["reason"] for error in errors)
    shown = "; ".join(f"{error['field']}: {error['reason']}" for error in errors[:10])
    assert str(caught.value) == (shown if len(errors) <= 10 else f"{shown}; and {len(errors) - 10} more")


MEANT = [
    (
        lambda r: r.set_status("a", "archve"),
        "status: must be one of active, disabled, archived, deleted; did you mean 'archived'?",
    ),
    (lambda r: r.list(status="Active"), "did you mean 'active'?"),
    (lambda r: r.set_status("a", "Enabled"), "did you mean 'active'?"),
    (lambda r: RenderLimits(fule=1), "fule: is no such field; did you mean 'fuel'?"),
    (lambda r: r.get("a@"), "name: what follows @ must be 1 to 50 of"),
    (lambda r: r.search("x", status=["disbled"]), "did you mean 'disabled'?"),
    (lambda r: Actor("ana", "team_editr"), "did you mean 'team_editor'?"),
    (lambda r: Grant("anyone", "red"), "did you mean 'read'?"),
    (lambda r: r.create("a", "x", access_grants=[("anyone", "wirte")]), "did you mean 'write'?"),
    (lambda r: r.create("a", "x", variables=[{"name": "x", "type": "strng"}]), "did you mean 'string'?"),
    (lambda r: r.create("a", "x", variables=[{"name": "x", "requird": True}]), "did you mean 'required'?"),
    (lambda r: r.create("a", [{"role": "sytem", "content": "x"}]), "did you mean 'system'?"),
    (lambda r: Registry(":memory:", durability="ful"), "did you mean 'full'?"),
    (lambda r: Registry(":memory:", extra_variables="forbd"), "did you mean 'forbid'?"),
    (lambda r: Registry(":memory:", spans="child "), "did you mean 'child'?"),
    (lambda r: r.get("a", version="2"), "version: '2' is a text of digits, which no label is; pass 2"),
    (lambda r: r.publish("a", "12"), "version: '12' is a text of digits, which no label is; pass 12"),
    (lambda r: r.diff("a", 1, "2"), "new: '2' is a text of digits, which no label is; pass 2"),
    (lambda r: r.history("a", before="2"), "before: '2' is a text of digits, which no label is; pass 2"),
    (lambda r: r.render("a", label="2"), "label: '2' is no label but a number; pass version=2"),
]


@pytest.mark.parametrize(("call", "message"), MEANT)
def test_an_unknown_keyword_is_reported_with_the_nearest(
    memory: Registry, call: Callable[[Registry], object], message: str
) -> None:
    """This holds for statuses, roles, permissions, types and settings, and for a number that was passed as a text."""
    assert message in message_of(lambda: call(memory), InvalidInputError)
    assert "mean" not in message_of(lambda: memory.set_status("a", "xyz"))
    assert "mean" not in message_of(lambda: Actor("ana", "xyz"))


# Every error about a prompt


def test_an_error_about_a_prompt_names_it(memory: Registry) -> None:
    """The message alone, as in a log line, shows which prompt the error is about."""
    memory.create("a", "{{ x }}", variables=[{"name": "x", "type": "integer"}])
    memory.update("a", title="Draft", is_production=False)
    memory.create("off", "x")
    memory.set_status("off", "disabled")
    memory.create("old", "x")
    memory.archive("old")
    memory.create("draft", "x", is_production=False)
    memory.create("endless", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")
    member = memory.scope(actor=Actor("m", "team_member"))
    calls: list[tuple[str, Callable[[], object]]] = [
        ("a", lambda: member.update("a", title="x")),
        ("absent", lambda: memory.get("absent")),
        ("a", lambda: memory.get("a@9")),
        ("a", lambda: memory.get("a@beta")),
        ("draft", lambda: memory.get("draft")),
        ("a", lambda: memory.rollback("a", reason="x")),
        ("a", lambda: memory.rollback("a", 2, reason="x")),
        ("a", lambda: memory.create("a", "x")),
        ("a", lambda: memory.update("a@1", title="x")),
        ("draft", lambda: memory.discard("draft@1")),
        ("old", lambda: memory.update("old", title="x")),
        ("off", lambda: memory.render("off")),
        ("new", lambda: memory.create("new", "\n{{")),
        ("new", lambda: memory.create("new", "\n{% include 'x' %}")),
        ("a", lambda: memory.render("a")),
        ("a", lambda: memory.render("a", x="SECRET")),
        ("new", lambda: memory.create("new", "{{ x }}", examples=[{}])),
        ("endless", lambda: memory.render("endless")),
        ("none", lambda: memory.render("none", default="{{ 1 / 0 }}")),
        ("none", lambda: memory.render("none", default="{{")),
    ]
    for name, call in calls:
        message = message_of(call)
        assert repr(name) in message
        assert "SECRET" not in message


def test_errors_of_taken_names_and_foreign_files_suggest_what_to_do(memory: Registry, tmp_path: Path) -> None:
    """A program that runs twice, or opens the wrong file, gets an error with the next step."""
    memory.create("a", "x")
    assert message_of(lambda: memory.create("a", "x")).endswith("choose another name, or change that one with save().")
    (tmp_path / "notes.txt").write_text("no database " * 100)
    assert "; pass another path, or restore a copy." in message_of(
        lambda: Registry(tmp_path / "notes.txt"), StorageError
    )
