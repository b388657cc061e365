"""`iterate` returns every prompt that `list` lists, page by page, each read when it is needed."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from promptreg import Actor, InvalidInputError, Page, Registry, StorageError
from tests.conftest import holds_anything
from tests.otel import tracing

MANY, PAGE = 25, 10
FILTERS: list[dict[str, Any]] = [
    {},
    {"status": "archived"},
    {"status": ["active", "archived"], "tag": "even"},
    {"tag": ["even", "all"], "category": "c"},
    {"prefix": "p1"},
    {"label": "eu", "prefix": "p1"},
    {"label": "latest", "created_by": "ana"},
    {"label": "nope"},
]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry with the prompts p00 to p24, five of them archived, on pages of ten."""
    monkeypatch.setattr("promptreg.registry.PAGE", PAGE)
    with Registry(":memory:") as registry:
        ana = registry.scope(actor=Actor("ana", "team_editor"))
        for i in range(MANY):
            by = ana if i % 3 == 0 else registry
            by.create(f"p{i:02}", "x", tags=["all", "even"] if i % 2 == 0 else ["all"], category="c" * (i % 2))
        for i in range(1, MANY, 2):
            registry.set_label(f"p{i:02}", "eu", 1)
        registry.set_status([f"p{i:02}" for i in range(0, MANY, 5)], "archived")
        yield registry


def names(prompts: Any) -> list[str]:
    return [prompt.name for prompt in prompts]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_it_returns_what_all_pages_of_list_hold(many: Registry, filters: dict[str, Any]) -> None:
    """With any filters the prompts are those of `list`, in their order, each once."""
    page = many.list(**filters, limit=7)
    listed = [*page]
    while page.next is not None:
        page = many.list(**filters, limit=7, after=page.next)
        listed += page
    assert list(many.iterate(**filters)) == listed


def test_it_is_an_iterator(many: Registry) -> None:
    """It goes on where it is, and two of them don't know each other."""
    first, second = many.iterate(prefix="p2"), many.iterate(prefix="p2")
    assert iter(first) is first
    assert names(islice(first, 2)) == ["p21", "p22"]
    assert next(second).name == "p21"
    assert next(first).name == "p23"
    assert [*many.iterate(label="nope")] == []
    with pytest.raises(StopIteration):
        next(many.iterate(label="nope"))


def test_arguments_are_checked_by_the_call(many: Registry) -> None:
    """All bad ones at once, before the first step; it takes neither `limit` nor `after`."""
    with pytest.raises(InvalidInputError) as caught:
        many.iterate(status="on", tag=3, category=3, created_by=3, prefix=3, label="")  # type: ignore[arg-type]
    fields = [error["field"] for error in caught.value.details["errors"]]
    assert fields == ["status", "tag", "category", "created_by", "prefix", "label"]
    for wrong in ("limit", "after"):
        with pytest.raises(TypeError):
            many.iterate(**{wrong: 1})


@pytest.mark.sqlite
def test_each_page_is_read_when_it_is_needed(many: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read by the call, and a page by the step that needs its first prompt."""
    read: list[int] = []
    page = Registry._page

    def counted(self: Registry, query: Any) -> Page:
        found = page(self, query)
        read.append(len(found))
        return found

    monkeypatch.setattr(Registry, "_page", counted)
    prompts = many.iterate(status=["active", "archived"])
    assert read == []
    next(prompts)
    assert read == [10]
    names(islice(prompts, 9))
    assert read == [10]
    next(prompts)
    assert read == [10, 10]
    assert len([*prompts]) == 14
    assert read == [10, 10, 5]


def test_between_two_steps_nothing_is_held(many: Registry) -> None:
    """An iterator that is left in the middle holds no transaction, and keeps no writer waiting."""
    prompts = many.iterate()
    next(prompts)
    assert not holds_anything(many)
    many.update("p24", template="y")
    many.set_status("p23", "deleted")
    assert many.verify() == []


def test_what_stays_is_returned_once_whatever_is_written_meanwhile(many: Registry) -> None:
    """Prompts before the page may come and go; what keeps its name and matches is neither missed nor repeated."""
    prompts = many.iterate()
    stays = names(many.list(limit=1000))
    seen = []
    for i, prompt in enumerate(prompts):
        seen.append(prompt.name)
        if i % 3 == 0:
            many.create(f"a{i:02}", "behind")
        if i == 5:
            many.set_status(["p01", "p02", "p24"], "deleted")
        if i == 6:
            many.archive("p23")
    assert seen == [name for name in stays if name not in {"p23", "p24"}]


def test_each_prompt_is_as_it_was_when_its_page_was_read(many: Registry) -> None:
    """A change of a prompt on a later page is seen, one on a page that was read is not."""
    prompts = many.iterate(status=["active", "archived"])
    next(prompts)
    many.update("p01", template="changed")
    many.update("p12", template="changed")
    many.create("p15x", "new")
    rest = {prompt.name: prompt.template for prompt in prompts}
    assert (rest["p01"], rest["p12"], rest["p15x"]) == ("x", "changed", "new")


def test_a_renamed_prompt_may_be_returned_under_both_names(many: Registry) -> None:
    """Pages follow names, so one that moves from a page that was read to a later one is there again."""
    prompts = many.iterate()
    first = next(prompts).name
    many.update(first, new_name="z")
    assert names(prompts)[-1] == "z"


def test_a_closed_registry_is_refused_by_the_call_and_by_the_next_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was read before is returned, then the error; an iterator that has raised has ended."""
    monkeypatch.setattr("promptreg.registry.PAGE", PAGE)
    registry = Registry(":memory:")
    for i in range(PAGE + 1):
        registry.create(f"p{i:02}", "x")
    prompts = registry.iterate()
    next(prompts)
    registry.close()
    assert len([*islice(prompts, PAGE - 1)]) == PAGE - 1
    with pytest.raises(StorageError, match="closed"):
        next(prompts)
    assert next(prompts, None) is None
    with pytest.raises(StorageError, match="closed"):
        registry.iterate()


def test_an_actor_gets_what_it_may_read_at_each_page(many: Registry) -> None:
    """What it may not read is filtered before the page, and a grant that is taken back is gone from the next page."""
    granted = [f"p{i}" for i in range(11, 25) if i % 5]
    for name in granted:
        many.update(name, access_grants=[("user:gus", "read")])
    assert names(many.scope(actor=Actor("eve")).iterate()) == []
    assert names(many.scope(namespace="other").iterate()) == []
    assert len([*many.scope(actor=Actor("mia", "team_member")).iterate(tag="all")]) == 20
    prompts = many.scope(actor=Actor("gus")).iterate()
    assert names(islice(prompts, PAGE)) == granted[:PAGE]
    many.update(granted[-1], access_grants=[])
    assert names(prompts) == granted[PAGE:-1]


def test_the_call_and_each_page_are_spans(many: Registry) -> None:
    """`iterate_prompts` is the call, and each page is a `list_prompts` span with its count, in the consumer's span."""
    with tracing() as spans:
        prompts = many.iterate()
        assert [span.name for span in spans()] == ["iterate_prompts"]
        assert len([*prompts]) == 20
        assert [(span.name, span.attributes["promptreg.count"]) for span in spans()] == [
            ("list_prompts", 10),
            ("list_prompts", 10),
        ]


def test_it_reads_a_file_as_well(path: str) -> None:
    """Another registry's writes are on the pages that are read after them."""
    with Registry(path, durability="normal") as registry, Registry(path, durability="normal") as other:
        registry.create("a", "x")
        prompts = registry.iterate()
        other.create("b", "x")
        assert names(prompts) == ["a", "b"]
