"""Reading a report's page as a browser does: its elements, and the data in it."""

import json
from html.parser import HTMLParser
from typing import Any


class ReadPage(HTMLParser):
    """The elements of a page: `attributes` of each by its tag, in order, and the `texts` of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self.texts.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.lasttag in {"script", "style"} and self.texts:
            tag, attributes, text = self.texts[-1]
            self.texts[-1] = (tag, attributes, text + data)

    def handle_endtag(self, tag: str) -> None:
        self.lasttag = ""

    @property
    def data(self) -> Any:
        """The JSON of the page's data."""
        (text,) = [text for _, attributes, text in self.texts if attributes.get("type") == "application/json"]
        return json.loads(text)

    @property
    def policy(self) -> str:
        """The content security policy."""
        (policy,) = [a["content"] for _, a in self.attributes if a.get("http-equiv") == "Content-Security-Policy"]
        return str(policy)


def data_of(page: str) -> Any:
    """Return the data of a page."""
    return ReadPage(page).data


def names_in(page: str) -> list[str]:
    """Return the names of the prompts that a page shows."""
    return [prompt["name"] for prompt in data_of(page)["prompts"]]
