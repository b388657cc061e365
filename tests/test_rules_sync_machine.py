"""Random edits of files and of the registry: a synchronisation repeats to nothing, and replaces nothing of people's.

Every text is written once, so whose it is can be told: `f1` by an edit of a file, `p1` by people in the registry.
"""

from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from promptreg import Prompt, PromptregError, Registry
from promptreg.rules.sync_items import SyncItem, SyncPlan
from tests.conftest import Ticking
from tests.syncs import nothing_written, sync

NAMES = st.sampled_from("abc")
LABELS = st.sampled_from([None, None, "eu"])
ALL = ("active", "disabled", "archived")
USUAL = {"max_examples": 8, "stateful_step_count": 35}
LONG = {"max_examples": 150, "stateful_step_count": 50}


class Synchronising(RuleBasedStateMachine):
    """A folder, a registry, and people who change both."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(":memory:", clock=Ticking())
        self.files: dict[str, dict[str, Any]] = {"z": {"template": "f0"}}
        self.known = {"f0"}  # every text that a file has had
        self.texts = count(1)

    def teardown(self) -> None:
        assert self.registry.verify() == []
        self.registry.close()

    # One rule for all edits of each kind, so that a third of the steps synchronise

    @rule(how=st.sampled_from(["edit", "edit", "remove", "move", "take over"]), name=NAMES, other=NAMES)
    def change_the_folder(self, how: str, name: str, other: str) -> None:
        """Edit, remove or rename a file, or write what is live into it."""
        if how == "edit":
            self.write(name, {"template": f"f{next(self.texts)}"})
        elif how == "take over" and (prompt := self.registry.get(name, default=None)) is not None:
            self.write(name, {"template": prompt.template, "title": prompt.title})
        elif name in self.files and how != "take over":
            file = self.files.pop(name)
            if how == "move":
                self.files[other] = file

    def write(self, name: str, fields: Mapping[str, Any]) -> None:
        self.files[name] = {field: fields[field] for field in ("template", "title") if field in fields}
        self.known.add(fields["template"])

    @rule(
        verb=st.sampled_from(["save", "save", "draft", "edit", "rename", "label", "unlabel", "rollback"]),
        name=NAMES,
        other=NAMES,
    )
    def change_the_prompt(self, verb: str, name: str, other: str) -> None:
        """People write, publish, name and label versions."""
        text = f"p{next(self.texts)}"
        given: dict[str, tuple[Any, ...]] = {
            "save": ("save", name, text),
            "draft": ("save", name, text, {"is_production": False}),
            "edit": ("update", f"{name}@latest", {"template": text}),
            "rename": ("update", name, {"new_name": other}),
            "label": ("set_label", f"{name}@latest", "eu"),
            "unlabel": ("remove_label", name, "eu"),
            "rollback": ("rollback", name, {"reason": "worse"}),
        }
        method, *values = given[verb]
        more = values.pop() if isinstance(values[-1], dict) else {}
        self.attempt(method, *values, **more)

    @rule(
        name=NAMES,
        verb=st.sampled_from(["archive", "restore", "restore", "disable", "enable", "delete", "publish", "discard"]),
    )
    def change_the_status(self, name: str, verb: str) -> None:
        """People archive, restore, delete …"""
        self.attempt(verb, name)

    def attempt(self, verb: str, *given: Any, **more: Any) -> None:
        """Call a verb, which may be refused."""
        with suppress(PromptregError):
            getattr(self.registry, verb)(*given, **more)

    # Synchronising

    @rule(label=LABELS, pull=st.booleans(), on_conflict=st.sampled_from(["error", "error", "theirs", "draft"]))
    def synchronise(self, label: str | None, pull: bool, on_conflict: str) -> None:
        """Nothing that only people wrote, archived, deleted or labelled is replaced."""
        before = self.prompts()
        plan = self.run(label, pull=pull, on_conflict=on_conflict)
        after = self.prompts()
        assert before.keys() <= after.keys()
        by_prompt = {item.prompt: item for item in plan.items}
        for id_, was in before.items():
            item = by_prompt.get(was.name)
            self.require_kept(was, after[id_], item)

    def require_kept(self, was: Prompt, now: Prompt, item: SyncItem | None) -> None:
        if was.production_version is not None and was.template not in self.known:
            assert (now.template, now.version) == (was.template, was.version)
            assert was.status in {now.status, "archived"}
        labelled = self.labelled(was)
        if labelled is not None and labelled not in self.known:
            assert self.labelled(now) == labelled
        if item is None:
            assert (now.version, now.status, now.labels) == (was.version, was.status, was.labels)
        elif was.status == "archived" and now.status != "archived":
            assert item.action == "restore"
        if was.is_disabled:
            assert now.is_disabled

    @rule(label=LABELS)
    def synchronise_ours(self, label: str | None) -> None:
        """The files win, and every one that is not left or in conflict is what is shown."""
        self.run(label, on_conflict="ours")

    def run(self, label: str | None, **options: Any) -> SyncPlan:
        """Synchronise: the plan is done or nothing is, files are written, and a second run does nothing."""
        planned = sync(self.registry, self.files, label=label, dry_run=True, **options)
        before = self.prompts()
        plan = sync(self.registry, self.files, label=label, **options)
        assert plan == planned._replace(is_done=not planned.conflicts)
        if not plan.is_done:
            assert self.prompts() == before
            return plan
        self.require_shown(plan, label)
        for item in plan.of("pull"):
            assert item.theirs is not None
            self.write(item.name, item.theirs)
        self.require_settled(label, options)
        return plan

    def require_shown(self, plan: SyncPlan, label: str | None) -> None:
        """What is created, updated, restored or equal has the content of the file."""
        for item in plan.of("create", "update", "restore", "none"):
            name = item.prompt or item.name
            assert self.registry.get(name, label=label).template == self.files[item.name]["template"]
            assert self.registry.get(name, label=label).version == item.version

    def require_settled(self, label: str | None, options: Any) -> None:
        """After what was pulled is remembered, nothing is left to do."""
        again = sync(self.registry, self.files, label=label, **options)
        if again.conflicts:  # a pulled file may be the second of one prompt
            return
        assert {item.action for item in again.items} <= {"none", "ahead", "left"}
        with nothing_written(self.registry):
            sync(self.registry, self.files, label=label, **options)

    def prompts(self) -> dict[str, Prompt]:
        return {prompt.id: prompt for prompt in self.registry.iterate(status=ALL)}

    def labelled(self, prompt: Prompt) -> str | None:
        number = prompt.labels.get("eu")
        return None if number is None else str(self.registry.get(prompt.name, version=number).template)


@pytest.mark.parametrize("how", [USUAL, pytest.param(LONG, marks=pytest.mark.slow)], ids=["usual", "long"])
def test_random_synchronisations(how: dict[str, int]) -> None:
    """Whatever is edited where, in any order."""
    chosen = settings(suppress_health_check=list(HealthCheck), print_blob=True, **how)  # type: ignore[arg-type]
    run_state_machine_as_test(Synchronising, settings=chosen)
