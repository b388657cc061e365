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
USUAL = {"max_examples": 12, "stateful_step_count": 30}
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

    # What happens in the folder

    @rule(name=NAMES)
    def edit(self, name: str) -> None:
        self.write(name, {"template": f"f{next(self.texts)}"})

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    @rule(one=NAMES, other=NAMES)
    def move(self, one: str, other: str) -> None:
        if one in self.files:
            self.files[other] = self.files.pop(one)

    @rule(name=NAMES)
    def take_over(self, name: str) -> None:
        prompt = self.registry.get(name, default=None)
        if prompt is not None:
            self.write(name, {"template": prompt.template, "title": prompt.title})

    def write(self, name: str, fields: Mapping[str, Any]) -> None:
        self.files[name] = {field: fields[field] for field in ("template", "title") if field in fields}
        self.known.add(fields["template"])

    # What people do in the registry

    @rule(name=NAMES, live=st.booleans())
    def save(self, name: str, live: bool) -> None:
        self.attempt("save", name, f"p{next(self.texts)}", is_production=live)

    @rule(name=NAMES)
    def edit_draft(self, name: str) -> None:
        self.attempt("update", f"{name}@latest", template=f"p{next(self.texts)}")

    @rule(name=NAMES, verb=st.sampled_from(["publish", "discard", "archive", "restore", "disable", "enable"]))
    def change(self, name: str, verb: str) -> None:
        self.attempt(verb, name)

    @rule(name=NAMES)
    def roll_back(self, name: str) -> None:
        self.attempt("rollback", name, reason="worse")

    @rule(name=NAMES, other=NAMES)
    def rename(self, name: str, other: str) -> None:
        self.attempt("update", name, new_name=other)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.attempt("delete", name)

    @rule(name=NAMES, version=st.sampled_from(["latest", "production"]))
    def label(self, name: str, version: str) -> None:
        self.attempt("set_label", f"{name}@{version}", "eu")

    @rule(name=NAMES)
    def unlabel(self, name: str) -> None:
        self.attempt("remove_label", name, "eu")

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
        assert not again.differs
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
    chosen = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, **how)  # type: ignore[arg-type]
    run_state_machine_as_test(Synchronising, settings=chosen)
