"""What `list`, `search` and `events` find by their filters, and that paging over them misses and repeats nothing."""

import json
import unicodedata
from contextlib import closing
from itertools import combinations, product
from random import Random
from typing import get_args

import pytest

from promptreg import Actor, InvalidInputError, NotFoundError, Registry, StorageCorruptError, arguments
from promptreg.models import Action
from tests.test_storage_sqlite import raw

ALL = ["active", "disabled", "archived"]


def names(prompts):
    return [prompt.name for prompt in prompts]


def versions(prompts):
    return [(prompt.name, prompt.version) for prompt in prompts]


def paged(ask, limit=2):
    """Return what all pages hold, one after the other."""
    page, items = ask(limit=limit, after=None), []
    while True:
        items += page
        if page.next is None:
            return items
        assert len(page) == limit
        page = ask(limit=limit, after=page.next)


def reason(call, *args, **kwargs):
    """Return the fields and reasons of a refusal."""
    with pytest.raises(InvalidInputError) as caught:
        call(*args, **kwargs)
    return {error["field"]: error["reason"] for error in caught.value.details["errors"]}


@pytest.fixture
def memory(database, path):
    """A registry of one test, which is faster in memory."""
    with Registry(":memory:" if database == "sqlite" else path) as opened:
        yield opened


@pytest.fixture(params=[0, 1000])
def most(request, database, monkeypatch):
    """Of how many hits a listing by tags reads all: the usual number, or none."""
    monkeypatch.setattr(f"promptreg.storage.{database}.queries.MAX_RANKED", request.param)


# prefix=


@pytest.fixture
def named(memory):
    """A registry with names that share beginnings."""
    for name in ("a", "a_b", "a_c/d", "axb", "b", "b.1", "café", "cafés", "caff", "ça", "日本", "日本/語"):
        memory.create(name, "x")
    return memory


def test_a_prefix_is_how_the_name_begins(named):
    """Exactly the names that begin with it are found, the name that is equal to it included."""
    assert names(named.list(prefix="a")) == ["a", "a_b", "a_c/d", "axb"]
    assert names(named.list(prefix="a_c/d")) == ["a_c/d"]
    assert names(named.list(prefix="b.")) == ["b.1"]
    assert names(named.list(prefix="日本")) == ["日本", "日本/語"]
    assert names(named.list(prefix="z")) == []
    assert names(named.list(prefix="b.1.2")) == []


def test_no_character_of_a_prefix_is_a_wildcard(named):
    """`_` is itself only, and characters that no name has find nothing, as upper case does."""
    assert names(named.list(prefix="a_")) == ["a_b", "a_c/d"]
    for nothing in ("%", "a%", "*", "a*", "[a]", "?", "A", "Café", " a", "a ", "'", '"', "\\", "\U0010ffff", "@"):
        assert names(named.list(prefix=nothing)) == []


def test_an_empty_prefix_and_none_are_every_name(named):
    """`prefix=""` and `prefix=None` filter nothing."""
    assert names(named.list(prefix="")) == names(named.list(prefix=None)) == names(named.list())


def test_a_prefix_is_compared_in_nfc_as_names_are(named):
    """A prefix in another normal form finds the names that it looks like."""
    assert names(named.list(prefix=unicodedata.normalize("NFD", "café"))) == ["café", "cafés"]
    assert names(named.list(prefix="cafe")) == []


def test_a_prefix_longer_than_a_name_is_refused(named):
    """At most 128 characters, in NFC; longer texts are not normalised."""
    assert names(named.list(prefix="x" * 128)) == names(named.list(prefix="e\u0301" * 128)) == []
    assert reason(named.list, prefix="x" * 129) == {"prefix": "has 129 characters; a name has 128 at most"}
    assert reason(named.list, prefix="a" + "\u0315\u0316" * 60_000)["prefix"].startswith("has 120,001 characters")


def test_pages_with_a_prefix_follow_each_other(named):
    """The cursor goes on within the prefix, and a cursor behind it finds nothing."""
    for prefix, limit in product(("", "a", "a_", "caf", "日"), (1, 2, 3)):
        every = names(named.list(prefix=prefix))
        assert names(paged(lambda prefix=prefix, **page: named.list(prefix=prefix, **page), limit)) == every
    behind = named.list(prefix="b", limit=1).next
    assert names(named.list(prefix="a", after=behind)) == []
    assert names(named.list(prefix="c", after=behind)) == ["caff", "café", "cafés"]


# label=


@pytest.fixture
def labelled(registry):
    """Prompts with labels on versions that are not live: a@1 and c@1 are spring, b has none, d was never live."""
    for name in "abc":
        registry.create(name, "one", tags=["old"], category="first")
        registry.update(name, template="two", tags=["new"], category="second")
    registry.create("d", "draft", is_production=False)
    registry.set_label("a", "spring", 1)
    registry.set_label("c", "spring", 1)
    registry.set_label("c", "Spring.2", 2)
    registry.set_label("b", "winter", 1)
    return registry


def test_with_a_label_only_prompts_that_have_it_are_listed_each_resolved_to_it(labelled):
    """`list(label=…)` returns what `get(name, label=…)` returns of each prompt that has the label."""
    assert list(labelled.list(label="spring")) == [labelled.get("a@spring"), labelled.get("c@spring")]
    assert versions(labelled.list(label="spring")) == [("a", 1), ("c", 1)]
    assert versions(labelled.list(label="Spring.2")) == [("c", 2)]


def test_the_labels_of_the_registry_may_be_asked_for(labelled):
    """`production` lists what is live, `latest` every prompt with its latest version."""
    labelled.update("a", template="three", is_production=False)
    assert versions(labelled.list(label="production")) == [("a", 2), ("b", 2), ("c", 2)]
    assert versions(labelled.list(label="latest")) == [("a", 3), ("b", 2), ("c", 2), ("d", 1)]
    assert versions(labelled.list()) == [("a", 2), ("b", 2), ("c", 2), ("d", 1)]


def test_an_unknown_label_lists_nothing(labelled):
    """A label that no prompt has is no error, and labels are compared by case."""
    for label in ("summer", "SPRING", "Production", "spring.2", "a$b".replace("$", "-")):
        page = labelled.list(label=label)
        assert (len(page), page.next) == (0, None)


def test_a_malformed_label_is_refused(labelled):
    """What no label can be is invalid input."""
    for label in ("", "a b", "7", 'a"b', "x" * 51, 3, ["spring"], b"spring"):
        assert [*reason(labelled.list, label=label)] == ["label"]


def test_filters_look_at_the_version_that_the_label_names(labelled):
    """With a label, tags and categories are compared with its version; without one, with what is live."""
    for tag in ("old", ["old"]):
        assert versions(labelled.list(label="spring", tag=tag)) == [("a", 1), ("c", 1)]
    assert names(labelled.list(label="spring", tag="new")) == names(labelled.list(tag="old")) == []
    assert names(labelled.list(label="spring", category="first")) == ["a", "c"]
    assert names(labelled.list(label="spring", category="second")) == []
    assert names(labelled.list(label="production", tag="new", category="second")) == ["a", "b", "c"]
    labelled.update("b", tags=["draft"], is_production=False)
    assert versions(labelled.list(label="latest", tag="draft")) == [("b", 3)]
    assert names(labelled.list(label="production", tag="draft")) == names(labelled.list(tag="draft")) == []


def test_a_label_that_moves_or_goes_is_listed_so_at_once(labelled):
    """Moving a label, removing it, renaming and archiving its prompt show in the next listing."""
    labelled.set_label("a", "spring", 2)
    labelled.remove_label("c", "spring")
    assert versions(labelled.list(label="spring")) == [("a", 2)]
    labelled.update("a", new_name="z")
    assert names(labelled.list(label="spring")) == ["z"]
    labelled.archive("z")
    assert names(labelled.list(label="spring")) == []
    assert names(labelled.list(label="spring", status="archived")) == ["z"]


def test_pages_with_a_label_follow_each_other(labelled):
    """Each prompt that has the label is on one page."""
    for i in range(5):
        labelled.create(f"p{i}", "x")
        if i % 2:
            labelled.set_label(f"p{i}", "spring", 1)
    assert names(paged(lambda **page: labelled.list(label="spring", **page), 1)) == ["a", "c", "p1", "p3"]
    assert names(paged(lambda **page: labelled.list(label="spring", prefix="p", **page), 1)) == ["p1", "p3"]


def test_with_a_label_an_actor_finds_what_it_may_read(labelled):
    """Who may not read a prompt does not find it by its label either."""
    labelled.update("c", access_grants=[("user:gus", "read")])
    assert names(labelled.scope(actor=Actor("gus")).list(label="spring")) == ["c"]
    assert names(labelled.scope(actor=Actor("eve")).list(label="spring")) == []
    assert names(labelled.scope(namespace="other").list(label="spring")) == []


@pytest.mark.sqlite
@pytest.mark.parametrize("labels", ["{", '{"spring":2}', '{"spring":"1"}', '{"spring":99}'])
def test_damaged_labels_are_an_error_of_a_listing_by_label(labelled, labels):
    """A row whose labels were changed by other means is never taken for a prompt that has the label."""
    with closing(raw(labelled.path)) as connection:
        connection.execute("UPDATE prompts SET labels = ? WHERE name = 'a'", (labels,))
    with pytest.raises(StorageCorruptError):
        labelled.list(label="spring")


# tag=, category=, status=, and all of them together


def test_several_tags_must_all_be_there(memory):
    """`tag` takes one or several, in any order and any iterable; an empty list filters nothing."""
    memory.create("a", "x", tags=["red", "new"])
    memory.create("b", "x", tags=["red"])
    memory.create("c", "x")
    assert names(memory.list(tag="red")) == names(memory.list(tag=["red", "red"])) == ["a", "b"]
    assert names(memory.list(tag=["new", "red"])) == names(memory.list(tag=(t for t in ("red", "new")))) == ["a"]
    assert names(memory.list(tag=["red", "blue"])) == []
    assert names(memory.list(tag=[])) == ["a", "b", "c"]
    assert names(memory.search("x", tag=["new", "red"])) == ["a"]


@pytest.mark.usefixtures("most")
def test_tags_are_compared_exactly_however_many(memory):
    """Tags that full text takes for equal, and more than one statement of it takes, are compared as written."""
    every = [f"tag {i}" for i in range(40)]
    memory.create("all", "x", tags=[*every, "Odd One", '"', "😀"])
    memory.create(
        "few", "x", tags=[*every[:-1], "odd one", "'", "\ud83d\ude00".encode("utf-16", "surrogatepass").hex()]
    )
    assert names(memory.list(tag=every)) == names(memory.list(tag=["😀"])) == names(memory.list(tag=['"'])) == ["all"]
    assert names(memory.list(tag=every[:-1])) == ["all", "few"]
    assert names(memory.list(tag=["Odd One", *every[:30]])) == ["all"]
    assert names(memory.list(tag=["odd one", *every[:30]])) == ["few"]
    assert names(memory.list(tag=["Odd one"])) == []


def test_every_bad_tag_is_refused(memory):
    """What is neither a text nor an iterable of texts is invalid, and more than 1,000 tags are."""
    for tag in (3, b"x", {"x": 1}, ["x", 3], [["x"]], ["a\0"], "\ud800", object()):
        assert [*reason(memory.list, tag=tag)] == [*reason(memory.search, "x", tag=tag)] == ["tag"]
    assert reason(memory.list, tag=iter(lambda: "x", "")) == {"tag": "holds more than 1,000 tags; that is the most"}
    assert len(memory.list(tag=["x"] * 1_000)) == 0
    assert reason(memory.list, tag=["x" * 600_000, "y" * 600_000])["tag"].startswith("the tags take over 1048576 bytes")


def test_a_search_is_filtered_by_the_version_that_it_shows(memory):
    """`search` takes `status`, `tag` and `category`, alone and together, and drafts count for none of them."""
    memory.create("a", "apple pie", tags=["t", "u"], category="c")
    memory.create("b", "apple tart", tags=["t"], category="d")
    memory.create("c", "pear", tags=["t"], category="c")
    memory.update("b", tags=["u"], category="c", is_production=False)
    memory.set_status("a", "disabled")
    assert sorted(names(memory.search("apple", tag="t"))) == ["a", "b"]
    assert names(memory.search("apple", tag="u")) == names(memory.search("apple", category="c")) == ["a"]
    assert names(memory.search("apple", category="d", tag=["t"])) == ["b"]
    assert names(memory.search("apple", category="")) == []
    assert names(memory.search("apple", tag="t", status="disabled")) == ["a"]
    assert len(memory.search("apple", tag="t", limit=1)) == 1


@pytest.mark.usefixtures("most")
def test_any_filters_together_find_what_each_finds(memory):
    """For random prompts, a listing by several filters is what one by each of them has in common, page by page."""
    random, owners = Random(7), [memory, memory.scope(actor=Actor("ana", "org_admin"))]
    for i in range(24):
        name = f"{random.choice('ab')}{random.choice('_-')}{i}"
        tags = [random.sample(["t", "u", "v"], random.randint(0, 3)) for _ in range(2)]
        random.choice(owners).create(name, "apple", category=random.choice("cd"), tags=tags[0])
        memory.update(name, template="apples", category=random.choice("cd"), tags=tags[1])
        if random.random() < 0.6:
            memory.set_label(name, "eu", random.choice([1, 2]))
        memory.set_status(name, random.choice(ALL))

    def found(**asked):
        return versions(memory.list(limit=100, **{"status": ALL, **asked}))

    filters = [{"status": ["archived", "disabled"]}, {"tag": "t"}, {"tag": ["u", "v"]}, {"category": "c"}]
    filters += [{"created_by": "ana"}, {"prefix": "a"}]
    for label in (None, "eu", "latest", "production"):
        alone = [found(label=label, **asked) for asked in filters]
        assert all(0 < len(matching) < 24 for matching in alone)
        for one, two in combinations(range(len(filters)), 2):
            both = {"status": ALL, "label": label, **filters[one], **filters[two]}
            if filters[one].keys() != filters[two].keys():
                common = [prompt for prompt in alone[one] if prompt in alone[two]]
                assert versions(paged(lambda both=both, **page: memory.list(**both, **page), 3)) == common
    for tag, category in product(["t", ["u", "v"]], "cd"):
        sought = sorted(versions(memory.search("apples", status=ALL, tag=tag, category=category, limit=100)))
        assert sought == sorted(found(tag=tag, category=category))


def test_all_bad_filters_of_a_call_are_told_at_once(memory):
    """One error names every bad filter."""
    bad = {"status": "on", "tag": 3, "category": 3, "created_by": 3, "prefix": 3, "label": "", "limit": 0, "after": "x"}
    assert reason(memory.list, **bad).keys() == bad.keys()
    bad = {"status": "on", "tag": 3, "category": 3, "limit": 0}
    assert reason(memory.search, " ", **bad).keys() == {"text", *bad}
    bad = {"after": -1, "limit": 0, "newest_first": 1, "action": "x"}
    assert reason(memory.events, "A B", **bad).keys() == {"name", *bad}


@pytest.mark.sqlite
def test_a_listing_by_prefix_label_or_rare_tag_seeks_in_an_index(labelled):
    """None reads the prompts that its index leaves out."""
    statements = []
    with labelled._core.read() as reader:
        reader._connection.set_trace_callback(statements.append)
        try:
            for query in ({"prefix": "b"}, {"label": "spring"}, {"tag": ["new"]}):
                labelled_query = labelled_list_query(labelled, **query)
                reader.query(labelled_query)
        finally:
            reader._connection.set_trace_callback(None)
        plans = [
            " ".join(step for *_, step in reader._connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
            for statement in statements
            if statement.startswith("SELECT p.id")
        ]
    assert "SEARCH p USING INDEX idx_prompts_namespace_name (namespace=? AND name>? AND name<?)" in plans[0]
    assert "SEARCH p USING INDEX prompts_labelled (namespace=? AND <expr>=? AND name>?)" in plans[1]
    assert "SCAN search VIRTUAL TABLE INDEX" in plans[2]


def labelled_list_query(registry, **given):
    empty = dict.fromkeys(["status", "tag", "category", "created_by", "prefix", "label", "after"])
    return arguments.read_list(registry._view, {**empty, "limit": 50, **given})


# events


@pytest.fixture
def recorded(registry):
    """A registry with events of several actions, prompts and namespaces, and of a deleted prompt."""
    other = registry.scope(namespace="other")
    for i in range(4):
        registry.create(f"p{i}", "one")
        other.create(f"q{i}", "one")
        registry.update(f"p{i}", template="two")
    registry.set_label("p1", "eu", 1)
    registry.set_status(["p0", "p1"], "disabled")
    registry.set_status("p3", "deleted")
    registry.rollback("p2", reason="x")
    return registry


def test_newest_first_is_the_record_backwards(recorded):
    """`newest_first=True` returns the same events as without it, in the opposite order."""
    for name in (None, "p1"):
        every = recorded.events(name, limit=1000)
        assert recorded.events(name, newest_first=True, limit=1000) == every[::-1]
        assert recorded.events(name, newest_first=True, limit=3) == every[::-1][:3]


def test_newest_first_goes_on_below_after(recorded):
    """`after=N` is exclusive, 0 begins with the newest, 1 is below every event, and large numbers above."""
    every = recorded.events(limit=1000)
    seqs = [event.seq for event in every]
    for after in (*range(1, seqs[-1] + 3), 10**25):
        below = [event for event in every[::-1] if event.seq < after]
        assert recorded.events(newest_first=True, after=after, limit=1000) == below
        assert recorded.events(newest_first=True, after=after, limit=2) == below[:2]
    assert recorded.events(newest_first=True, after=0, limit=1)[0].seq == seqs[-1]
    assert recorded.events(newest_first=True, after=1) == []


def test_events_are_filtered_by_one_action_or_several(recorded):
    """`action` takes each action that there is, alone or in a list; an empty list finds none."""
    every = recorded.events(limit=1000)
    for action in get_args(Action):
        only = [event for event in every if event.action == action]
        assert recorded.events(action=action, limit=1000) == recorded.events(action=[action], limit=1000) == only
    several = recorded.events(action=("create", "rollback", "create"), limit=1000)
    assert several == [event for event in every if event.action in {"create", "rollback"}]
    assert [e.version for e in recorded.events("p1", action="publish", newest_first=True)] == [2, 1]
    assert recorded.events(action=[]) == []
    assert [event.name for event in recorded.events(action="delete")] == ["p3"]


def test_an_unknown_action_is_refused_with_the_nearest(recorded):
    """An action that there is not is invalid, in a list too, and the error says which may be meant."""
    assert reason(recorded.events, action="published")["action"].endswith("; did you mean 'publish'?")
    assert reason(recorded.events, action=["create", "roll_back"])["action"].endswith("; did you mean 'rollback'?")
    for action in (3, "", "zzz", b"create", [None], {"create": 1}, object(), "\ud800"):
        assert [*reason(recorded.events, action=action)] == ["action"]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("action", [None, "publish", ["create", "delete"]])
@pytest.mark.parametrize("name", [None, "p1"])
def test_paging_over_filtered_events_misses_and_repeats_none(recorded, name, action, newest_first):
    """Pages of any size hold each event that matches once, in order, also where writes go on between them."""
    asked = {"action": action, "newest_first": newest_first}
    every = recorded.events(name, **asked, limit=1000)
    for limit in (1, 2, 3, 100):
        after, pages = 0, []
        while page := recorded.events(name, **asked, after=after, limit=limit):
            assert len(page) <= limit
            pages += page
            after = page[-1].seq
            if newest_first:  # what is written meanwhile is above, and so on no later page
                recorded.update("p1", title=f"{after} {limit} {name}")
        assert pages == every
        every = recorded.events(name, **asked, limit=1000)


def test_filters_show_an_actor_no_more_events(recorded):
    """An actor without a role sees those of the prompts that it may read, whatever it filters by."""
    recorded.update("p1", access_grants=[("user:gus", "read")])
    gus, eve = recorded.scope(actor=Actor("gus")), recorded.scope(actor=Actor("eve"))
    own = recorded.events("p1", limit=1000)
    for asked in (
        {},
        {"newest_first": True},
        {"action": get_args(Action)},
        {"action": "publish", "newest_first": True},
    ):
        matching = [
            e for e in own[:: -1 if asked.get("newest_first") else 1] if e.action in asked.get("action", e.action)
        ]
        assert gus.events(**asked) == gus.events("p1", **asked) == matching
        assert eve.events(**asked) == []
        with pytest.raises(NotFoundError):
            eve.events("p1", **asked)
    assert gus.events(action="delete") == []
    assert names(recorded.scope(actor=Actor("mia", "team_member")).events(action="delete")) == ["p3"]


MISSING = {"from the middle": 5, "the newest": None}


@pytest.mark.sqlite
@pytest.mark.parametrize("which", MISSING)
@pytest.mark.parametrize("asked", [{}, {"action": "publish"}, {"newest_first": True}, {"action": get_args(Action)}])
def test_a_missing_event_is_an_error_of_the_filtered_listing_that_reads_past_it(recorded, which, asked):
    """A listing by actions, or from the newest, notices a lost event as one of all events does."""
    with closing(raw(recorded.path)) as connection:
        seq = MISSING[which] or connection.execute("SELECT max(seq) FROM events").fetchone()[0]
        for table in ("events", "event_details"):
            connection.execute(f"DROP TRIGGER {table}_delete")
            connection.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))
    with pytest.raises(StorageCorruptError, match="event"):
        recorded.events(**asked, limit=1000)
    if which == "from the middle":
        newest = recorded.events(**{**asked, "newest_first": True}, limit=2)
        assert len(newest) == 2
        with pytest.raises(StorageCorruptError, match="event"):
            recorded.events(**{**asked, "newest_first": True}, after=newest[-1].seq)


def test_the_details_of_filtered_events_are_those_of_the_record(recorded):
    """An event is the same however it is found."""
    (rollback,) = recorded.events(action="rollback", newest_first=True)
    assert rollback in recorded.events(limit=1000)
    assert json.loads(rollback.model_dump_json())["details"]["reason"] == "x"
