"""Real input: the edits of a public prompt collection, replayed in order (`data/README.md`)."""

import json
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from promptreg import Actor, Registry, slugify

HISTORY = Path(__file__).parent / "data" / "prompt_history.jsonl"
MARKS = ("{{", "{%", "{#")

Edit = dict[str, Any]


def as_template(text: str) -> str:
    """Escape what looks like Jinja, so that it renders to the same text."""
    if any(mark in text for mark in MARKS):
        return f"{{% raw %}}{text}{{% endraw %}}"
    return text


@pytest.mark.parametrize("text", ["{{ x }}", "{% if", "{# no", "a\n{{ b }}\n", "{{{{", "plain {x} ${y}"])
def test_text_that_looks_like_jinja_renders_to_itself(registry: Registry, text: str) -> None:
    """The escaping used below keeps every character."""
    assert registry.create("literal", as_template(text)).render().text == text


class Replay:
    """Writes each edit into a registry, and records the expected result."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.names: dict[str, str] = {}
        self.versions: dict[str, list[Edit]] = defaultdict(list)
        self.state: dict[str, tuple[str, list[str]]] = {}
        self.archived: set[str] = set()
        self.quiet_edits = 0

    def name_of(self, title: str) -> str:
        """Return the prompt name of a title; if two titles have the same name, later ones get _2, _3 …"""
        if title not in self.names:
            base, taken = slugify(title), set(self.names.values())
            candidates = [base, *(f"{base}_{n}" for n in range(2, 99))]
            self.names[title] = next(name for name in candidates if name not in taken)
        return self.names[title]

    def play(self, edit: Edit) -> None:
        """Make the edit, as its author."""
        author = self.registry.scope(actor=Actor(edit["author"], "team_admin"))
        name = self.name_of(edit["title"])
        if edit["op"] == "archive":
            author.archive(name)
            self.archived.add(name)
            return
        if edit["op"] == "restore":
            assert author.restore(name).status == "active"
            self.archived.discard(name)
        fields = (as_template(edit["content"]), ["for_devs"] if edit["for_devs"] else [])
        before = len(self.versions[name])
        if edit["op"] == "create":
            prompt = author.create(name, fields[0], title=edit["title"], tags=fields[1], commit_message=edit["message"])
        else:
            prompt = author.update(name, template=fields[0], tags=fields[1], commit_message=edit["message"])
        if self.state.get(name) == fields:
            self.quiet_edits += 1
        else:
            self.versions[name].append(edit)
            self.state[name] = fields
        assert prompt.version == len(self.versions[name])
        assert len(self.versions[name]) - before in {0, 1}


def test_a_real_edit_history_reads_back_byte_for_byte(tmp_path: Path) -> None:
    """Each of 77 edits of 26 prompts creates one version if text or tag changed, and otherwise none."""
    edits = [json.loads(line) for line in HISTORY.read_text(encoding="utf-8").splitlines()]
    now = [datetime.fromisoformat(edits[0]["at"])]
    path = str(tmp_path / "history.db")
    with Registry(path, clock=lambda: now[0], durability="normal") as registry:
        replay = Replay(registry)
        for edit in edits:
            now[0] = datetime.fromisoformat(edit["at"])
            replay.play(edit)
    assert (len(edits), len(replay.versions)) == (77, 26)
    written = sum(map(len, replay.versions.values()))
    assert written + replay.quiet_edits == sum(edit["op"] != "archive" for edit in edits)
    with Registry(path, create=False) as registry:
        _require_all_events(registry, replay)


def _require_all_events(registry: Registry, replay: Replay) -> None:
    for name, made in replay.versions.items():
        history = registry.history(name, limit=1000)[::-1]
        assert [(v.author, v.commit_message) for v in history] == [(e["author"], e["message"]) for e in made]
        assert [v.version_created_at for v in history] == [datetime.fromisoformat(e["at"]) for e in made]
        for number, edit in enumerate(made, start=1):
            prompt = registry.get(name, version=number)
            assert prompt.template == as_template(edit["content"])
            assert prompt.tags == (["for_devs"] if edit["for_devs"] else [])
            assert prompt.render().text.encode() == edit["content"].encode()
            assert registry.render(f"{name}@{number}").text == edit["content"]
    archived = {prompt.name for prompt in registry.list(status="archived", limit=1000)}
    active = {prompt.name for prompt in registry.list(limit=1000)}
    assert archived == replay.archived
    assert active == set(replay.versions) - archived
    actions = [event.action for event in registry.events(limit=10_000)]
    made = sum(map(len, replay.versions.values()))
    assert actions.count("create") == 26
    assert actions.count("create") + actions.count("update") == made
    assert actions.count("archive") - actions.count("restore") == len(archived)
