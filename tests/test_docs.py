"""The README and the pages of promptreg/docs are checked against the code, and their examples are run.

The `python` blocks of a page run in order, as one program, in an empty folder. A `text` block directly below a block is
what it prints; a block without one prints nothing.

The `console` blocks of a page are one session on a terminal (see `console.py`).

On the pages of recipes a `python` block starts with the name of a file (`# app.py`) and is written to it. The `bash`
blocks run; a command that ends with `&` runs beside those after it. Elsewhere shell commands are only checked to exist.
"""

import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, get_args

import click
import pytest
from pydantic import BaseModel

import promptreg
from promptreg import PromptregError, Registry, RenderLimits, TemplateError
from promptreg.cli.main import BROKEN_PIPE, INTERRUPTED, REFUSED, STORAGE, USAGE
from promptreg.cli.main import promptreg as command_line
from promptreg.files.format import KEYS
from promptreg.files.full import export_full
from promptreg.models import Action
from promptreg.rendering.fast.operations import METHODS as FAST_METHODS
from promptreg.rendering.filters import FILTERS, TESTS
from promptreg.rendering.metered.methods import METHODS
from promptreg.telemetry import names
from tests.console import Session, as_it_runs
from tests.frameworks import OFFLINE
from tests.otel import unprovided

ROOT = Path(__file__).parents[1]
DOCS = Path(promptreg.__file__).parent / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
FOR_DEVELOPERS = sorted((ROOT / ".github").glob("*.md"))
RECIPES = [DOCS / f"{name}.md" for name in ("recipes", "testing", "frameworks", "agents")]
ON_A_SERVER = DOCS / "postgresql.md"  # whose examples `test_postgres_page.py` runs
TEST_COMMAND = "python -m pip install -e '.[test]' && python -m pytest"
RUN_COMMAND = "python -m pip install . && python -m promptreg demo"
EXPECTED_PAGES = set(
    "guide templates variables chats access operations recipes telemetry errors rules guarantees internals performance"
    " changes seeding releases moving sources storage limits command files checks modules export backup repeating"
    " postgresql testing report notebooks mcp sdks frameworks agents".split()
)


class Block(NamedTuple):
    """A fenced block: its language, its text, and the text block right below it, if there is one."""

    language: str
    text: str
    output: str | None

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, if its first line is such a comment."""
        named = re.match(r"# ([\w/]+\.py)$", self.text.partition("\n")[0])
        return named[1] if named and self.language == "python" else None


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order."""
    fence = re.compile(r"^```(\w+)\n(.*?)^```$(?:\n+```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
    return [Block(*found) for found in fence.findall(page.read_text(encoding="utf-8"))]


def section(page: str, title: str) -> str:
    """Return the text below a heading, up to the next one."""
    return re.split(r"^##+ ", read(page).split(f"# {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the rows of the tables in a text, without their headings."""
    lines = [re.split(r"(?<!\\)\|", line[1:-1]) for line in text.splitlines() if line.startswith("|")]
    table = [[cell.strip().replace("\\|", "|") for cell in line] for line in lines]
    rules = [number for number, row in enumerate(table) if set(row[0]) == {"-"}]
    return [row for number, row in enumerate(table) if number not in rules and number + 1 not in rules]


def with_sessions() -> list[Path]:
    """Return the pages that have terminal sessions."""
    return [page for page in PAGES if "```console\n" in page.read_text(encoding="utf-8")]


@pytest.fixture
def untraced() -> Iterator[None]:
    """Remove any tracer provider, so that an example can install one."""
    with unprovided():
        yield


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in (*RECIPES, ON_A_SERVER)], ids=lambda page: page.stem
)
def test_every_example_prints_the_text_below_it(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All Python blocks of a page run in order, as one program, in an empty folder."""
    if page.stem == "mcp":
        pytest.importorskip("mcp", reason="the extra promptreg-embedded[mcp] is not installed")
    monkeypatch.chdir(tmp_path)
    variables: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.text, page.name, "exec"), variables)
            assert printed.getvalue() == (block.output or ""), block.text


@pytest.mark.parametrize("page", with_sessions(), ids=lambda page: page.stem)
def test_every_terminal_session_shows_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """The `console` blocks of a page are one session; `python -m tests.console PAGE` writes what they show now."""
    text = page.read_text(encoding="utf-8")
    assert as_it_runs(text, tmp_path).splitlines() == text.splitlines()


SLOW = {"gunicorn", "litellm", "langchain-core", "pydantic-ai-slim", "haystack-ai"}
"""Packages that take a second or more to import or to start."""


def recipes() -> list[Any]:
    """Return the sections of the pages of recipes that have commands, each with the packages that it needs."""
    found = []
    for part in [part for page in RECIPES for part in page.read_text(encoding="utf-8").split("\n## ")[1:]]:
        if "```bash" not in part:
            continue
        needs = re.search(r"^Needs (.*?)\.(?: |$)", part, re.MULTILINE)
        packages = re.findall(r"`([\w-]+)`", needs[1]) if needs else []
        marks = [pytest.mark.slow] if SLOW.intersection(packages) or "-m pytest" in part else []
        found.append(pytest.param(part, packages, id=part.partition("\n")[0].replace(" ", "-"), marks=marks))
    return found


def test_the_programs_for_frameworks_may_share_a_folder() -> None:
    """Each makes prompts of its own, so that none finds what another has published in the same `prompts.db`."""
    text = "".join((DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("frameworks", "agents"))
    made = [set(re.findall(r"registry\.(?:seed|save)\(\s*\"(\w+)\"", part)) for part in text.split("\n## ")]
    names = [name for part in made for name in part]
    assert len(names) >= 6
    assert len(names) == len(set(names))


def installed(package: str) -> bool:
    """Return whether a distribution is installed."""
    with contextlib.suppress(PackageNotFoundError):
        return bool(version(package))
    return False


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Return what a command prints."""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("recipe", "needs"), recipes())
def test_every_recipe_is_a_complete_program_that_prints_the_text_below_it(
    recipe: str, needs: list[str], tmp_path: Path
) -> None:
    """The files of a recipe are written to an empty folder, and its commands run there."""
    if absent := [package for package in needs if not installed(package)]:
        pytest.skip(f"{', '.join(absent)} not installed")
    if "gunicorn" in needs and not hasattr(os, "fork"):
        pytest.skip("gunicorn forks, which this system does not")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    page = tmp_path / "page.md"
    page.write_text(recipe.replace("8000", port), encoding="utf-8")
    folder = tmp_path / "recipe"
    folder.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "OTEL"))}
    # No socket in the user's home; and a worker that is stopped while it starts may miss the signal.
    environment["GUNICORN_CMD_ARGS"] = "--no-control-socket --graceful-timeout 2"
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of this project take seconds to load
    environment["PYTEST_PLUGINS"] = "promptreg_embedded"
    environment |= OFFLINE
    environment["PYTHONWARNINGS"] = "error:::__main__"  # what a program uses is not deprecated
    beside: list[subprocess.Popen[bytes]] = []
    ran = 0
    try:
        for block in blocks(page):
            if block.file is not None:
                (folder / block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "bash":
                for line in block.text.splitlines():
                    words = shlex.split(line.removesuffix(" &"))
                    assert words[0] == "python"
                    command = [sys.executable, *words[1:]]
                    if line.endswith(" &"):
                        beside.append(subprocess.Popen(command, cwd=folder, env=environment))
                        continue
                    printed = run(command, folder, environment)
                    shown = re.sub(r"in [\d.]+s$", "in 0.10s", printed, flags=re.MULTILINE)
                    assert shown == (block.output or "")
                    ran += 1
    finally:
        for process in beside:
            process.terminate()
        for process in beside:
            process.wait(30)
    assert ran


def test_the_test_extra_has_the_packages_of_the_recipes() -> None:
    """No recipe is skipped if the tests are installed as in the README, the slow ones as in `.ci/run`."""
    extra = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    needed = {package for recipe in recipes() for package in recipe.values[1]}
    assert {package for package in needed if f'"{package}' not in extra} == set()


def test_there_is_a_page_for_each_question_and_each_is_short() -> None:
    """Each page has fewer lines than the limit, because long pages are not read."""
    assert {page.stem for page in PAGES[1:]} == EXPECTED_PAGES
    lengths = {page.name: len(page.read_text(encoding="utf-8").splitlines()) for page in PAGES}
    assert {name: length for name, length in lengths.items() if length >= 200} == {}


@pytest.mark.parametrize("page", PAGES + FOR_DEVELOPERS, ids=lambda page: page.stem)
def test_every_link_has_a_target(page: Path) -> None:
    """Each link is to an existing file, and to a heading in it."""
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        assert not path.startswith("http"), target
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings]


@pytest.mark.parametrize("page", PAGES + FOR_DEVELOPERS, ids=lambda page: page.stem)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """The paths in the text exist in the repository."""
    named = re.findall(r"`((?:tests|benchmarks|promptreg|\.github|\.ci)/[^`*…]*)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_is_linked_from_the_readme() -> None:
    """Every page of the guide is linked from the README."""
    readme = PAGES[0].read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"(promptreg/docs/{page.name})" not in readme] == []


@pytest.mark.parametrize("page", PAGES + FOR_DEVELOPERS, ids=lambda page: page.stem)
def test_every_command_exists(page: Path) -> None:
    """A module can be imported, promptreg accepts its arguments, and a file exists."""
    for block in blocks(page):
        commands = re.split(r"&&|[|\n]", re.sub(r">>? \S+", "", block.text)) if block.language == "bash" else []
        for line in filter(None, (command.strip(" &") for command in commands)):
            words = shlex.split(line)
            assert words[0] in {"python", "git", "sqlite3", "ruff", "mypy", "promptreg"}, line
            if words[:3] == ["python", "-m", "promptreg"] or words[0] == "promptreg":
                name, *arguments = words[1 + 2 * (words[0] == "python") :]
                found = command_line.get_command(click.Context(command_line), name)
                assert found is not None, line
                found.make_context(name, arguments)
            elif words[:2] == ["python", "-m"]:
                assert words[2] in {"gunicorn"} or importlib.util.find_spec(words[2]), line
            elif words[0] == "python" and page not in RECIPES:
                assert (ROOT / words[1]).exists(), line


def test_the_page_of_the_command_lists_each_command_with_its_options() -> None:
    """Each command has its arguments and its own options there, and those that are the same for several once."""
    common = set(re.findall(r"--[\w-]+", section("command.md", "Which registry, and who"))) | {
        "--json",
        "--nl",
        "--help",
    }
    content = {
        option
        for row in rows(read("command.md"))
        if row[0].startswith("`--")
        for option in re.findall(r"--[\w-]+", row[0])
    }
    content -= common
    described = {}
    for usage, options, _ in rows(section("command.md", "Commands").partition("The options of content")[0]):
        own = set(re.findall(r"--[\w-]+", options))
        described[usage.strip("`")] = own | content if "the options of content" in options else own
    context = click.Context(command_line, info_name="promptreg")
    actual = {}
    for name in command_line.list_commands(context):
        command = command_line.get_command(context, name)
        assert command is not None
        parts = [part.make_metavar(context) for part in command.params if isinstance(part, click.Argument)]
        options = {max(part.opts, key=len) for part in command.params if isinstance(part, click.Option)}
        actual[" ".join([name, *parts])] = options - common
    assert described == actual


def test_the_page_of_files_lists_each_key_of_the_front_matter() -> None:
    """The keys are those that the format has, and the two that hold JSON instead of lines of the body."""
    listed = {key for row in rows(section("files.md", "The format")) for key in re.findall(r"`(\w+)", row[0])}
    assert listed == {*KEYS, "message", "template"}


def test_the_page_of_exports_lists_each_key_of_each_line() -> None:
    """The keys are those that lines have: they are read from an export."""
    with Registry(":memory:") as registry, io.BytesIO() as file:
        registry.create("x", "One")
        registry.create("y", "Two")
        registry.delete("y")
        export_full(registry, file)
        lines = [json.loads(line) for line in file.getvalue().splitlines()]
    found = {kind: set(value) for line in lines for kind, value in line.items()}
    found["promptreg"] |= found.pop("end")
    titles = {
        "promptreg": "The first and the last line",
        "prompt": "A prompt",
        "version": "A version",
        "event": "An event",
        "deletion": "A deletion",
    }
    listed = {
        kind: {key for row in rows(section("export.md", title)) for key in re.findall(r"`(\w+)`", row[0])}
        for kind, title in titles.items()
    }
    assert listed == found


def test_the_page_of_the_command_names_each_variable_and_status() -> None:
    """The variables are those that the help of `promptreg` names, and the statuses those of the entry point."""
    page = read("command.md")
    with click.Context(command_line) as context:
        named = set(re.findall(r"PROMPTREG_[A-Z]+", command_line.get_help(context)))
    assert set(re.findall(r"`(PROMPTREG_[A-Z]+)`", page)) == named
    statuses = {int(row[0]) for row in rows(section("command.md", "In scripts")) if row[0].isdigit()}
    assert statuses == {0, REFUSED, USAGE, STORAGE, INTERRUPTED, BROKEN_PIPE}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_page_of_the_command_says_how_a_shell_completes(shell: str, tmp_path: Path) -> None:
    """The line of the page evaluates what the command prints for this shell."""
    assert f"_PROMPTREG_COMPLETE={shell}_source promptreg" in section("command.md", "Completion")
    session = Session(tmp_path)
    assert "_PROMPTREG_COMPLETE" in session.run(f"_PROMPTREG_COMPLETE={shell}_source promptreg", [])
    assert session.status == 0


def test_the_two_commands_are_on_the_first_screen_and_ci_runs_the_test_command() -> None:
    """The commands are in the README exactly as they are run."""
    readme = PAGES[0].read_text(encoding="utf-8")
    first_screen = "\n".join(readme.splitlines()[:70])
    assert RUN_COMMAND in first_screen
    assert TEST_COMMAND in first_screen
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_workflow_runs_each_python_that_the_package_names() -> None:
    """The classifiers of the package are the matrix of the workflow."""
    named = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert re.findall(r"\"(3\.\d+)\"", workflow) == named


def test_the_list_of_modules_is_the_tree() -> None:
    """Every module of the package, and nothing else, has one line in internals.md or modules.md, below its folder."""
    pages = [*blocks(DOCS / "internals.md"), *blocks(DOCS / "modules.md")]
    folders: list[str] = []
    drawn = set()
    for line in "".join(block.text for block in pages if block.text.startswith("promptreg/")).splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        if name.endswith("/"):
            folders = [*folders[:depth], name]
        elif name.endswith(".py"):
            drawn.add("".join([*folders[:depth], name]))
    package = Path(promptreg.__file__).parent
    modules = {f"promptreg/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}
    empty = {name for name in modules if name.endswith("__init__.py") and name != "promptreg/__init__.py"}
    assert sorted(modules - empty - drawn) == []
    assert sorted(drawn - modules) == []


def test_the_page_of_storage_lists_each_table_of_the_file(tmp_path: Path) -> None:
    """It lists every table except those of SQLite itself."""
    path = tmp_path / "prompts.db"
    Registry(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    documented = [row[0].strip("`") for row in rows(section("storage.md", "The file"))]
    assert set(documented) == {
        name for name in tables if name[0] != "_" and not name.startswith(("search_", "sqlite_"))
    }


def test_every_guarantee_names_tests_that_exist() -> None:
    """Each row has a promise, and test files that exist."""
    table = rows(read("guarantees.md"))
    assert len(table) > 30
    for promise, shown_by in table:
        named = re.findall(r"tests/\w+\.py", shown_by)
        assert named, promise
        assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_test_file_shows_a_guarantee() -> None:
    """Each test file is in the row of some guarantee."""
    named = set(re.findall(r"tests/(test_\w+)\.py", read("guarantees.md")))
    assert {path.stem for path in (ROOT / "tests").glob("test_*.py")} - named == set()


def test_the_page_of_errors_lists_each_with_its_code_and_status() -> None:
    """Code and status are those of the class, and each class is listed once."""
    classes = {name: getattr(promptreg, name) for name in promptreg.__all__}
    errors = {k: v for k, v in classes.items() if isinstance(v, type) and issubclass(v, PromptregError)}
    del errors["PromptregError"]
    table = {row[0].strip("` –"): row for row in rows(section("errors.md", "The tree"))}
    assert set(table) == set(errors)
    bases = {"PromptregError": PromptregError}
    for row in rows(section("errors.md", "The tree")):
        name = row[0].strip("` –")
        assert errors[name].__base__ is bases["above" if row[0].startswith("–") else "PromptregError"], name
        if not row[0].startswith("–"):
            bases["above"] = errors[name]
    for name, error in errors.items():
        assert f"`{error.default_code}`" in table[name][1], name
        assert table[name][2] == str(error.http_status), name


def test_the_page_of_access_lists_each_action() -> None:
    """The table of roles has each action, and the list of events too."""
    documented = set(re.findall(r"`(\w+)`", " ".join(row[0] for row in rows(section("access.md", "The record")))))
    assert documented == set(get_args(Action))


def test_the_page_of_templates_lists_the_policy_and_the_limits() -> None:
    """Each filter, test and method is in the table of the policy, and each default in the table of limits."""
    filters = [row[0].split() for row in rows(section("templates.md", "Filters"))]
    assert sorted(name for group in filters for name in group) == sorted(f"`{name}`" for name in FILTERS)
    tests = [row[0].split() for row in rows(section("templates.md", "Tests"))]
    assert sorted(name for group in tests for name in group) == sorted(f"`{name}`" for name in TESTS)
    calls = [set(re.findall(r"`(\w+)`", row[1])) for row in rows(section("templates.md", "Calls"))]
    assert calls == [set(METHODS[kind]) for kind in ("str", "dict", "sequence", "moment", "loop")]
    limits = {row[0].strip("`"): row[1] for row in rows(section("limits.md", "What is limited"))}
    assert limits == {name: f"{getattr(RenderLimits(), name):,}" for name in RenderLimits.model_fields}


def cells(page: str, title: str) -> list[tuple[list[str], list[str]]]:
    """Return the codes in the first and in the second column of the table in a section, each a list."""
    codes = [[re.findall(r"`([^`]*)`", cell) for cell in row] for row in rows(section(page, title))]
    return [(first, second) for first, second in codes]


def values() -> dict[str, Any]:
    """Return the values that the page about templates renders its table with, and those of its right columns."""
    page: dict[str, Any] = {}
    exec(next(block.text for block in blocks(DOCS / "templates.md") if block.text.startswith("VALUES")), page)
    passed = {"today": "Monday", "kind": "str", "hello": "Hi", "item": "tea"}
    return {**page["VALUES"], **passed}


@pytest.mark.parametrize(("template", "text"), cells("templates.md", "What a template may contain"))
def test_what_a_template_may_contain(template: list[str], text: list[str]) -> None:
    """Each template of the table renders to the text beside it, with the values of the page."""
    with Registry(":memory:") as registry:
        rendered = registry.create("p", template[0]).render(values())
    assert rendered.text == "".join(text)


@pytest.mark.parametrize(("template", "instead"), cells("templates.md", "What it may not contain"))
def test_what_a_template_may_not_contain(template: list[str], instead: list[str]) -> None:
    """Each template of the table is refused when it is saved, and what the page says to write instead renders."""
    with Registry(":memory:") as registry:
        with pytest.raises(TemplateError):
            registry.create("p", template[0])
        for number, code in enumerate(code for code in instead if "{" in code):
            registry.create(f"p{number}", code).render(values())
        if 'syntax="plain"' in instead:
            assert registry.create("plain", template[0], syntax="plain").render().text == template[0]


@pytest.mark.parametrize(
    ("there", "here"),
    cells("moving.md", "From Python's strings") + cells("moving.md", "From Mustache and Handlebars"),
)
def test_what_other_templates_become(there: list[str], here: list[str]) -> None:
    """Each code in the right columns of the page about moving in can be rendered, in a loop if it reads one."""
    passed = {"name": "Ana", "total": 1.5, "user": {"name": "Ana"}, "tags": ["a"], "x": 1, "xs": [1]}
    templates = [code for code in here if "{" in code]
    assert there
    assert templates or "part" in there[0]
    with Registry(":memory:") as registry:
        for number, code in enumerate(templates):
            registry.create(f"p{number}", "{% for one in [1] %}" + code + "{% endfor %}").render(passed)


def test_the_page_of_performance_lists_what_the_fast_tier_takes() -> None:
    """Each filter, test and method that has a fast function, or is written out in place."""
    table = {
        row[0]: set(re.findall(r"`(\w+)`", row[1]))
        for row in rows(section("performance.md", "What the fast tier takes"))
    }
    assert table["filters"] == {name for name, row in FILTERS.items() if row.fast is not None}
    assert table["tests"] == {name for name, row in TESTS.items() if row.fast is not None and name.isalpha()}
    assert table["methods"] == set(FAST_METHODS)


def test_the_page_of_telemetry_lists_each_attribute_and_metric() -> None:
    """They are those of names.py, without the keys that other libraries read from the context and document."""
    text = read("telemetry.md")
    documented = [row[0].strip("`") for row in rows(text)]
    constants = [value for name, value in vars(names).items() if name.isupper()]
    ours = {value for value in constants if value.startswith("promptreg.")}
    standard = {names.PROMPT_NAME, names.PROMPT_VERSION, names.ERROR_TYPE}
    assert len(documented) == len(set(documented))
    assert set(documented) == (ours | standard) - {names.OPERATION}
    assert names.OPERATION in text


def test_every_setting_and_public_name_is_on_some_page() -> None:
    """Each name of `__all__`, public method of the registry, and argument of its constructor is on a page."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    verbs = [name for name in vars(Registry) if name[0] != "_"]
    settings = [name for name in Registry.__init__.__annotations__ if name != "return"]
    absent = [name for name in [*promptreg.__all__, *verbs, *settings] if not re.search(rf"\b{name}\b", text)]
    assert absent == []
    documented = [row[0].strip("`") for row in rows(section("operations.md", "Settings"))]
    assert documented == [name for name in settings if name != "target"]


def test_the_page_of_rules_lists_each_attribute_of_each_value() -> None:
    """This includes every public class that a call accepts or returns."""
    documented = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows(section("rules.md", "Values"))}
    documented["Prompt"] = documented["Prompt"] - {"Version"} | documented["Version"]
    classes = {name: getattr(promptreg, name) for name in promptreg.__all__}
    values = {
        name: value for name, value in classes.items() if isinstance(value, type) and issubclass(value, BaseModel)
    }
    del values["RenderLimits"]
    fields = {name: {*value.model_fields, *public_properties(value)} for name, value in values.items()}
    assert documented == {**fields, "Rendered": {name for name in vars(promptreg.Rendered) if name[0] != "_"}}


def public_properties(value: type) -> set[str]:
    """Return the names of the properties that a class defines."""
    return {name for name, member in vars(value).items() if isinstance(member, property) and name[0] != "_"}


def test_every_public_name_has_a_docstring() -> None:
    """Each name of `__all__`, and each public method of these classes, has one."""
    bare = []
    for name in promptreg.__all__:
        value = getattr(promptreg, name)
        members = {} if not isinstance(value, type) else {k: v for k, v in vars(value).items() if callable(v)}
        bare += [name] * (not value.__doc__)
        bare += [f"{name}.{key}" for key, member in members.items() if key[0] != "_" and not member.__doc__]
    assert bare == []
