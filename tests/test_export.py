"""`export`: the live prompts of a namespace as files, and what is there already."""

import os

import pytest

from promptreg import Actor, ConflictError, Grant, InvalidInputError, Registry, files
from promptreg.files import export
from promptreg.files.folder import read_folder
from promptreg.files.format import fields_of
from promptreg.jsonvalues import is_same
from tests.test_file_folders import filled


def contents(folder):
    """Return what each file of a folder holds, by path, hidden ones included."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_live_prompts_are_written_each_as_a_file_and_read_again(registry, tmp_path):
    """Folders for `/`; what is read is what the registry holds."""
    registry.create("greet", "Hello {{ name }}!", tags=["x"], title="Greeting")
    registry.create("support/reply", [{"role": "user", "content": "a\r\nb"}, {"placeholder": "h"}], syntax="plain")
    folder = tmp_path / "new" / "prompts"
    report = export(registry, folder)
    assert report.model_dump() == {"folder": str(folder), "written": ("greet.md", "support/reply.md"), "unchanged": 0}
    read = read_folder(folder)
    assert [file.name for file in read] == ["greet", "support/reply"]
    assert all(is_same(fields_of(registry.get(file.name)), dict(file.content())) for file in read)
    assert contents(folder)["greet.md"] == b'---\ntitle: "Greeting"\ntags: ["x"]\n---\nHello {{ name }}!\n'


def test_only_what_is_live_is_written(registry, tmp_path):
    """Neither drafts nor archived prompts; of a prompt with a draft what is live, and a disabled one too."""
    registry.create("draft", "a", is_production=False)
    registry.create("edited", "live")
    registry.update("edited", template="draft", is_production=False)
    registry.create("archived", "a")
    registry.archive("archived")
    registry.create("disabled", "a")
    registry.disable("disabled")
    assert export(registry, tmp_path / "d").written == ("disabled.md", "edited.md")
    assert contents(tmp_path / "d")["edited.md"] == b"---\n---\nlive\n"


def test_only_prompts_of_the_namespace_that_the_actor_may_read_are_written(registry, tmp_path):
    """As with `list`."""
    registry.create("mine", "a", access_grants=[Grant("user:ana", "read")])
    registry.create("hidden", "a")
    registry.scope(namespace="other").create("elsewhere", "a")
    assert export(registry.scope(actor=Actor("ana")), tmp_path / "ana").written == ("mine.md",)
    assert export(registry.scope(namespace="other"), tmp_path / "other").written == ("elsewhere.md",)


def test_exporting_twice_writes_nothing(registry, tmp_path):
    """And touches no file; with `force` neither."""
    registry.create("a", "a")
    registry.create("b/c", "a\r", syntax="plain")
    export(registry, tmp_path)
    before = {path: os.stat(tmp_path / path).st_mtime_ns for path in ("a.md", "b/c.md")}
    for force in (False, True):
        report = export(registry, tmp_path, force=force)
        assert (report.written, report.unchanged) == ((), 2)
    assert {path: os.stat(tmp_path / path).st_mtime_ns for path in before} == before


def test_files_that_differ_are_all_named_and_nothing_is_written(registry, tmp_path):
    """Without `force`, which overwrites them; a file of no prompt, and one of a prompt that is gone, stay."""
    for name in ("a", "b/c", "new"):
        registry.create(name, "New")
    folder = filled(
        tmp_path / "d", **{"a.md": None, "b/c.md": "no front matter", "gone.md": None, "README.md": "x", "x.txt": "x"}
    )
    before = contents(folder)
    with pytest.raises(ConflictError) as caught:
        export(registry, folder)
    assert caught.value.details == {"files": ["a.md", "b/c.md"]}
    assert caught.value.message == (
        "'a.md', 'b/c.md' differ from the registry, so nothing was written: --force (force=True) overwrites them,"
        " and `promptreg sync` keeps both sides' changes."
    )
    after = contents(folder)
    assert {path: after.get(path) for path in before} == before
    assert "new.md" not in after
    assert export(registry, folder, force=True).written == ("a.md", "b/c.md", "new.md")
    after = contents(folder)
    assert {after[path] for path in ("a.md", "b/c.md", "new.md")} == {b"---\n---\nNew\n"}
    assert {path: after[path] for path in ("gone.md", "README.md", "x.txt")} == {
        path: before[path] for path in ("gone.md", "README.md", "x.txt")
    }


@pytest.mark.parametrize(
    "text",
    [
        "---\r\ntags: ['x']  # mine\r\n---\r\nHello\r\n",
        "\ufeff---\ntype: text\ntags:\n  - x\n---\nHello",
        "---\nname: a\ntags: [x]\n---\nHello\n",
    ],
)
def test_a_file_that_says_the_same_in_other_words_is_left(registry, tmp_path, text):
    """Line ends, a byte order mark, comments, YAML and the order of keys are its author's."""
    registry.create("a", "Hello", tags=["x"])
    filled(tmp_path, **{"a.md": text})
    for force in (False, True):
        report = export(registry, tmp_path, force=force)
        assert (report.written, report.unchanged) == ((), 1)
    assert (tmp_path / "a.md").read_bytes() == text.encode()


def test_a_prompt_that_has_a_file_keeps_its_path(registry, tmp_path):
    """With its name inside; a path that another prompt's file has is nobody else's."""
    for name in ("moved", "taken", "straße", "strasse"):
        registry.create(name, "New")
    filled(tmp_path, **{"here/it.md": "---\nname: moved\n---\nOld\n", "taken.md": "---\nname: other\n---\nx\n"})
    filled(tmp_path, **{"straße.md": None})
    with pytest.raises(ConflictError) as caught:
        export(registry, tmp_path)
    assert sorted(caught.value.details["files"]) == ["here/it.md", "straße.md"]
    written = export(registry, tmp_path, force=True).written
    assert written[:1] == ("here/it.md",)
    assert [path.partition("~")[0] for path in written[1:]] == ["strasse", "straße.md", "taken"]
    assert (tmp_path / "here/it.md").read_text() == '---\nname: "moved"\n---\nNew\n'
    (tmp_path / "taken.md").unlink()
    assert sorted(file.name for file in read_folder(tmp_path)) == ["moved", "strasse", "straße", "taken"]


def test_a_file_in_the_format_of_prompty_is_never_overwritten(registry, tmp_path):
    """It is equal, or it is in the way, with `force` too."""
    filled(tmp_path, **{"a.prompty": "---\nname: a\n---\nuser:\nHello\n"})
    registry.create("a", [{"role": "user", "content": "Hello"}], title="a")
    assert export(registry, tmp_path).unchanged == 1
    registry.update("a", template="New")
    for force in (False, True):
        with pytest.raises(ConflictError) as caught:
            export(registry, tmp_path, force=force)
        assert caught.value.details == {"files": ["a.prompty"]}
    assert "remove" in caught.value.message


def test_what_stands_in_the_way_is_a_conflict(registry, tmp_path):
    """A folder of the name of a file, which no force removes."""
    registry.create("a", "a")
    (tmp_path / "d" / "a.md").mkdir(parents=True)
    with pytest.raises(ConflictError):
        export(registry, tmp_path / "d")
    with pytest.raises(InvalidInputError, match=r"a\.md: can't be written"):
        export(registry, tmp_path / "d", force=True)


def test_two_files_of_one_prompt_are_an_error(registry, tmp_path):
    """As it is not known which one to write."""
    filled(tmp_path, **{"a.md": None, "b.md": "---\nname: a\n---\nx\n"})
    with pytest.raises(InvalidInputError, match=r"b\.md: is the prompt 'a', as is a\.md; keep one"):
        export(registry, tmp_path)


def test_a_folder_that_is_none_is_an_error(registry, tmp_path):
    """As every bad argument is."""
    filled(tmp_path, file=None)
    registry.create("a", "a")
    with pytest.raises(InvalidInputError, match="is no folder"):
        export(registry, tmp_path / "file")
    for wrong in ({"folder": 3}, {"force": "yes"}, {"progress": 3}):
        with pytest.raises(InvalidInputError, match=f"{next(iter(wrong))}: must be"):
            export(registry, **{"folder": tmp_path / "x", **wrong})


def test_a_file_that_appears_meanwhile_is_not_overwritten(registry, tmp_path):
    """Without `force` only files that were not there are written."""
    registry.create("a", "a")
    registry.create("b", "b")

    def appear(done, total):
        filled(tmp_path, **{"d/b.md": "mine"})

    with pytest.raises(ConflictError, match=r"'b\.md' differs from the registry"):
        export(registry, tmp_path / "d", progress=appear)
    assert (tmp_path / "d/b.md").read_text() == "mine"


def test_progress_is_reported_in_files(registry, tmp_path):
    """Those that are written, of all that are."""
    for name in "abc":
        registry.create(name, "x")
    export(registry, tmp_path / "d")
    registry.update("a", template="y")
    registry.create("d", "x")
    seen = []
    export(registry, tmp_path / "d", force=True, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_an_export_is_the_same_each_time(registry, tmp_path):
    """Byte for byte, so a second export to another folder has no difference."""
    registry.create("a", "x", config={"b": 1, "a": [1.0, None]}, tags=["z", "a"], meta={"é": "\u2028"})
    registry.create("con", "x", variables=[{"name": "q", "default": 1}])
    export(registry, tmp_path / "one")
    export(registry, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two") != {}


def test_nothing_is_written_of_a_namespace_without_prompts(registry, tmp_path):
    """And that is no error."""
    assert export(registry, tmp_path / "d").written == ()


@pytest.mark.slow
def test_the_memory_of_an_export_does_not_grow_with_the_texts(tmp_path):
    """Only names and paths are kept: 500 prompts of 50,000 characters take under 15 MB, not 25."""
    import tracemalloc

    with Registry(":memory:") as registry:
        for n in range(500):
            registry.create(f"p{n}", f"{n}{'x' * 50_000}", syntax="plain")
        tracemalloc.start()
        try:
            export(registry, tmp_path)
            export(registry, tmp_path)
            assert tracemalloc.get_traced_memory()[1] < 15_000_000
        finally:
            tracemalloc.stop()


def test_the_package_says_what_it_exports():
    """`promptreg.files.export`."""
    assert files.export is export
