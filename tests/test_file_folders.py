"""A folder of prompts: the path of each, which files are read, what is refused, and how files are written."""

import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptreg import InvalidInputError, Registry
from promptreg.files import export, import_from, sync
from promptreg.files.folder import read_folder, write_files
from promptreg.files.format import from_text, to_text
from promptreg.files.paths import MAX_COMPONENT, is_skipped, name_of, path_of, paths_of
from promptreg.files.walking import MAX_BYTES
from promptreg.rules.names import checked_name

FILE = "---\n---\nHello\n"
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX's files and symlinks")
unprivileged = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")


def filled(folder, **files):
    """Write a folder of files by path, with `/`; one of None holds a prompt."""
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((FILE if text is None else text).encode())
    return folder


def names(folder, **more):
    """Return the names of the prompts of a folder."""
    return [file.name for file in read_folder(folder, **more)]


def flaws(call, *args, **more):
    """Return what is wrong: the place and the reason of each flaw."""
    with pytest.raises(InvalidInputError) as caught:
        call(*args, **more)
    return [(e["field"], e["reason"]) for e in caught.value.details["errors"]]


# The path of a prompt


@pytest.mark.parametrize(
    "name", ["a", "support/reply", "a.b/c-d_e", "été/日本", "v1.2", "connor", "com", "a.txt", "x/con1"]
)
def test_the_path_is_the_name(name):
    """Folders for `/`, and `.md`."""
    assert path_of(name) == f"{name}.md"
    assert name_of(path_of(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        *("a/.b", "a/_b", "x.md", "x.md/y", "con", "nul.txt", "a/com1", "a/lpt9.x/b", "aux", "prn.a.b", "a./b"),
        *("readme", "a/readme", "promptreg.lock/x", "a/.b/c", "字" * 67, "a/" + "é" * 101),
    ],
)
def test_a_name_that_not_every_system_takes_as_a_path_has_a_slug_and_a_hash(name):
    """In the folder itself, with the name inside, so the file is read again."""
    path = path_of(checked_name(name))
    slug, _, rest = path.partition("~")
    assert len(rest) == 12 + len(".md")
    assert slug[0] == name[0]
    assert not {"/", "."} & {*slug}
    assert len(path.encode()) <= MAX_COMPONENT
    assert not is_skipped(path)
    text = to_text(name, {"template": "a"}, path=path)
    assert f'\nname: "{name}"\n' in text
    assert from_text(text, path).name == name
    assert to_text(name, {"template": "a"}) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [("strasse", "straße"), ("strasse/a", "straße/b"), ("σα", "ςα"), ("a/fi", "a/ﬁ"), ("ss/x/y", "ß/x/z")],
)
def test_names_that_case_folds_to_a_siblings_have_paths_of_their_own(one, other):
    """Of files and of folders: the name that folding changes has the hash, wherever both are."""
    paths = paths_of([other, one])
    assert paths[one] == f"{one}.md"
    assert "~" in paths[other]
    assert path_of(other, [one]) == paths[other]
    assert path_of(one, [other]) == paths[one]
    assert path_of(other) == f"{other}.md"
    assert paths_of(["strasse/a", "straße"]) == {"strasse/a": "strasse/a.md", "straße": "straße.md"}


def test_a_path_that_another_file_has_is_nobody_elses():
    """A file may hold a prompt of another name; and a folder may differ from another one in case alone."""
    paths = paths_of(["a", "b"], ["a.md"])
    assert (paths["b"], paths["a"].partition("~")[0]) == ("b.md", "a")
    assert "~" in paths_of(["a/b"], ["A/c.md"])["a/b"]
    assert paths_of(["a/b"], ["a/c.md"])["a/b"] == "a/b.md"


NAMES = st.one_of(
    st.text("aßsσςéa̱./_-1", min_size=1, max_size=8),
    st.sampled_from(["con", "a/nul.md", "readme", "é" * 128, "a/" * 60 + "b"]),
    st.text(max_size=4).map(str.lower),
)


def accepted(name):
    """Return whether a prompt may have that name."""
    try:
        return checked_name(name) == name
    except InvalidInputError:
        return False


def folded(text):
    """Return what a file system that tells neither case nor form from another sees of a path."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


@given(st.sets(NAMES.filter(accepted), max_size=8))
@settings(max_examples=40)
def test_prompts_of_any_names_have_files_on_every_system(given_names):
    """No two have one path, not even folded; no component is too long, special or skipped."""
    paths = paths_of(given_names)
    components = {part for path in paths.values() for part in path.split("/")}
    assert not [part for part in components if is_skipped(part) or part.endswith((".", " "))]
    assert not [part for part in components if part.partition(".")[0] in {"con", "nul"} or len(part.encode()) > 203]
    prefixes = {"/".join(path.split("/")[:n]) for path in paths.values() for n in range(1, 70)}
    assert len({folded(prefix) for prefix in prefixes}) == len(prefixes)
    assert all(from_text(to_text(n, {"template": "a"}, path=p), p).name == n for n, p in paths.items())


# Reading


def test_the_prompts_of_a_folder_are_read_in_the_order_of_their_paths(tmp_path):
    """Folders are part of the name, and a name inside a file wins."""
    filled(tmp_path, **{"b.md": None, "a/x.md": None, "a/b/y.MD": None, "z.md": "---\nname: other\n---\nx\n"})
    files = read_folder(tmp_path)
    assert [(file.name, file.path) for file in files] == [
        ("b", "b.md"),
        ("other", "z.md"),
        ("a/x", "a/x.md"),
        ("a/b/y", "a/b/y.MD"),
    ]
    assert read_folder(str(tmp_path)) == files


def test_what_is_no_prompt_is_skipped(tmp_path):
    """`README*`, names that begin with `.` or `_`, and other files; a prompt may be named `readme`."""
    skipped = [
        "README.md",
        "README-de.md",
        "a/README.txt",
        ".git/x.md",
        "_drafts/x.md",
        ".x.md",
        "_x.md",
        "README/x.md",
    ]
    filled(tmp_path, **dict.fromkeys([*skipped, "promptreg.lock", "a/x.py", "x.txt", "x.j2", "md"], "x"))
    filled(tmp_path, **{"a/b.md": None, "readme.md": None})
    assert names(tmp_path) == ["readme", "a/b"]
    (tmp_path / "x.j2").unlink()
    assert names(tmp_path, bare=True) == ["readme", "x", "a/b"]


def test_files_without_front_matter_are_read_only_where_that_is_asked_for(tmp_path):
    """Otherwise a `.md` file without it is an error, as it was meant to be a prompt, and the other ones are ignored."""
    filled(tmp_path, **{"a.md": "Hello\n", "b.txt": "{{\n", "c/d.j2": "x", "e.jinja": "y", "f.md": None})
    assert flaws(read_folder, tmp_path) == [
        ("a.md:1", "has no front matter: begin with two lines ---, or pass --bare for files without")
    ]
    files = {file.name: dict(file.fields) for file in read_folder(tmp_path, bare=True)}
    assert files == {
        "a": {"template": "Hello"},
        "b": {"template": "{{", "syntax": "plain"},
        "c/d": {"template": "x"},
        "e": {"template": "y"},
        "f": {"template": "Hello"},
    }


def test_progress_is_reported_in_files_that_were_read(tmp_path):
    """A bad file counts too, and one of another kind does not; an error of it ends the call."""
    filled(tmp_path, **{"a.md": None, "b/c.md": "no front matter", "d.md": None, "e.png": "x"})
    seen = []
    with pytest.raises(InvalidInputError):
        read_folder(tmp_path, progress=lambda *numbers: seen.append(numbers))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(ZeroDivisionError):
        read_folder(tmp_path, progress=lambda *_: 1 // 0)
    with pytest.raises(InvalidInputError, match="progress"):
        read_folder(tmp_path, progress=3)


def test_prompty_files_are_read_as_prompty(tmp_path):
    """Beside the other ones, always."""
    filled(tmp_path, **{"a.prompty": "---\nname: A\n---\nuser:\nHi\n", "b.md": None})
    assert names(tmp_path) == ["a", "b"]


def test_two_files_of_one_name_are_an_error_that_names_both(tmp_path):
    """However they come to it: by a name inside, another suffix, or another form of Unicode."""
    filled(
        tmp_path,
        **{"a.md": None, "b/c.md": "---\ntags: []\nname: a\n---\nx\n", "d.md": None, "d.prompty": "---\n---\nuser:\nx"},
    )
    assert flaws(read_folder, tmp_path) == [
        ("d.prompty:1", "is the prompt 'd', as is d.md; keep one"),
        ("b/c.md:3", "is the prompt 'a', as is a.md; keep one"),
    ]


@posix
def test_a_name_is_composed_whatever_the_file_system_does(tmp_path):
    """macOS may store `é` as two characters."""
    filled(tmp_path, **{f"{unicodedata.normalize('NFD', 'été')}.md": None})
    if unicodedata.normalize("NFD", "été") == "été.md":
        pytest.skip("the file system composes")
    assert names(tmp_path) == ["été"]


def test_every_error_of_every_file_is_told_at_once(tmp_path):
    """Each with file and line, beside those of other kinds."""
    filled(tmp_path, **{"a.md": "---\ntagz: 1\ntitle: 1\n---\nx", "b/c.md": "x", "Reply.md": None, "ok.md": None})
    filled(tmp_path, **{"d e.md": None, "x~1.md": None})
    (tmp_path / "u.md").write_bytes(b"---\n---\n\xff")
    found = dict(flaws(read_folder, tmp_path))
    assert found.keys() == {"a.md:2", "a.md:3", "b/c.md:1", "Reply.md:1", "d e.md:1", "x~1.md:1", "u.md:3"}
    assert found["Reply.md:1"].startswith("name: must be lower case")
    assert found["Reply.md:1"].endswith(". Rename the file, or say its name inside: `name: …`")


@posix
def test_a_path_that_a_terminal_must_not_see_is_escaped(tmp_path):
    """Control characters, and bytes that are no UTF-8."""
    filled(tmp_path, **{"a\x1b[31m.md": "x"})
    with open(os.fsencode(tmp_path) + b"/\xff.md", "wb") as file:
        file.write(FILE.encode())
    places = [place for place, _ in flaws(read_folder, tmp_path)]
    assert places == ["a\\x1b[31m.md:1", "\\udcff.md:1"]


@posix
def test_a_symlink_out_of_the_folder_is_refused(tmp_path):
    """Of a file and of a folder, absolute and relative; one within it is followed, and one that is skipped is none."""
    outside = filled(tmp_path / "outside", **{"secret.md": None})
    folder = filled(tmp_path / "folder", **{"a/b.md": None})
    (folder / "in.md").symlink_to("a/b.md")
    (folder / "c").symlink_to("a")
    (folder / ".hidden").symlink_to(outside)
    (folder / "picture.png").symlink_to(outside / "secret.md")
    assert names(folder) == ["in", "a/b", "c/b"]
    (folder / "x.md").symlink_to(outside / "secret.md")
    (folder / "y").symlink_to("../outside")
    (folder / "z.md").symlink_to("nowhere.md")
    assert flaws(read_folder, folder) == [
        ("x.md", "is a symlink that leads out of the folder"),
        ("y", "is a symlink that leads out of the folder"),
        ("z.md", "is a symlink that leads to no file"),
    ]
    (tmp_path / "folder-2").mkdir()
    (folder / "x.md").unlink()
    (folder / "y").unlink()
    (folder / "z.md").unlink()
    (folder / "w").symlink_to("../folder-2")
    assert [place for place, _ in flaws(read_folder, folder)] == ["w"]
    (tmp_path / "link").symlink_to("folder")
    (folder / "w").unlink()
    assert names(tmp_path / "link") == names(folder)


@posix
def test_a_cycle_of_symlinks_is_an_error_and_does_not_hang(tmp_path):
    """To the folder itself, to one above, to itself, and many of them."""
    filled(tmp_path, **{"a/b/c.md": None})
    (tmp_path / "a/b/up").symlink_to("..")
    (tmp_path / "self.md").symlink_to("self.md")
    (tmp_path / "root").symlink_to(".")
    assert flaws(read_folder, tmp_path) == [
        ("root", "is a symlink to a folder that it is in"),
        ("self.md", "is a symlink that leads to no file"),
        ("a/b/up", "is a symlink to a folder that it is in"),
    ]


@posix
def test_a_pipe_a_device_and_a_folder_of_the_name_of_a_file_do_not_hang(tmp_path):
    """They are errors with a path; a folder that ends in `.md` is a folder."""
    filled(tmp_path, **{"x.md/y.md": None, "ok.md": None})
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "null.md").symlink_to("/dev/null")
    found = flaws(read_folder, tmp_path)
    assert found[0] == ("null.md", "is a symlink that leads out of the folder")
    assert found[1] == ("pipe.md", "is no file, but a device, pipe or socket")
    assert len(found) == 2


@posix
def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    """One of a gigabyte."""
    with open(tmp_path / "huge.md", "wb") as file:
        file.truncate(1_000_000_000)
    ((place, reason),) = flaws(read_folder, tmp_path)
    assert (place, reason) == ("huge.md", f"takes 1,000,000,000 bytes; {MAX_BYTES:,} is the most")


@posix
@unprivileged
def test_what_may_not_be_read_is_an_error_of_its_path(tmp_path):
    """A file and a folder."""
    filled(tmp_path, **{"a.md": None, "b/c.md": None})
    (tmp_path / "a.md").chmod(0)
    (tmp_path / "b").chmod(0)
    try:
        assert flaws(read_folder, tmp_path) == [
            ("a.md", "can't be read: Permission denied"),
            ("b", "can't be listed: Permission denied"),
        ]
    finally:
        (tmp_path / "b").chmod(0o700)


def test_a_file_or_folder_that_fails_is_an_error_of_its_path(tmp_path, monkeypatch):
    """Whatever the system says, also of a file that goes while the folder is read."""
    filled(tmp_path, **{"a.md": None, "b/c.md": None})
    opened, listed = os.open, os.scandir

    def fail(path, *args, **more):
        if "a.md" in str(path) or str(path).endswith("b"):
            raise PermissionError(13, "Permission denied")
        return (listed if not args else opened)(path, *args, **more)

    monkeypatch.setattr(os, "open", fail)
    monkeypatch.setattr(os, "scandir", fail)
    assert flaws(read_folder, tmp_path) == [
        ("a.md", "can't be read: Permission denied"),
        ("b", "can't be listed: Permission denied"),
    ]


@pytest.mark.parametrize("wrong", [3, None, b"x", "", "a\0b"])
def test_a_folder_is_a_path(wrong):
    """Anything else is invalid input."""
    for call in (lambda: read_folder(wrong), lambda: write_files(wrong, {})):
        ((field, _),) = flaws(call)
        assert field == "folder"


@pytest.mark.parametrize("path", ["x" * 5_000, "x/" * 3_000, "\ud800x"])
def test_a_path_that_no_system_has_is_invalid_input(path):
    """Too long, too deep, or of characters that are none; for whoever reads or writes a folder."""
    with Registry(":memory:") as registry:
        registry.create("a", "a")
        for call in (
            lambda: read_folder(path),
            lambda: write_files(path, {"a.md": FILE}),
            lambda: export(registry, path),
            lambda: sync(registry, path),
        ):
            assert [place for place, _ in flaws(call)] == ["folder"]
        ((_, reason),) = flaws(import_from, registry, "plain", path)
        assert reason == "is no file and no folder"


def test_no_folder_and_a_folder_that_is_a_file_are_errors(tmp_path):
    """That say which path."""
    filled(tmp_path, file=None)
    ((field, reason),) = flaws(read_folder, tmp_path / "none")
    assert (field, reason) == ("folder", f"there is no folder {str(tmp_path / 'none')!r}")
    for call in (read_folder, lambda path: write_files(path, {"a.md": "x"})):
        assert flaws(call, tmp_path / "file")[0][1].endswith("is no folder")
    assert "can't be made" in flaws(write_files, tmp_path / "file/below", {"a.md": "x"})[0][1]


def test_a_folder_of_too_many_prompts_is_refused(tmp_path, monkeypatch):
    """Before all are read; and too many bytes together."""
    filled(tmp_path, **{f"{n}.md": None for n in range(5)})
    monkeypatch.setattr("promptreg.files.walking.MAX_FILES", 3)
    assert flaws(read_folder, tmp_path) == [("folder", "holds more than 3 prompts or folders")]
    monkeypatch.setattr("promptreg.files.walking.MAX_FILES", 100)
    monkeypatch.setattr("promptreg.files.folder.MAX_TOTAL", 40)
    assert flaws(read_folder, tmp_path) == [("folder", "holds more than 40 bytes of prompts")]


# Writing


def test_files_are_written_with_their_folders_and_read_again(tmp_path):
    """As UTF-8 with `\\n`, whatever the system."""
    folder = tmp_path / "new" / "prompts"
    assert write_files(folder, [("a/b.md", FILE), ("c.md", "---\n---\né\n")]) == []
    assert (folder / "c.md").read_bytes() == "---\n---\né\n".encode()
    assert names(folder) == ["c", "a/b"]
    assert sorted(path.name for path in folder.rglob("*")) == ["a", "b.md", "c.md"]


def test_a_file_is_left_where_another_content_is_expected(tmp_path):
    """By its digest, or None where none must be there; one that holds the text already is as expected."""
    filled(tmp_path, **{"a.md": None, "b.md": None})
    digest = read_folder(tmp_path)[0].digest
    new = "---\n---\nNew\n"
    assert write_files(tmp_path, {"a.md": new, "b.md": new}, expected={"a.md": digest, "b.md": None}) == ["b.md"]
    assert (tmp_path / "a.md").read_text() == new
    assert (tmp_path / "b.md").read_text() == FILE
    assert write_files(tmp_path, {"a.md": new, "c.md": new}, expected={"a.md": None, "c.md": digest}) == ["c.md"]
    assert not (tmp_path / "c.md").exists()


def test_a_file_that_holds_the_text_already_is_not_touched(tmp_path):
    """So tools that watch files see no change."""
    filled(tmp_path, **{"a.md": None})
    os.utime(tmp_path / "a.md", (1, 1))
    assert write_files(tmp_path, {"a.md": FILE}) == []
    assert (tmp_path / "a.md").stat().st_mtime == 1


@pytest.mark.parametrize(
    "path", ["../x.md", "a/../../x.md", "/x.md", "a/../x.md", "", ".", "a//x.md", "c:x.md", "a\\x.md", "a\0"]
)
def test_nothing_is_written_outside_the_folder(tmp_path, path):
    """No path leads out, and none is read in two ways."""
    folder = tmp_path / "folder"
    ((_, reason),) = flaws(write_files, folder, {path: FILE})
    assert reason == "leads out of the folder"
    assert [*tmp_path.rglob("*")] == [folder]


@posix
def test_no_symlink_leads_a_write_out_of_the_folder(tmp_path):
    """Of a file or a folder; one within it is followed."""
    outside = filled(tmp_path / "outside", **{"x.md": None})
    folder = filled(tmp_path / "folder", **{"a.md": None})
    (folder / "x.md").symlink_to(outside / "x.md")
    (folder / "d").symlink_to(outside)
    (folder / "in.md").symlink_to("a.md")
    for path in ("x.md", "d/x.md", "d/new/y.md"):
        assert flaws(write_files, folder, {path: "---\n---\nNew\n"}) == [(path, "leads out of the folder")]
    assert (outside / "x.md").read_text() == FILE
    assert os.listdir(outside) == ["x.md"]
    write_files(folder, {"in.md": "---\n---\nNew\n"})
    assert (folder / "in.md").is_symlink()
    assert (folder / "a.md").read_text() == "---\n---\nNew\n"


@posix
def test_a_file_keeps_its_mode_and_a_new_one_has_the_usual_one(tmp_path):
    """Whatever the umask is."""
    filled(tmp_path, **{"a.md": None})
    (tmp_path / "a.md").chmod(0o640)
    before = os.umask(0o022)
    try:
        write_files(tmp_path, {"a.md": "x", "b.md": "x"})
    finally:
        os.umask(before)
    assert [(tmp_path / path).stat().st_mode & 0o777 for path in ("a.md", "b.md")] == [0o640, 0o644]


@pytest.mark.parametrize("failing", ["replace", "chmod"])
def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(tmp_path, monkeypatch, failing):
    """The error says which file, and why; an interrupt leaves no more."""
    filled(tmp_path, **{"a.md": None})
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail(*args, error=error):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(os, failing, fail)
            with pytest.raises((InvalidInputError, KeyboardInterrupt)) as caught:
                write_files(tmp_path, {"a.md": "x"})
        if isinstance(caught.value, InvalidInputError):
            assert caught.value.message == "a.md: can't be written: No space left on device"
    assert os.listdir(tmp_path) == ["a.md"]
    assert (tmp_path / "a.md").read_text() == FILE


@posix
@unprivileged
def test_a_folder_that_may_not_be_written_is_an_error(tmp_path):
    """With the path of the file."""
    tmp_path.chmod(0o500)
    assert flaws(write_files, tmp_path, {"a.md": "x"}) == [("a.md", "can't be written: Permission denied")]


def test_a_path_that_is_too_long_or_a_folder_is_an_error(tmp_path):
    """Of the file, not of Python."""
    filled(tmp_path, **{"d/x.md": None})
    for path in ("x" * 300 + ".md", "a/" * 2_500 + "x.md", "d", "d/x.md/y.md"):
        ((place, reason),) = flaws(write_files, tmp_path, {path: "x"})
        assert (place, reason.split(":")[0]) == (path, "can't be written")
    assert [path for path in Path(tmp_path).rglob("*") if path.name.endswith(".tmp")] == []
