"""What a write does in PostgreSQL: round trips, checks in the transaction, commits that others notice, and any text."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest

from promptreg import Actor, InvalidInputError, Registry, StorageCorruptError
from promptreg.records import Change, Container, NewEvent, Operation
from promptreg.storage.base import Storage, StorageSettings
from promptreg.storage.opening import open_storage
from promptreg.storage.postgres.guards import COMMITS
from tests.postgres import UNGUARDED, connected, split_target
from tests.proxy import Proxy
from tests.storages import everything
from tests.test_storage_contract import AUTHOR, creation, named

pytestmark = pytest.mark.postgres

Execute = Callable[..., list[Any]]


@contextmanager
def executing(target: str) -> Iterator[Execute]:
    """Yield a function that executes SQL as a superuser whom no trigger stops, each statement in its transaction."""
    with connected(target, UNGUARDED) as connection:

        def execute(text: str, values: Sequence[Any] | None = None) -> list[Any]:
            cursor = connection.execute(text, values)
            return cursor.fetchall() if cursor.description else []

        yield execute


@pytest.fixture
def sql(postgres_target: str) -> Iterator[Execute]:
    with executing(postgres_target) as execute:
        yield execute


@pytest.fixture
def registry(postgres_target: str) -> Iterator[Registry]:
    with Registry(postgres_target) as opened:
        yield opened


@pytest.fixture
def storage(postgres_target: str) -> Iterator[Storage]:
    settings = StorageSettings(postgres_target, create=True, durability="full", busy_timeout=30.0)
    with closing(open_storage(settings)) as opened:
        yield opened


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    with closing(Proxy(postgres_url)) as opened:
        yield opened


def waits(proxy: Proxy) -> int:
    """Return how often the client has waited for an answer: nobody waits for that to a rollback."""
    return proxy.trips - proxy.statements.count("ROLLBACK")


# Round trips

VERBS: dict[str, tuple[Callable[[Registry], object], int]] = {
    "create": (lambda r: r.create("new", "New"), 3),
    "update": (lambda r: r.update("greet", template="Again"), 3),
    "update a draft": (lambda r: r.update("greet", template="Draft", is_production=False), 3),
    "publish": (lambda r: r.publish("drafted"), 3),
    "set_label": (lambda r: r.set_label("greet", "eu", 1), 3),
    "disable": (lambda r: r.disable("greet"), 3),
    "delete": (lambda r: r.delete("greet"), 3),
    "rollback": (lambda r: r.rollback("greet", reason="worse"), 5),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_writes_takes_few_round_trips(postgres_target: str, proxy: Proxy, verb: str) -> None:
    """One to read, one for the lock, and one for all that is written with the commit; a rollback reads twice more."""
    call, most = VERBS[verb]
    with Registry(postgres_target) as other:
        other.create("greet", "1")
        other.update("greet", template="2")
        other.create("drafted", "1", is_production=False)
    with Registry(proxy.through(postgres_target)) as registry:
        registry.create("first", "so that there are connections for reading and writing")
        registry.history("first")
        before = waits(proxy)
        call(registry)
        assert waits(proxy) - before <= most


def test_many_changes_take_few_statements(postgres_target: str, proxy: Proxy) -> None:
    """A status of 1,200 prompts is written a thousand rows at a time, in one round trip with the commit."""
    with Registry(proxy.through(postgres_target), busy_timeout=60) as registry:
        names = [f"p{number}" for number in range(1_200)]
        with registry._core.storage.write() as writer:
            writer.apply([creation(name) for name in names])
        registry.history("p0")
        statements, before = len(proxy.statements), waits(proxy)
        assert registry.set_status(names, "disabled").updated_prompts == 1_200
        assert waits(proxy) - before <= 3
        assert len(proxy.statements) - statements < 40
        assert registry.list(status="disabled", limit=1).items[0].name == "p0"
        assert registry.set_status(names, "deleted").updated_prompts == 1_200
        assert len(proxy.statements) - statements < 100
    assert [len(everything(postgres_target)[table]) for table in ("prompts", "versions", "deletions")] == [0, 0, 1_200]


# What is checked in the transaction


def prompt(storage: Storage, name: str) -> Container:
    with storage.read() as reader:
        found = named(reader, name)
    assert found is not None
    return found


def test_a_row_that_is_not_found_ends_the_write(storage: Storage, postgres_target: str) -> None:
    """As a damaged index would have it: the commit does nothing, for one prompt, for many, and for deletions."""
    with storage.write() as writer:
        writer.apply([creation("a"), creation("b")])
    a, b = prompt(storage, "a"), prompt(storage, "b")
    lost = b._replace(name="lost")
    before = everything(postgres_target)
    disabled = [Change(one, one._replace(is_disabled=True), (), AUTHOR.now) for one in (a, lost)]
    deleted = [Change(one, None, (NewEvent("delete", None),), AUTHOR.now) for one in (a, lost)]
    for changes in (disabled[1:], disabled, deleted[1:], deleted):
        with pytest.raises(StorageCorruptError, match="the index of 'prompts'") as caught, storage.write() as writer:
            writer.apply(changes)
        assert caught.value.details["reason"] == "damaged"
    assert everything(postgres_target) == before


def test_a_lost_publication_ends_the_write(registry: Registry, sql: Execute, postgres_target: str) -> None:
    """A stack of another depth than the prompt says is damaged, and nothing is published on it."""
    identity = registry.create("greet", "1").id
    sql("DELETE FROM publications")
    before = everything(postgres_target)
    with pytest.raises(StorageCorruptError, match="the publications of the prompt") as caught:
        registry.update("greet", template="2")
    assert identity in str(caught.value)
    assert everything(postgres_target) == before


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM event_details WHERE seq = 2; DELETE FROM events WHERE seq = 2",
        "UPDATE events SET hash = repeat('0', 64) WHERE seq = 2",
        "UPDATE registry SET last_event = 1",
        "UPDATE registry SET last_hash = repeat('0', 64)",
        "INSERT INTO events SELECT 9, at, actor, action, namespace, prompt_id, version, commitment, hash, hash"
        " FROM events WHERE seq = 2",
    ],
)
def test_the_chain_of_events_goes_on_only_where_it_ended(
    registry: Registry, sql: Execute, postgres_target: str, damage: str
) -> None:
    """Where the last event is not the one that the registry's row names, no verb writes."""
    registry.create("greet", "1")
    sql(damage)
    before = everything(postgres_target)
    with pytest.raises(StorageCorruptError, match="the record of events after event"):
        registry.update("greet", template="2")
    with pytest.raises(StorageCorruptError):
        registry.delete("greet")
    assert everything(postgres_target) == before


def test_a_registry_without_its_row_is_damaged(registry: Registry, sql: Execute) -> None:
    """It has no revision, so it is neither read nor written."""
    registry.create("greet", "1")
    sql("DELETE FROM registry")
    with pytest.raises(StorageCorruptError):
        registry.update("greet", template="2")


# What others notice


def test_each_commit_has_a_revision_and_a_stamp(storage: Storage, sql: Execute) -> None:
    """The revision is one higher, the stamp is 8 random bytes, and the last commits are kept with both."""
    seen = []
    for name in "abc":
        with storage.write() as writer:
            writer.apply([creation(name)])
            seen.append(writer.snapshot)
        ((number, stamp),) = sql("SELECT revision, stamp FROM registry")
        assert (number, stamp) == (len(seen), seen[-1].signature)
        assert len(bytes.fromhex(stamp)) == 8
        with storage.read() as reader:
            assert reader.snapshot == seen[-1]
    commits = sql("SELECT revision, stamp FROM commits ORDER BY revision")
    assert commits[1:] == [(snapshot.revision, snapshot.signature) for snapshot in seen]
    assert len({stamp for _, stamp in commits}) == 4


def test_the_last_thousand_commits_are_kept(storage: Storage, sql: Execute) -> None:
    """Older ones are forgotten by the next commit."""
    sql("INSERT INTO commits SELECT n, 'x' FROM generate_series(1, 1999) n; UPDATE registry SET revision = 1999")
    with storage.write() as writer:
        writer.apply([creation("a")])
    assert sql("SELECT count(*), min(revision), max(revision) FROM commits") == [(COMMITS, 1001, 2000)]


def test_a_commit_is_announced_and_a_rollback_is_not(storage: Storage, postgres_target: str) -> None:
    """On the channel of the schema, with the revision and the stamp, and only once it can be read."""
    import psycopg

    url, schema = split_target(postgres_target)
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{schema}"')
        with suppress(ZeroDivisionError), storage.write() as writer:
            writer.apply([creation("lost")])
            raise ZeroDivisionError
        with storage.write() as writer:
            writer.apply([creation("kept")])
            written = writer.snapshot
        (notification,) = listener.notifies(timeout=10, stop_after=1)
        assert notification.payload == f"{written.revision} {written.signature}"
        assert [*listener.notifies(timeout=0.1)] == []


def test_a_write_without_a_change_is_a_commit_without_an_event(storage: Storage, sql: Execute) -> None:
    """The revision grows, the chain ends where it did, and there is no first event, as there is of any other."""
    with storage.write() as writer:
        first = writer.apply([creation("a")])
    assert first == sql("SELECT seq, hash FROM events WHERE seq = 1")[0]
    last = sql("SELECT last_event, last_hash FROM registry")
    with storage.write() as writer:
        assert writer.apply([], Operation("key", AUTHOR.now, "[]")) is None
    assert sql("SELECT revision, last_event, last_hash FROM registry") == [(2, *last[0])]


def test_the_day_of_an_operation_is_the_servers(storage: Storage, sql: Execute) -> None:
    """Whatever the clocks of processes say, an operation is remembered for a day of the server's clock."""
    with storage.write() as writer:
        writer.apply([], Operation("key", "1999-01-01T00:00:00.000000+00:00", "[1]"))
        assert writer.operation("key", "2999-01-01T00:00:00.000000+00:00") == "[1]"
    sql("UPDATE operations SET at = at - interval '23 hours 50 minutes'")
    with storage.read() as reader:
        assert reader.operation("key", AUTHOR.now) == "[1]"
    sql("UPDATE operations SET at = at - interval '20 minutes'")
    with storage.write() as writer:
        assert writer.operation("key", AUTHOR.now) is None
        writer.apply([], Operation("other", AUTHOR.now, "[2]"))
    assert sql("SELECT key FROM operations") == [("other",)]


# Search


def test_the_words_of_a_prompt_are_those_of_the_version_that_it_shows(registry: Registry) -> None:
    """After a publish the new ones, after a rollback those of the version that is back, after a rename its new name."""
    registry.create("greet", "alpha", tags=["one"])
    registry.update("greet", template="beta", tags=["two"])
    registry.update("greet", template="gamma", is_production=False)

    def found(text: str) -> list[str]:
        return [prompt.name for prompt in registry.search(text)]

    assert [found(word) for word in ("alpha", "beta", "gamma")] == [[], ["greet"], []]
    registry.rollback("greet", reason="worse")
    assert [found(word) for word in ("alpha", "beta", "one", "two")] == [["greet"], [], ["greet"], []]
    registry.update("greet", new_name="hail")
    assert [found(word) for word in ("greet", "hail", "alpha")] == [["hail"], ["hail"], ["hail"]]
    registry.delete("hail")
    assert found("alpha") == []


def test_rollbacks_of_many_prompts_read_what_they_bring_back_at_once(postgres_target: str, proxy: Proxy) -> None:
    """Their words are written as those of one, in as many round trips."""
    with Registry(proxy.through(postgres_target)) as registry:
        names = [f"p{number}" for number in range(30)]
        for name in names:
            registry.create(name, f"old {name}")
            registry.update(name, template=f"new {name}")
        before = waits(proxy)
        registry.rollback(names, reason="worse")
        assert waits(proxy) - before <= 6
        assert len(registry.search("old", limit=100)) == 30
        assert registry.search("new") == []
        assert registry.verify() == []


# Any text

TEXTS = (
    "'; DROP TABLE prompts; --",
    'a "quoted" \\ backslash \\\\ \\n \\x00 \\u0000',
    "%s %(name)s %% $1 $. $$ $body$ {}",
    "\x01\x02\x1a\x1b\x7f\x80\x9f",
    "tab\tline\nreturn\rnext\x85sep\u2028\u2029",
    "NULL \\N {NULL,\"a\"} [1, 2] {'x': null}",
    "\ufeffbom \ufffd \ufffe\uffff \U0010ffff",
    "e\u0301 é İ ß ﬁ 𝒳 翻訳 שָׁלוֹם",
    " leading and trailing ",
)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_text_is_kept_as_it_is(registry: Registry, text: str) -> None:
    """In each field of a prompt, in the record, in labels and grants of many at once; hashes hold, and it is found."""
    ana = registry.scope(actor=Actor("ana", "org_admin"))
    plain: dict[str, Any] = {"syntax": "plain", "title": text, "description": text, "commit_message": text}
    plain |= {"category": text.strip()[:50], "tags": [text.strip()[:50], "x"], "meta": {text: [text]}}
    names = ["one", "two", "three"]
    for name in names:
        ana.create(name, text, config={"k": text}, **plain)
        ana.update(name, template=f"{text} again", access_grants=[("user:bob", "read")])
    ana.rollback(names, reason=text)
    ana.set_status(names, "disabled")
    ana.set_status(names[1:], "deleted")
    prompt = ana.get("one")
    shown = (prompt.template, prompt.title, prompt.description, prompt.commit_message, prompt.config["k"])
    expected = text.replace("\r\n", "\n")
    assert shown == (expected, text, text, text, text)
    assert prompt.meta == {text: [text]}
    assert [event.details["reason"] for event in ana.events("one", action="rollback")] == [text]
    assert [found.name for found in ana.list(status="disabled", tag=text.strip()[:50]).items] == ["one"]
    assert [found.name for found in ana.search("again one", status="disabled")] in ([], ["one"])
    assert ana.verify() == []


def test_no_text_has_a_nul_character(registry: Registry) -> None:
    """A text column can't hold U+0000; every argument that has one is refused before any statement, as with SQLite."""
    registry.create("greet", "1")
    before = registry.revision
    nul = "a\0b"
    calls: list[Callable[[], object]] = [
        lambda: registry.create(nul, "x"),
        lambda: registry.scope(namespace=nul),
        lambda: registry.scope(actor=Actor(nul)),
        lambda: registry.create("x", nul),
        lambda: registry.create("x", [{"role": "user", "content": nul}]),
        *(
            lambda field=field, value=value: registry.create("x", "x", **{field: value})  # type: ignore[misc]
            for field, value in {
                "title": nul,
                "description": nul,
                "category": nul,
                "tags": [nul],
                "config": {"k": nul},
                "meta": {nul: 1},
                "variables": [{"name": "v", "default": nul}],
                "examples": [{"v": nul}],
                "access_grants": [(f"user:{nul}", "read")],
                "commit_message": nul,
            }.items()
        ),
        lambda: registry.rollback("greet", reason=nul),
        lambda: registry.set_label("greet", nul),
        lambda: registry.get(nul),
        lambda: registry.list(prefix=nul),
        lambda: registry.list(created_by=nul),
        lambda: registry.list(category=nul),
        lambda: registry.list(tag=nul),
        lambda: registry.list(label=nul),
        lambda: registry.events(nul),
    ]
    for call in calls:
        with pytest.raises(InvalidInputError):
            call()
    assert registry.revision == before


def test_a_search_for_a_nul_character_finds_as_in_sqlite(registry: Registry) -> None:
    """It separates words, as punctuation does, and is not sent to the server."""
    registry.create("greet", "alpha beta")
    with Registry(":memory:") as other:
        other.create("greet", "alpha beta")
        results = [_searched(each, "alpha\0beta") for each in (registry, other)]
    assert results[0] == results[1]


def _searched(registry: Registry, text: str) -> list[str] | None:
    try:
        return [prompt.name for prompt in registry.search(text)]
    except InvalidInputError:
        return None
