"""Pages of prompts, versions and events, and the result of a bulk change."""

import pytest

from promptreg import Event, Page, StatusUpdate, Version


@pytest.fixture
def many(registry):
    """A registry with the prompts a to g, of two tags and categories."""
    for i, name in enumerate("gfedcba"):
        registry.create(name, "x", tags=["odd" if i % 2 else "even"], category="c" * (i % 3))
    return registry


def test_pages_are_iterable_sized_and_follow_each_other(many):
    """Pages of any size have all prompts by name, each once; `next` is None at the end."""
    for limit in (1, 2, 3, 7, 8, 10**20):
        names, after, sizes = [], None, []
        while True:
            page = many.list(limit=limit, after=after)
            assert isinstance(page, Page)
            assert [p.name for p in page] == [p.name for p in page.items]
            names += [p.name for p in page]
            sizes.append(len(page))
            after = page.next
            if after is None:
                break
        assert names == list("abcdefg")
        assert sizes == [limit] * (7 // limit) + ([7 % limit] if 7 % limit else [])
    empty = many.list(tag="absent")
    assert (len(empty), list(empty), empty.next) == (0, [], None)


def test_paging_is_by_key_so_changes_between_pages_neither_repeat_nor_skip(many):
    """Additions, renames and deletions before the end of a page do not affect the following pages."""
    page = many.list(limit=3)
    many.create("aa", "x")
    many.set_status(["a", "c"], "deleted")
    many.update("e", new_name="z")
    assert [p.name for p in many.list(limit=10, after=page.next)] == ["d", "f", "g", "z"]


TAGS = [
    "odd",
    "Odd",
    "ódd",
    "odd one",
    "one odd",
    'an "odd"',
    "odd*",
    "AND",
    "tags : x",
    "a:b",
    "(",
    "…",
    "日本",
    "日本 1",
    "a " * 2_000 + "b",
    "\U0001e4d0",
]


@pytest.mark.sqlite
@pytest.mark.parametrize("most", [0, 1000])
def test_a_tag_is_found_exactly_as_written(registry, monkeypatch, most):
    """Rare tags are found by the full-text index and common ones by name, and both match complete tags only."""
    monkeypatch.setattr("promptreg.storage.sqlite.queries.MAX_RANKED", most)
    for i, tag in enumerate(TAGS):
        registry.create(f"p{i:02}", "odd one 日本", tags=["and", tag, "one"], title="odd", description="odd")
        registry.create(f"q{i:02}", "odd", tags=[tag])
        registry.update(f"q{i:02}", tags=["other"])
    for i, tag in enumerate(TAGS):
        assert [p.name for p in registry.list(tag=tag)] == [f"p{i:02}"]
        registry.update(f"p{i:02}", tags=[], is_production=False)
        assert [p.name for p in registry.list(tag=tag, status=["active", "archived"])] == [f"p{i:02}"]
        registry.publish(f"p{i:02}")
        assert len(registry.list(tag=tag)) == 0
    assert len(registry.list(tag="other", limit=4)) == 4


def test_filters_apply_to_every_page(many):
    """The filters of `list` apply before its limit, alone and together."""
    odd = many.list(tag="odd", limit=2)
    assert [p.name for p in odd] == ["b", "d"]
    assert [p.name for p in many.list(tag="odd", limit=2, after=odd.next)] == ["f"]
    assert [p.name for p in many.list(category="cc")] == ["b", "e"]
    assert [p.name for p in many.list(category="cc", tag="odd")] == ["b"]
    assert [p.name for p in many.list(category="")] == ["a", "d", "g"]
    assert len(many.list(created_by="ana")) == 0
    many.set_status(["a", "b"], "disabled")
    many.archive("c")
    assert [p.name for p in many.list()] == list("abdefg")
    assert [p.name for p in many.list(status="disabled")] == ["a", "b"]
    assert [p.name for p in many.list(status=["archived", "disabled"], limit=2)] == ["a", "b"]
    assert [p.name for p in many.list(status=["archived", "archived"])] == ["c"]


def test_history_pages_from_the_newest(registry):
    """`history` returns at most `limit` versions, newest first, before a number or label."""
    registry.create("p", "v1")
    for n in range(2, 26):
        registry.update("p", template=f"v{n}")
    registry.set_label("p", "mid", 10)
    assert [v.version for v in registry.history("p")] == list(range(25, 5, -1))
    assert [v.version for v in registry.history("p", limit=3)] == [25, 24, 23]
    assert [v.version for v in registry.history("p", limit=3, before=23)] == [22, 21, 20]
    assert [v.version for v in registry.history("p", limit=2, before="mid")] == [9, 8]
    assert registry.history("p", before=1) == []
    assert all(type(v) is Version and v.template == f"v{v.version}" for v in registry.history("p", limit=99))


def test_events_page_from_the_oldest(many):
    """Events are returned oldest first with growing numbers; `after` continues where a page ended."""
    everything = many.events(limit=1000)
    assert all(type(event) is Event for event in everything)
    assert [e.action for e in everything] == ["create", "publish"] * 7
    seqs = [e.seq for e in everything]
    assert seqs == sorted(set(seqs))
    paged, after = [], 0
    while page := many.events(after=after, limit=3):
        assert len(page) <= 3
        paged += page
        after = page[-1].seq
    assert paged == everything
    assert many.events(after=10**25) == []
    first = many.events("g")
    assert [(e.action, e.name, e.version, e.actor, e.namespace) for e in first] == [
        ("create", "g", 1, None, "default"),
        ("publish", "g", 1, None, "default"),
    ]
    assert {e.prompt_id for e in first} == {many.get("g").id}


def test_status_update_has_counts_and_names(many):
    """A status update has the count, and the changed and skipped names in the order of the call."""
    assert many.set_status(["b", "a"], "disabled", dry_run=True) == StatusUpdate(
        dry_run=True, updated_prompts=2, updated=["b", "a"], skipped=[]
    )
    many.set_status("a", "disabled")
    assert many.set_status(["b", "a", "b"], "disabled").model_dump() == {
        "dry_run": False,
        "updated_prompts": 1,
        "updated": ["b"],
        "skipped": ["a"],
    }
