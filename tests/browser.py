"""A browser for the tests of reports: headless Chromium, Chrome or Edge, as the system has it, through its driver.

The environment variable `PROMPTREG_TEST_BROWSER` names its program, and `PROMPTREG_TEST_DRIVER` that of its driver.
Else both are looked for where systems put them. Nothing is downloaded.

`python -m tests.browser` says which browser a run would take, and fails where there is none.
"""

import base64
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from selenium.webdriver.remote.webelement import WebElement

EXISTING, EXISTING_DRIVER = "PROMPTREG_TEST_BROWSER", "PROMPTREG_TEST_DRIVER"
BROWSERS = "chromium chromium-browser google-chrome google-chrome-stable".split()
EDGES = "microsoft-edge microsoft-edge-stable".split()
FOLDERS = ("/usr/lib/chromium", "/usr/lib/chromium-browser")
MISSING = f"no browser: install Debian's chromium and chromium-driver, or set {EXISTING} and {EXISTING_DRIVER}"


class Programs(NamedTuple):
    """The programs of a browser and its driver."""

    browser: str
    driver: str

    @property
    def is_edge(self) -> bool:
        return "edge" in Path(self.driver).name


def find(names: Sequence[str], variable: str) -> str | None:
    """Return the program that the environment names, or the first of these that is installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS])
    return os.environ.get(variable) or next(filter(None, map(partial(shutil.which, path=path), names)), None)


def programs() -> Programs | None:
    """Return the browser and its driver, or None where one of them is missing."""
    for browsers, driver in ((BROWSERS, "chromedriver"), (EDGES, "msedgedriver")):
        found = find(browsers, EXISTING), find([driver], EXISTING_DRIVER)
        if found[0] is not None and found[1] is not None:
            return Programs(found[0], found[1])
    return None


class Browser:
    """A page of a headless browser."""

    def __init__(self, found: Programs) -> None:
        """Start the browser; it has no sandbox where it is run by root, who can have none."""
        from selenium import webdriver  # an extra

        is_root = hasattr(os, "getuid") and os.getuid() == 0
        options: Any = webdriver.EdgeOptions() if found.is_edge else webdriver.ChromeOptions()
        options.binary_location = found.browser
        for argument in (
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            *(["--no-sandbox"] if is_root else []),
        ):
            options.add_argument(argument)
        options.set_capability("ms:loggingPrefs" if found.is_edge else "goog:loggingPrefs", dict.fromkeys(LOGS, "ALL"))
        kind: Any = webdriver.Edge if found.is_edge else webdriver.Chrome
        service: Any = webdriver.EdgeService if found.is_edge else webdriver.ChromeService
        self.driver = kind(options=options, service=service(found.driver))

    def open(self, page: Path, address: str = "", *, width: int = 1280, media: str = "", **features: str) -> None:
        """Load a page anew, at a width, with media features such as `prefers_color_scheme="dark"`."""
        chosen = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.command("Emulation.setEmulatedMedia", media=media, features=chosen)
        is_phone = width < 600
        metrics = {"width": width, "height": 740 if is_phone else 900, "deviceScaleFactor": 1, "mobile": is_phone}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        self.driver.get("about:blank")
        for log in LOGS:
            self.driver.get_log(log)
        self.driver.get(page.as_uri() + address)

    def command(self, name: str, **parameters: Any) -> Any:
        """Send a command of the browser's protocol for developer tools."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> "list[WebElement]":
        """Return the elements that are shown."""
        return [element for element in self.driver.find_elements("css selector", selector) if element.is_displayed()]

    def texts(self, selector: str) -> list[str]:
        """Return the texts of the elements that are shown, with what only a screen reader says."""
        return self.run("return arguments[0].map((element) => element.textContent)", self.all(selector))

    def text(self, selector: str) -> str:
        (text,) = self.texts(selector)
        return text

    def click(self, selector: str, text: str | None = None) -> None:
        """Click the first element that is shown, or the first with this text."""
        element = next(each for each in self.all(selector) if text in (None, each.text.strip()))
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        self.settle()

    def settle(self) -> None:
        """Wait until the page has handled the events of what was done, which a browser queues."""
        self.driver.execute_async_script("setTimeout(arguments[0], 1)")

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of the select that is shown."""
        from selenium.webdriver.support.select import Select  # an extra

        (element,) = self.all(selector)
        Select(element).select_by_value(value)
        self.settle()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, where the focus is; `Tab` and such by name."""
        from selenium.webdriver import ActionChains, Keys  # an extra

        for key in keys:
            ActionChains(self.driver).send_keys(getattr(Keys, key.upper(), key)).perform()
            self.settle()

    def back(self) -> None:
        self.driver.back()
        self.settle()

    @property
    def focused(self) -> str:
        """The text of the element that has the focus, or its id where it has none."""
        return self.run("const it = document.activeElement; return it.textContent.trim() || it.id")

    @property
    def address(self) -> str:
        """What stands behind the name of the page."""
        return self.run("return decodeURI(location.hash)")

    def messages(self) -> list[str]:
        """Return what was written to the console since the page was loaded, violations of its policy too."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """Return the addresses that were asked for since the page was loaded, by the page or for it."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [entry["params"] for entry in entries if entry["method"] == "Network.requestWillBeSent"]
        return {each["request"]["url"] for each in sent}

    def accessible(self) -> list[dict[str, Any]]:
        """Return the nodes of the accessibility tree: each a role, a name and its properties."""
        nodes = self.command("Accessibility.getFullAXTree")["nodes"]
        return [_node(node) for node in nodes if not node.get("ignored")]

    def picture(self, file: Path) -> None:
        """Write what is shown to a PNG file."""
        file.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))


LOGS = ("browser", "performance")


def _node(node: dict[str, Any]) -> dict[str, Any]:
    properties = {each["name"]: each["value"].get("value") for each in node.get("properties", [])}
    return {**properties, "role": node["role"]["value"], "name": node.get("name", {}).get("value", "")}


def unable() -> type[Exception]:
    """Return the error of a browser that does not start, as its driver is for another version of it."""
    from selenium.common.exceptions import SessionNotCreatedException  # an extra

    return SessionNotCreatedException


@contextmanager
def started(found: Programs) -> Iterator[Browser]:
    """Run a browser, and end it with its driver."""
    browser = Browser(found)
    try:
        yield browser
    finally:
        browser.driver.quit()


if __name__ == "__main__":
    sys.exit(MISSING if programs() is None else print(*programs() or ()))
