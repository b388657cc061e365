"""The commands `export` and `import`: folders, everything as one file, and the formats of other tools."""

import json
from pathlib import Path

import pytest

from promptreg import Registry
from tests.terminal import Terminal


@pytest.fixture
def run(tmp_path: Path) -> Terminal:
    """A terminal in a folder with a registry of two prompts."""
    terminal = Terminal(tmp_path)
    with Registry(tmp_path / "prompts.db") as registry:
        registry.create("support/greet", "Hello {{ who }}")
        registry.create("bye", "Bye")
    return terminal


def test_everything_goes_out_and_in_with_equal_bytes(run: Terminal, tmp_path: Path) -> None:
    """To a file and from it, and through standard output and input; the database is created."""
    done = run("export", "--full", "all.jsonl")
    assert (done.status, done.out) == (0, "")
    assert done.err == "Exported 2 prompts, 2 versions, 4 events and 0 deletions.\n"
    done = run("import", "all.jsonl", "--db", "new.db")
    assert (done.status, done.out) == (0, "")
    assert done.err == "Imported 2 prompts, 2 versions, 4 events and 0 deletions.\n"
    streamed = run("--db", "new.db", "export", "--full", "-")
    assert streamed.out.encode() == (tmp_path / "all.jsonl").read_bytes()
    assert run("import", "-", "--db", "third.db", stdin=streamed.out).status == 0
    assert run("verify", "--db", "third.db").status == 0
    assert run("export", "--full", "-", "--db", "third.db").out == streamed.out


def test_programs_get_the_counts(run: Terminal) -> None:
    """As one object, of an export to a file and of an import."""
    counts = {"prompts": 2, "versions": 2, "events": 4, "deletions": 0}
    assert json.loads(run("export", "--full", "all.jsonl", "--json").out) == counts
    assert json.loads(run("import", "all.jsonl", "--db", "new.db", "--nl").out) == counts


def test_refusals_are_one_line_and_a_status(run: Terminal, tmp_path: Path) -> None:
    """1 where the registry refuses, 2 for wrong usage, 3 where there is no database; nothing is created."""
    run("export", "--full", "all.jsonl")
    for arguments, status, text in (
        (("import", "all.jsonl"), 1, "conflict"),
        (("import", "nope.jsonl", "--db", "none.db"), 2, "no such file"),
        (("import", ".", "--db", "new.db"), 1, "directory"),
        (("import", "all.jsonl", "--dry-run"), 2, "--from"),
        (("import", "nope", "--from", "plain", "--db", "none.db"), 1, "nope"),
        (("import", "all.jsonl", "--from", "other"), 2, "langfuse"),
        (("export",), 2, "--full"),
        (("export", "out", "--full", "x"), 2, "--full"),
        (("export", "--full", "x", "--force"), 2, "--force"),
        (("export", "--full", "-", "--json"), 2, "--json"),
        (("export", "--full", "no/x"), 1, "No such file"),
        (("export", "--full", "x", "--as", "eve:team_admin"), 1, "forbidden"),
        (("import", "all.jsonl", "--db", "new.db", "--as", "eve"), 1, "forbidden"),
        (("export", "--full", "x", "--db", "none.db"), 3, "init"),
        (("export", "out", "--db", "none.db"), 3, "init"),
    ):
        done = run(*arguments)
        assert (done.status, done.out, done.err.count("\n")) == (status, "", 1), (arguments, done)
        assert text in done.err, (arguments, done)
    assert not any((tmp_path / name).exists() for name in ("x", "out", "none.db"))


def test_a_file_that_was_cut_is_refused_with_its_line(run: Terminal, tmp_path: Path) -> None:
    """And the import can be done again with the whole file."""
    run("export", "--full", "all.jsonl")
    data = (tmp_path / "all.jsonl").read_bytes()
    done = run("import", "-", "--db", "new.db", stdin=data[:-40])
    assert done.status == 1
    assert done.err.startswith("promptreg: validation_error: line 10: the file was cut short")
    assert run("import", "-", "--db", "new.db", stdin=data).status == 0


def test_the_live_prompts_are_written_to_a_folder(run: Terminal, tmp_path: Path) -> None:
    """A differing file only with `--force`."""
    done = run("export", "out")
    assert (done.status, done.err) == (0, "2 files written to out, 0 unchanged.\n")
    assert (tmp_path / "out/support/greet.md").read_text().endswith("Hello {{ who }}\n")
    (tmp_path / "out/bye.md").write_text("---\n---\nTschüss\n", encoding="utf-8")
    refused = run("export", "out")
    assert (refused.status, "bye.md" in refused.err, "--force" in refused.err) == (1, True, True)
    assert json.loads(run("export", "out", "--force", "--json").out)["written"] == ["bye.md"]


def test_prompts_of_another_tool_are_imported(run: Terminal, tmp_path: Path) -> None:
    """The report is printed; with `--dry-run` alone, and no database is made."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/Some Text.txt").write_text("{as it is}")
    dry = run("import", "--from", "plain", "texts", "--dry-run", "--db", "new.db")
    assert (dry.status, dry.err) == (0, "Nothing was written; this would be imported: 1 prompt, 1 version.\n")
    assert not (tmp_path / "new.db").exists()
    done = run("import", "--from", "plain", "texts", "--db", "new.db")
    assert (done.status, done.out, done.err) == (0, dry.out, "Imported: 1 prompt, 1 version.\n")
    assert run("render", "some_text", "--db", "new.db").out == "{as it is}\n"
    report = json.loads(run("import", "--from", "plain", "texts", "--dry-run", "--json").out)
    assert report["prompts"][0]["name"] == "some_text"
