"""A commit of unknown outcome is found out: the call returns as if nothing had happened, or says how to repeat it.

`test_faults.py` has what the storage itself does of such a commit, and what may be read meanwhile.
"""

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from promptreg import (
    CommitUnknownError,
    ConflictError,
    NotFoundError,
    PublishCheckError,
    Registry,
    StorageError,
    StorageFullError,
)
from promptreg.files import sync
from promptreg.files.full import import_full
from promptreg.storage.sqlite import unknown_commits
from tests.conftest import Ticking
from tests.faulty import IOERR_FSYNC, failure, install
from tests.full import exported
from tests.test_rules_once import WRITES, fill

IS_HELD = pytest.mark.parametrize("is_held", [True, False], ids=["held", "lost"])
Call = Callable[[Registry], Any]


class FailingCommits:
    """Makes chosen commits of a process fail, counted from 1, each after it has happened or was rolled back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._faults = install(monkeypatch)
        self._faults.before = self._before  # type: ignore[method-assign]
        self._failing: Callable[[int], bool] = lambda number: False
        self.count = 0
        self._held: int | None = None
        self._later = IOERR_FSYNC

    @contextmanager
    def failing(
        self,
        *,
        is_held: bool,
        which: Callable[[int], bool] = lambda number: number == 1,
        held: int = 1,
        later: tuple[str, type[sqlite3.Error], int] = IOERR_FSYNC,
    ) -> Iterator[None]:
        """Fail these commits; one holds all the same, the first unless told, or is rolled back as all others are.

        `later` is the error of those after the first.
        """
        self._failing, self._held, self._later, self.count = which, held if is_held else None, later, 0
        yield
        self._failing = lambda number: False

    def _before(self, connection: sqlite3.Connection, statement: str) -> None:
        if statement != "COMMIT":
            return
        self.count += 1
        if self._failing(self.count):
            sqlite3.Connection.execute(connection, "COMMIT" if self.count == self._held else "ROLLBACK")
            raise failure(*(IOERR_FSYNC if self.count == 1 else self._later))


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> FailingCommits:
    """The commits that fail."""
    return FailingCommits(monkeypatch)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a registry with prompts that every call of the table can change, to be copied."""
    file = tmp_path_factory.mktemp("stock") / "prompts.db"
    with Registry(file, clock=Ticking()) as registry:
        fill(registry)
    return file


@pytest.fixture
def registry(commits: FailingCommits, path: str, stock: Path) -> Iterator[Registry]:
    """A registry of such a file."""
    shutil.copyfile(stock, path)
    with Registry(path) as opened:
        yield opened
    unknown_commits.note_settled(path)


def always(number: int) -> bool:
    return True


def actions(registry: Registry) -> list[tuple[str, str | None, int | None]]:
    """Return what the record holds, but for times and ids."""
    return [(event.action, event.name, event.version) for event in registry.events(limit=1000)]


def undisturbed(call: Call, stock: Path, folder: Path) -> tuple[Any, Any]:
    """Return what a call returns, and what it leaves in the record, where nothing fails."""
    path = folder / "undisturbed.db"
    shutil.copyfile(stock, path)
    with Registry(path) as registry:
        return told(call(registry)), actions(registry)


def told(answer: Any) -> Any:
    """Return what a call returned, but for ids and times, which differ between two registries."""
    if isinstance(answer, list):
        return [told(prompt) for prompt in answer]
    if not hasattr(answer, "template"):
        return answer
    return answer.name, answer.version, answer.template, answer.status, answer.labels, answer.production_version


def unknown_id(call: Call, registry: Registry, commits: FailingCommits, *, is_held: bool) -> str:
    """Make a call whose outcome can't be found out, and return the operation id of its error."""
    with commits.failing(is_held=is_held, which=always), pytest.raises(CommitUnknownError) as caught:
        call(registry)
    assert "registry.once" in caught.value.message
    assert caught.value.details["reason"] == "commit_unknown"
    return str(caught.value.details["operation_id"])


UNWRITTEN = (
    *("save, which changes nothing", "update that changes nothing", "seed of what is seeded already"),
    *("publish of what is live", "publish of none", "set_label where it is", "set_status of none"),
    "restore of what is not archived",
)
WRITING = [title for title in WRITES if title not in UNWRITTEN]
FEW = {"create", "publish of several, of which one is live", "set_status, which deletes"}
EACH = pytest.mark.parametrize(
    "title", [pytest.param(title, marks=() if title in FEW else pytest.mark.slow) for title in WRITING]
)


@IS_HELD
@EACH
def test_the_call_returns_as_if_nothing_had_happened(
    registry: Registry, commits: FailingCommits, title: str, is_held: bool, stock: Path, tmp_path: Path
) -> None:
    """Whether the commit happened or not, the write is there once, whatever the verb."""
    answer, recorded = undisturbed(WRITES[title], stock, tmp_path)
    with commits.failing(is_held=is_held):
        assert told(WRITES[title](registry)) == answer
    assert actions(registry) == recorded
    assert registry.verify() == []


@IS_HELD
@EACH
def test_where_it_can_not_be_told_the_error_has_an_id_for_once(
    registry: Registry, commits: FailingCommits, title: str, is_held: bool, stock: Path, tmp_path: Path
) -> None:
    """The same call with that id writes only if the commit did not happen, and returns what it would have returned."""
    answer, recorded = undisturbed(WRITES[title], stock, tmp_path)
    operation_id = unknown_id(WRITES[title], registry, commits, is_held=is_held)
    for _ in range(2):
        assert told(WRITES[title](registry.once(operation_id))) == answer
        assert actions(registry) == recorded
    assert len(operation_id) <= 200


def test_nothing_is_stored_for_a_call_that_is_not_made_once(registry: Registry, commits: FailingCommits) -> None:
    """The id itself holds the first event and the hash of the call."""
    operation_id = unknown_id(lambda r: r.update("a", template="Four"), registry, commits, is_held=True)
    registry.once(operation_id).update("a", template="Four")
    with closing(sqlite3.connect(registry.path or "")) as connection:
        assert connection.execute("SELECT count(*) FROM operations").fetchone() == (0,)


@IS_HELD
def test_another_process_may_repeat_it(registry: Registry, commits: FailingCommits, is_held: bool, path: str) -> None:
    """As the id is a text that can be passed on, and the chain is the same for all."""
    operation_id = unknown_id(lambda r: r.update("a", template="Four"), registry, commits, is_held=is_held)
    registry.close()
    with Registry(path) as other:
        other.update("b", template="Meanwhile")
        assert other.once(operation_id).update("a", template="Four").version == 4
        assert other.once(operation_id).update("a", template="Four").version == 4
        assert other.history("a")[0].version == 4


def test_the_id_is_that_of_one_call(registry: Registry, commits: FailingCommits) -> None:
    """Another call with it is made, and remembered as with any other id."""
    operation_id = unknown_id(lambda r: r.update("a", template="Four"), registry, commits, is_held=True)
    view = registry.once(operation_id)
    for _ in range(2):
        assert view.update("a", template="Five").version == 5
    assert view.update("a", template="Four").version == 4
    assert registry.get("a").version == 5


def test_what_has_become_of_it_meanwhile_is_told(registry: Registry, commits: FailingCommits) -> None:
    """The repeat returns the prompt as it is now, at the version that was written, and raises once it is gone."""
    operation_id = unknown_id(lambda r: r.update("a", new_name="z"), registry, commits, is_held=True)
    registry.update("z", template="Later", new_name="y")
    again = registry.once(operation_id).update("a", new_name="z")
    assert (again.name, again.version, again.production_version) == ("y", 4, 5)
    registry.delete("y")
    with pytest.raises(NotFoundError, match="another operation id"):
        registry.once(operation_id).update("a", new_name="z")


def test_a_prompt_that_has_the_name_of_a_deleted_one_is_not_taken_for_it(
    registry: Registry, commits: FailingCommits
) -> None:
    """Of several prompts too, whether the commit changed them or left them as they were."""
    calls: list[tuple[Call, str]] = [
        (lambda r: r.publish(["a@3", "b@3"]), "a"),
        (lambda r: r.set_status(["a", "b"], "disabled"), "b"),
        (lambda r: r.set_status(["off", "shipped"], "disabled"), "off"),
    ]
    for call, name in calls:
        operation_id = unknown_id(call, registry, commits, is_held=True)
        registry.delete(name)
        registry.create(name, "Another"), registry.update(name, template="Two", is_production=False)
        registry.update(name, template="Three", is_production=False)
        with pytest.raises(NotFoundError, match="another operation id") as caught:
            call(registry.once(operation_id))
        assert caught.value.details["names"] == [name]


def test_an_id_that_was_tampered_with_is_that_of_another_call(registry: Registry, commits: FailingCommits) -> None:
    """It stands for no commit, so the call is made, or is a repeat of one under that very id."""
    operation_id = unknown_id(lambda r: r.update("a", template="Four"), registry, commits, is_held=True)
    word, seq, events, hash_, call = operation_id.split(".")
    for forged in ([word, seq, "0", hash_, call], [word, "0", events, hash_, call], [word, seq, events, call, hash_]):
        assert registry.once(".".join(forged)).update("a", template="Four").version == 4


@IS_HELD
def test_a_call_that_is_made_once_is_told_its_own_id(
    registry: Registry, commits: FailingCommits, is_held: bool
) -> None:
    """As that is all that is needed to repeat it."""
    calls: list[Call] = [
        lambda r: r.once("op").update("a", template="Four"),
        lambda r: r.once("op").update("b", template="Two"),  # which changes nothing, and is remembered
    ]
    for call in calls:
        assert unknown_id(call, registry, commits, is_held=is_held) == "op"
        before = len(actions(registry))
        answers = [told(call(registry)) for _ in range(2)]
        assert answers[0] == answers[1]
        assert len(actions(registry)) - before == (2 if call is calls[0] and not is_held else 0)
        with commits.failing(is_held=is_held):
            assert told(call(registry)) == answers[0]


@IS_HELD
def test_a_change_without_an_event_is_repeated(registry: Registry, commits: FailingCommits, is_held: bool) -> None:
    """Such as a seed that is only remembered: to do it twice is to do it once."""
    call: Call = lambda r: r.seed("b", "Two")  # noqa: E731
    with commits.failing(is_held=is_held):
        assert call(registry).version == 2
    operation_id = unknown_id(lambda r: r.seed("a", "Two"), registry, commits, is_held=is_held)
    assert registry.once(operation_id).seed("a", "Two").version == 2
    registry.update("a", template="By people")
    assert registry.seed("a", "Two").template == "By people"


@IS_HELD
def test_a_synchronisation_is_found_out_too(
    registry: Registry, commits: FailingCommits, is_held: bool, tmp_path: Path
) -> None:
    """If it can't be, the error says to read first, as it can be synchronised again as it is."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "new.md").write_text("---\ntitle: New\n---\nNew\n")
    with commits.failing(is_held=is_held):
        assert [prompt.action for prompt in sync(registry, folder).prompts] == ["create"]
    (folder / "newer.md").write_text("---\ntitle: Newer\n---\nNewer\n")
    with commits.failing(is_held=is_held, which=always), pytest.raises(CommitUnknownError, match="Read") as caught:
        sync(registry, folder)
    assert "operation_id" not in caught.value.details
    sync(registry, folder)
    assert [event.action for event in registry.events("newer")] == ["create", "publish"]


def test_a_commit_that_fails_twice_has_not_happened(registry: Registry, commits: FailingCommits) -> None:
    """Which is told, so that the error is another one, and nothing is written."""
    before = actions(registry)
    with (
        commits.failing(is_held=False, which=lambda number: number in {1, 3}),  # 2 settles the first
        pytest.raises(StorageError, match="repeated and failed again") as caught,
    ):
        registry.update("a", template="Four")
    assert (type(caught.value), caught.value.details) == (StorageError, {"reason": "io_error"})
    assert actions(registry) == before
    assert registry.update("a", template="Four").version == 4


def test_a_repeat_that_fails_for_another_reason_says_so(registry: Registry, commits: FailingCommits) -> None:
    """Also where the commit before had no event to look for: the plan, made again, tells that it has not happened."""
    full = "database or disk is full", sqlite3.OperationalError, sqlite3.SQLITE_FULL
    for call in (lambda: registry.update("a", template="Four"), lambda: registry.seed("a", "Two")):
        with (
            commits.failing(is_held=False, which=lambda number: number in {1, 3}, later=full),
            pytest.raises(StorageFullError),
        ):
            call()


REPEATED: dict[str, Call] = {
    "with events": lambda r: r.update("a", template="Four"),
    "without": lambda r: r.seed("a", "Two"),
    "made once": lambda r: r.once("op").update("a", template="Four"),
    "made once, which changes nothing": lambda r: r.once("op").update("a", template="Two"),
}


@pytest.mark.parametrize("title", REPEATED)
def test_a_repeat_that_fails_and_holds_has_happened(
    registry: Registry, commits: FailingCommits, title: str, stock: Path, tmp_path: Path
) -> None:
    """It is found out as the first commit is, also where it has no event to look for."""
    answer, recorded = undisturbed(REPEATED[title], stock, tmp_path)
    with commits.failing(is_held=True, which=lambda number: number in {1, 3}, held=3):  # 2 settles the first
        assert told(REPEATED[title](registry)) == answer
    assert actions(registry) == recorded
    revision = registry.revision
    assert told(REPEATED[title](registry.once("op") if "once" in title else registry)) == answer
    assert registry.revision == revision or title == "with events"


def test_a_refusal_of_the_repeat_is_the_answer(
    registry: Registry, commits: FailingCommits, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Where the commit did not happen, and others have written meanwhile, the plan is made again."""
    took: list[threading.Thread] = []
    core, release_after = registry._core, registry._core.release_after

    def take_the_name(error: BaseException) -> None:
        release_after(error)
        if not took:
            took.append(threading.Thread(target=lambda: _create(path)))
            took[0].start()
            took[0].join()

    monkeypatch.setattr(core, "release_after", take_the_name)
    with commits.failing(is_held=False), pytest.raises(ConflictError, match="Another prompt is named"):
        registry.create("new", "New")
    assert registry.get("new").template == "Of another"


def _create(path: str) -> None:
    with Registry(path) as other:
        other.create("new", "Of another")


@IS_HELD
def test_what_others_wrote_meanwhile_stays(
    registry: Registry, commits: FailingCommits, monkeypatch: pytest.MonkeyPatch, path: str, is_held: bool
) -> None:
    """The call is done before what came after it, or after it."""
    wrote: list[int] = []
    core, release_after = registry._core, registry._core.release_after

    def update(error: BaseException) -> None:
        release_after(error)
        if not wrote:
            with Registry(path) as other:
                wrote.append(other.update("b", template="Meanwhile").version)

    monkeypatch.setattr(core, "release_after", update)
    with commits.failing(is_held=is_held):
        assert registry.update("a", template="Four").version == 4
    assert (registry.get("a").template, registry.get("b").template, wrote) == ("Four", "Meanwhile", [4])


def test_what_was_planned_again_in_a_lost_commit_is_planned_again_in_the_repeat(commits: FailingCommits) -> None:
    """Where others had written between the first plan and that commit, the first plan is out of date in both."""
    drafts: list[int] = []

    def draft(prompt: Any) -> None:
        if prompt.version == 2 and not drafts:
            drafts.append(registry.update("x", template="Draft", is_production=False).version)

    with Registry(":memory:", publish_checks=[draft]) as registry:
        registry.create("x", "One")
        with commits.failing(is_held=False, which=lambda number: number == 2):  # 1 is of the draft
            assert registry.update("x", template="Two").version == 3
        assert (drafts, [version.template for version in registry.history("x")]) == ([2], ["Two", "Draft", "One"])


def test_the_mark_of_failed_checks_is_found_out(commits: FailingCommits, path: str) -> None:
    """The reasons are raised as ever, and the version is marked."""

    def refuse(prompt: Any) -> None:
        raise ValueError("no")

    with Registry(path, publish_checks=[refuse]) as registry:
        registry.create("x", "One", is_production=False)
        with commits.failing(is_held=False), pytest.raises(PublishCheckError):
            registry.publish("x")
        assert registry.get("x@1").state == "failed"


@IS_HELD
def test_an_import_of_everything_is_found_out(
    registry: Registry, commits: FailingCommits, is_held: bool, tmp_path: Path
) -> None:
    """If it happened, the call returns; if not, nothing is there, and it is an error, as a file can't be read twice."""
    data = exported(registry)
    with Registry(tmp_path / "other.db") as other:
        with commits.failing(is_held=is_held):
            if is_held:
                import_full(other, BytesIO(data))
            else:
                with pytest.raises(StorageError, match="nothing was imported"):
                    import_full(other, BytesIO(data))
        assert bool(other.events()) == is_held
        if not is_held:
            import_full(other, BytesIO(data))
        assert exported(other) == data
        unknown_commits.note_settled(str(tmp_path / "other.db"))


def test_an_import_that_can_not_be_told_says_to_look(
    registry: Registry, commits: FailingCommits, tmp_path: Path
) -> None:
    """There is no id for it, because the registry is either empty or holds all."""
    data = exported(registry)
    path = str(tmp_path / "other.db")
    with Registry(path) as other:
        with (
            commits.failing(is_held=True, which=always),
            pytest.raises(CommitUnknownError, match="Read what is stored") as caught,
        ):
            import_full(other, BytesIO(data))
        assert "operation_id" not in caught.value.details
        assert exported(other) == data
        unknown_commits.note_settled(path)
