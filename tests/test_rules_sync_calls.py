"""A synchronisation as a call: permissions, errors, checks, the one transaction, and what it costs.

What it does of each prompt is in `test_rules_sync.py` and `test_rules_sync_labels.py`.
"""

import threading
from contextlib import closing
from pathlib import Path

import pytest

from promptreg import (
    Actor,
    ForbiddenError,
    InvalidInputError,
    PublishCheckError,
    Registry,
    Role,
    StorageCorruptError,
    StorageError,
    TemplateSyntaxError,
    VersionConflictError,
)
from promptreg.rules.sync_items import WRITING, SyncFile
from promptreg.storage.sqlite.reader import SQLiteReader
from promptreg.storage.sqlite.writer import SQLiteWriter
from tests.conftest import Ticking, holds_anything
from tests.otel import tracing
from tests.syncs import SOURCE, call_of, done, nothing_written, only, recorded, sync
from tests.test_storage_sqlite import raw

MEMBER, EDITOR, ADMIN = (Actor("ana", role) for role in (Role.TEAM_MEMBER, Role.TEAM_EDITOR, Role.TEAM_ADMIN))


@pytest.fixture
def memory():
    """A registry in memory, which takes less time than a file."""
    with Registry(":memory:", clock=Ticking()) as opened:
        yield opened


# Permissions


def prepared(registry: Registry) -> dict[str, str]:
    """Have a prompt for each action that writes; return the files."""
    sync(registry, {"archived": "1", "restored": "1", "updated": "1", "drafted": "1", "same": "1"})
    sync(registry, {"archived": "1", "updated": "1", "drafted": "1", "same": "1"})
    registry.update("drafted", template="people's")
    return {"created": "1", "restored": "1", "updated": "2", "drafted": "2", "same": "1"}


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("actor", "names", "action"),
    [
        (MEMBER, ["archived", "created", "drafted", "restored", "updated"], "archive"),
        (EDITOR, ["archived", "restored"], "archive"),
        (Actor("eve"), ["created", "drafted", "restored", "same", "updated"], "create"),
    ],
)
def test_the_actor_must_be_allowed_everything_that_is_written(memory, actor, names, action, dry_run):
    """One error names all prompts of which it is not, and nothing is written; a prompt that it may not read is none."""
    files = prepared(memory)
    with nothing_written(memory), pytest.raises(ForbiddenError) as raised:
        sync(memory.scope(actor=actor), files, on_conflict="draft", dry_run=dry_run)
    assert (sorted(raised.value.details["names"]), raised.value.details["action"]) == (names, action)


def test_the_error_says_which_action_is_forbidden_of_which_prompt(memory):
    """Each action once."""
    files = prepared(memory)
    with pytest.raises(ForbiddenError) as raised:
        sync(memory.scope(actor=MEMBER), files, on_conflict="draft")
    assert raised.value.message == (
        "The actor may not archive 'archived' or create 'created' or update 'drafted', 'restored', 'updated' or restore"
        " 'restored'; ask for a role or a grant that allows it."
    )


def test_an_admin_may_do_everything(memory):
    """It is the actor of every event."""
    files = prepared(memory)
    assert sync(memory.scope(actor=ADMIN), files, on_conflict="draft").is_done
    assert {event.actor for event in memory.events(limit=100) if event.action in {"archive", "restore"}} == {
        None,
        "ana",
    }
    assert memory.get("created").created_by == "ana"


def test_owners_and_write_grantees_may_have_their_prompts_updated(memory):
    """What others own is as if it were not there."""
    memory.create("a", "one", access_grants=[("user:bo", "write")])
    memory.create("b", "one")
    bo = memory.scope(actor=Actor("bo"))
    assert done(bo, {"a": "two"}, on_conflict="ours") == {"a": "update"}
    with pytest.raises(ForbiddenError, match="may not create 'b'"):
        sync(bo, {"a": "two", "b": "one"})


def test_whoever_may_only_read_finds_equal_files_equal(memory):
    """Nothing is remembered, so that a reader can't decide what is archived later."""
    memory.create("a", "one")
    with nothing_written(memory):
        assert done(memory.scope(actor=MEMBER), {"a": "one"}) == {"a": "none"}


def test_reading_is_enough_where_the_registry_is_ahead(memory):
    """Nothing is written."""
    sync(memory, {"a": "one"})
    memory.update("a", template="two")
    assert done(memory.scope(actor=MEMBER), {"a": "one"}, pull=True) == {"a": "pull"}


# Bad input


def test_every_bad_field_of_every_file_is_named(memory):
    """Each with the file and the argument; nothing is written."""
    files = {"a": "", "b": {"template": "x", "tags": 3, "titel": "x"}, "C": "x", "d": {}, "e": "fine"}
    with nothing_written(memory), pytest.raises(InvalidInputError) as raised:
        sync(memory, files)
    errors = [(e["field"], e["name"], e["argument"]) for e in raised.value.details["errors"]]
    assert errors == [
        ("a: template", "a", "template"),
        ("b: titel", "b", "titel"),
        ("b: tags", "b", "tags"),
        ("C: name", "C", "name"),
        ("d: template", "d", "template"),
    ]
    assert "b: titel: is no field of a prompt" in raised.value.message


def test_two_files_of_one_name_are_refused(memory):
    """Nobody can say which is meant."""
    call = call_of({"a": "one"})
    with pytest.raises(InvalidInputError, match="a: two files have this name; keep one of them"):
        memory._synchronise(call._replace(files=[*call.files, SyncFile("a", {"template": "two"})]))


@pytest.mark.parametrize("options", [{"on_conflict": "mine"}, {"pull": 1}, {"dry_run": None}, {"source": ""}])
def test_bad_options_are_refused(memory, options):
    """The error names the option."""
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        sync(memory, {"a": "one"}, **options)


def test_a_closed_registry_is_a_storage_error(memory):
    """As every verb's."""
    memory.close()
    with pytest.raises(StorageError, match="is closed"):
        sync(memory, {"a": "one"})


# Templates and checks


def test_every_template_error_is_told_with_its_file_and_line(memory):
    """Nothing is written, of good files either, in a dry run as well."""
    for dry_run in (True, False):
        with nothing_written(memory), pytest.raises(TemplateSyntaxError) as raised:
            sync(memory, {"a": "fine", "b": "x\n{% if %}", "c": "{{ x"}, dry_run=dry_run)
        refusals = raised.value.details["refusals"]
        assert [(refusal["file"], refusal["line"]) for refusal in refusals] == [("b", 2), ("c", 1)]
        assert "'b': " in raised.value.message
        assert "'c': " in raised.value.message


def test_one_template_error_is_raised_as_it_is(memory):
    """Its details have the file."""
    with pytest.raises(TemplateSyntaxError) as raised:
        sync(memory, {"a": "fine", "b": "x\n{% if %}"})
    assert (raised.value.details["file"], raised.value.details["line"]) == ("b", 2)


def test_every_failed_check_is_told_by_prompt_and_beside_template_errors():
    """Examples and functions are checked of all that go live."""

    def is_polite(prompt):
        assert "please" in prompt.template, "it is not polite"

    files = {"a": "A", "b": {"template": "please {{ x }}", "examples": [{}]}, "c": "please", "d": "D"}
    with Registry(":memory:", publish_checks=[is_polite]) as registry:
        with nothing_written(registry), pytest.raises(PublishCheckError) as raised:
            sync(registry, files)
        assert raised.value.details["names"] == ["a", "b", "d"]
        assert [reason.partition(": ")[0] for reason in raised.value.details["reasons"]] == ["a", "b", "d"]
        with pytest.raises(TemplateSyntaxError) as raised:
            sync(registry, {**files, "e": "{{"})
        assert raised.value.details["names"] == ["e", "a", "b", "d"]


def test_conflicts_are_told_beside_errors(memory):
    """All that prevents the whole is known at once."""
    memory.create("a", "people's")
    with pytest.raises(TemplateSyntaxError) as raised:
        sync(memory, {"a": "the file's", "b": "{{"})
    reason = "it differs from what is live, and was never synchronised"
    assert raised.value.details["conflicts"] == [{"name": "a", "reason": reason}]
    assert raised.value.message.endswith(" Conflicts: 'a'.")


def test_the_file_of_a_renamed_prompt_is_named_in_an_error(memory):
    """The prompt has another name."""
    sync(memory, {"a": "one"})
    memory.update("a", new_name="b")
    with pytest.raises(TemplateSyntaxError) as raised:
        sync(memory, {"a": "{{"})
    assert (raised.value.details["file"], raised.value.details["name"]) == ("a", "b")


def test_what_goes_live_is_checked_and_what_becomes_a_draft_is_compiled_alone():
    """Of a label and of a conflict that becomes a draft, examples need not render."""

    def never(prompt):
        raise AssertionError

    with Registry(":memory:", publish_checks=[never]) as registry:
        assert only(registry, {"a": "one"}, label="eu").action == "create"
        assert only(registry, {"a": "two"}, label="eu").action == "update"
        with pytest.raises(TemplateSyntaxError):
            sync(registry, {"a": "{{"}, label="eu")
        with pytest.raises(PublishCheckError):
            sync(registry, {"a": "two"})


# One transaction


def test_a_dry_run_returns_the_plan_that_the_call_then_carries_out(memory):
    """It writes nothing, and `is_done` is the only difference."""
    files = prepared(memory)
    with nothing_written(memory):
        planned = sync(memory, files, on_conflict="draft", dry_run=True)
    assert sync(memory, files, on_conflict="draft") == planned._replace(is_done=True)
    assert [item.name for item in planned.of(*WRITING)] == ["archived", "created", "drafted", "restored", "updated"]


def test_all_is_one_commit(memory):
    """The revision grows by one."""
    files = prepared(memory)
    with memory._core.read() as reader:
        before = reader.snapshot.revision
    sync(memory, files, on_conflict="draft")
    with memory._core.read() as reader:
        assert reader.snapshot.revision == before + 1
    assert memory.verify() == []


def test_progress_is_reported_in_prompts_that_were_checked(memory):
    """Those that change nothing are none; it may use the registry, in a dry run too."""
    files = prepared(memory)
    seen = []

    def progress(done, total):
        assert not holds_anything(memory)
        memory.save("other", f"seen {len(seen)}")
        seen.append((done, total))

    for dry_run in (True, False):
        memory._synchronise(call_of(files, on_conflict="draft", dry_run=dry_run), progress=progress)
    assert seen == [(done, 5) for done in range(1, 6)] * 2
    with pytest.raises(InvalidInputError, match="progress"):
        memory._synchronise(call_of(files), progress=3)


@pytest.mark.parametrize("files", [{"a": "2", "b": "1"}, {"a": "2", "b": "1", "c": "{{"}])
def test_an_error_of_progress_ends_the_call_and_writes_nothing(memory, files):
    """It is raised unchanged, also where a conflict would be told beside errors of checks."""

    def progress(done, total):
        raise TemplateSyntaxError("of the application")

    memory.create("a", "people's")
    with nothing_written(memory), pytest.raises(TemplateSyntaxError) as raised:
        memory._synchronise(call_of(files), progress=progress)
    assert (raised.value.message, raised.value.details) == ("of the application", {})
    assert not holds_anything(memory)


def test_what_begins_a_write_is_called_once_nothing_refuses_it(memory):
    """It may refuse it; of a dry run, a conflict, an error or nothing to write it is not called."""
    begun = []
    files = {"a": "1", "b": "1"}

    def begin():
        begun.append(holds_anything(memory))

    def run(files, **options):
        memory._synchronise(call_of(files, **options), begin=begin)

    run(files, dry_run=True)
    with pytest.raises(TemplateSyntaxError):
        run({**files, "c": "{{"})
    memory.create("a", "people's")
    run(files)
    assert begun == []
    run(files, on_conflict="ours")
    run(files)
    assert begun == [False]
    with nothing_written(memory), pytest.raises(ZeroDivisionError):
        memory._synchronise(call_of({"a": "2"}), begin=lambda: 1 // 0)


def test_checks_run_outside_the_transaction_and_may_use_the_registry():
    """What they do elsewhere does not make the plan stale."""

    def elsewhere(prompt):
        if prompt.name != "other":
            registry.save("other", f"seen {prompt.name}", is_production=False)

    with Registry(":memory:", publish_checks=[elsewhere]) as registry:
        assert sync(registry, {"a": "one", "b": "one"}).is_done
        assert registry.get("other@latest").template == "seen b"


def meanwhile_publish(registry: Registry) -> None:
    registry.update("a", template="meanwhile")


def meanwhile_draft(registry: Registry) -> None:
    registry.update("a", template="meanwhile", is_production=False)


def meanwhile_rename(registry: Registry) -> None:
    registry.update("a", new_name="c")


def meanwhile_create(registry: Registry) -> None:
    registry.create("new", "meanwhile")


def meanwhile_synchronise(registry: Registry) -> None:
    sync(registry, {"a": "two", "gone": "1", "new": "1"})


def meanwhile_change_what_goes(registry: Registry) -> None:
    registry.update("gone", template="meanwhile")


def meanwhile_delete(registry: Registry) -> None:
    registry.delete("gone")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (meanwhile_publish, ["a"]),
        (meanwhile_draft, ["a"]),
        (meanwhile_rename, ["a"]),
        (meanwhile_create, ["new"]),
        (meanwhile_synchronise, ["a", "new"]),
        (meanwhile_change_what_goes, ["gone"]),
        (meanwhile_delete, ["gone"]),
    ],
)
def test_a_plan_that_is_stale_is_refused(change, names):
    """What changed is named; what others wrote stays, and nothing else is written."""
    writes = [True]

    def once(prompt):
        if writes and prompt.template == "2":
            writes.clear()
            change(registry)
            with registry._core.read() as reader:
                revisions.append(reader.snapshot.revision)

    revisions: list[int] = []
    with Registry(":memory:", publish_checks=[once]) as registry:
        sync(registry, {"a": "one", "gone": "1"})
        with pytest.raises(VersionConflictError, match="The plan is stale") as raised:
            sync(registry, {"a": "2", "new": "1"})
        assert raised.value.details["names"] == names
        with registry._core.read() as reader:
            assert reader.snapshot.revision == revisions[0]


def test_a_label_or_a_status_that_changes_meanwhile_is_kept():
    """Neither is synchronised; what is live is still what was compared."""

    def label(prompt):
        if prompt.template == "two":
            registry.set_label("a@1", "eu")

    with Registry(":memory:", publish_checks=[label]) as registry:
        sync(registry, {"a": "one"})
        assert sync(registry, {"a": "two"}).is_done
        assert (registry.get("a").template, registry.get("a").labels["eu"]) == ("two", 1)


def test_two_synchronisations_at_once_do_everything_once(registry, path):
    """The one that commits second finds its plan stale, and a second run of it finds nothing to do."""
    files = {name: f"{name} again" for name in "abcdefgh"}
    sync(registry, dict.fromkeys(files, "first"))
    refused: list[Exception] = []
    barrier = threading.Barrier(2)

    def deploy() -> None:
        with Registry(path) as own:
            barrier.wait()
            try:
                sync(own, files)
            except VersionConflictError as error:
                refused.append(error)

    threads = [threading.Thread(target=deploy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) <= 1
    assert set(done(registry, files).values()) == {"none"}
    assert recorded(registry).count("update") == 8
    assert registry.verify() == []


# What it costs


@pytest.fixture
def counted(monkeypatch):
    """The statements of readers and writers that were run, by method."""
    counts: dict[str, int] = {}

    def counting(name):
        method = getattr(SQLiteReader, name)

        def count(self, *args, **kwargs):
            key = f"{name} in a write" if isinstance(self, SQLiteWriter) else name
            counts[key] = counts.get(key, 0) + 1
            return method(self, *args, **kwargs)

        return count

    for name in ("find", "versions", "synced"):
        monkeypatch.setattr(SQLiteReader, name, counting(name))
    return counts


def test_versions_are_read_only_of_what_has_changed(memory, counted):
    """All prompts are found by two statements, however many files there are; within the write nothing is read."""
    files = {f"p{i:03}": "one" for i in range(200)}
    sync(memory, files)
    counted.clear()
    assert len(sync(memory, {**files, "p007": "two", "new": "one"}).of(*WRITING)) == 2
    assert (counted["synced"], counted["find"]) == (1, 1)
    assert counted["versions"] <= 4
    assert not any("write" in name for name in counted)
    counted.clear()
    sync(memory, {**files, "p007": "two", "new": "one"})
    assert counted == {"synced": 1, "find": 1}


def test_a_plan_that_is_made_again_reads_only_what_is_written(counted):
    """The write lock is not held for the files that are as they were."""

    def elsewhere(prompt):
        if prompt.template == "two":
            registry.save("other", "…", is_production=False)

    files = {f"p{i:03}": "one" for i in range(100)}
    with Registry(":memory:", publish_checks=[elsewhere]) as registry:
        sync(registry, files)
        counted.clear()
        sync(registry, {**files, "p007": "two"})
        assert (counted["synced"], counted["find in a write"]) == (1, 1)
        assert counted["versions in a write"] <= 4


# What is kept


def test_a_synchronisation_is_one_span(registry):
    """It has the name of its operation, and what went wrong."""
    with tracing() as finished:
        sync(registry, {"a": "one"})
        with pytest.raises(InvalidInputError):
            sync(registry, {})
        names = [(span.name, span.status.is_ok) for span in finished()]
    assert names == [("synchronise_prompts", True), ("synchronise_prompts", False)]


def test_other_registries_see_what_was_synchronised_at_once(registry, path):
    """A warm cache of another one is renewed (rule 16)."""
    sync(registry, {"a": "one"})
    with Registry(path) as other:
        assert other.render("a").text == "one"
        sync(registry, {"a": "two"})
        assert other.render("a").text == "two"


@pytest.mark.sqlite
def test_of_a_deleted_prompt_neither_name_nor_hash_remains(registry, path, tmp_path):
    """Rule 15: only its last name is in the event; the places are hashes that hold none."""
    sync(registry, {"secretname": "one", "b": "two"})
    (base,) = [c.synced[""] for c in containers(registry) if c.name == "secretname"]
    registry.update("secretname", new_name="public")
    assert found(tmp_path, [base.hash, "secretname"]) == {base.hash, "secretname"}
    registry.delete("public")
    assert found(tmp_path, [base.hash, "secretname"]) == set()
    assert done(registry, {"secretname": "one", "b": "two"})["secretname"] == "left"


@pytest.mark.sqlite
def test_verify_covers_what_was_synchronised(registry, path):
    """A base that was tampered with is damage of its row; so is what is kept of a deletion."""
    sync(registry, {"a": "one", "b": "two", "c": "three"})
    registry.delete("c")
    assert registry.verify() == []
    with closing(raw(path)) as connection:
        connection.execute("DROP TRIGGER deletions_update")
    for damage in ("[1]", "[]", "[" * 100_000, f'["{"é" * 64}"]'):
        with closing(raw(path)) as connection:
            connection.execute("UPDATE deletions SET synced = ?", (damage,))
        assert len([line for line in registry.verify() if "synchronised before its deletion" in line]) == 1
        with pytest.raises(StorageCorruptError, match="deletion"):
            sync(registry, {"a": "one"})
    with closing(raw(path)) as connection:
        connection.execute("UPDATE deletions SET synced = NULL")
        connection.execute("UPDATE prompts SET synced = replace(synced, 'f00d', 'beef') WHERE name = 'a'")
    assert any("'a'" in line for line in registry.verify())
    with pytest.raises(StorageCorruptError):
        sync(registry, {"a": "one"})


def containers(registry: Registry):
    """Return the stored prompts that were synchronised from the folder."""
    with registry._core.read() as reader:
        return reader.synced("default", SOURCE).containers


def found(folder: Path, words: list[str]) -> set[str]:
    """Return which words are in any file of a folder."""
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    return {word for word in words if word.encode() in content}
