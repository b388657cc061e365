"""Reports of prompts that are markup, in a real browser, where they are never more than text; and a very large one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from promptreg import Actor, Registry, Role
from promptreg.report.document import document
from tests.browser import Browser
from tests.conftest import Ticking

MARKUP = (
    "</script></style></title></textarea><script>window.hit = 1; alert(1)</script><img src=x onerror='window.hit = 2'>"
    "<svg onload='window.hit = 3'></svg><iframe src='javascript:parent.hit = 4'></iframe><a href='javascript:hit = 5'>"
    '<style>* {display: none}</style><base href="https://example.com"><meta http-equiv=refresh content="0;url=x:">'
    "<form action='https://example.com'><input autofocus onfocus='window.hit = 6'><!-- ]]> -->&lt;b&gt;\u2028"
)
ELEMENTS = "script style img svg iframe base meta form input object embed link textarea title".split()
NAMES = ["constructor", "prototype", "tostring", "content", "data", "javascript", "hasownproperty"]


def registry_of_markup() -> Registry:
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


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a registry that is all markup."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    with registry_of_markup() as registry:
        file.write_text(registry.report(), encoding="utf-8")
    return file


def open_everything(browser: Browser, name: str) -> None:
    """Show each version and difference of a prompt, and whatever opens."""
    addresses = [f"#/{name}", f"#/{name}@1..2", f"#/{name}@1", f"#/{name}@2", f"#/{name}@{MARKUP}"]
    for address in addresses:
        browser.run("location.hash = arguments[0]", address)
        browser.settle()
        browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
        browser.settle()


@pytest.mark.parametrize("name", ["text", "chat"])
def test_nothing_of_a_prompt_is_more_than_text(browser: Browser, hostile: Path, name: str) -> None:
    """Every text of a prompt may be markup: no script runs, no element, link or attribute comes of it, all is shown."""
    browser.open(hostile)
    count = "return arguments[0].map((tag) => document.querySelectorAll(tag).length)"
    before = browser.run(count, ELEMENTS)
    open_everything(browser, name)
    assert browser.run("return window.hit ?? null") is None
    assert browser.run(count, ELEMENTS) == before
    assert browser.run("return [...document.links].filter((link) => !link.getAttribute('href').startsWith('#'))") == []
    attributes = "return [...document.querySelectorAll('*')].flatMap((each) => each.getAttributeNames())"
    assert [name for name in browser.run(attributes) if name.startswith("on") or name in {"src", "action"}] == []
    assert browser.messages() == []
    assert browser.requests() == {hostile.as_uri()}
    browser.run("location.hash = arguments[0]", f"#/{name}")
    browser.settle()
    shown = browser.run("return document.querySelector('main').textContent").replace("U+2028", "\u2028")
    assert shown.count(MARKUP) >= 6
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_a_search_for_markup_and_a_filter_by_it_find_it(browser: Browser, hostile: Path) -> None:
    """Markup is searched and filtered as any other text."""
    browser.open(hostile)
    browser.click("#text")
    browser.press("<script>window.hit")
    assert browser.texts("#prompts .name") == ["chat", "text"]
    browser.click("#filters summary")
    browser.choose("#by-tag", MARKUP[:60])
    assert browser.texts("#prompts .name") == ["chat", "text"]
    assert browser.run("return window.hit ?? null") is None


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_language_are_names_as_any_other(browser: Browser, hostile: Path, name: str) -> None:
    """A prompt, a label or a tag may be called as what every object or the page has."""
    browser.open(hostile, f"#/{name}@1")
    assert browser.text("h2") == name
    browser.click("#filters summary")
    browser.choose("#by-tag", name)
    assert browser.texts("#prompts .name") == [name]
    label = name if name != "constructor" else "__proto__"
    browser.choose("#by-label", label)
    browser.click(".marks a", f"{label} → 1")
    assert browser.text(".version.open h4") == "Version 1"
    assert browser.messages() == []


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
    (one,) = data["prompts"]
    return document({**data, "prompts": [{**one, "name": f"prompt/{at:04}"} for at in range(prompts)]})


@pytest.mark.slow
def test_a_thousand_prompts_of_twenty_versions_can_be_read(browser: Browser, tmp_path: Path) -> None:
    """Only what is open is built: the page answers a search, a link and a filter, with few elements to a prompt."""
    file = tmp_path / "report.html"
    file.write_text(many_prompts(1_000, 20), encoding="utf-8")
    browser.open(file, "#/prompt/0500@19")
    assert browser.text(".version.open h4") == "Version 19"
    assert browser.run("return document.querySelectorAll('*').length") < 10_000
    browser.click("#text")
    browser.press("prompt/0999")
    assert browser.text("#found") == "1 of 1,000 prompts"
    browser.press("Enter")
    assert browser.text("h2") == "prompt/0999"
    assert len(browser.all(".version")) == 20
    browser.click(".tabs a", "Changes since 19")
    assert len(browser.all(".difference tr.changed")) > 0
    assert browser.messages() == []
