"""Files that no export wrote: cut, altered, converted, or false on purpose. Each is refused with its line.

Most are signed again by `tests/full.py`, so that counts, chain, commitments and SHA-256 fit: whoever writes a false
file can do that. So it is what the lines say that is refused.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptreg import InvalidInputError, PromptregError, Registry, SchemaTooNewError
from promptreg.clock import new_id
from promptreg.files.full import import_full
from promptreg.storage.hashing import SALT_BYTES
from tests.full import assert_inverse, changed, exported, imported, objects, sealed, signed
from tests.schemas import make

Lines = list[dict[str, Any]]
Refusal = Callable[[bytes], InvalidInputError]


@pytest.fixture(scope="module")
def data() -> bytes:
    """The export of a registry with prompts in every state."""
    with Registry(":memory:") as registry:
        make.fill(registry)
        return exported(registry)


@pytest.fixture(scope="module")
def lines(data: bytes) -> list[bytes]:
    """The lines of the export."""
    return data.splitlines(keepends=True)


@pytest.fixture(scope="module")
def empty() -> Iterator[Registry]:
    """A registry into which nothing can be imported, as only false files come."""
    with Registry(":memory:") as registry:
        yield registry


@pytest.fixture(scope="module")
def refusal(empty: Registry, data: bytes) -> Iterator[Refusal]:
    """A function that asserts that a file is refused and nothing is visible then; at last a good one is taken."""
    yield partial(refused_by, empty)
    import_full(empty, BytesIO(data))
    assert exported(empty) == data


def refused_by(registry: Registry, data: bytes) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as refused:
        import_full(registry, BytesIO(data))
    assert registry.namespaces() == registry.events() == []
    (error,) = refused.value.details["errors"]
    assert re.match(r"line \d+\b", error["field"]), error
    return refused.value


# Cut, altered, put together, converted


def test_a_file_that_is_cut_anywhere_is_refused_with_its_last_line(
    data: bytes, lines: list[bytes], refusal: Refusal
) -> None:
    """Between two lines, within one, or before the last line break."""
    ends = [sum(map(len, lines[:number])) for number in range(len(lines))]
    for end in [*ends[::9], *Random(1).sample(range(1, len(data)), 4), len(data) - 1]:
        error = refusal(data[:end])
        assert error.details["errors"][0]["field"] == f"line {data[:end].count(10) + 1}"
        assert "cut short" in error.message


@pytest.mark.slow
def test_a_line_that_is_missing_twice_or_elsewhere_is_refused(lines: list[bytes], refusal: Refusal) -> None:
    """Wherever it stands."""
    for number in range(len(lines)):
        refusal(b"".join(lines[:number] + lines[number + 1 :]))
        refusal(b"".join([*lines[: number + 1], *lines[number:]]))
    for number in range(len(lines) - 1):
        refusal(b"".join([*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]))


def test_a_changed_byte_is_refused(data: bytes, refusal: Refusal) -> None:
    """Any one of them, whatever it becomes."""
    chance = Random(2)
    for at in chance.sample(range(len(data)), 12):
        byte = chance.choice([b for b in range(256) if b != data[at]])
        refusal(data[:at] + bytes([byte]) + data[at + 1 :])


def test_two_files_in_one_are_refused(data: bytes, lines: list[bytes], refusal: Refusal) -> None:
    """One after the other, and a second beginning; so is anything after the end."""
    assert refusal(data + data).details["errors"][0]["field"] == f"line {len(lines) + 1}"
    assert "begins here" in refusal(b"".join([*lines[:3], *lines])).message
    assert "follow" in refusal(data + b"\n").message
    assert "follow" in refusal(data + b" ").message


@pytest.mark.parametrize(
    ("convert", "reason"),
    [
        (lambda data: data.replace(b"\n", b"\r\n"), "binary"),
        (lambda data: data.decode().encode("utf-16"), "UTF-16"),
        (lambda data: b"\xef\xbb\xbf" + data, "byte order mark"),
        (lambda data: data.decode().encode("latin-1", "replace"), "UTF-8|JSON|SHA-256|hash"),
        (gzip.compress, "compressed"),
        (lambda data: b"SQLite format 3\0" + data, "is a database"),
        (lambda data: b"", "cut short"),
        (lambda data: b"\n", "JSON"),
        (lambda data: b"\n" + data, "JSON"),
        (lambda data: b"[]\n", "one key"),
        (lambda data: b'{"format": 1}\n', "one key"),
        (lambda data: b'{"version": {}}\n', "has no"),
        (lambda data: data.split(b"\n", 1)[1], "first line"),
        (lambda data: b"x" * 1000, "cut short"),
    ],
)
def test_a_file_of_another_kind_is_refused_and_said_so(
    convert: Callable[[bytes], bytes], reason: str, data: bytes, refusal: Refusal
) -> None:
    """CRLF, UTF-16 as PowerShell writes, a byte order mark, gzip, a database, an empty file, JSON of other shape."""
    assert re.search(reason, refusal(convert(data)).message)


def test_a_newer_format_is_schema_too_new(data: bytes, refusal: Refusal) -> None:
    """Whatever else its first line has."""
    first = b'{"promptreg": {"format": 2, "compression": "none"}}\n'
    with Registry(":memory:") as registry, pytest.raises(SchemaTooNewError) as refused:
        import_full(registry, BytesIO(first + data.split(b"\n", 1)[1]))
    assert refused.value.details == {"reason": "schema_too_new"}
    assert refusal(b'{"promptreg": {"format": "2"}}\n')
    assert refusal(b'{"promptreg": {"format": true, "prompts": 0, "versions": 0, "events": 0, "deletions": 0}}\n')


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt": {"id": NaN}}',
        '{"prompt": {"id": Infinity}}',
        '{"prompt": 1e400}',
        '{"prompt": {"id": 1, "id": 1}}',
        '{"prompt": {}, "version": {}}',
        '{"prompt": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"prompt": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}",
        '{"prompt": ' + "9" * 5_000 + "}",
        '{"prompt": "\\ud800"}',
        '{"prompt": "\\u0000"}',
        "{'prompt': 1}",
        "null",
        '"prompt"',
        '{"prompt": null} x',
        '{"prompt": [1, 2]}',
    ],
    ids=range(15),
)
def test_a_line_that_is_no_plain_json_is_refused(text: str, lines: list[bytes], refusal: Refusal) -> None:
    """NaN, a key twice, nesting without end, numbers of any length, and other kinds of values."""
    assert refusal(lines[0] + text.encode() + b"\n").details["errors"][0]["field"].startswith("line 2")


# False on purpose


def one(lines: Lines, kind: str, **fields: Any) -> dict[str, Any]:
    """Return the first object of a kind with these fields."""
    return next(o[kind] for o in lines if kind in o and fields.items() <= o[kind].items())


def prompt(lines: Lines, name: str) -> dict[str, Any]:
    return one(lines, "prompt", name=name)


def version(lines: Lines, name: str, number: int) -> dict[str, Any]:
    return one(lines, "version", name=name, number=number)


def event(lines: Lines, name: str, action: str) -> dict[str, Any]:
    return one(lines, "event", name=name, action=action)


def version_event(lines: Lines, name: str, action: str, number: int) -> dict[str, Any]:
    return one(lines, "event", name=name, action=action, version=number)


def without(lines: Lines, kind: str, **fields: Any) -> None:
    found = one(lines, kind, **fields)
    lines.remove({kind: found})
    for number, other in enumerate((o["event"] for o in lines if "event" in o), 1):
        other["seq"] = number


def set_in(kind: str, field: str, value: Any, **fields: Any) -> Callable[[Lines], None]:
    return lambda lines: one(lines, kind, **fields).__setitem__(field, value)


def number_of(lines: Lines, name: str) -> int:
    return next(i for i, o in enumerate(lines) if o.get("prompt", {}).get("name") == name)


def swap_prompts(lines: Lines) -> None:
    first, second = number_of(lines, "disabled"), number_of(lines, "archived")
    lines[first : first + 2], lines[second : second + 2] = lines[second : second + 2], lines[first : first + 2]


def add_event(lines: Lines, **fields: Any) -> None:
    """Add an event of a prompt after all others."""
    events = [o["event"] for o in lines if "event" in o]
    last = next(i for i, o in enumerate(lines) if o.get("event") is events[-1])
    made = {**event(lines, fields["name"], "create"), "seq": len(events) + 1, "salt": "0" * 2 * SALT_BYTES, **fields}
    lines.insert(last + 1, {"event": made})


def rename_to(name: str) -> Callable[[Lines], None]:
    def rename(lines: Lines) -> None:
        found = prompt(lines, "disabled")
        for o in lines:
            for kind in ("version", "event"):
                if o.get(kind, {}).get("name") == "disabled":
                    o[kind]["name"] = name
        found["name"] = name

    return rename


def resurrect(lines: Lines) -> None:
    """Put a prompt that was deleted among those that are there."""
    deleted = one(lines, "deletion")["prompt_id"]
    prompt(lines, "disabled")["id"] = deleted


FALSE: dict[str, Callable[[Lines], Any]] = {
    # types and values of single fields
    "an id that is no UUID": set_in("prompt", "id", "x"),
    "an id of another version": set_in("prompt", "id", "01a2289e-02b4-4ade-956f-3362724044dc"),
    "an id in upper case": lambda ls: prompt(ls, "chat").update(id=prompt(ls, "chat")["id"].upper()),
    "a name in upper case": rename_to("Disabled"),
    "a name with ..": rename_to("a/../b"),
    "a name that is a path": rename_to("/etc/passwd"),
    "a name that is an id": rename_to(new_id()),
    "a name of 129 characters": rename_to("x" * 129),
    "a name that is not in NFC": rename_to("e\u0301"),
    "a name with a line break": rename_to("a\nb"),
    "a namespace that is no name": set_in("prompt", "namespace", "A b"),
    "a number that is text": set_in("prompt", "latest_version", "1"),
    "a number that is true": set_in("prompt", "production_version", True),
    "a number that is a fraction": set_in("prompt", "last_version", 1.0),
    "a number that is negative": set_in("prompt", "last_version", -1),
    "a number beyond all databases": set_in("event", "seq", 2**63),
    "a flag that is a number": set_in("prompt", "is_disabled", 0),
    "a time without a zone": set_in("prompt", "created_at", "2026-01-01T00:00:00.000000"),
    "a time in another zone": set_in("event", "at", "2026-01-01T00:00:00.000000+01:00"),
    "a day that is none": set_in("version", "created_at", "2026-02-30T00:00:00.000000+00:00"),
    "an author that is blank": set_in("version", "author", " "),
    "an author of any length": set_in("event", "actor", "x" * 257),
    "labels that are a list": set_in("prompt", "labels", []),
    "a label that the registry keeps": set_in("prompt", "labels", {"Production": 1}),
    "a label that is a number": set_in("prompt", "labels", {"1": 1}),
    "a grant to nobody": set_in("prompt", "access_grants", [["eve", "read"]]),
    "a grant of all to anyone": set_in("prompt", "access_grants", [["anyone", "write"]]),
    "a principal twice": set_in("prompt", "access_grants", [["user:a", "read"], ["user:a", "read"]]),
    "an unknown key of a prompt": set_in("prompt", "owner", "eve"),
    "an unknown key of a version": set_in("version", "owner", "eve"),
    "an unknown key of an event": set_in("event", "owner", "eve"),
    "a key that is missing": lambda ls: one(ls, "prompt").pop("seed"),
    "an unknown state": set_in("version", "state", "live"),
    "an unknown syntax": set_in("version", "syntax", "mustache"),
    "an unknown action": set_in("event", "action", "steal"),
    "a title that is empty": set_in("version", "title", ""),
    "a template that is empty": set_in("version", "template", ""),
    "a template that is a number": set_in("version", "template", 1),
    "a message with two roles": set_in("version", "template", [{"role": "user", "content": "a", "x": 1}], name="chat"),
    "a message that is a text": set_in("version", "template", ["a"], name="chat"),
    "tags twice": set_in("version", "tags", ["a", "a"]),
    "config that is a list": set_in("version", "config", []),
    "an example that is a text": set_in("version", "examples", ["a"]),
    "a variable without a name": set_in("version", "variables", [{"type": "string"}]),
    "metadata beyond its size": set_in("version", "meta", {"a": "x" * 2**20}),
    "content that is too deep": set_in("version", "config", json.loads('{"a":' * 80 + "1" + "}" * 80)),
    "content with another hash": set_in("version", "description", "Altered"),
    "a hash of other content": set_in("version", "content_hash", "0" * 64),
    "a hash in upper case": lambda ls: one(ls, "version").update(
        content_hash=one(ls, "version")["content_hash"].upper()
    ),
    "a salt that is short": set_in("event", "salt", "00"),
    # seeds and bases
    "a seed of unknown fields": lambda ls: prompt(ls, "seeded")["seed"].update(fields=["template", "owner"]),
    "a seed without fields": lambda ls: prompt(ls, "seeded")["seed"].update(fields=[]),
    "a seed of fields in another order": lambda ls: prompt(ls, "seeded")["seed"].update(fields=["title", "template"]),
    "a seed of a version that never was": lambda ls: prompt(ls, "seeded")["seed"].update(version=7),
    "a seed of a draft that never was": lambda ls: prompt(ls, "seeded")["seed"].update(draft=7, draft_hash="0" * 64),
    "a seed of a draft without its hash": lambda ls: prompt(ls, "seeded")["seed"].update(draft=1),
    "a seed of an endless release": lambda ls: prompt(ls, "seeded")["seed"].update(release=10**40),
    "a base of a version that never was": lambda ls: prompt(ls, "chat").update(synced={"": base(version=99)}),
    "a base of a target that is no label": lambda ls: prompt(ls, "chat").update(synced={"a b": base()}),
    "a base of a name that is none": lambda ls: prompt(ls, "chat").update(synced={"": base(name="../x")}),
    # what does not fit together
    "a version less than a prompt says": lambda ls: without(ls, "version", name="chat", number=2),
    "a version of nobody": lambda ls: ls.insert(1, {"version": version(ls, "chat", 1)}),
    "a version twice": lambda ls: version(ls, "numbers", 3).update(number=2),
    "versions in another order": lambda ls: swap(ls, version(ls, "chat", 1), version(ls, "chat", 2)),
    "a latest version that is not there": lambda ls: prompt(ls, "chat").update(latest_version=3),
    "more versions than were made": lambda ls: prompt(ls, "chat").update(last_version=3),
    "endless versions": lambda ls: prompt(ls, "chat").update(last_version=10**12),
    "a production version that is a draft": lambda ls: prompt(ls, "everything").update(production_version=3),
    "no production version": lambda ls: prompt(ls, "chat").update(production_version=None),
    "a publication of a draft": lambda ls: prompt(ls, "draft").update(production_version=1, publications=[1]),
    "other publications": lambda ls: prompt(ls, "numbers").update(publications=[11]),
    "a publication more": lambda ls: prompt(ls, "chat").update(publications=[2, 1, 2]),
    "a label of a version that is not there": lambda ls: prompt(ls, "numbers").update(labels={"a": 12}),
    "a label that no event has set": lambda ls: prompt(ls, "chat").update(labels={"a": 1}),
    "a label that is not there any more": lambda ls: prompt(ls, "everything").update(labels={}),
    "another status": lambda ls: prompt(ls, "disabled").update(is_disabled=False),
    "an archive that no event has made": lambda ls: prompt(ls, "chat").update(is_archived=True),
    "other grants": lambda ls: prompt(ls, "everything").update(access_grants=[["user:eve", "write"]]),
    "another owner": lambda ls: prompt(ls, "everything").update(created_by="eve"),
    "another time of creation": lambda ls: prompt(ls, "chat").update(created_at="2020-01-01T00:00:00.000000+00:00"),
    "another time of the last change": lambda ls: prompt(ls, "chat").update(
        updated_at="2020-01-01T00:00:00.000000+00:00"
    ),
    "another author": lambda ls: version(ls, "everything", 1).update(author="eve"),
    "another time of a version": lambda ls: version(ls, "chat", 2).update(
        created_at="2020-01-01T00:00:00.000000+00:00"
    ),
    "another time of publication": lambda ls: version(ls, "chat", 2).update(
        published_at="2020-01-01T00:00:00.000000+00:00"
    ),
    "a publication without a time": lambda ls: version(ls, "chat", 2).update(published_at=None),
    "a draft with a time of publication": lambda ls: version(ls, "draft", 1).update(
        published_at="2020-01-01T00:00:00.000000+00:00"
    ),
    "a published version as a draft": lambda ls: version(ls, "chat", 1).update(state="draft", published_at=None),
    "a failed version without reasons": lambda ls: version(ls, "failed", 2).update(failure=None),
    "a failed version as a draft": lambda ls: version(ls, "failed", 2).update(state="draft", failure=None),
    "reasons of a version that did not fail": lambda ls: version(ls, "chat", 1).update(failure=["x"]),
    "another name of a version": lambda ls: version(ls, "chat", 1).update(name="tea"),
    "a base that is not there": lambda ls: version(ls, "chat", 2).update(base_version=9),
    "a base that is the version itself": lambda ls: version(ls, "chat", 2).update(base_version=2),
    "a base that is later": lambda ls: version(ls, "chat", 1).update(base_version=2),
    "another base than that of the update": lambda ls: version(ls, "numbers", 5).update(base_version=1),
    "no base of an update": lambda ls: version(ls, "chat", 2).update(base_version=None),
    "other grants of a version": lambda ls: version(ls, "chat", 2).update(access_grants=[["user:eve", "write"]]),
    "other reasons of a failure": lambda ls: version(ls, "failed", 2).update(failure=["x"]),
    "a rollback without a reason": lambda ls: event(ls, "everything", "rollback")["details"].update(reason=" "),
    "a prompt without events": lambda ls: [without(ls, "event", name="disabled") for _ in range(3)],
    "a prompt without its creation": lambda ls: without(ls, "event", name="chat", action="create"),
    "a prompt without its publication": lambda ls: without(ls, "event", name="chat", action="publish"),
    "a prompt of another namespace": lambda ls: prompt(ls, "disabled").update(namespace="support"),
    "an event of another namespace": lambda ls: event(ls, "disabled", "disable").update(namespace="support"),
    "two prompts of one id": lambda ls: prompt(ls, "disabled").update(id=prompt(ls, "chat")["id"]),
    "two prompts of one name": rename_to("chat"),
    "prompts in another order": swap_prompts,
    "a deleted prompt that is there": resurrect,
    "no deletion": lambda ls: without(ls, "deletion"),
    "a deletion of a prompt that is there": lambda ls: one(ls, "deletion").update(prompt_id=prompt(ls, "chat")["id"]),
    "a deletion at another time": lambda ls: one(ls, "deletion").update(at="2020-01-01T00:00:00.000000+00:00"),
    "a deletion without an event": lambda ls: ls.insert(
        -1, {"deletion": {**one(ls, "deletion"), "prompt_id": new_id()}}
    ),
    "a deletion with places that are no hashes": lambda ls: one(ls, "deletion").update(places=["a/b"]),
    "a deletion with a list of no places": lambda ls: one(ls, "deletion").update(places=[]),
    "a deletion with content": lambda ls: one(ls, "deletion").update(name="deleted"),
    "an event between the prompts": lambda ls: ls.insert(1, {"event": one(ls, "event")}),
    "a prompt after the events": lambda ls: ls.insert(-1, {"prompt": prompt(ls, "chat")}),
    "a deletion before the events": lambda ls: ls.insert(number_of(ls, "numbers"), {"deletion": one(ls, "deletion")}),
    "events with a gap": lambda ls: ls.remove({"event": one(ls, "event", seq=5)}),
    "an event without details": lambda ls: event(ls, "chat", "update").update(salt=None, name=None, details=None),
    "an event with a name alone": lambda ls: event(ls, "chat", "update").update(salt=None, details=None),
    "details of a deleted prompt": lambda ls: one(ls, "event", name=None).update(
        salt="0" * 32, name="deleted", details={"content_hash": "0" * 64}
    ),
    "a deletion whose event has no details": lambda ls: event(ls, "deleted", "delete").update(
        salt=None, name=None, details=None
    ),
    "details of another action": lambda ls: event(ls, "chat", "create").update(details={"previous": 1}),
    "details with content": lambda ls: event(ls, "chat", "create")["details"].update(template="text"),
    "a content hash of other content": lambda ls: event(ls, "chat", "create").update(
        details={"content_hash": "0" * 64}
    ),
    "an event of a version that is not there": lambda ls: event(ls, "chat", "publish").update(version=9),
    "an event that skips a number": lambda ls: event(ls, "chat", "update").update(version=3),
    "an event with another name": lambda ls: event(ls, "chat", "publish").update(name="tea"),
    "another one live before": lambda ls: version_event(ls, "chat", "publish", 2)["details"].update(previous=2),
    "a rename to another name": lambda ls: event(ls, "renamed", "rename")["details"].update(to="x"),
    "a second creation": lambda ls: add_event(ls, name="chat"),
    "a change of what is archived": lambda ls: add_event(
        ls, name="archived", action="disable", version=None, details={"previous": "active"}
    ),
    "a deletion of what is there": lambda ls: add_event(
        ls, name="chat", action="delete", version=None, details={"previous": "active"}
    ),
    "a publication of what is live": lambda ls: add_event(
        ls, name="chat", action="publish", version=2, details={"previous": 2}
    ),
    "a rollback to a draft": lambda ls: add_event(
        ls, name="everything", action="rollback", version=3, details={"previous": 2, "reason": "x"}
    ),
    "an edit of what is published": lambda ls: add_event(
        ls, name="chat", action="edit", version=2, details={"fields": [], "content_hash": "0" * 64}
    ),
    "a discard of what is published": lambda ls: add_event(ls, name="chat", action="discard", version=2, details={}),
    "a discard of what is labelled": lambda ls: add_event(
        ls, name="everything", action="discard", version=3, details={}
    ),
    "a removal of a label that is not there": lambda ls: add_event(
        ls, name="chat", action="remove_label", version=1, details={"label": "a", "previous": 1}
    ),
    "an event of nobody": lambda ls: add_event(ls, name="chat", prompt_id=new_id()),
}
"""Files that are signed well, and say what no registry could have written."""


def base(**changes: Any) -> dict[str, Any]:
    return {"source": "f00d", "name": "chat", "version": 1, "hash": "0" * 64, "archived_at": None, **changes}


def swap(lines: Lines, one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = lines.index({"version": one}), lines.index({"version": other})
    lines[first], lines[second] = lines[second], lines[first]


@pytest.mark.slow
@pytest.mark.parametrize("what", FALSE)
def test_what_no_registry_could_have_written_is_refused(what: str, data: bytes, refusal: Refusal) -> None:
    """Though all hashes, counts and the SHA-256 fit."""
    false = changed(data, FALSE[what])
    assert false != signed(objects(data))
    refusal(false)


def test_a_file_that_is_only_signed_again_is_taken(data: bytes) -> None:
    """So it is not the signing that these files are refused for."""
    imported(signed(objects(data))).close()
    imported(changed(data, lambda ls: prompt(ls, "chat").update(synced={"": base()}))).close()


def test_counts_last_hash_and_sha256_must_fit(data: bytes, refusal: Refusal) -> None:
    """Each of them alone is enough to refuse a file."""
    for name, value in (("prompts", 1), ("events", 0), ("last_hash", "0" * 64), ("sha256", "0" * 64), ("sha256", "x")):
        lines = objects(data)
        lines[-1]["end"][name] = value
        body = data[: data.rindex(b'{"end"')]
        refusal(body + json.dumps(lines[-1]).encode() + b"\n" if name == "sha256" else sealed(body, lines[-1]))
    lines = objects(data)
    lines[0]["promptreg"]["versions"] += 1
    body = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines[:-1])
    refusal(sealed(body, lines[-1]))


def test_a_chain_that_is_broken_is_refused(data: bytes, refusal: Refusal) -> None:
    """An event whose hash or commitment is another, in a file whose SHA-256 is right."""
    for field in ("hash", "commitment", "salt"):
        lines = objects(data)
        found = event(lines, "chat", "create")
        found[field] = "0" * len(found[field])
        body = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines[:-1])
        refusal(sealed(body, lines[-1]))


def test_errors_quote_no_content(data: bytes, refusal: Refusal) -> None:
    """Neither a template nor any other value of a hostile file is repeated."""
    for field in ("template", "title", "created_at", "author", "state", "content_hash", "tags"):
        error = refusal(changed(data, set_in("version", field, ["canary"])))
        assert "canary" not in f"{error.message} {error.details}"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["0" * 64, "draft", "published", "archived", "2026-01-01T00:00:00.000000+00:00", "user:a", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.slow
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(chance=st.randoms(use_true_random=False), value=VALUES)
def test_any_value_in_any_place_is_refused_or_harmless(chance: Random, value: Any, data: bytes) -> None:
    """A file with another value anywhere is refused as ours, or what it makes is whole, readable and exports again."""
    lines = objects(data)
    line = chance.choice(lines[1:-1])
    (inner,) = line.values()
    key = chance.choice(sorted(inner))
    if isinstance(inner[key], dict) and inner[key] and chance.random() < 0.5:
        inner, key = inner[key], chance.choice(sorted(inner[key]))
    inner[key] = value
    try:
        false = signed(lines)
    except (ValueError, TypeError, KeyError):  # what JSON can't hold
        return
    try:
        registry = imported(false)
    except PromptregError:
        return
    with registry:
        assert registry.verify() == []
        assert_inverse(registry)
