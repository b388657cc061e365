"""What a reader sees of a report in a real browser: by mouse and keyboard, on a phone, on paper, by screen reader."""

import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

import promptreg
from promptreg import Prompt, PublishCheckError, Registry, report
from promptreg.harmless import harmless
from tests.browser import Browser
from tests.report_pages import AFTERWARDS, MARKUP, NAMES, listed, many_prompts, written

pytestmark = pytest.mark.slow

REPLY = "#/support/reply"
LANDMARKS = ["banner", "main", "search"]
CONTRASTS = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((each) => each / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const background = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const [r, g, b, alpha = 1] = parse(getComputedStyle(each).backgroundColor);
    if (alpha === 1) return [r, g, b];
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const isSeen = element.checkVisibility() && !element.closest(".hidden, .skip, script");
  if (!walker.currentNode.data.trim() || !isSeen) continue;
  const both = [parse(getComputedStyle(element).color).slice(0, 3), background(element)].map(luminance);
  const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  found.push([contrast, element.className || element.tagName, walker.currentNode.data.trim()]);
}
return found;
"""


def test_what_a_policy_forbids_is_noticed_here(browser: Browser, shop_page: Path) -> None:
    """A script or a style that is added to the page is refused by its policy, and the tests' console shows it."""
    browser.open(shop_page)
    browser.run("""
        const script = document.createElement("script");
        try { script.textContent = "window.hit = 1"; } catch { window.isRefused = true; }
        document.body.setAttribute("style", "color: red");
    """)
    assert browser.run("return [window.isRefused, window.hit ?? null]") == [True, None]
    assert len(browser.messages()) == 2


def test_without_javascript_the_page_says_that_it_needs_it(browser: Browser, shop_page: Path) -> None:
    """Where scripts are turned off, a sentence says so."""
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.driver.get(shop_page.as_uri())
        assert "Allow JavaScript" in browser.driver.find_element("tag name", "noscript").text
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)


def test_a_retired_text_is_not_found_but_a_draft_is(browser: Browser, shop_page: Path) -> None:
    """A search looks in what is live, and in what is newer."""
    browser.open(shop_page)
    for text, expected in {"dear": [], "bye": ["support/reply"]}.items():
        browser.run("arguments[0].select()", browser.all("#text")[0])
        browser.press(text)
        assert listed(browser) == expected, text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("status", "archived", ["chat"]),
        ("state", "draft", ["i18n/willkommen", "support/reply"]),
        ("label", "staging", ["support/reply"]),
        ("tag", "mail", ["i18n/willkommen", "support/reply"]),
        ("category", "support", ["support/reply"]),
        ("owner", "ana", ["chat", "i18n/willkommen", "signs", "support/reply"]),
    ],
)
def test_a_filter_shows_the_prompts_that_have_it(
    browser: Browser, shop_page: Path, name: str, value: str, expected: list[str]
) -> None:
    """Status, state, label, tag, category and creator filter the list; its button takes all filters away."""
    browser.open(shop_page)
    browser.click("#filters summary")
    browser.choose(f"#by-{name}", value)
    assert listed(browser) == expected
    browser.click("#clear")
    assert len(listed(browser)) == 4


def test_filters_and_a_search_go_together(browser: Browser, shop_page: Path) -> None:
    """A prompt is shown where it passes every filter and has every word; the list can be sorted by its last change."""
    browser.open(shop_page)
    browser.click("#filters summary")
    browser.choose("#by-tag", "mail")
    browser.choose("#by-order", "changed")
    assert listed(browser) == ["i18n/willkommen", "support/reply"]
    browser.click("#text")
    browser.press("write")
    assert listed(browser) == ["support/reply"]
    assert browser.text("#found") == "1 of 4 prompts"
    assert browser.text("#active") == "(1 filter)"


def test_versions_say_who_when_why_and_what_was_live_when(browser: Browser, shop_page: Path) -> None:
    """Each version has its author, its time in UTC, its message, and the times it was in production, as the bar."""
    browser.open(shop_page, REPLY)
    first = browser.texts(".version")[-1]
    assert re.search(r"Version 1published.*Initial version.*ana, 1 Jan 2026, 00:00 UTC", first)
    assert re.search(r"In production 1 Jan 2026, 00:00 UTC to 1 Jan 2026, 00:00 UTC \(0 minutes\)", first)
    assert "Version 2in production" in browser.texts(".version")[2]
    assert browser.texts(".track span") == ["1", "2", "3", "2"]
    browser.click("details h4")
    what = browser.texts("details table tbody th")
    assert what == ["Version 1", "Version 2", "Version 3", "Version 2"]
    assert browser.run("return document.querySelector('time').title").endswith("local time")


def test_a_version_shows_template_variables_and_config(browser: Browser, shop_page: Path) -> None:
    """The version in production is open; another one opens by its link."""
    browser.open(shop_page, REPLY)
    assert browser.texts(".panel pre") == ["\n".join(AFTERWARDS), '{\n  "model": "small"\n}']
    assert 'namestringrequired"Ana" "Bo" Of the customer' in browser.text(".panel table tbody")
    browser.click(".version a", "Version 3")
    assert browser.texts(".panel pre")[0] == "Hi {{ name }}"
    assert browser.address == f"{REPLY}@3"


def test_events_are_listed_with_their_reasons(browser: Browser, shop_page: Path) -> None:
    """The events of a prompt are there when they are opened, newest first."""
    browser.open(shop_page, REPLY)
    assert browser.all("main > details table") == []
    browser.click("main > details h3")
    rows = browser.texts("main > details tbody tr")
    assert "set labelversion 4label: staging" in rows[0]
    assert any("rollbackversion 2previous: 3reason: Too short" in row for row in rows)


def test_invisible_characters_are_shown(browser: Browser, shop_page: Path) -> None:
    """What would reorder or hide text is a sign with its code, and every text of a user has its own direction."""
    browser.open(shop_page, "#/signs")
    assert browser.text(".panel pre") == "aU+202EbU+200Bc␛{{ n }}"
    assert browser.texts(".sign") == ["U+202E", "U+200B", "␛"]
    directions = browser.run(
        "return [...document.querySelectorAll('.why, .head p[dir]')].map((e) => e.matches(':dir(rtl)'))"
    )
    assert directions == [True, True]


def test_letters_that_nobody_sees_are_signs_and_emoji_are_not(browser: Browser, tmp_path: Path) -> None:
    """Blank letters and selectors of variants, in which texts have been hidden, have their codes too."""
    registry = Registry(":memory:")
    registry.create("p", "a\u3164b\ufe01c\U000e0101 \u2764\ufe0f \u06dd\u200d", syntax="plain")
    browser.open(written(registry, tmp_path), "#/p")
    assert browser.text(".panel pre") == "aU+3164bU+FE01cU+E0101 \u2764\ufe0f \u06dd\u200d"


def test_the_same_characters_are_signs_here_and_escapes_in_a_terminal(browser: Browser, shop_page: Path) -> None:
    """Nothing that a reviewer sees in one of them is invisible in the other."""
    source = (Path(promptreg.__file__).parent / "report/page/elements.js").read_text()
    ((literal,),) = [re.findall(r"const INVISIBLE =\s+(/.+/gu);", source)]
    browser.open(shop_page)
    signs = browser.run(
        f"const all = [...Array(0x110000).keys()]; return all.filter((n) => String.fromCodePoint(n).match({literal}))"
    )
    escapes = [code for code in range(0x110000) if harmless(chr(code)) != chr(code)]
    assert [hex(code) for code in signs] == [hex(code) for code in escapes]


def test_the_overview_lists_drafts_and_the_latest_changes(browser: Browser, shop_page: Path) -> None:
    """It counts the prompts by status, and links what is not published yet and what has changed."""
    browser.open(shop_page)
    assert browser.text(".counts") == "3 active1 archived"
    assert [text.split(" ")[0] for text in browser.texts(".waiting li")] == ["i18n/willkommen", "support/reply"]
    assert browser.texts("main tbody tr")[0].endswith("anapublishsignsversion 1")


def test_everything_is_reached_by_keyboard(browser: Browser, shop_page: Path) -> None:
    """`/` searches, arrows and Enter choose a prompt, Tab goes on to a version and its differences."""
    browser.open(shop_page)
    browser.press("Tab")
    assert browser.focused == "Skip to the content"
    browser.press("Enter")
    assert browser.run("return document.activeElement.id") == "content"
    browser.press("/", "r", "e", "p", "l", "y", "Arrow_Down")
    assert browser.focused.startswith("support/reply")
    browser.press("Enter")
    assert browser.focused == "support/reply"
    seen = []
    while "Changes since 1" not in seen:
        browser.press("Tab")
        seen.append(browser.focused)
        assert len(seen) < 20, seen
    style = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    browser.press("Enter")
    assert (browser.focused, len(browser.all(".difference"))) == ("Changes since 1", 1)
    assert "As a table" in seen


@pytest.mark.parametrize("address", ["", REPLY, f"{REPLY}@1..2", "#/signs", "#/chat"])
def test_a_phone_scrolls_in_one_direction(browser: Browser, shop_page: Path, address: str) -> None:
    """At a width of 360 pixels nothing is wider than the page."""
    browser.open(shop_page, address, width=360)
    assert browser.run("return document.documentElement.scrollWidth") == 360


def test_on_a_phone_lines_of_a_difference_stand_below_each_other(browser: Browser, shop_page: Path) -> None:
    """The removed line is above the added one; the list gives way to the prompt, and a link leads back to it."""
    browser.open(shop_page, f"{REPLY}@1..2", width=360)
    old, new = browser.all("tr.changed td.text")
    assert old.location["y"] + old.size["height"] <= new.location["y"]
    assert listed(browser) == []
    browser.click(".back a")
    assert len(listed(browser)) == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast_in_both_schemes(browser: Browser, shop_page: Path, scheme: str) -> None:
    """The contrast of each text to its background is at least 4.5, as computed; dark is dark."""
    for address in ("", REPLY, f"{REPLY}@1..2", f"{REPLY}@77", "#/signs"):
        browser.open(shop_page, address, prefers_color_scheme=scheme)
        found = browser.run(CONTRASTS)
        assert len(found) > 20
        assert [each for each in found if each[0] < 4.5] == []
    (paper,) = browser.run("return [getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)]")
    assert (max(paper) < 64) == (scheme == "dark")


def test_a_screen_reader_finds_its_way(browser: Browser, shop_page: Path) -> None:
    """There are landmarks, headings in order, names for all that can be used, captions of tables, and a live count."""
    browser.open(shop_page, f"{REPLY}@1..2")
    tree = browser.accessible()
    named = {(node["role"], node["name"]) for node in tree}
    assert {("navigation", "Prompts"), ("navigation", "Version 2"), ("link", "Changes since 1")} <= named
    assert sorted(node["role"] for node in tree if node["role"] in LANDMARKS) == sorted(LANDMARKS)
    usable = [node for node in tree if node["role"] in {"link", "button", "searchbox", "combobox", "table", "checkbox"}]
    assert [node for node in usable if not node["name"].strip()] == []
    levels = [int(node["level"]) for node in tree if node["role"] == "heading"]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    assert [node["live"] for node in tree if node["role"] == "status"] == ["polite"]
    assert {"deletion", "insertion", "table", "columnheader", "time"} <= {node["role"].lower() for node in tree}
    assert browser.run("return document.documentElement.lang") == "en"


def test_a_printed_page_has_what_is_shown_and_no_controls(browser: Browser, shop_page: Path) -> None:
    """On paper, which is white in any scheme, are the prompt and its difference, not the list and the search."""
    browser.open(shop_page, f"{REPLY}@1..2", media="print", prefers_color_scheme="dark")
    assert (listed(browser), browser.all("#search"), len(browser.all(".difference"))) == ([], [], 1)
    assert [each for each in browser.run(CONTRASTS) if each[0] < 4.5 and each[1] != "now"] == []


def test_nothing_moves_where_the_reader_wants_no_motion(browser: Browser, shop_page: Path) -> None:
    """With reduced motion no element has a transition or an animation."""
    moving = """return [...document.querySelectorAll('*')].filter((element) => {
        const style = getComputedStyle(element);
        return style.transitionDuration !== '0s' || style.animationName !== 'none' || style.scrollBehavior !== 'auto';
    }).length"""
    browser.open(shop_page, REPLY, prefers_reduced_motion="no-preference")
    assert browser.run(moving) > 0
    browser.open(shop_page, REPLY, prefers_reduced_motion="reduce")
    assert browser.run(moving) == 0


def test_a_search_for_markup_and_a_filter_by_it_find_it(browser: Browser, markup_page: Path) -> None:
    """Markup is searched and filtered as any other text."""
    browser.open(markup_page)
    browser.click("#text")
    browser.press("<script>window.hit")
    assert browser.texts("#prompts .name") == ["chat", "text"]
    browser.click("#filters summary")
    browser.choose("#by-tag", MARKUP[:60])
    assert browser.texts("#prompts .name") == ["chat", "text"]
    assert browser.run("return window.hit ?? null") is None


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_language_are_names_as_any_other(browser: Browser, markup_page: Path, name: str) -> None:
    """A prompt, a label or a tag may be called as what every object or the page has."""
    browser.open(markup_page, f"#/{name}@1")
    assert browser.text("h2") == name
    browser.click("#filters summary")
    browser.choose("#by-tag", name)
    assert browser.texts("#prompts .name") == [name]
    label = name if name != "constructor" else "__proto__"
    browser.choose("#by-label", label)
    browser.click(".marks a", f"{label} → 1")
    assert browser.text(".version.open h4") == "Version 1"
    assert browser.messages() == []


def test_a_thousand_prompts_of_twenty_versions_can_be_read(browser: Browser, tmp_path: Path) -> None:
    """Only what is open is built: the page answers a search, a link and a filter, with few elements to a prompt."""
    file = tmp_path / "report.html"
    file.write_text(many_prompts(1_000, 20), encoding="utf-8")
    browser.open(file, "#/prompt/0500@19")
    assert browser.text(".version.open h4") == "Version 19"
    assert browser.run("return document.querySelectorAll('*').length") < 10_000
    top = browser.run("return document.querySelector('#prompts [aria-current]').getBoundingClientRect().top")
    assert 0 < top < 900  # the list has scrolled to it
    browser.click("#text")
    browser.press("prompt/0999")
    assert browser.text("#found") == "1 of 1,000 prompts"
    browser.press("Enter")
    assert browser.text("h2") == "prompt/0999"
    assert len(browser.all(".version")) == 20
    browser.click(".tabs a", "Changes since 19")
    assert len(browser.all(".difference tr.changed")) > 0
    assert browser.messages() == []


@pytest.mark.parametrize("width", [1280, 360])
def test_the_number_of_a_line_stands_on_one_line(browser: Browser, tmp_path: Path, width: int) -> None:
    """However far down the line is, its number and sign make the row no higher."""
    registry = Registry(":memory:")
    lines = ["x"] * 20_000
    registry.create("p", "\n".join([*lines, "One"]))
    registry.update("p", template="\n".join([*lines, "Two"]))
    browser.open(written(registry, tmp_path), "#/p@1..2", width=width)
    assert "20001" in browser.texts("td.number")
    assert len({cell.size["height"] for cell in browser.all(".difference td.number")}) == 1
    overflowing = "return [...document.querySelectorAll('td.number')].filter((it) => it.scrollWidth > it.clientWidth)"
    assert browser.run(overflowing) == []


def long_ago_and_now() -> Registry:
    """Return a registry of a prompt that was disabled before it was live, for a year with one version, then others."""
    times = iter(
        [*(datetime(2025, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)), *[datetime(2026, 1, 1, tzinfo=UTC)] * 9]
    )
    registry = Registry(":memory:", clock=lambda: next(times))
    registry.create("p", "1", is_production=False)
    registry.disable("p")
    registry.enable("p")
    registry.publish("p")
    registry.update("p", template="2")
    registry.set_label("p", "2026..spring", 1)
    registry.set_label("p", "1..2", 1)
    return registry


def test_the_bar_shows_what_is_live_however_short_it_has_been(browser: Browser, tmp_path: Path) -> None:
    """It is at the end, within the bar; what was before the first publication is not in it."""
    browser.open(written(long_ago_and_now(), tmp_path), "#/p")
    assert browser.texts(".track span") == ["1", "2"]
    track, now = (browser.all(selector)[0].rect for selector in (".track", ".track .now"))
    assert now["width"] >= 4
    assert now["x"] + now["width"] == track["x"] + track["width"]


def test_a_label_with_dots_is_a_label(browser: Browser, tmp_path: Path) -> None:
    """What reads as the numbers of a difference is one all the same."""
    file = written(long_ago_and_now(), tmp_path)
    browser.open(file, "#/p@2026..spring")
    assert (browser.text(".version.open h4"), browser.all(".notice")) == ("Version 1", [])
    browser.open(file, "#/p@1..2")
    assert (browser.text(".version.open h4"), len(browser.all(".difference"))) == ("Version 2", 1)
    browser.open(file, "#/p@summer..2")
    assert browser.text(".notice") == "This page has no version summer..2."


def test_times_and_events_that_are_left_out_are_counted(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the table of each, with what shows them."""
    monkeypatch.setattr(report, "MAX_EVENTS", 3)
    registry = Registry(":memory:")
    registry.create("p", "1")
    for number in range(2, 7):
        registry.update("p", template=str(number))
    browser.open(written(registry, tmp_path), "#/p")
    for heading in ("details h4", "main > details h3"):
        browser.click(heading)
    assert browser.texts("details .note") == [
        "3 older times not in this page; promptreg report --all has them.",
        "9 older events not in this page; promptreg report --all has them.",
    ]


def test_an_input_method_keeps_its_arrow_keys(browser: Browser, shop_page: Path) -> None:
    """While a word is composed, they choose among its spellings, and the focus stays in the search."""
    browser.open(shop_page)
    browser.click("#text")
    press = (
        "new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true, cancelable: true, isComposing: arguments[0]})"
    )
    for is_composing, focused in ((True, "text"), (False, "chatarchived")):
        browser.run(f"document.activeElement.dispatchEvent({press})", is_composing)
        assert browser.focused.replace(" ", "").startswith(focused)


def test_a_draft_that_was_overtaken_still_waits(browser: Browser, tmp_path: Path) -> None:
    """A draft is listed, found and filtered as one though a newer version is live."""
    registry = Registry(":memory:")
    registry.create("p", [{"role": "user", "content": "One"}])
    registry.update("p", template=[{"role": "user", "content": 'Say "two"'}], is_production=False)
    registry.update("p", template=[{"role": "user", "content": "Three"}])
    browser.open(written(registry, tmp_path))
    assert browser.text(".waiting").startswith("p version 2 draft")
    for words, count in {'"two"': 1, "three": 1, "one": 0, "user": 0}.items():
        browser.run("arguments[0].select()", browser.all("#text")[0])
        browser.press(words)
        assert len(listed(browser)) == count, words
    browser.click("#filters summary")
    browser.choose("#by-state", "draft")
    assert browser.text("#active") == "(1 filter)"


def test_a_failed_version_says_why(browser: Browser, tmp_path: Path) -> None:
    """The reasons of failed checks stand with the version, and the list and the overview mark it."""

    def holds_no_todo(prompt: Prompt) -> None:
        if "TODO" in str(prompt.template):
            raise ValueError("holds a TODO")

    registry = Registry(":memory:", publish_checks=[holds_no_todo])
    registry.create("p", "One")
    registry.update("p", template="TODO", is_production=False)
    with pytest.raises(PublishCheckError):
        registry.publish("p@2")
    browser.open(written(registry, tmp_path), "#/p@2")
    assert browser.texts(".failure") == ["Check failed: holds_no_todo: holds a TODO"]
    assert browser.texts(".version.open .badge") == ["failed", "latest"]
    assert browser.texts("#prompts .badge") == ["failed"]


def test_the_search_is_a_key_away_on_a_phone_too(browser: Browser, shop_page: Path) -> None:
    """From a prompt, `/` leads to the list, and focuses the search; in a field it is a character."""
    browser.open(shop_page, REPLY, width=360)
    browser.press("/", "k", "/")
    assert (browser.focused, browser.address) == ("text", "#/")
    assert browser.run("return document.activeElement.value") == "k/"


def test_a_report_of_nothing_says_so(browser: Browser, tmp_path: Path) -> None:
    """Without a prompt the page is whole, and says that there is none."""
    browser.open(written(Registry(":memory:"), tmp_path))
    assert browser.text("main") == "OverviewThere is no prompt that may be read here."
    assert browser.text("#found") == "0 prompts"
    assert browser.messages() == []


def test_what_is_not_in_the_page_is_said(browser: Browser, tmp_path: Path) -> None:
    """How many older versions are left out stands below the versions, and numbers are shown as they are stored."""
    registry = Registry(":memory:")
    registry.create("p", "Text 1", config={"seed": 12345678901234567890, "top": 1.0})
    for number in range(2, 24):
        registry.update("p", template=f"Text {number}")
    browser.open(written(registry, tmp_path), "#/p")
    assert len(browser.all(".version")) == 20
    assert browser.text("main > .note") == "3 older versions not in this page; promptreg report --all has them."
    assert browser.texts(".panel pre")[1] == '{\n  "seed": 12345678901234567890,\n  "top": 1.0\n}'
