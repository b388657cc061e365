"""The state machine of the model test: two registries on one file, the model, and what must agree."""

import tempfile
from collections import Counter
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from random import Random

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from promptreg import Actor, PromptregError, Registry, Role, errors
from tests import calls, model
from tests.calls import NAMESPACES, PEOPLE, described, described_version, seen
from tests.conftest import Ticking
from tests.storages import everything

CLASSES = {
    "validation_error": errors.InvalidInputError,
    "forbidden": errors.ForbiddenError,
    "not_found": errors.NotFoundError,
    "version_not_found": errors.VersionNotFoundError,
    "no_production_version": errors.NoProductionVersionError,
    "conflict": errors.ConflictError,
    "name_taken": errors.NameTakenError,
    "version_conflict": errors.VersionConflictError,
    "version_not_modifiable": errors.NotModifiableError,
    "prompt_archived": errors.NotModifiableError,
    "prompt_disabled": errors.PromptDisabledError,
    "template_syntax_error": errors.TemplateSyntaxError,
    "missing_variables": errors.MissingVariablesError,
    "publish_check_failed": errors.PublishCheckError,
    "internal_error": errors.StorageError,
}
LABELS = ["production", "latest", "staging", "eu", "nope"]
WRITING = [
    *["update"] * 5,
    *["draft", "edit"] * 3,
    *["publish", "rollback"] * 4,
    *["publish many"] * 4,
    *["rollback many"] * 3,
    "set_label",
    "set_label",
    "remove_label",
]
WRITING += ["create", "save", "save", "rename", "grant", "discard", "discard", "set_status", "set_status", "dry run"]
WRITING += ["archive", "archive", "restore", "restore", "restore", "enable", "disable", "delete", *["seed"] * 3]
READING = ["get", "get_many", "render", "check", "history", "diff", "list", "iterate", "search", "events"]
READING += ["namespaces"]
VERBS = [
    *WRITING * 2,
    *READING,
    *["render"] * 3,
    "get",
    "history",
    "invalid",
    "close",
    "switch",
    "switch",
    *["again"] * 6,
]
SEED = st.integers(0, 2**32 - 1)
BEGINNERS = [("editor", "a"), ("org admin", "a"), ("editor elsewhere", "b"), ("application", "a")]

REACHED = Counter()
DEEPEST = Counter()


def refuse_loud(prompt):
    """Run the publish check of the tests."""
    if model.UNPUBLISHABLE in str(prompt.template):
        raise ValueError("too loud")


class Machine(RuleBasedStateMachine):
    """Every verb, by every actor, in any order."""

    def __init__(self):
        super().__init__()
        self.place = self.new_place()
        self.path = self.place.__enter__()
        self.clock, self.world = Ticking(), model.new_world()
        self.registries, self.views = [None, None], [{}, {}]
        self.steps, self.writer, self.checked, self.stamps = 0, 0, -1, {}
        for side in (0, 1):
            self.open(side)
        self.rows = everything(self.path)
        self.last, self.before = "alpha", None

    def teardown(self):
        for registry in self.registries:
            registry.close()
        self.place.__exit__(None, None, None)

    @staticmethod
    @contextmanager
    def new_place():
        """Yield the target of a registry that does not exist yet."""
        with tempfile.TemporaryDirectory() as folder:
            yield str(Path(folder) / "prompts.db")

    def open(self, side):
        registry = Registry(
            self.path, namespace="a", durability="normal", publish_checks=[refuse_loud], clock=self.clock
        )
        self.registries[side] = registry
        for who, (identity, role, groups, home) in PEOPLE.items():
            actor = {} if identity is None else {"actor": Actor(identity, role, groups)}
            at_home = registry.scope(namespace=home, **actor)
            for place in NAMESPACES:
                self.views[side][who, place] = at_home.scope(namespace=place)

    def asking(self, by):
        """Return the model's view of a caller; a role applies only in its namespace."""
        identity, role, groups, home = PEOPLE[by[0]]
        keeps = role is not None and (by[1] == home or role is Role.ORG_ADMIN)
        return {"id": identity, "role": role.value if keeps else None, "groups": groups, "namespace": by[1]}

    def both(self, verb, by, real, modelled):
        """Call both sides: they return the same or refuse alike, and a call that writes nothing changes no row."""
        writes = self.world["writes"]
        got = refusal = expected = code = None
        try:
            got = seen(real(self.views[self.writer][by]))
        except PromptregError as error:
            refusal = error
        try:
            expected = calls.expected(modelled(self.asking(by)))
        except model.Refused as error:
            code = error.code
        assert (refusal and refusal.code) == code, (refusal, "the model says", code or expected)
        assert code is None or type(refusal) is CLASSES[code]
        if isinstance(got, dict) and expected["id"] is None:
            model.identify(self.world, got["id"])
            expected["id"] = got["id"]
        assert got == expected, difference(got, expected)
        is_written = self.world["writes"] != writes
        rows = everything(self.path)
        assert is_written or rows == self.rows
        self.rows = rows
        REACHED[verb, code or ("changed" if is_written else "same")] += 1

    def ask(self, verb, by, asked):
        call = calls.shape(verb, calls.placed(self.world, self.asking(by), asked, self.last, self.stamps))
        real, modelled = calls.CALLS[verb]
        self.last, self.before = call.name, (verb, by, {**asked, "name": (0, "last")})
        self.both(verb, by, lambda view: real(view, call), lambda asking: modelled(self.world, asking, call))

    @initialize(seed=SEED)
    def begin(self, seed):
        """Create some prompts, because most calls need one."""
        for by in BEGINNERS:
            self.ask("create", by, self.picked(seed)[1])

    def picked(self, seed):
        """Return a call; the seed includes the number of the step, because Hypothesis repeats seeds."""
        self.steps += 1
        return calls.pick(f"{seed} {self.steps}")

    @rule(seed=SEED)
    def call(self, seed):
        """Call a verb; a single rule, because Hypothesis omits rules from whole runs, and each run needs every verb."""
        by, asked = self.picked(seed)
        verb = Random(f"{seed} {self.steps} verb").choice(VERBS)
        note(f"{verb} {by} {asked}")
        if verb == "invalid":
            for invalid, ask in calls.INVALID.items():
                self.both(invalid, by, ask, refusing("validation_error"))
        elif verb == "close":
            assert self.registries[self.writer].verify() == []
            self.registries[self.writer].close()
            self.both("namespaces", by, lambda view: view.namespaces(), refusing("internal_error"))
            self.open(self.writer)
        elif verb == "again":
            self.ask(*self.before)
        elif verb == "switch":
            self.writer = 1 - self.writer
        else:
            self.ask(verb, by, asked)

    # Everything readable agrees

    @precondition(lambda self: self.checked != self.world["writes"])
    @invariant()
    def agree(self):
        """Check what both registries return to the application, and what the reading one returns to every actor."""
        self.agree_for(product(PEOPLE, NAMESPACES))

    def agree_for(self, people):
        """Check what both registries return to the application, and what the reading one returns to these actors."""
        for side, place in product((self.writer, 1 - self.writer), NAMESPACES):
            self.agree_on_fields(self.views[side]["application", place], self.asking(("application", place)))
        values = {prompt["id"]: self.values_of(prompt) for prompt in self.world["prompts"]}
        for by in people:
            self.agree_with(self.views[1 - self.writer][by], self.asking(by), values)
        self.checked = self.world["writes"]
        for prompt in self.world["prompts"]:
            DEEPEST["versions"] = max(DEEPEST["versions"], len(prompt["versions"]))
            DEEPEST["publications"] = max(DEEPEST["publications"], len(prompt["stack"]))

    def values_of(self, prompt):
        """Return what every reader of a prompt must get for each selector of a version: the value and the text.

        The selectors are production and the latest; after a write to this prompt also every label and every number,
        including absent ones.
        """
        by = "application", prompt["namespace"]
        view, name, values = self.views[1 - self.writer][by], prompt["name"], {}
        is_touched = prompt["touched"] > self.checked
        for chosen in (
            None,
            "latest",
            *(LABELS if is_touched else ()),
            *range(1, prompt["last"] + 2 if is_touched else 1),
        ):
            way = {"label" if isinstance(chosen, str) else "version": chosen}
            value = answer(view.get, name, **way)
            expected = answer(model.get, self.world, self.asking(by), name, chosen)
            assert getattr(value, "version", value) == (expected if isinstance(expected, str) else expected[1])
            texts = answer(model.render, self.world, self.asking(by), name, chosen, {"who": "Ana"})
            values[chosen] = way, value, texts if isinstance(texts, str) else "\n\n".join(texts)
        return values

    def agree_on_fields(self, view, asking):
        """Check every field of every version of every prompt."""
        for prompt in model.readable(self.world, asking):
            numbers = sorted(prompt["versions"], reverse=True)
            assert seen(view.history(prompt["name"], limit=100)) == [described_version(prompt, n) for n in numbers]
            for number in numbers:
                got = view.get(prompt["id"], version=number)
                assert seen(got) == described(prompt, number), difference(seen(got), described(prompt, number))
                self.agree_on_stamps(got, prompt, number)
        self.agree_on_events(view, asking)

    def agree_on_stamps(self, got, prompt, number):
        """Check that `updated_at` alone moves, when the prompt is touched, and that equal content has equal hashes."""
        touched, moved = self.stamps.get(prompt["id"], (prompt["touched"], got.updated_at))
        assert got.updated_at == moved if touched == prompt["touched"] else got.updated_at > moved
        self.stamps[prompt["id"]] = prompt["touched"], got.updated_at
        content = model.canonical(prompt["versions"][number]["content"])
        fixed = {"made": got.version_created_at, "born": got.created_at, "live": got.published_at}
        kept = {(prompt["id"], number, what): at for what, at in fixed.items() if at is not None}
        kept |= {("hash of", content): got.content_hash, ("content of", got.content_hash): content}
        assert {key: self.stamps.setdefault(key, value) for key, value in kept.items()} == kept

    def agree_with(self, view, asking, values):
        """Check that one actor reads everything that it may read, and nothing else."""
        assert view.namespaces() == model.namespaces(self.world, asking)
        for statuses in (None, ["active", "disabled", "archived"]):
            listed = model.listing(self.world, asking, statuses)
            assert [(p.name, p.version) for p in view.list(status=statuses)] == shown(listed)
            found = model.search(self.world, asking, "hello", statuses)
            assert sorted((p.name, p.version) for p in view.search("hello", status=statuses)) == shown(found)
        visible = model.readable(self.world, asking)
        for prompt in visible:
            for way, value, text in values[prompt["id"]].values():
                assert answer(view.get, prompt["name"], **way) == value
                assert str(answer(view.render, prompt["name"], {"who": "Ana"}, **way)) == text
            assert [v.version for v in view.history(prompt["id"], limit=100)] == sorted(
                prompt["versions"], reverse=True
            )
        absent = {p[key] for p in self.world["prompts"] for key in ("id", "name")}
        for reference in absent - {p[key] for p in visible for key in ("id", "name")}:
            assert view.get(reference, default=None) is view.get(reference, version=1, default=None) is None
            assert {answer(read, reference) for read in (view.history, view.render)} == {"not_found"}
        self.agree_on_events(view, asking)

    def agree_on_events(self, view, asking):
        """Check that every action has one event, in the order of the writes, but in any order within a write."""
        for prompt in (None, *model.readable(self.world, asking)):
            reference = prompt and prompt["id"]
            expected = model.events(self.world, asking, reference)
            got = [vars(event) for event in view.events(reference, limit=10_000)]
            assert record(got, expected) == record(expected, expected)


def shown(prompts):
    return [(prompt["name"], number) for prompt, number in prompts]


def record(events, expected):
    """Return actor, action, name and version of each event, sorted by the number of the write."""
    written = [tuple(str(event[field]) for field in ("actor", "action", "name", "version")) for event in events]
    return sorted(zip((event["write"] for event in expected), written, strict=True))


def difference(got, expected):
    """Return the fields that differ, for the message of a failure."""
    if not (isinstance(got, dict) and isinstance(expected, dict)):
        return f"{got} where the model says {expected}"
    return {field: (got[field], "the model says", expected[field]) for field in got if got[field] != expected[field]}


def answer(ask, *args, **chosen):
    """Return the result of a call, or the code of its refusal."""
    try:
        return ask(*args, **chosen)
    except (PromptregError, model.Refused) as error:
        return error.code


def refusing(code):
    """Return a model of a verb that always refuses."""

    def refuse(asking):
        raise model.Refused(code)

    return refuse
