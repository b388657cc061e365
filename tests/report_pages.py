"""Reports for the tests in a browser: of a small shop, of markup, and of very many prompts."""

import json
import re
from pathlib import Path
from typing import Any

from promptreg import Actor, Registry, Role
from promptreg.report.document import document
from tests.browser import Browser
from tests.conftest import Ticking

GREETING = ["Hello dear {{ name }}!", "How are you?", "We are here for you."]
AFTERWARDS = ["Hello {{ name }}!", "How are you?", "We are here for you.", "Write to us."]
MARKUP = (
    "</script></style></title></textarea><script>window.hit = 1; alert(1)</script><img src=x onerror='window.hit = 2'>"
    "<svg onload='window.hit = 3'></svg><iframe src='javascript:parent.hit = 4'></iframe><a href='javascript:hit = 5'>"
    '<style>* {display: none}</style><base href="https://example.com"><meta http-equiv=refresh content="0;url=x:">'
    "<form action='https://example.com'><input autofocus onfocus='window.hit = 6'><!-- ]]> -->&lt;b&gt;\u2028"
)
NAMES = ["constructor", "prototype", "tostring", "content", "data", "javascript", "hasownproperty"]


def shop() -> Registry:
    """Return a registry of four prompts, with each kind of version, label and status."""
    registry = Registry(":memory:", clock=Ticking(), namespace="shop")
    ana, bo = (registry.scope(actor=Actor(name, Role.TEAM_ADMIN)) for name in ("ana", "bo"))
    ana.create(
        "support/reply",
        "\n".join(GREETING),
        title="Answer a customer",
        description="Goes out unread.",
        tags=["mail"],
        category="support",
        config={"model": "small"},
        variables=[{"name": "name", "type": "string", "description": "Of the customer", "enum": ["Ana", "Bo"]}],
        access_grants=[("group:sales", "read")],
    )
    bo.update("support/reply", template="\n".join(AFTERWARDS), commit_message="Say where to write")
    bo.update("support/reply", template="Hi {{ name }}", commit_message="Shorter")
    ana.rollback("support/reply", 2, reason="Too short")
    bo.update("support/reply", template="\n".join([*AFTERWARDS, "Bye"]), is_production=False)
    ana.set_label("support/reply", "staging", 4)
    ana.create("i18n/willkommen", "Grüße aus der Straße, {{ name }}", tags=["mail", "german"], is_production=False)
    ana.create("chat", [{"role": "system", "content": "Be kind"}, {"placeholder": "past"}], title="Small talk")
    ana.archive("chat")
    ana.create("signs", "a\u202eb\u200bc\x1b{{ n }}", description="مرحبا", commit_message="أول")
    return registry


def markup() -> Registry:
    """Return a registry in which each text that a caller chooses is markup."""
    registry = Registry(":memory:", clock=Ticking())
    view = registry.scope(actor=Actor(f"a{MARKUP[:90]}", Role.TEAM_ADMIN))
    fields: dict[str, Any] = {
        "syntax": "plain",
        "title": MARKUP,
        "description": MARKUP,
        "category": MARKUP[:60],
        "tags": [MARKUP[:60]],
        "config": {MARKUP: [MARKUP]},
        "meta": {MARKUP: MARKUP},
        "variables": [{"name": "x", "type": "string", "description": MARKUP, "default": MARKUP, "enum": [MARKUP]}],
        "examples": [{"x": MARKUP}],
        "access_grants": [(f"group:{MARKUP[:90]}", "read")],
    }
    view.create("text", MARKUP, commit_message=MARKUP, **fields)
    view.update("text", template=f"{MARKUP}\n{MARKUP} more", commit_message=f"{MARKUP} again")
    view.rollback("text", reason=MARKUP)
    part = {"type": "image_url", "image_url": {"url": "javascript:window.hit = 7"}}
    call = {"id": MARKUP, "type": "function", "function": {"name": MARKUP, "arguments": MARKUP}}
    messages = [
        {"role": "user", "name": MARKUP, "content": [{"type": "text", "text": MARKUP}, part]},
        {"role": "assistant", "tool_calls": [call]},
        {"placeholder": "x"},
    ]
    del fields["variables"], fields["examples"]
    view.create("chat", messages, commit_message=MARKUP, **fields)
    for name in NAMES:
        view.create(name, "{{ x }}", tags=[name], category=name)
        view.set_label(name, name if name != "constructor" else "__proto__", 1)
    return registry


def many_prompts(prompts: int, versions: int) -> str:
    """Return the report of many prompts, made of that of one."""
    with Registry(":memory:", clock=Ticking()) as registry:
        registry.create("p", "\n".join(f"Line {line} of the text of {{{{ name }}}}" for line in range(40)))
        for number in range(2, versions + 1):
            registry.update(
                "p", template="\n".join(f"Line {line} {line % number} of {{{{ name }}}}" for line in range(40))
            )
        found = re.search(r'<script type="application/json" id="data">(.*)</script>\n<script>', registry.report())
    assert found is not None
    data = json.loads(found[1])
    (one,) = data.pop("prompts")
    return document(data, ({**one, "name": f"prompt/{at:04}"} for at in range(prompts)))


def listed(browser: Browser) -> list[str]:
    """Return the names of the prompts in the list of a page."""
    return browser.texts("#prompts .name")


def written(registry: Registry, folder: Path) -> Path:
    """Write the report of a registry to a file, and close the registry."""
    file = folder / "report.html"
    with registry:
        file.write_text(registry.report(), encoding="utf-8")
    return file
