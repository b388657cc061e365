"""The workflows of the pages check a pull request, and deploy what is merged: their commands run without GitHub."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import promptreg
from promptreg import Registry
from promptreg.files.syncing.lockfile import LOCK, make_source
from tests.console import Session

DOCS = Path(promptreg.__file__).parent / "docs"
GOOD = '---\nexamples: [{"name": "Ana"}]\n---\nHello {{ name }}\n'


def workflow_of(page: str) -> dict[Any, Any]:
    """Return the workflow on a page, as it is read by GitHub."""
    text = (DOCS / page).read_text(encoding="utf-8")
    read: dict[Any, Any] = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    return read


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    """The workflow of the page about files."""
    return workflow_of("files.md")


class Runner:
    """A working copy of a repository on a machine with its own database, where jobs run."""

    def __init__(self, folder: Path, workflow: dict[Any, Any], database: Path) -> None:
        self.session, self._jobs, self._database = Session(folder), workflow["jobs"], database
        self.prompts = folder / "prompts"
        self.prompts.mkdir(parents=True)
        self.session.run("git init -q", [])

    def commit(self, message: str) -> None:
        self.session.run(f"git add -A && git commit -qm '{message}'", [])
        assert self.session.status == 0

    def run(self, job: str) -> tuple[bool, str]:
        """Run the steps of a job until one fails; return whether none did, and what they printed."""
        variables = self._jobs[job].get("env", {})
        self.session.environment |= {
            "PROMPTREG_DB": str(self._database),
            "PROMPTREG_AS": variables.get("PROMPTREG_AS", ""),
        }
        printed = ""
        for step in self._jobs[job]["steps"]:
            command = step.get("run", "")
            if command and not command.startswith("python -m "):
                printed += self.session.run(command, [])
                if self.session.status:
                    return False, printed
        return True, printed


@pytest.fixture
def hosted(tmp_path: Path, workflow: dict[Any, Any]) -> Runner:
    """The machine that checks pull requests, of a folder that was synchronised before: its database is empty."""
    runner = Runner(tmp_path / "hosted", workflow, tmp_path / "hosted.db")
    make_source(runner.prompts)
    return runner


@pytest.fixture
def own(tmp_path: Path, workflow: dict[Any, Any]) -> Runner:
    """The machine of the application."""
    return Runner(tmp_path / "own", workflow, tmp_path / "live.db")


def test_the_jobs_run_for_a_pull_request_and_for_what_is_merged(workflow: dict[Any, Any]) -> None:
    """One job runs for pull requests, where nobody's code may reach the live database, and one after the merge."""
    jobs = workflow["jobs"]
    assert set(workflow[True]) == {"pull_request", "push"}  # YAML reads the key `on` as true
    assert "pull_request" in jobs["check"]["if"]
    assert "push" in jobs["deploy"]["if"]
    assert "PROMPTREG_DB" not in str(jobs["check"])
    assert jobs["deploy"]["steps"][0]["with"] == {"fetch-depth": 0}


def test_a_good_pull_request_passes_and_writes_nothing(hosted: Runner) -> None:
    """Every file is read, compiled and tried, and nothing is written."""
    (hosted.prompts / "greet.md").write_text(GOOD)
    hosted.commit("A greeting")
    assert hosted.run("check") == (True, "create       greet @1  it is new\nDry run: 1 created\n")
    assert hosted.session.run("git status --short", []) == ""


def test_a_pull_request_without_the_lock_file_fails(hosted: Runner) -> None:
    """Otherwise each deployment, in a new checkout, would make another one, and take the folder for another source."""
    (hosted.prompts / "greet.md").write_text(GOOD)
    (hosted.prompts / LOCK).unlink()
    hosted.commit("A greeting")
    assert hosted.run("check") == (False, "")


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        (GOOD.replace("name }}", "name"), "greet.md:4"),
        (GOOD.replace("examples:", "exmples:"), "greet.md:2"),
        (GOOD.replace('"name": "Ana"', '"nme": "Ana"'), "greet.md"),
    ],
    ids=["template", "key", "example"],
)
def test_a_bad_pull_request_fails_with_the_file(hosted: Runner, bad: str, line: str) -> None:
    """A broken template, an unknown key, and an example that can't be rendered fail the job, with file and line."""
    (hosted.prompts / "greet.md").write_text(bad)
    hosted.commit("Broken")
    passed, printed = hosted.run("check")
    assert not passed
    assert line in printed


def test_what_is_merged_is_deployed_with_the_message_of_its_commit(own: Runner, tmp_path: Path) -> None:
    """The job makes the files live, in the name that the workflow says, and again it does nothing."""
    (own.prompts / "greet.md").write_text(GOOD)
    own.commit("A greeting")
    assert own.run("deploy")[0]
    (own.prompts / "greet.md").write_text(GOOD.replace("Hello", "Hi"))
    own.commit("Shorter")
    assert own.run("deploy")[0]
    assert own.run("deploy")[1].splitlines()[-1] == "Dry run: 1 unchanged"
    with Registry(tmp_path / "live.db") as registry:
        assert registry.render("greet", name="Ana").text == "Hi Ana"
        second, first = registry.history("greet")
        assert (first.author, second.author) == ("ci", "ci")
        assert first.commit_message.startswith("A greeting (Sam, ")
        assert second.commit_message.startswith("Shorter (Sam, ")


def test_a_change_of_both_fails_the_deployment_and_keeps_what_is_live(own: Runner, tmp_path: Path) -> None:
    """What somebody has published in the registry since is never overwritten."""
    (own.prompts / "greet.md").write_text(GOOD)
    own.commit("A greeting")
    assert own.run("deploy")[0]
    with Registry(tmp_path / "live.db") as registry:
        registry.update("greet", template="Welcome {{ name }}")
        (own.prompts / "greet.md").write_text(GOOD.replace("Hello", "Hi"))
        own.commit("Shorter")
        passed, printed = own.run("deploy")
        assert not passed
        assert "greet.md" in printed
        assert "Welcome {{ name }}" in printed
        assert registry.get("greet").template == "Welcome {{ name }}"


def test_tests_of_a_pull_request_read_every_file(tmp_path: Path) -> None:
    """The job on the page about testing takes good files, and fails with the file and line of a bad one."""
    runner = Runner(tmp_path / "hosted", workflow_of("testing.md"), tmp_path / "hosted.db")
    make_source(runner.prompts)
    (runner.prompts / "greet.md").write_text(GOOD)
    runner.commit("A greeting")
    assert runner.run("test") == (True, "create       greet @1  it is new\n1 created\n")
    (runner.prompts / "greet.md").write_text(GOOD.replace("name }}", "name"))
    passed, printed = runner.run("test")
    assert not passed
    assert "greet.md:4" in printed


def test_the_daily_job_notices_what_is_not_live_and_what_cannot_go_live(tmp_path: Path) -> None:
    """It passes where the files are live and what is staged is good, and writes nothing."""
    runner = Runner(tmp_path / "own", workflow_of("testing.md"), tmp_path / "live.db")
    (runner.prompts / "support.md").write_text(GOOD)
    runner.commit("Support")
    with Registry(tmp_path / "live.db") as registry:
        assert not runner.run("live")[0]
        runner.session.run("promptreg sync prompts", [])
        registry.update("support", template="Hi {{ name }}", is_production=False)
        registry.set_label("support", "staging", 2)
        assert runner.run("live")[0]
        registry.update("support@2", template="Hi {{ nam }}")
        passed, printed = runner.run("live")
        assert not passed
        assert "nam" in printed
        assert [version.state for version in registry.history("support")] == ["draft", "published"]
