"""Rules 11 to 16: statuses of one prompt or ten thousand, the archive, erasing, and caches that see every change."""

import pickle
import shutil
import sqlite3
import threading
import time
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import pytest

from promptreg import (
    Actor,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NameTakenError,
    NotFoundError,
    NotModifiableError,
    PromptDisabledError,
    PromptregError,
    PublishCheckError,
    Registry,
    StatusUpdate,
    StorageError,
)
from promptreg.clock import new_id
from promptreg.rules.lifecycle import plan_create
from promptreg.rules.outcomes import Author
from promptreg.rules.version_fields import read_draft, read_edit
from promptreg.storage.base import StorageSettings
from promptreg.storage.opening import open_storage
from tests.storages import POSTGRES, copy_registry, wait_for_answers

ALL = ["active", "disabled", "archived"]
STATUS = {"on": "active", "off": "disabled", "kept": "archived", "kept_off": "archived"}

# The outcome of setting a status for each of these prompts: the event and the new status; `-` for a prompt that has it
# already, `!` for a refusal, because archived prompts accept only `active`.
TABLE = """
            on               off              kept            kept_off
active      -                enable:active    restore:active  restore:disabled
disabled    disable:disabled -                !               !
archived    archive:archived archive:archived -               -
deleted     delete:          delete:          !               !
"""
_, *ROWS = (line.split() for line in TABLE.strip().splitlines())
MOVES = {target: dict(zip(STATUS, moves, strict=True)) for target, *moves in ROWS}


def fill(registry: Registry) -> None:
    """Create a prompt of each status, including an archived one that was disabled."""
    owner = registry.scope(actor=Actor("olga", "team_editor"))
    for name in STATUS:
        owner.create(name, f"I am {name}, {{{{ who }}}}", examples=[{"who": "you"}])
        owner.update(name, template=f"I am still {name}, {{{{ who }}}}")
        owner.update(name, template="A draft", is_production=False)
        owner.set_label(name, "staging", 1)
    registry.set_status(["off", "kept_off"], "disabled")
    registry.set_status(["kept", "kept_off"], "archived")


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A closed file with a prompt of each status."""
    at = tmp_path_factory.mktemp("filled") / "prompts.db"
    with Registry(str(at)) as registry:
        fill(registry)
    return at


@pytest.fixture
def four(filled, path):
    """A registry with a prompt of each status, in a new file."""
    copy_registry(filled, path)
    with Registry(path) as registry:
        yield registry


def values(registry: Registry) -> list:
    """Return every prompt, from the cache and from a listing."""
    listed = list(registry.list(status=ALL))
    return listed + [registry.get(prompt.id, version="latest") for prompt in listed]


@pytest.fixture
def refuses(unchanged):
    """Return a context manager that expects an error with these details, and neither file nor warm cache changed."""

    @contextmanager
    def check(registry, error, code="", **details):
        before = values(registry)
        with unchanged(), pytest.raises(error) as caught:
            yield
        assert type(caught.value) is error
        assert {"code": caught.value.code, **caught.value.details} == {"code": code, **details}
        assert values(registry) == before

    return check


def outcome(call, *arguments, **options) -> object:
    """Return the result of a call, or the error that it raises, without the parts that differ from call to call."""
    try:
        result = call(*arguments, **options)
    except PromptregError as error:
        return error.to_dict()["error"]
    return result.model_copy(update={"dry_run": None}) if isinstance(result, StatusUpdate) else result


# Rule 11


@pytest.mark.parametrize("name", STATUS)
@pytest.mark.parametrize("target", MOVES)
def test_rule_11_each_status_can_be_set_for_each_status(four, refuses, target, name):
    """By its present status each prompt is changed, skipped or refused, and only a change records an event."""
    move, before, warm = MOVES[target][name], four.events(limit=1000), four.get(name)
    if move == "!":
        with refuses(four, NotModifiableError, "prompt_archived", names=[name], state="archived"):
            four.set_status(name, target)
        return
    result = four.set_status(name, target)
    new = four.events(after=before[-1].seq)
    if move == "-":
        assert result == StatusUpdate(dry_run=False, updated_prompts=0, updated=[], skipped=[name])
        assert (four.get(name), new) == (warm, [])
        return
    action, status = move.split(":")
    assert result == StatusUpdate(dry_run=False, updated_prompts=1, updated=[name], skipped=[])
    assert [(e.action, e.name, e.prompt_id, e.actor) for e in new] == [(action, name, warm.id, None)]
    now = four.get(name, default=None)
    assert (now.status if now else "") == status
    assert now is None or (now.updated_at > warm.updated_at and now.is_active == (status == "active"))


@pytest.mark.sqlite
@pytest.mark.parametrize("name", STATUS)
@pytest.mark.parametrize(
    ("verb", "target"), [("enable", "active"), ("disable", "disabled"), ("archive", "archived"), ("delete", "deleted")]
)
def test_rule_11_each_status_has_a_verb_that_sets_it(four, filled, tmp_path, verb, target, name):
    """`enable`, `disable`, `archive` and `delete` do what `set_status` of one does, and return the prompt, or None."""
    shutil.copy(filled, tmp_path / "other.db")
    with Registry(str(tmp_path / "other.db")) as other:
        expected = outcome(other.set_status, name, target)
        done = outcome(getattr(four, verb), name)
        after, same = four.get(name, default=None), other.get(name, default=None)
        assert (after and (after.status, after.is_disabled)) == (same and (same.status, same.is_disabled))
        events = [[(e.action, e.name, e.details) for e in each.events(limit=1000)] for each in (four, other)]
        assert events[0] == events[1]
    if isinstance(expected, dict):
        assert done == expected
    else:
        assert done == (None if verb == "delete" else after)


def test_rule_14_a_prompt_archived_while_disabled_is_enabled_by_the_second_call(four):
    """`enable` restores it to disabled, as `restore` does, and then enables it."""
    assert [four.enable("kept_off").status for _ in range(3)] == ["disabled", "active", "active"]


def test_rule_15_delete_frees_the_name(four):
    """Afterwards nothing finds the prompt, and another one may have its name."""
    assert four.delete("on") is None
    assert four.get("on", default=None) is None
    with pytest.raises(NotFoundError):
        four.delete("on")
    assert four.create("on", "Anew").version == 1


def test_rule_11_skipped_and_repeated_prompts_count_once(four):
    """Prompts that have the status are skipped, and one named twice, by name or id, counts once, in the order given."""
    ids = {name: four.get(name).id for name in STATUS}
    asked = ["kept", "off", ids["off"], "on", "kept", "on", ids["on"], ids["kept"]]
    assert four.set_status((name for name in asked), "archived") == StatusUpdate(
        dry_run=False, updated_prompts=2, updated=["off", "on"], skipped=["kept"]
    )
    assert [e.name for e in four.events(limit=1000) if e.action == "archive"][-2:] == ["off", "on"]


@pytest.mark.parametrize("target", MOVES)
@pytest.mark.parametrize("dry_run", [True, False])
def test_rule_11_an_empty_list_counts_0(four, unchanged, target, dry_run):
    """An empty list, tuple or other iterable changes nothing, and is no error."""
    for nothing in ([], (), set(), iter(())):
        with unchanged():
            result = four.set_status(nothing, target, dry_run=dry_run)
        assert result == StatusUpdate(dry_run=dry_run, updated_prompts=0, updated=[], skipped=[])


@pytest.mark.parametrize("target", MOVES)
@pytest.mark.parametrize("dry_run", [True, False])
def test_rule_11_every_unknown_name_is_listed_once(four, refuses, target, dry_run):
    """One unknown name fails the call, and all names and ids that are unknown in the namespace are listed."""
    far = four.scope(namespace="far").create("far", "…").id
    absent = [f"absent{i}" for i in range(25)]
    unknown = [*absent, "far", far, "00000000-0000-7000-8000-000000000000"]
    with refuses(four, NotFoundError, "not_found", names=unknown):
        four.set_status(["on", *unknown, "off", *reversed(unknown)], target, dry_run=dry_run)


def test_rule_11_one_refusal_fails_all_and_names_every_archived_prompt(four, refuses):
    """Archived prompts can't be disabled or deleted; the error names all of them, and the others are unchanged."""
    for target in ("disabled", "deleted"):
        with refuses(four, NotModifiableError, "prompt_archived", names=["kept_off", "kept"], state="archived"):
            four.set_status(["on", "kept_off", "off", "kept"], target)


def test_rule_11_one_forbidden_prompt_fails_all(four, refuses):
    """Each change requires the permission of the corresponding verb, on each of the prompts."""
    olga = four.scope(actor=Actor("olga"))
    four.create("theirs", "…", access_grants=[("user:olga", "read")])
    four.create("theirs_too", "…", access_grants=[("user:olga", "read")])
    with refuses(four, ForbiddenError, "forbidden", names=["theirs", "theirs_too"], action="disable"):
        olga.set_status(["on", "theirs", "theirs_too"], "disabled")
    with refuses(four, ForbiddenError, "forbidden", names=["kept_off", "kept"], action="restore"):
        olga.set_status(["off", "kept_off", "kept"], "active")
    assert olga.set_status(["on", "off"], "disabled").updated == ["on"]


def test_rule_11_a_refusal_of_two_kinds_of_change_names_every_prompt(four):
    """If enabling one prompt and restoring another are both forbidden, the error names both."""
    member = four.scope(actor=Actor("mia", "team_member"))
    before = values(four)
    with pytest.raises(ForbiddenError) as caught:
        member.set_status(["off", "kept"], "active")
    assert (sorted(caught.value.details["names"]), values(four)) == (["kept", "off"], before)


@pytest.mark.sqlite
def test_rule_11_a_failed_write_rolls_back_all(four, path, unchanged):
    """When the third of four writes fails, none of them is committed."""
    for name in "abcd":
        four.create(name, "…")
    fault = "CREATE TRIGGER fault BEFORE UPDATE ON prompts WHEN NEW.name = 'c' BEGIN SELECT RAISE(ABORT, 'fault'); END"
    with sqlite3.connect(path) as connection:
        connection.execute(fault)
    connection.close()
    before = values(four)
    with unchanged(), pytest.raises(ConflictError) as caught:
        four.set_status(list("abcd"), "disabled")
    assert str(caught.value.__cause__) == "fault"
    assert values(four) == before
    assert four.set_status(list("abd"), "disabled").updated_prompts == 3


BAD_NAMES = [None, 3, b"on", {"on": 1}, [None], ["on", 3], "on@1", ["on@x"], [["on"]], "", "No Name", "a\0", "\ud800"]


@pytest.mark.parametrize("names", BAD_NAMES, ids=ascii)
def test_rule_11_malformed_names_are_invalid_input(four, unchanged, names):
    """Anything but a name, an id or an iterable of them is refused with every malformed name, in a dry run too."""
    for dry_run in (True, False):
        before = values(four)
        with unchanged(), pytest.raises(InvalidInputError) as caught:
            four.set_status(names, "disabled", dry_run=dry_run)
        assert (caught.value.code, values(four)) == ("validation_error", before)
    with pytest.raises(InvalidInputError) as caught:
        four.set_status(["on", "A", names, None, "x@1"], "disabled")
    assert len(caught.value.details["errors"]) == 4


@pytest.mark.parametrize(
    ("names", "status", "dry_run", "field"),
    [("on", status, False, "status") for status in ("Active", "draft", "", None, 1, ["active"], "published")]
    + [([], "deleted ", False, "status"), ("absent", "gone", True, "status")]
    + [("on", "disabled", flag, "dry_run") for flag in (None, 1, "yes", 0)],
)
def test_rule_11_only_statuses_and_flags_are_accepted(four, unchanged, names, status, dry_run, field):
    """Only the four statuses, and only True and False, are accepted, whatever the names."""
    with unchanged(), pytest.raises(InvalidInputError) as caught:
        four.set_status(names, status, dry_run=dry_run)
    assert [error["field"] for error in caught.value.details["errors"]] == [field]
    assert caught.value.http_status == 400


def test_rule_11_a_prompt_that_was_never_published_has_a_status_too(registry):
    """A prompt with drafts alone can be disabled, enabled, archived, restored and deleted too."""
    registry.create("draft", "…", is_production=False)
    for status in ("disabled", "active", "archived", "active", "deleted"):
        assert registry.set_status("draft", status).updated == ["draft"]
    assert registry.get("draft", version="latest", default=None) is None


@pytest.mark.slow
def test_rules_11_and_12_ten_thousand_prompts_in_one_call(registry, path):
    """A dry and a real run count all, in the order given; all change at one time, and are skipped the second time."""
    write_many(path, 10_000)
    asked = [f"p{i}" for i in reversed(range(10_000))]
    registry.set_status(asked[:10], "disabled")
    dry = registry.set_status(asked, "disabled", dry_run=True)
    assert (dry.dry_run, dry.updated_prompts, dry.updated, dry.skipped) == (True, 9_990, asked[10:], asked[:10])
    assert registry.get("p0").status == "active"
    assert outcome(registry.set_status, asked + asked, "disabled") == outcome(lambda: dry)
    assert len({registry.get(name).updated_at for name in asked[10::1_000]}) == 1
    assert registry.set_status(asked, "disabled").skipped == asked
    with pytest.raises(NotFoundError) as caught:
        registry.set_status([*asked, *(f"q{i}" for i in range(10_000))], "deleted")
    assert caught.value.details["names"] == [f"q{i}" for i in range(10_000)]
    assert len(str(caught.value)) < 10_000


def write_many(path: str, count: int) -> None:
    """Write many prompts in one transaction of the storage, because each `create` would sync the disk."""
    draft, author = (
        read_draft(read_edit(template="Hi", most=1_000), "", True),
        Author(None, "2026-01-01T00:00:00.000000+00:00"),
    )
    plans = [plan_create(new_id(), "default", f"p{i}", draft, author) for i in range(count)]
    storage = open_storage(StorageSettings(path, create=False, durability="full", busy_timeout=30.0))
    with storage.write() as writer:
        writer.apply([change for plan in plans for change in plan.changes])
    storage.close()


# Rule 12

MIXES = [list(names) for size in (1, 2, 4) for names in combinations([*STATUS, "absent"], size)]
ACTORS = {"owner": Actor("olga"), "stranger": Actor("sam")}
ACTORS |= {role: Actor("a", role) for role in ("team_member", "team_editor", "team_admin")}


@pytest.mark.sqlite
@pytest.mark.parametrize("target", MOVES)
@pytest.mark.parametrize("who", [None, *ACTORS])
def test_rule_12_a_dry_run_reports_what_the_real_run_does_and_writes_nothing(filled, path, unchanged, target, who):
    """For every mix of prompts and permissions, a dry run has the counts or the error of the real run."""
    mixes = list(MIXES)
    while mixes:
        copy_registry(filled, path)
        with Registry(path) as registry:
            view = registry if who is None else registry.scope(actor=ACTORS[who])
            before, has_changed = values(registry), False
            while mixes and not has_changed:
                names = mixes.pop()
                with unchanged():
                    dry = outcome(view.set_status, names, target, dry_run=True)
                assert values(registry) == before
                assert outcome(view.set_status, names, target) == dry
                has_changed = values(registry) != before
                assert has_changed == (isinstance(dry, StatusUpdate) and dry.updated_prompts > 0)


# Rule 13


@pytest.mark.parametrize("choice", ["", "@1", "@staging", "@latest"])
def test_rule_13_disabled_refuses_to_render(four, refuses, choice):
    """No version of a disabled prompt renders, by name, id or value, with or without a default, pickled or not."""
    prompt = four.get(f"off{choice}")
    calls = [
        lambda: four.render(f"off{choice}", who="you"),
        lambda: four.render(f"off{choice}"),
        lambda: four.render(f"{prompt.id}{choice}", {"who": "you"}, default="Hi"),
        lambda: prompt.render(who="you"),
        lambda: pickle.loads(pickle.dumps(prompt)).render(who="you"),
        lambda: four.scope(actor=Actor("mia", "team_member")).render(f"off{choice}", who="you"),
    ]
    for call in calls:
        with refuses(four, PromptDisabledError, "prompt_disabled", name="off"):
            call()


def test_rule_13_a_prompt_value_from_before_the_disabling_still_renders(four):
    """`Prompt.render` renders exactly the version of the value, and refuses if the value is disabled."""
    prompt = four.get("on")
    four.set_status("on", "disabled")
    assert prompt.render(who="you").text == "I am still on, you"
    four.set_status("on", "active")
    assert four.render("on", who="you").text == "I am still on, you"


def test_rule_13_all_but_render_works_and_nothing_is_lost(four):
    """get, history, diff, list, search, updates, publishing, rollback, labels and discarding work while disabled."""
    assert (four.get("off").status, four.get("off").is_active, four.get("off").version) == ("disabled", False, 2)
    assert [v.version for v in four.history("off")] == [3, 2, 1]
    assert four.diff("off", 1, 2)
    assert [p.name for p in four.list()] == ["off", "on"]
    assert [p.name for p in four.search("still off")] == ["off"]
    four.publish("off", 3)
    four.rollback("off", reason="A draft after all")
    four.update("off", template="Anew {{ who }}", access_grants=[("anyone", "read")])
    four.update("off", title="T", is_production=False)
    four.update("off@latest", title="U")
    four.discard("off")
    four.set_label("off", "canary", 4)
    four.remove_label("off", "staging")
    four.update("off", new_name="still_off")
    prompt = four.get("still_off")
    assert (prompt.status, prompt.version) == ("disabled", 6)
    assert prompt.labels == {"canary": 4, "production": 6, "latest": 6}
    four.set_status("still_off", "active")
    assert four.render("still_off", who="you").text == "Anew you"


# Rule 14


def test_rule_14_archived_is_found_and_rendered_but_not_listed(four):
    """get, render, history and diff work as before; list and search include an archived prompt on request."""
    before = four.get("on"), four.render("on@1", who="you"), four.history("on"), four.diff("on", 1, 3)
    archived = four.archive("on")
    assert (archived.status, archived.is_active, archived.version) == ("archived", False, 2)
    assert four.get("on").model_copy(update={"status": "active", "updated_at": before[0].updated_at}) == before[0]
    assert four.render("on@1", who="you").text == before[1].text
    assert (four.history("on"), four.diff("on", 1, 3)) == before[2:]
    assert four.render("on@staging", who="you").text == before[1].text
    assert [p.name for p in four.list()] == [p.name for p in four.search("still")] == ["off"]
    assert {p.name for p in four.search("still", status="archived")} == {"kept", "kept_off", "on"}
    assert [p.name for p in four.list(status="archived")] == ["kept", "kept_off", "on"]
    assert [p.name for p in four.list(status=["active", "archived"])] == ["kept", "kept_off", "on"]
    assert {p.name for p in four.search("still", status=ALL)} == set(STATUS) | {"on"}


CHANGES = {
    "save": lambda r, n: r.save(n, "New"),
    "update": lambda r, n: r.update(n, template="New"),
    "update to a draft": lambda r, n: r.update(n, template="New", is_production=False),
    "edit in place": lambda r, n: r.update(f"{n}@3", template="New"),
    "rename": lambda r, n: r.update(n, new_name="elsewhere"),
    "grant": lambda r, n: r.update(n, access_grants=[("anyone", "read")]),
    "publish": lambda r, n: r.publish(n, 3),
    "publish a label": lambda r, n: r.publish(f"{n}@staging"),
    "rollback": lambda r, n: r.rollback(n, reason="why"),
    "rollback to": lambda r, n: r.rollback(n, 1, reason="why"),
    "discard": lambda r, n: r.discard(n, 3),
    "move a label": lambda r, n: r.set_label(n, "staging", 2),
    "new label": lambda r, n: r.set_label(n, "canary", 2),
    "remove a label": lambda r, n: r.remove_label(n, "staging"),
    "disable": lambda r, n: r.set_status(n, "disabled"),
    "delete": lambda r, n: r.set_status([n, n], "deleted"),
}


@pytest.mark.parametrize("name", ["kept", "kept_off"])
@pytest.mark.parametrize("change", CHANGES)
def test_rule_14_nothing_of_an_archived_prompt_can_be_changed(four, refuses, change, name):
    """Every change by any actor, including deletion, is refused until the prompt is restored, and works then."""
    with refuses(four, NotModifiableError, "prompt_archived", names=[name], state="archived"):
        CHANGES[change](four, name)
    with refuses(four, NotModifiableError, "prompt_archived", names=[name], state="archived"):
        CHANGES[change](four.scope(actor=Actor("ada", "org_admin")), name)
    four.restore(name)
    four.set_status(name, "active")
    before = four.events(limit=1000)
    CHANGES[change](four, name)
    assert four.events(limit=1000) != before


def test_rule_14_the_name_of_an_archived_prompt_remains_taken(four, refuses):
    """No prompt can be created with the name of an archived one, or renamed to it, in the same namespace."""
    with refuses(four, NameTakenError, "name_taken", name="kept"):
        four.create("kept", "Mine")
    with refuses(four, NameTakenError, "name_taken", name="kept"):
        four.update("on", new_name="kept")
    assert four.scope(namespace="far").create("kept", "Mine").version == 1


def test_rule_14_archiving_and_restoring_twice_is_fine(four, unchanged):
    """The second call returns the prompt and changes nothing; one archived while disabled is restored as disabled."""
    for name in ("kept", "kept_off"):
        with unchanged():
            assert four.archive(name) == four.get(name)
    assert (four.restore("kept").status, four.restore("kept_off").status) == ("active", "disabled")
    with unchanged():
        assert four.restore("kept").status == "active"
    assert four.restore("kept_off").status == "active"  # restore is set_status(…, "active")


def test_rule_14_archived_while_disabled_still_refuses_to_render(four, refuses):
    """A prompt archived while disabled, or a pickled value of it, does not render; restored, it is disabled."""
    kept = four.get("kept_off")
    for call in (kept.render, pickle.loads(pickle.dumps(kept)).render, lambda **v: four.render("kept_off@1", v)):
        with refuses(four, PromptDisabledError, "prompt_disabled", name="kept_off"):
            call(who="you")
    assert four.render("kept", who="you").text == "I am still kept, you"
    four.restore("kept_off")
    with refuses(four, PromptDisabledError, "prompt_disabled", name="kept_off"):
        four.render("kept_off", who="you")
    four.set_status("kept_off", "active")
    four.archive("kept_off")
    assert four.render("kept_off", who="you").text == "I am still kept_off, you"


@pytest.mark.parametrize("verb", ["archive", "restore"])
def test_rule_14_archive_and_restore_refuse_bad_names(four, refuses, verb):
    """A name with `@`, a malformed one and an absent one are refused as by every verb."""
    for name in ("on@1", "kept@latest", "No", None, 3, ["on"]):
        with pytest.raises(InvalidInputError):
            getattr(four, verb)(name)
    with refuses(four, NotFoundError, "not_found", names=["absent"]):
        getattr(four, verb)("absent")


# Rule 15

SECRETS = {
    "title": "sectitle", "description": "secdescription", "category": "seccategory", "tags": ["sectag", "zażółćsec"],
    "variables": [{"name": "secvariable", "default": "secdefault", "required": False, "description": "secabout"}],
    "config": {"seckey": "secvalue"}, "meta": {"secmeta": ["secdeep"]}, "examples": [{"secexample": "secsample"}],
}  # fmt: skip
TEXT = """
sectitle secdescription seccategory sectag zażółćsec secvariable secdefault secabout seckey secvalue secmeta secdeep
secexample secsample secmessage sectemplate secchat secnext secdraft secedited secfailed seclabel secoldname
secprincipal secreason secname secbig seccomplaint
"""
WORDS = TEXT.split()
ERASED_TOO = [*WORDS, "secdiscarded", "secbefore", "zazolcsec"]


def complain(prompt) -> None:
    """Raise an error with secret words for a prompt with a marker in its text."""
    if "secfailed" in str(prompt.template):
        raise ValueError("seccomplaint")


def fill_secrets(registry: Registry) -> str:
    """Create a prompt with secret words in all its fields, and return its id."""
    registry.create("secoldname", "sectemplate " + "SecBig " * 30_000, commit_message="secmessage", **SECRETS)
    registry.update("secoldname", template=[{"role": "user", "content": "secchat"}], new_name="secname")
    registry.update("secname", template="secnext", access_grants=[("group:secprincipal", "read")])
    registry.update("secname", template="secdiscarded", is_production=False)
    registry.discard("secname")
    registry.update("secname", template="secbefore", is_production=False)
    registry.update("secname@5", template="secedited")
    registry.update("secname", template="secfailed", is_production=False)
    with pytest.raises(PublishCheckError):
        registry.publish("secname@latest")
    registry.update("secname", template="secdraft", is_production=False)
    registry.set_label("secname", "seclabel", 1)
    return registry.rollback("secname", reason="secreason").id


def found(folder: Path, words: list[str]) -> set[str]:
    """Return those of the words that occur in any file of the folder, ignoring case."""
    held = b"\n".join(file.read_bytes() for file in folder.iterdir()).lower()
    return {word for word in words if word.encode() in held}


@pytest.fixture
def with_secrets(path):
    """A registry with the secret prompt `secname`, one that remains, and a check that complains."""
    with Registry(path, publish_checks=[complain]) as registry:
        registry.create("stays", "This text stays", tags=["staying"])
        fill_secrets(registry)
        yield registry


@pytest.mark.sqlite
def test_rule_15_deleted_bytes_are_erased_from_every_file(with_secrets, tmp_path):
    """After the deletion no word of any version, label, old name or reason is in any file; others are unharmed."""
    assert found(tmp_path, WORDS) == set(WORDS)
    kept = with_secrets.get("stays")
    with_secrets.set_status("secname", "deleted")
    # Only the name remains, in the delete event.
    assert found(tmp_path, ERASED_TOO) == {"secname"}
    assert (with_secrets.get("stays"), with_secrets.search("text staying")) == (kept, [kept])
    assert found(tmp_path, ["this text stays"])


def test_rule_15_no_verb_and_no_search_returns_a_deleted_prompt(with_secrets):
    """Its name and id are unknown to every verb, its events have no content, and no listing includes it."""
    prompt = with_secrets.get("secname")
    with_secrets.set_status(["secname"], "deleted")
    reads = [
        with_secrets.get,
        with_secrets.render,
        with_secrets.history,
        with_secrets.events,
        with_secrets.archive,
        with_secrets.restore,
    ]
    reads += [
        lambda n: with_secrets.get(n, version=1),
        lambda n: with_secrets.get(f"{n}@seclabel"),
        lambda n: with_secrets.diff(n, 1, 2),
    ]
    changes = [partial(change, with_secrets) for title, change in CHANGES.items() if title != "save"]
    for name in ("secname", prompt.id):
        for verb in reads + changes:
            with pytest.raises(NotFoundError) as caught:
                verb(name)
            assert (caught.value.code, caught.value.details) == ("not_found", {"names": [name]})
    assert [p.name for p in with_secrets.list(status=ALL, limit=100)] == ["stays"]
    assert not [word for word in WORDS if with_secrets.search(word, status=ALL)]
    events = [e for e in with_secrets.events(limit=1000) if e.prompt_id == prompt.id]
    assert events[-1].action == "delete"
    text = "".join(str(e) for e in events)
    assert {word for word in ERASED_TOO if word in text} <= {"secname"}
    assert not any(prompt.content_hash in str(e) for e in events)


def test_rule_15_the_name_is_free_and_a_new_prompt_has_no_history(with_secrets, unchanged):
    """A new prompt of that name has another id, version 1, and no history, labels or grants of the old one."""
    old = with_secrets.get("secname")
    with_secrets.set_status("secname", "deleted")
    assert with_secrets.namespaces() == ["default"]
    new = with_secrets.save("secname", "A new start")
    assert new.id != old.id
    assert (new.version, new.latest_version, new.access_grants, new.title) == (1, 1, [], "secname")
    assert new.labels == {"production": 1, "latest": 1}
    assert [v.template for v in with_secrets.history("secname")] == ["A new start"]
    assert [e.action for e in with_secrets.events("secname")] == ["create", "publish"]
    with unchanged(), pytest.raises(NotFoundError):
        with_secrets.get(old.id)
    assert with_secrets.update("stays", new_name="secname2").name == "secname2"


@pytest.mark.sqlite
@pytest.mark.parametrize("step", ["write", "open", "close"])
def test_rule_15_an_older_reader_only_delays_the_erasing(with_secrets, tmp_path, path, step):
    """With a reader on an older snapshot no verb finds the prompt; when the reader ends, its bytes are erased."""
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    with_secrets.set_status("secname", "deleted")
    assert with_secrets.get("secname", default=None) is None
    if step == "close":
        with_secrets.close()
    reader.close()
    if step == "close":
        with_secrets.close()  # a second time changes nothing
    if step == "write":
        with_secrets.create("next", "…")
    if step == "open":
        Registry(path).close()
    assert found(tmp_path, ERASED_TOO) <= {"secname"}


def test_rule_11_a_bulk_call_changes_nothing_but_the_status(registry):
    """This holds for names and ids in any order, so many that several different statements write them."""
    view = registry.scope(actor=Actor('o"b', "team_editor"))
    for i in range(75):
        owner = view if i % 2 else registry
        grants = [("anyone", "read")] if i % 3 else []
        owner.create(f"p{i}", f"Number {i}", is_production=bool(i % 5), access_grants=grants)
        if i % 4 == 0:
            registry.set_label(f"p{i}", f"label-{i}", 1)
    before = {prompt.name: prompt.model_dump() for prompt in registry.list(limit=100)}
    asked = [f"p{i}" if i % 7 else before[f"p{i}"]["id"] for i in range(74, -1, -1)]
    last = registry.events(limit=1_000)[-1].seq
    done = registry.set_status(asked, "disabled")
    names = [f"p{i}" for i in range(74, -1, -1)]
    assert (done.updated_prompts, done.updated, done.skipped) == (75, names, [])
    after = {prompt.name: prompt.model_dump() for prompt in registry.list(limit=100)}
    (moment,) = {prompt["updated_at"] for prompt in after.values()}
    moved = {"status": "disabled", "is_active": False, "is_disabled": True, "updated_at": moment}
    assert after == {name: {**prompt, **moved} for name, prompt in before.items()}
    events = registry.events(after=last, limit=1_000)
    assert [(event.action, event.name, event.prompt_id, event.details) for event in events] == [
        ("disable", name, before[name]["id"], {"previous": "active"}) for name in names
    ]


@pytest.mark.sqlite
def test_rule_15_many_deleted_at_once_are_all_erased(registry, tmp_path):
    """One call erases all of them; an archived prompt must be restored first."""
    for i in range(30):
        registry.create(f"p{i}", f"secmany{i:02} " * 500)
    registry.archive("p7")
    registry.set_status([f"p{i}" for i in range(30) if i != 7], "deleted")
    assert found(tmp_path, [f"secmany{i:02}" for i in range(30)]) == {"secmany07"}
    registry.restore("p7")
    registry.set_status("p7", "deleted")
    assert not found(tmp_path, ["secmany07"])


# Rule 16

KINDS = {kind: partial(lambda change, r: change(r, "on"), change) for kind, change in CHANGES.items()} | {
    "create": lambda r: r.create("new", "Born"),
    "save anew": lambda r: r.save("new", "Born"),
    "seed": lambda r: r.seed("on", "Shipped, {{ who }}", on_conflict="publish"),
    "seed beside people": lambda r: r.seed("on", "Shipped, {{ who }}"),
    "seed anew": lambda r: r.seed("new", "Born"),
    "edit a message in place": lambda r: r.update("on@3", commit_message="Said anew"),
    "fail": lambda r: [r.update("on@3", template="{{ gone }}"), outcome(r.publish, "on", 3)],
    "swap names": lambda r: [r.update(a, new_name=b) for a, b in (("on", "new"), ("off", "on"), ("new", "off"))],
    "grant to Rita": lambda r: r.update("off", access_grants=[("user:rita", "read")]),
    "withdraw a grant": lambda r: r.update("shared", access_grants=[]),
    "enable": lambda r: r.set_status("off", "active"),
    "archive": lambda r: r.archive("on"),
    "restore": lambda r: r.restore("kept"),
    "restore to disabled": lambda r: r.restore("kept_off"),
    "delete and create": lambda r: [r.set_status("on", "deleted"), r.create("on", "I am still on, {{ who }}")],
    "many at once": lambda r: r.set_status(["on", "shared"], "archived"),
}
READ_PROMPTS = [f"on{choice}" for choice in ("", "@latest", "@staging", "@canary", "@1", "@3")]
READ_PROMPTS += [*STATUS, "shared", "new"]


def read_all(registry: Registry) -> dict:
    """Return the results of all reading verbs for these prompts, for the application and for Rita."""
    rita = registry.scope(actor=Actor("rita"))
    seen = {(who, name): outcome(view.get, name) for who, view in enumerate((registry, rita)) for name in READ_PROMPTS}
    seen |= {(name, "text"): outcome(lambda n: registry.render(n, who="you").text, name) for name in STATUS}
    return seen | {"all": registry.list(status=ALL), "hers": rita.list(status=ALL)}


def serve(pipe) -> None:
    """Serve in another process: keep registries open with warm caches, and read or change on command, until None."""
    kept: dict[str, Registry] = {}
    while (job := pipe.recv()) is not None:
        path, kind = job
        if path.startswith(POSTGRES):
            wait_for_answers(pytest.MonkeyPatch())
        registry = kept.get(path) or kept.setdefault(path, Registry(path))
        pipe.send(read_all(registry) if kind == "read_all" else KINDS[kind](registry) and None)
    for registry in kept.values():
        registry.close()


@pytest.fixture(scope="module")
def other_process():
    """Return a function that makes another process read or change prompts, and returns what it saw."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,))
    process.start()

    def ask(path: str, kind: str) -> object:
        ours.send((path, kind))
        assert ours.poll(60), "the other process died or hangs"
        return ours.recv()

    yield ask
    ours.send(None)
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("kind", "place"),
    [(kind, place) for kind in KINDS for place in ("same", "process")]
    + [(kind, "thread") for kind in ("update", "disable", "rename", "delete")],
)
def test_rule_16_warm_caches_see_every_change_at_once(four, path, other_process, kind, place):
    """Right after any change, warm registries here and in another process return what a new registry returns.

    What another process has changed is seen after as long as the storage declares.
    """
    four.create("shared", "Shared", access_grants=[("user:rita", "read")])
    staleness = four._core.storage.profile.staleness
    with Registry(path) as second:

        def reads(*waits: float) -> list:
            here, there = waits
            time.sleep(here)
            seen = [read_all(four), read_all(second)]
            time.sleep(there)
            return [*seen, other_process(path, "read_all")]

        before = reads(0, staleness)
        assert before[0] == before[1] == before[2]
        if place == "process":
            other_process(path, kind)
        elif place == "thread":
            thread = threading.Thread(target=KINDS[kind], args=(four,))
            thread.start()
            thread.join()
        else:
            KINDS[kind](four.scope(actor=Actor("ada", "org_admin")))
        after = reads(staleness, 0) if place == "process" else reads(0, staleness)
        with Registry(path) as fresh:
            expected = read_all(fresh)
    assert expected != before[0]
    assert [read_all == expected for read_all in after] == [True, True, True]


def test_rule_16_a_closed_registry_returns_nothing_from_its_cache(four):
    """Cached prompts are not returned once the registry is closed."""
    four.get("on")
    four.close()
    with pytest.raises(StorageError) as caught:
        four.get("on")
    assert caught.value.code == "internal_error"
