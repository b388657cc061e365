"""The page of a report in a real browser: it asks for nothing, runs nothing of a prompt, and is searched and read."""

from pathlib import Path

import pytest

from tests.browser import Browser
from tests.report_pages import MARKUP, listed

REPLY = "#/support/reply"
ELEMENTS = "script style img svg iframe base meta form input object embed link textarea title".split()


def test_the_page_asks_for_nothing_and_writes_no_message(browser: Browser, shop_page: Path) -> None:
    """Opened as a file, with all its views shown, it loads only itself, breaks no policy and logs no error."""
    browser.open(shop_page)
    for address in ("#/support/reply", "#/support/reply@1..2", "#/chat", "#/", "#/nothing"):
        browser.run("location.hash = arguments[0]", address)
    assert browser.requests() == {shop_page.as_uri()}
    assert browser.messages() == []


def open_everything(browser: Browser, name: str) -> None:
    """Show each version and difference of a prompt, and whatever opens."""
    addresses = [f"#/{name}", f"#/{name}@1..2", f"#/{name}@1", f"#/{name}@2", f"#/{name}@{MARKUP}"]
    for address in addresses:
        browser.run("location.hash = arguments[0]", address)
        browser.settle()
        browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
        browser.settle()


@pytest.mark.parametrize("name", ["text", pytest.param("chat", marks=pytest.mark.slow)])
def test_nothing_of_a_prompt_is_more_than_text(browser: Browser, markup_page: Path, name: str) -> None:
    """Every text of a prompt may be markup: no script runs, no element, link or attribute comes of it, all is shown."""
    browser.open(markup_page)
    count = "return arguments[0].map((tag) => document.querySelectorAll(tag).length)"
    before = browser.run(count, ELEMENTS)
    open_everything(browser, name)
    assert browser.run("return window.hit ?? null") is None
    assert browser.run(count, ELEMENTS) == before
    assert browser.run("return [...document.links].filter((link) => !link.getAttribute('href').startsWith('#'))") == []
    attributes = "return [...document.querySelectorAll('*')].flatMap((each) => each.getAttributeNames())"
    assert [name for name in browser.run(attributes) if name.startswith("on") or name in {"src", "action"}] == []
    assert browser.messages() == []
    assert browser.requests() == {markup_page.as_uri()}
    browser.run("location.hash = arguments[0]", f"#/{name}")
    browser.settle()
    shown = browser.run("return document.querySelector('main').textContent").replace("U+2028", "\u2028")
    assert shown.count(MARKUP) >= 6
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_a_search_shows_the_prompts_with_all_its_words(browser: Browser, shop_page: Path) -> None:
    """It looks in names, titles, descriptions and templates, without case and marks, and says how many it has found."""
    browser.open(shop_page)
    assert browser.text("#found") == "4 prompts"
    for text, expected in {
        "support": ["support/reply"],
        "SMALL talk": ["chat"],
        "unread": ["support/reply"],
        "grusse": ["i18n/willkommen"],
        "STRAẞE": ["i18n/willkommen"],
        "be kind": ["chat"],
        "kind nowhere": [],
    }.items():
        browser.run("arguments[0].select()", browser.all("#text")[0])
        browser.press(text)
        assert listed(browser) == expected, text
    assert browser.text("#found") == "0 of 4 prompts"


def test_a_difference_is_side_by_side_with_its_words_marked(browser: Browser, shop_page: Path) -> None:
    """Old and new stand in one row, removed and added words are marked, and said to a screen reader too."""
    browser.open(shop_page, REPLY)
    browser.click(".tabs a", "Changes since 1")
    assert browser.text("caption") == "Changes from version 1 to version 2: 1 line added, 1 line changed"
    assert (browser.texts("del"), browser.texts("ins")) == (["dear "], ["Write to us."])
    assert browser.texts("tr.changed td") == ["1", "Removed: Hello dear {{ name }}!", "1", "Added: Hello {{ name }}!"]
    old, new = browser.all("tr.changed td.text")
    assert old.location["y"] == new.location["y"]
    assert browser.address == f"{REPLY}@1..2"


@pytest.mark.slow
def test_a_link_to_a_version_opens_it_and_back_goes_back(browser: Browser, shop_page: Path) -> None:
    """The address says prompt, version and difference, by number or label; what is not there is said."""
    browser.open(shop_page, f"{REPLY}@staging")
    assert browser.text(".version.open h4") == "Version 4"
    assert browser.driver.title == "support/reply · Prompts of shop"
    browser.click(".tabs a", "Changes since 3")
    browser.click("#prompts a", "chat archived\nSmall talk")
    assert browser.text("h2") == "chat"
    browser.back()
    assert (browser.text("h2"), len(browser.all(".difference"))) == ("support/reply", 1)
    browser.back()
    assert (browser.text(".version.open h4"), browser.all(".difference")) == ("Version 4", [])
    browser.open(shop_page, f"{REPLY}@77")
    assert browser.text(".notice") == "This page has no version 77."
    browser.open(shop_page, "#/absent%")
    assert browser.text("h2") == "Not in this page"
