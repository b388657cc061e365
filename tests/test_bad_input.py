"""Bad input of every verb and argument raises the right PromptregError, and changes nothing."""

import math
from datetime import UTC, date, datetime
from inspect import signature

import pytest

from promptreg import (
    UNSET,
    Actor,
    ConflictError,
    Grant,
    InvalidInputError,
    PromptregError,
    Registry,
    StorageError,
    UnauthorizedError,
)
from promptreg.jsonvalues import canonical

NUL, SURROGATE = "a\0b", "a\ud800b"
CYCLE: dict = {}
CYCLE["self"] = [CYCLE]
DEEP: list = []
for _ in range(5000):
    DEEP = [DEEP]
BIG = "x" * (1024 * 1024 + 1)
HUGE = 10**5000  # an integer that Python itself refuses to print

TEXT = [3, 1.5, True, b"x", ["x"], {"x": 1}, object(), NUL, SURROGATE, BIG]
GIVEN_TEXT = [*TEXT, None]
FILLED = [*GIVEN_TEXT, "", "   "]
FLAG = [None, 1, 0, "yes", [], object()]
LIMIT = [None, 0, -1, 1.0, "5", True, [], math.nan]
NUMBER = [-1, 1.0, "1", True, None, [], math.inf]
SELECTOR = [0, -1, True, 1.5, "", "a b", "7", b"x", ["x"], SURROGATE, NUL, math.nan]
TEMPLATE = [
    None,
    3,
    b"x",
    {"role": "user", "content": "x"},
    "",
    [],
    (),
    NUL,
    SURROGATE,
    "x" * (256 * 1024 + 1),
    "é" * (256 * 1024 + 1),
    [3],
    ["x"],
    [{}],
    [{"role": "user"}],
    [{"content": "x"}],
    [{"role": "user", "content": "x", "nme": "y"}],
    [{"role": "user", "content": "x", "placeholder": "h"}],
    [{"role": 3, "content": "x"}],
    [{"role": "", "content": "x"}],
    [{"role": SURROGATE, "content": "x"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": NUL}],
    [{"role": "user", "content": SURROGATE}],
    [{"role": "user", "content": []}],
    [{"role": "user", "content": ["x"]}],
    [{"role": "user", "content": {"type": "text", "text": "x"}}],
    [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": [{"text": "x"}]}],
    [{"role": "user", "content": [{"type": "text", "text": SURROGATE}]}],
    [{"role": "user", "content": [{"type": "image", "text": "x"}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": "https://x"}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"detail": "low"}}]}],
    [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}],
    [{"role": "user", "content": [{"type": "file", "file": {"a": math.nan}}]}],
    [{"role": "user", "content": [{"type": "file", "file": CYCLE}]}],
    [{"role": "user", "content": [{"type": "file", "file": {"a": BIG}}]}],
    [{"role": "user", "content": [{"type": "file", "file": DEEP}]}],
    [{"role": "user", "content": "x", "name": ""}],
    [{"role": "user", "content": "x", "name": None}],
    [{"role": "user", "content": "x", "tool_call_id": 3}],
    [{"role": "user", "content": "x", "cache": 1}],
    [{"role": "user", "content": None, "tool_calls": [{"id": "1"}]}],
    [{"role": "assistant", "tool_calls": []}],
    [{"role": "assistant", "tool_calls": [{}]}],
    [{"role": "assistant", "tool_calls": ["x"]}],
    [{"role": "assistant", "tool_calls": [{"id": b"x"}]}],
    [{"role": "assistant", "tool_calls": [{"id": HUGE}]}],
    [{"placeholder": "h", "cache": True}],
    [{"placeholder": ""}],
    [{"placeholder": "a b"}],
    [{"placeholder": 3}],
    [{"placeholder": NUL}],
    [{"role": "user", "content": "x" * 140_000}] * 2,
]
JSON_OBJECT = [
    3,
    "x",
    b"x",
    ["x"],
    [("a", 1)],
    {1: "x"},
    {None: 1},
    {("a",): 1},
    {"a": math.nan},
    {"a": [math.inf]},
    {"a": object()},
    {"a": b"x"},
    {"a": {1, 2}},
    {"a": datetime.now(UTC)},
    {"a": date(2026, 1, 1)},
    {"a": 1j},
    {"a": Actor("x")},
    {"a": HUGE},
    {"a": NUL},
    {NUL: 1},
    {"a": {"b": SURROGATE}},
    {SURROGATE: 1},
    {"a": CYCLE},
    CYCLE,
    {"a": DEEP},
    {"a": BIG},
    object(),
]
TAGS = [None, 3, "abc", b"x", {"a": 1}, [3], [None], [""], ["  "], [NUL], [SURROGATE], [["x"]], [BIG]]
EXAMPLES = [None, 3, "abc", b"x", {"a": 1}, [3], ["x"], [None], [[("a", 1)]], [{1: 2}], [{"a": math.nan}], [{"a": NUL}]]
EXAMPLES += [[{SURROGATE: 1}], [{"a": object()}], [CYCLE], [{"a": BIG}]]
VARIABLES = [
    3,
    "abc",
    {"name": "x"},
    int,
    [3],
    [{}],
    [{"name": "x", "type": "str"}],
    [{"name": NUL}],
    [{"name": SURROGATE}],
]
VARIABLES += [[{"name": "x", "default": math.nan}], [{"name": "x", "description": BIG}]]
GRANTS = [None, 3, "anyone", b"x", {"anyone": "read"}, [3], ["anyone"], [None], [("anyone",)], [("anyone", "write")]]
GRANTS += [[("user:a", "admin")], [("ana", "read")], [("user:", "read")], [("group:", "read")], [(3, "read")]]
GRANTS += [
    [("user:a", "read", "x")],
    [("user:" + SURROGATE, "read")],
    [("user:" + NUL, "read")],
    [{"principal": "anyone"}],
]
GRANTS += [[("user:a", None)], [{"principal": "anyone", "permission": "read", "x": 1}], [("user:" + "x" * 300, "read")]]
HASH = [None, "", 7, True, "0" * 63, "F" * 64, "0" * 64 + "\n", b"0" * 64, ["0" * 64], SURROGATE, NUL, HUGE]
CHOICE = [None, 3, "", "Active", "gone", b"active", ["active"], True, SURROGATE, NUL]
STATUSES = [3, "", "gone", "deleted", ["active", "gone"], [3], [None], b"active", SURROGATE, True]
TAG = [3, 1.5, True, b"x", [["x"]], [3, "x"], {"x": 1}, object(), NUL, [SURROGATE], [BIG]]
CURSOR = [3, 1500, True, b"x", [], "", "x", "!!!!", "YQ", SURROGATE, NUL, object()]
FILTERS = {
    "status": STATUSES,
    "tag": TAG,
    "category": TEXT,
    "created_by": TEXT,
    "prefix": [*TEXT, "x" * 129],
    "label": [*SELECTOR[4:], 1],
}
"""Bad values of the filters that `list` and `iterate` share."""

SNAPSHOT = {
    "template": TEMPLATE,
    "title": FILLED,
    "description": GIVEN_TEXT,
    "category": GIVEN_TEXT,
    "tags": TAGS,
    "variables": VARIABLES,
    "config": JSON_OBJECT,
    "meta": JSON_OBJECT,
    "examples": EXAMPLES,
    "access_grants": GRANTS,
    "commit_message": GIVEN_TEXT,
}


def but(*allowed, of):
    """Return the bad values without those that this argument accepts."""
    return [value for value in of if not any(value is fine for fine in allowed)]


CREATED = {**SNAPSHOT, "title": but(None, of=FILLED), "is_production": FLAG}
SEEDED = {**SNAPSHOT, "title": but(None, of=FILLED), "commit_message": but(None, of=GIVEN_TEXT)}
SEEDED |= {"on_conflict": CHOICE, "release": [True, "1", b"1", [], math.nan, math.inf, -math.inf, 1j, HUGE, object()]}
IN_PLACE = {name: bad for name, bad in SNAPSHOT.items() if name != "access_grants"}

# For each verb: the arguments of a good call, and for each argument the values that it must refuse.
VERBS = {
    "create": ({"name": "new", "template": "x"}, CREATED),
    "create draft": ({"name": "new", "template": "x", "is_production": False}, {"template": TEMPLATE}),
    "save new": ({"name": "new", "template": "x"}, {**CREATED, "commit_message": but(None, of=GIVEN_TEXT)}),
    "save": (
        {"name": "a", "template": "x"},
        {**SNAPSHOT, "title": but(None, of=FILLED), "is_production": FLAG, "commit_message": but(None, of=GIVEN_TEXT)},
    ),
    "seed new": ({"name": "new", "template": "x"}, SEEDED),
    "seed": ({"name": "a", "template": "x"}, SEEDED),
    "get": ({"name": "a"}, {"version": SELECTOR, "label": [*SELECTOR[4:], 1, 0, True, "9"]}),
    "get_many": (
        {"names": ["a", "a@3", "a@staging"]},
        {"names": [None, 3, "a", b"a", {"a": 1}, [3], ["a", None], ["a", "A b"], [""], [["a"]], ["a@0"], [NUL], [BIG]]},
    ),
    "render": (
        {},
        {"version": SELECTOR, "label": [*SELECTOR[4:], 1, 0, True], "default": [t for t in TEMPLATE if t != ""]},
    ),
    "update": (
        {"name": "a", "title": "x"},
        {
            **SNAPSHOT,
            "is_production": FLAG,
            "new_name": [None, "", "A", "a b", "x" * 129, 3, NUL, SURROGATE],
            "version": [*SELECTOR, None],
            "expected_version": NUMBER,
            "expected_hash": HASH,
        },
    ),
    "update in place": (
        {"name": "a", "version": 3},
        {
            **IN_PLACE,
            "is_production": [True, *FLAG],
            "new_name": ["b"],
            "access_grants": [[], [("anyone", "read")]],
            "expected_version": [3, *NUMBER],
            "expected_hash": HASH,
        },
    ),
    "publish": ({"name": "a"}, {"version": SELECTOR, "expected_production": NUMBER, "expected_hash": HASH}),
    "publish several": (
        {"name": ["a"]},
        {
            "name": [None, 3, b"a", {"a": 1}, [3], ["a", None], ["a", "A b"], ["a@1", "a@2"]],
            "version": SELECTOR,
            "expected_production": [*NUMBER, 1, *({"a": bad} for bad in NUMBER), {"b": 1}],
            "expected_hash": [*HASH, "0" * 64, *({"a": bad} for bad in HASH), {"A b": "0" * 64}],
        },
    ),
    "rollback several": (
        {"name": ["a"], "reason": "x"},
        {"version": SELECTOR, "reason": FILLED, "expected_production": [*NUMBER, 2, *({"a": bad} for bad in NUMBER)]},
    ),
    "check": ({"name": "a"}, {"version": SELECTOR}),
    "rollback": (
        {"name": "a", "reason": "x"},
        {"version": SELECTOR, "reason": FILLED, "expected_production": NUMBER},
    ),
    "set_status": (
        {"names": "a", "status": "disabled"},
        {"names": [None, 3, b"a", {"a": 1}, [3], ["a", None], ["a", "A b"], ""], "status": CHOICE, "dry_run": FLAG},
    ),
    "report": (
        {},
        {"names": [3, b"a", {"a": 1}, [3], ["a", None], ["a", "A b"], "", "a@1", ["a@staging"]], "all_versions": FLAG},
    ),
    "discard": ({"name": "a"}, {"version": SELECTOR}),
    "set_label": (
        {"name": "a", "label": "x", "version": 1},
        {"label": [None, *SELECTOR[4:], 1], "version": [None, *SELECTOR]},
    ),
    "set_label by reference": ({"name": "a@3", "label": "x"}, {"label": [None, *SELECTOR[4:], 1], "version": [1, 3]}),
    "remove_label": ({"name": "a", "label": "staging"}, {"label": [None, *SELECTOR[4:], 1]}),
    "history": ({"name": "a"}, {"limit": LIMIT, "before": SELECTOR}),
    "diff": ({"name": "a", "old": 1, "new": 2}, {"old": [None, *SELECTOR], "new": [None, *SELECTOR]}),
    "list": ({}, {**FILTERS, "limit": LIMIT, "after": CURSOR}),
    "iterate": ({}, FILTERS),
    "search": (
        {"text": "x"},
        {"text": FILLED, "status": STATUSES, "tag": TAG, "category": TEXT, "limit": LIMIT},
    ),
    "events": ({}, {"after": NUMBER, "limit": LIMIT, "newest_first": FLAG, "action": but(None, of=CHOICE)}),
    "wait_for": ({"revision": 0}, {"revision": NUMBER, "timeout": [-1, "5", True, [], math.nan, math.inf, HUGE]}),
    "scope": (
        {},
        {"namespace": [None, 3, "", "A", "a b", NUL, SURROGATE, b"a"], "actor": ["ana", 3, ("ana",), {"id": "a"}]},
    ),
    "once": ({"operation_id": "x"}, {"operation_id": [None, 3, "", "x" * 201, NUL, SURROGATE, b"a", ["x"]]}),
}


def fill(registry):
    """Create the prompts of the good calls."""
    registry.create("a", "one", tags=["t"])
    registry.update("a", template="two")
    registry.update("a", template="three", is_production=False)
    registry.set_label("a", "staging", 1)


@pytest.fixture
def stocked(registry):
    """A registry with the prompt `a`: version 2 live, 1 labelled staging, 3 a draft."""
    fill(registry)
    return registry


def perform(registry, verb, arguments):
    """Call a verb with these arguments by name; render takes its name by position only."""
    method = getattr(registry, verb.split()[0])
    return method("a", **arguments) if verb == "render" else method(**arguments)


def shown(value):
    """Return a bad value as part of a test's id, short and printable."""
    try:
        return ascii(value)[:60]
    except (ValueError, RecursionError):
        return type(value).__name__


def answer(registry, verb, arguments):
    """Return the error that a call raises, or None."""
    try:
        perform(registry, verb, arguments)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("verb", VERBS)
def test_a_bad_argument_is_invalid_input_and_changes_nothing(stocked, unchanged, verb):
    """Every wrong value of every argument raises `InvalidInputError` with field and reason, and writes nothing."""
    good, arguments = VERBS[verb]
    warm, wrong = stocked.get("a"), []
    with unchanged():
        for argument, values in arguments.items():
            for value in values:
                error = answer(stocked, verb, {**good, argument: value})
                if not isinstance(error, InvalidInputError):
                    wrong.append(f"{argument}={shown(value)}: {type(error).__name__}")
                    continue
                assert (error.code, error.http_status) == ("validation_error", 400)
                assert error.details["errors"]
                assert all(e["field"] and e["reason"] for e in error.details["errors"])
                assert len(str(error)) < 2000
        assert wrong == []
    assert stocked.get("a") == warm


@pytest.mark.parametrize("verb", VERBS)
def test_the_good_calls_of_these_tables_work(stocked, verb):
    """Each call of the table succeeds without a bad value, so that only the value is refused above."""
    assert answer(stocked, verb, VERBS[verb][0]) is None


def test_sizes_are_accepted_up_to_their_limits(registry, unchanged):
    """A template of 262,144 characters, a name of 128 and just under 1 MiB of metadata are accepted, and no more."""
    registry.create("x" * 128, "x" * 256 * 1024)
    registry.create("b", "é" * 256 * 1024, meta={"a": "x" * 1024 * 1023})
    registry.create("c", "x", config={"a": "x" * 1024 * 600})
    with unchanged():
        for call in (
            lambda: registry.create("x" * 129, "x"),
            lambda: registry.update("c", meta={"a": "x" * 1024 * 600}),
            lambda: registry.update("c", examples=[{"a": "x" * 1024 * 600}], is_production=False),
            lambda: registry.update("c", description="x" * 1024 * 600),
            lambda: registry.save("c", "x", tags=["x" * 1024 * 600]),
            lambda: registry.update("c", variables=[{"name": "v", "default": "x" * 1024 * 600}]),
            lambda: registry.create("d", "x", config={"a": "x" * 1024 * 600}, meta={"a": "x" * 1024 * 600}),
        ):
            with pytest.raises(InvalidInputError):
                call()


@pytest.mark.parametrize("character", ["x", "é", "😀"], ids=["1 byte", "2 bytes", "4 bytes"])
def test_metadata_may_have_one_mebibyte_and_no_byte_more(registry, unchanged, character):
    """The limit is for the JSON of all fields except template and commit message, in bytes of UTF-8."""
    empty = registry.create("a", "x" * 1000, meta={"a": ""}, commit_message="x" * 1000)
    fields = ("title", "description", "category", "tags", "variables", "config", "meta", "examples")
    left = 1024 * 1024 - sum(len(canonical(getattr(empty, field)).encode()) for field in fields)
    size = len(character.encode())
    most = "x" * (left % size) + character * (left // size)
    assert registry.update("a", meta={"a": most}).meta == {"a": most}
    with unchanged():
        for call in (
            lambda: registry.update("a", meta={"a": most + "x"}),
            lambda: registry.update("a", description="x", is_production=False),
            lambda: registry.create("b", "x", meta={"a": most + "x"}),
        ):
            with pytest.raises(InvalidInputError, match="takes 1048577 bytes of JSON; 1048576 is the most"):
                call()


def test_too_much_metadata_is_refused_before_anything_is_looked_up(registry):
    """It is invalid whatever the base, so that it is refused before an absent prompt (rule 18)."""
    with pytest.raises(InvalidInputError, match="bytes of JSON"):
        registry.update("absent", meta={"a": "x" * 1024 * 1024})


@pytest.mark.parametrize("character", ["x", "😀"], ids=["1 byte", "4 bytes"])
def test_a_text_may_have_one_mebibyte_and_no_byte_more(registry, unchanged, character):
    """A commit message, which does not count as metadata, has this limit."""
    most = character * (1024 * 1024 // len(character.encode()))
    assert registry.create("a", "x", commit_message=most).commit_message == most
    with unchanged(), pytest.raises(InvalidInputError, match="takes 1048577 bytes of UTF-8; 1048576 is the most"):
        registry.update("a", template="y", commit_message=most + "x")


def test_big_numbers_are_numbers(stocked, unchanged):
    """A limit or position beyond SQLite's integers means everything, or nothing."""
    for big in (2**31, 2**63 - 1, 2**63, 10**30):
        with unchanged():
            assert [v.version for v in stocked.history("a", limit=big, before=big)] == [3, 2, 1]
            assert len(stocked.list(limit=big)) == 1
            assert len(stocked.search("two", limit=big)) == 1
            assert stocked.events(after=big, limit=big) == []
            with pytest.raises(ConflictError):
                stocked.update("a", title="x", expected_version=big)


def test_numbers_that_python_can_not_print_are_refused(stocked, unchanged):
    """A huge version number, wherever one is accepted, raises a PromptregError and never Python's ValueError."""
    calls = {
        "get": {"name": "a", "version": HUGE},
        "get ": {"name": "a@" + "9" * 5000},
        "render": {"version": HUGE},
        "update": {"name": "a", "version": HUGE, "title": "x"},
        "update ": {"name": "a", "expected_version": HUGE, "title": "x"},
        "publish": {"name": "a", "version": HUGE},
        "publish ": {"name": "a", "expected_production": HUGE},
        "rollback ": {"name": "a", "reason": "x", "expected_production": HUGE},
        "rollback": {"name": "a", "version": HUGE, "reason": "x"},
        "discard": {"name": "a", "version": HUGE},
        "set_label": {"name": "a", "label": "x", "version": HUGE},
        "diff": {"name": "a", "old": HUGE, "new": 1},
    }
    with unchanged():
        errors = {verb: answer(stocked, verb, arguments) for verb, arguments in calls.items()}
    assert {verb: type(e).__name__ for verb, e in errors.items() if not isinstance(e, PromptregError)} == {}


def test_unset_is_not_a_template(registry, unchanged):
    """`create`, and a `save` or `seed` that creates, refuse `UNSET` as template."""
    for verb in ("create", "save", "seed"):
        with unchanged(), pytest.raises(InvalidInputError):
            perform(registry, verb, {"name": verb, "template": UNSET})


def test_search_accepts_any_words(stocked, unchanged):
    """Any text, including quotes and operators of the full-text engine, finds prompts or nothing."""
    with unchanged():
        for text in (
            '"',
            "'",
            "AND",
            "a OR",
            "NOT a",
            "NEAR(a b)",
            "a*",
            "^a",
            "(",
            "{a}:b",
            "-a",
            "title:x",
            "☕",
            "a\nb",
        ):
            assert isinstance(stocked.search(text), list)
        assert [p.name for p in stocked.search("two")] == ["a"]
        assert stocked.search("two NOT a") == []


def test_bad_actors_and_grants_are_invalid_input():
    """An actor needs an id, a known role and texts for groups; a grant needs a known principal and permission."""
    for wrong in (
        ("",),
        (" ",),
        (3,),
        (None,),
        (NUL,),
        (SURROGATE,),
        ("x" * 300,),
        ("a", "boss"),
        ("a", "TEAM_ADMIN"),
        ("a", 3),
        ("a", None, "abc"),
        ("a", None, 3),
        ("a", None, [3]),
        ("a", None, [""]),
        ("a", None, [SURROGATE]),
        ("a", None, None),
    ):
        with pytest.raises(InvalidInputError) as caught:
            Actor(*wrong)
        assert caught.value.details["errors"]
    for grants in GRANTS[9:]:
        if isinstance(grants[0], tuple) and len(grants[0]) == 2:
            with pytest.raises(InvalidInputError):
                Grant(*grants[0])


def test_an_anonymous_user_never_becomes_the_application(stocked, unchanged):
    """`scope(actor=None)` raises `UnauthorizedError`, on the registry and on a view."""
    for registry in (stocked, stocked.scope(actor=Actor("ana", "org_admin"))):
        with unchanged(), pytest.raises(UnauthorizedError) as caught:
            registry.scope(actor=None)
        assert (caught.value.code, caught.value.http_status) == ("unauthorized", 401)


CLOSED = [(verb, good) for verb, (good, _) in VERBS.items()] + [
    ("archive", {"name": "a"}),
    ("restore", {"name": "a"}),
    ("namespaces", {}),
    ("verify", {}),
    ("head", {}),
    ("backup", {"path": "backup.db"}),
    ("get cached", {"name": "a", "version": 1}),
    ("set_status nothing", {"names": [], "status": "active"}),
    ("set_status dry", {"names": ["a"], "status": "active", "dry_run": True}),
    ("list nothing", {"status": []}),
]


@pytest.mark.parametrize("target", ["file", ":memory:"])
def test_every_call_on_a_closed_registry_and_its_views_is_a_storage_error(path, target):
    """After `close` only values already returned work; closing again, or closing a view, does nothing."""
    registry = Registry(path if target == "file" else target)
    fill(registry)
    view = registry.scope(namespace="default", actor=Actor("ana", "org_admin"))
    prompt = view.get("a", version=1)
    view.close()
    assert registry.get("a", version=1) == prompt
    with view as same:
        assert same.get("a").version == 2
    registry.close()
    registry.close()
    for opened in (registry, view, same):
        for verb, arguments in CLOSED:
            with pytest.raises(StorageError) as caught:
                perform(opened, verb, arguments)
            assert (caught.value.code, caught.value.http_status) == ("internal_error", 500)
    assert prompt.render().text == "one"


def public_methods():
    """Return the name and the parameters of every public method but `close`."""
    members = {name: member for name, member in vars(Registry).items() if name[0] != "_" and name != "close"}
    return {name: signature(member).parameters for name, member in members.items() if callable(member)}


@pytest.mark.parametrize("target", ["file", ":memory:"])
def test_on_a_closed_registry_no_argument_is_validated(path, target):
    """Every public method raises StorageError, even for arguments that are otherwise refused first."""
    registry = Registry(path if target == "file" else target)
    fill(registry)
    view = registry.scope(namespace="other", actor=Actor("ana", "team_editor"))
    registry.get("a")
    registry.close()
    methods = public_methods()
    assert {"get", "render", "scope", "namespaces", "list"} < methods.keys()
    for opened in (registry, view):
        for name, parameters in methods.items():
            _, *required = [p for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
            by_name = {p.name: object() for p in required if p.kind is p.KEYWORD_ONLY}
            by_place = [p for p in required if p.kind is not p.KEYWORD_ONLY]
            options = {
                p.name: object() for p in parameters.values() if p.kind is p.KEYWORD_ONLY and p.name != "default"
            }
            for argument, chosen in (("a", {}), ("A B", {}), ("a@1", options), (object(), {})):
                with pytest.raises(StorageError, match="closed"):
                    getattr(opened, name)(*[argument] * len(by_place), **{**by_name, **chosen})
        with pytest.raises(StorageError, match="closed"):
            opened.scope(actor=None)
        with pytest.raises(StorageError, match="closed"):
            opened.render("a", 3)
    attributes = [(each.path, each.namespace, each.actor) for each in (registry, view)]
    assert attributes == [(registry.path, "default", None), (registry.path, "other", Actor("ana", "team_editor"))]
    assert "other" in repr(view)


def test_a_default_is_returned_by_a_closed_registry(registry):
    """A closed registry counts as a failing storage, and the name is not validated either."""
    registry.create("a", "one")
    registry.close()
    assert registry.get("a", default=None) is registry.get("A B", default=None) is None
    assert registry.render("a", default="Hi {{ x }}", x=1).text == "Hi 1"
