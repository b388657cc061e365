"""Importing prompts of other tools: one transaction, whose report names every change; bad files are clear errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptreg import (
    Actor,
    ForbiddenError,
    InvalidInputError,
    NameTakenError,
    PublishCheckError,
    Registry,
    StorageError,
)
from promptreg.files import ImportReport, import_from
from promptreg.files.foreign.importing import KINDS
from promptreg.files.foreign.names import prompt_name, prompt_names
from promptreg.rules.names import checked_name
from tests.otel import tracing


def version(name: str, number: int, prompt: Any = "Hello {{name}}", **more: Any) -> dict[str, Any]:
    """Return one object of Langfuse's API."""
    kind = "text" if isinstance(prompt, str) else "chat"
    return {
        "name": name,
        "version": number,
        "type": kind,
        "prompt": prompt,
        "config": {},
        "labels": [],
        "tags": [],
    } | more


@pytest.fixture
def memory() -> Iterator[Registry]:
    """A registry in memory."""
    with Registry(":memory:") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to import from."""
    made = tmp_path / "export"
    made.mkdir()
    return made


def write(folder: Path, value: Any, name: str = "export.json") -> Path:
    """Write JSON, or bytes as they are, and return the path."""
    file = folder / name
    file.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return file


def errors_of(registry: Registry, kind: str, path: Path) -> dict[str, str]:
    """Return what is wrong with an import, by place."""
    with pytest.raises(InvalidInputError) as caught:
        import_from(registry, kind, path)
    return {error["field"]: error["reason"] for error in caught.value.details["errors"]}


def notes_of(report: ImportReport, name: str) -> list[tuple[int | None, str]]:
    """Return the notes about a prompt."""
    return [(note.version, note.text) for note in report.notes if note.prompt == name]


# What is made


def test_versions_labels_tags_config_and_messages_are_imported(memory: Registry, folder: Path) -> None:
    """The version that is labelled production is live, whatever the order of the objects; the others are drafts."""
    third = version("greet", 3, "C", labels=["latest"], commitMessage="Third")
    first = version("greet", 1, "A", labels=["staging"], commitMessage="First", config={"model": "m"}, tags=["x", "y"])
    second = version("greet", 2, "B {{n}}", labels=["production", "canary"])
    report = import_from(memory, "langfuse", write(folder, [third, first, second]))
    prompt = memory.get("greet")
    assert (prompt.version, prompt.template, prompt.labels) == (
        2,
        "B {{n}}",
        {"canary": 2, "latest": 3, "production": 2, "staging": 1},
    )
    history = [(v.version, v.state, v.commit_message, v.base_version) for v in memory.history("greet")]
    assert history == [(3, "draft", "Third", 2), (2, "published", "", 1), (1, "draft", "First", None)]
    oldest = memory.get("greet@1")
    assert (oldest.config, oldest.tags, oldest.template) == ({"model": "m"}, ["x", "y"], "A")
    assert notes_of(report, "greet") == []


def test_a_prompt_without_production_has_no_live_version(memory: Registry, folder: Path) -> None:
    """Nothing goes live that was not live before."""
    import_from(memory, "langfuse", write(folder, [version("greet", 1)]))
    assert memory.get("greet@1").production_version is None


def test_equal_versions_are_both_kept(memory: Registry, folder: Path) -> None:
    """An import is no update: a version that equals the one before keeps its number."""
    import_from(memory, "langfuse", write(folder, [version("greet", 1), version("greet", 2)]))
    assert [v.version for v in memory.history("greet")] == [2, 1]


def test_versions_are_numbered_without_gaps_and_the_report_says_so(memory: Registry, folder: Path) -> None:
    """Numbers here have no gaps but those of discarded versions, so what was version 7 may be version 2."""
    values = [version("greet", 4, labels=["staging"]), version("greet", 7, labels=["production"])]
    report = import_from(memory, "langfuse", write(folder, values))
    assert memory.get("greet").labels == {"latest": 2, "production": 2, "staging": 1}
    assert notes_of(report, "greet") == [(1, "was version 4"), (2, "was version 7")]


def test_an_import_is_one_commit_with_an_event_for_each_step(memory: Registry, folder: Path) -> None:
    """The record names the actor, who becomes the owner, and `verify` finds nothing wrong."""
    values = [version("greet", 1, labels=["production"]), version("greet", 2, labels=["staging"]), version("bye", 1)]
    before = memory._core.storage.read
    with before() as reader:
        revision = reader.snapshot.revision
    ana = memory.scope(actor=Actor("ana", "team_editor"))
    import_from(ana, "langfuse", write(folder, values))
    with before() as reader:
        assert reader.snapshot.revision == revision + 1
    recorded = [(event.action, event.version, event.actor) for event in memory.events("greet")]
    assert recorded == [
        ("create", 1, "ana"),
        ("update", 2, "ana"),
        ("publish", 1, "ana"),
        ("set_label", 2, "ana"),
    ]
    assert {(prompt.created_by, prompt.author) for prompt in memory.list()} == {("ana", "ana")}
    assert memory.verify() == []
    assert memory.update("greet", template="New").version == 3
    assert [prompt.name for prompt in memory.search("hello")] == ["bye"]


def test_an_import_has_one_span(memory: Registry, folder: Path) -> None:
    """Its operation is import_prompts."""
    with tracing() as finished:
        import_from(memory, "langfuse", write(folder, [version("greet", 1)]))
    assert [span.name for span in finished()] == ["import_prompts"]


def test_a_dry_run_checks_everything_and_writes_nothing(registry: Registry, folder: Path, unchanged: Any) -> None:
    """Its report equals that of the import, but for `dry_run`."""
    file = write(folder, [version("Greet!", 1, "{{user name}}", labels=["production"])])
    with unchanged():
        proposed = import_from(registry, "langfuse", file, dry_run=True)
    assert proposed.dry_run
    assert import_from(registry, "langfuse", file) == proposed.model_copy(update={"dry_run": False})


def test_the_report_is_text_for_people_and_json_for_programs(memory: Registry, folder: Path) -> None:
    """Each prompt is a line, with its notes below it."""
    values = [version("Greet", 1, labels=["production", "a"]), version("Greet", 3, "{{#x}} {{y}}")]
    report = import_from(memory, "langfuse", write(folder, values))
    assert list(report.lines()) == [
        "greet (2 versions, live: 1, a: 1)",
        "  was named 'Greet'",
        "  version 2: was version 3",
        "  version 2: 1 tag that names no variable stays text",
    ]
    assert json.loads(report.model_dump_json())["prompts"] == [
        {"name": "greet", "origin": "Greet", "versions": 2, "production": 1, "labels": {"a": 1}, "is_disabled": False}
    ]


# What refuses it


def test_names_that_exist_are_one_error_with_all_of_them(registry: Registry, folder: Path, unchanged: Any) -> None:
    """Nothing is imported, and a dry run says the same; archived prompts keep their names too."""
    registry.create("a", "…")
    registry.create("b", "…")
    registry.archive("b")
    file = write(folder, [version(name, 1) for name in "abc"])
    for dry_run in (True, False):
        with unchanged(), pytest.raises(NameTakenError) as caught:
            import_from(registry, "langfuse", file, dry_run=dry_run)
        assert caught.value.details["names"] == ["a", "b"]
        assert "'a', 'b'" in caught.value.message


def test_an_import_needs_the_permission_to_create(registry: Registry, folder: Path, unchanged: Any) -> None:
    """The refusal names all prompts, and comes before that of a taken name."""
    registry.create("a", "…")
    file = write(folder, [version("a", 1), version("b", 1)])
    member = registry.scope(actor=Actor("bo", "team_member"))
    with unchanged(), pytest.raises(ForbiddenError) as caught:
        import_from(member, "langfuse", file)
    assert caught.value.details == {"names": ["a", "b"], "action": "create"}


def test_what_goes_live_passes_the_publish_checks(path: str, folder: Path, unchanged: Any) -> None:
    """Versions that are drafts pass none; every prompt that fails is named, and nothing is imported."""
    checked = []

    def is_polite(prompt: Any) -> None:
        checked.append((prompt.name, prompt.version))
        if "please" not in prompt.template:
            raise ValueError("it is not polite")

    values = [version("a", 1, "please", labels=["production"]), version("a", 2, "now"), version("b", 1, "now")]
    with Registry(path, publish_checks=[is_polite]) as registry:
        import_from(registry, "langfuse", write(folder, values))
        assert checked == [("a", 1)]
        rude = [version(name, 1, "now", labels=["production"]) for name in "cd"]
        for dry_run in (True, False):
            with unchanged(), pytest.raises(PublishCheckError) as caught:
                import_from(registry, "langfuse", write(folder, rude), dry_run=dry_run)
            assert caught.value.details["reasons"] == [f"{name}: is_polite: it is not polite" for name in "cd"]


def test_a_name_that_is_taken_while_checks_run_is_refused(path: str, folder: Path) -> None:
    """What is checked outside the transaction is planned again within it."""

    def take(prompt: Any) -> None:
        if prompt.name == "a":
            registry.create("b", "Somebody's")

    values = [version(name, 1, labels=["production"]) for name in "ab"]
    with Registry(path, publish_checks=[take]) as registry:
        with pytest.raises(NameTakenError) as caught:
            import_from(registry, "langfuse", write(folder, values))
        assert caught.value.details["names"] == ["b"]
        assert [prompt.name for prompt in registry.list()] == ["b"]


def test_every_template_that_does_not_compile_is_named(registry: Registry, folder: Path, unchanged: Any) -> None:
    """Each has its prompt, its version and its line."""
    (folder / "a.md").write_text("Hello\n{{ name")
    (folder / "b.j2").write_text("{% include 'x' %}")
    (folder / "c.txt").write_text("{{ name")
    with unchanged():
        errors = errors_of(registry, "plain", folder)
    assert list(errors) == ["a@1", "b@1"]
    assert errors["a@1"].startswith("Line 2: ")
    assert errors["b@1"].startswith("Line 1: ")


def test_a_failure_in_the_write_leaves_nothing(
    registry: Registry, folder: Path, unchanged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All prompts are written in one transaction, and none of them if the last event can't be."""
    file = write(folder, [version("a", 1), version("b", 1)])

    def fail(*_: object) -> None:
        raise StorageError("The disk is gone.")

    monkeypatch.setattr("promptreg.storage.sqlite.event_log.append", fail)
    with unchanged(), pytest.raises(StorageError):
        import_from(registry, "langfuse", file)


def test_ctrl_c_leaves_nothing(memory: Registry, folder: Path) -> None:
    """Progress is reported before anything is written, and what it raises ends the call."""
    seen = []

    def interrupt(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    file = write(folder, [version(name, 1) for name in "abc"])
    with pytest.raises(KeyboardInterrupt):
        import_from(memory, "langfuse", file, progress=interrupt)
    assert (seen, len(memory.list())) == ([(0, 3), (1, 3), (2, 3)], 0)
    import_from(memory, "langfuse", file)
    assert len(memory.list()) == 3


def test_too_many_prompts_are_refused(memory: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as one call may name."""
    monkeypatch.setattr("promptreg.rules.import_inputs.MAX_NAMES", 2)
    file = write(folder, [version(name, 1) for name in "abc"])
    assert errors_of(memory, "langfuse", file) == {"prompts": "holds more than 2 prompts; that is the most"}


# Files


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_that_is_nothing_is_refused(memory: Registry, tmp_path: Path, kind: str) -> None:
    """The error names the file alone."""
    assert errors_of(memory, kind, tmp_path / "absent.json") == {"absent.json": "is no file and no folder"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_without_such_files_is_refused(memory: Registry, folder: Path, kind: str) -> None:
    """Hidden files and folders, and files with other endings, are not read."""
    (folder / ".git").mkdir()
    for name in (".git/a.md", ".git/a.json", "_a.md", ".a.prompty", "a.png"):
        (folder / name).write_text("…")
    (errors,) = errors_of(memory, kind, folder).values()
    assert errors.startswith("holds no file that ends in .")


def test_the_arguments_are_checked_together(memory: Registry) -> None:
    """A kind that is none names the nearest."""
    with pytest.raises(InvalidInputError) as caught:
        import_from(memory, "langfuze", 3)  # type: ignore[arg-type]
    assert caught.value.details["errors"] == [
        {"field": "kind", "reason": "must be one of langfuse, prompty, openwebui, plain; did you mean 'langfuse'?"},
        {"field": "path", "reason": "must be a path, not int"},
    ]
    with pytest.raises(InvalidInputError, match="path: must not be empty"):
        import_from(memory, "plain", "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_may_be_utf_8_or_utf_16(memory: Registry, folder: Path, encoding: str) -> None:
    """A shell that writes UTF-16 with a byte order mark, as PowerShell's does, is no problem."""
    text = json.dumps([version("grüße", 1, "Grüße ☕")], ensure_ascii=False)
    import_from(memory, "langfuse", write(folder, text.encode(encoding)))
    assert memory.get("grüße@1").template == "Grüße ☕"


@pytest.mark.parametrize(
    "text",
    [
        '{"data": [A, B]}',
        "A B",
        "A\r\n\r\nB\r\n",
        "[A, B]",
        "[A] B",
    ],
)
def test_objects_stand_in_an_array_in_data_or_after_each_other(memory: Registry, folder: Path, text: str) -> None:
    """So the answers of the API may be written to one file, one after the other."""
    text = text.replace("A", json.dumps(version("a", 1))).replace("B", json.dumps(version("b", 1)))
    import_from(memory, "langfuse", write(folder, text.encode()))
    assert [prompt.name for prompt in memory.list()] == ["a", "b"]


def test_a_folder_may_hold_a_file_for_each_version(memory: Registry, folder: Path) -> None:
    """Files of all its folders are read."""
    (folder / "more").mkdir()
    write(folder, version("a", 1))
    write(folder, version("a", 2), "more/a2.json")
    write(folder, version("b", 1), "more/b.jsonl")
    import_from(memory, "langfuse", folder)
    assert {prompt.name: prompt.latest_version for prompt in memory.list()} == {"a": 2, "b": 1}


BAD_FILES: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "export.json:1", "is not JSON: expecting value at column 1"),
    "cut short": (b'[{"name":\n"a"', "export.json:2", "is not JSON: expecting ',' delimiter at column 4"),
    "the second value is bad": (b"[]\n{", "export.json:2", "is not JSON"),
    "not UTF-8": (b'"a"\n\xff', "export.json:2", "is not UTF-8"),
    "NaN": (b"[NaN]", "export.json:1", "can't be read as JSON: JSON has neither NaN nor Infinity"),
    "a key twice": (b'[{"a": 1, "a": 2}]', "export.json:1", "can't be read as JSON: an object has one key twice"),
    "a number of 5,000 digits": (b"1" * 5000, "export.json:1", "can't be read as JSON: a number has too many digits"),
    "a million arrays deep": (b"[" * 10**6, "export.json:1", "can't be read as JSON: it is nested too deeply"),
    "a million objects deep": (b'{"a":' * 10**6, "export.json:1", "can't be read as JSON: it is nested too deeply"),
    "no object": (b"3", "export.json", "must be an object, or an array of objects, not a number"),
    "no object in the array": (b"[{}, 3]", "export.json[1]", "must be an object, not a number"),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("kind", ["langfuse", "openwebui"])
def test_a_bad_file_is_an_error_with_its_place(memory: Registry, folder: Path, kind: str, name: str) -> None:
    """The place is the file with the line, or the path in its JSON."""
    data, place, reason = BAD_FILES[name]
    assert {key: text[: len(reason)] for key, text in errors_of(memory, kind, write(folder, data)).items()} == {
        place: reason
    }


def test_a_file_without_a_prompt_is_refused(memory: Registry, folder: Path) -> None:
    """As it is hardly what was meant."""
    assert errors_of(memory, "langfuse", write(folder, [])) == {"path": "holds no prompt"}


def test_a_file_that_is_too_large_is_refused(memory: Registry, folder: Path, monkeypatch: Any) -> None:
    """It is refused by its size, before any of it is read."""
    monkeypatch.setattr("promptreg.files.foreign.reading.MAX_BYTES", 10)
    assert errors_of(memory, "langfuse", write(folder, b"[" * 11)) == {"export.json": "takes 11 bytes; 10 is the most"}


def test_a_link_that_leads_outside_the_folder_is_refused(memory: Registry, folder: Path, tmp_path: Path) -> None:
    """What is outside is never read; a link within the folder is followed."""
    (tmp_path / "secret.md").write_text("Secret")
    (folder / "a.md").write_text("A")
    (folder / "b.md").symlink_to(folder / "a.md")
    import_from(memory, "plain", folder)
    (folder / "c.md").symlink_to(tmp_path / "secret.md")
    (folder / "d.md").symlink_to(tmp_path / "absent.md")
    assert errors_of(memory, "plain", folder) == dict.fromkeys(
        ["c.md", "d.md"], "is a symlink that leads out of the folder"
    )


# Names


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("Support/Reply Draft (v2)", "support/reply_draft_v2"),
        (" /a//b/ ", "a/b"),
        ("a..b", "a.b"),
        ("Ünïcode Ñame", "ünïcode_ñame"),
        ("☕", "prompt"),
        ("x" * 300, "x" * 128),
        ("0b8f6c1e-8b1f-4f7e-9c61-2a6f3d1d7c11", "prompt_0b8f6c1e-8b1f-4f7e-9c61-2a6f3d1d7c11"),
        ("a@b", "a_b"),
        ("İ", "i̇"),
    ],
)
def test_a_name_that_is_not_valid_becomes_the_nearest_that_is(origin: str, name: str) -> None:
    """It is lower case, and its folders are kept."""
    assert prompt_name(origin) == name == checked_name(name)


@settings(max_examples=50)
@given(st.lists(st.text(max_size=200), max_size=10))
def test_names_of_any_text_are_valid_and_none_occurs_twice(origins: list[str]) -> None:
    """Whatever it holds; and a valid one stays."""
    wanted = {str(i): origin for i, origin in enumerate(origins)}
    names = prompt_names(wanted)
    assert names.keys() == wanted.keys()
    assert len({*names.values()}) == len(names)
    for key, name in names.items():
        assert checked_name(name) == name
        assert prompt_name(name) == name
        if origins.count(wanted[key]) == 1 and prompt_name(wanted[key]) == wanted[key]:
            assert name == wanted[key]


def test_names_that_would_be_the_same_get_a_number(memory: Registry, folder: Path) -> None:
    """A name that is valid already keeps it; the report has every changed one."""
    report = import_from(memory, "langfuse", write(folder, [version(name, 1) for name in ("A b", "a_b", "a b")]))
    assert {prompt.origin: prompt.name for prompt in report.prompts} == {"A b": "a_b_2", "a_b": "a_b", "a b": "a_b_3"}
    assert [(note.prompt, note.text) for note in report.notes] == [
        ("a_b_2", "was named 'A b'"),
        ("a_b_3", "was named 'a b'"),
    ]
    assert memory.get("a_b_2@1").title == "A b"


# Plain texts


def test_a_folder_of_texts_is_imported_by_their_paths(memory: Registry, folder: Path) -> None:
    """A .txt file is plain, the others are Jinja; line ends are line feeds, of which one at the end is not content."""
    (folder / "Team A").mkdir()
    for name, text in {
        "Team A/Reply.md": b"\xef\xbb\xbfDear {{ name }},\r\nyes\r\n\r\n",
        "a.j2": b"{% if x %}x{% endif %}",
        "b.jinja": b"b",
        "c.txt": b"{{ c }}\n",
        "README.md": b"Read me {{",
        "d.md": b"---\ntitle: D\n---\nd",
    }.items():
        (folder / name).write_bytes(text)
    report = import_from(memory, "plain", folder)
    made = {prompt.name: (prompt.template, prompt.syntax, prompt.title) for prompt in memory.list()}
    assert made == {
        "a": ("{% if x %}x{% endif %}", "jinja", "a"),
        "b": ("b", "jinja", "b"),
        "c": ("{{ c }}", "plain", "c"),
        "d": ("---\ntitle: D\n---\nd", "jinja", "d"),
        "team_a/reply": ("Dear {{ name }},\nyes\n", "jinja", "Reply"),
    }
    assert notes_of(report, "d") == [(1, "front matter is part of the text")]
    assert memory.get("a").production_version == 1


def test_carriage_returns_are_kept_in_a_plain_text_and_told_of_a_template(memory: Registry, folder: Path) -> None:
    """CRLF is a line end in both."""
    (folder / "a.txt").write_bytes(b"a\rb\r\nc")
    (folder / "b.md").write_bytes(b"a\rb\r\nc")
    report = import_from(memory, "plain", folder)
    assert (memory.get("a").template, memory.get("b").template) == ("a\rb\nc", "a\nb\nc")
    assert [(note.prompt, note.text) for note in report.notes] == [("b", "carriage returns became line feeds")]


def test_a_single_text_file_is_imported(memory: Registry, folder: Path) -> None:
    """Its name is that of the file, whatever it ends in; one that is named outright is read, though it is a README."""
    (folder / "README.md").write_text("Read")
    import_from(memory, "plain", folder / "README.md")
    assert memory.get("readme").template == "Read"
    (folder / "Greet.text").write_text("Hello")
    import_from(memory, "plain", folder / "Greet.text")
    assert memory.get("greet").template == "Hello"


def test_two_files_that_differ_in_the_ending_get_two_names(memory: Registry, folder: Path) -> None:
    """The second gets a number."""
    (folder / "a.md").write_text("A")
    (folder / "a.txt").write_text("B")
    import_from(memory, "plain", folder)
    assert [(prompt.name, prompt.template) for prompt in memory.list()] == [("a", "A"), ("a_2", "B")]
