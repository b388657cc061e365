"""The page of a report: the assets of `page/` with the data in them, and a policy that lets nothing else run.

The policy holds hashes of exactly the one script and the one style that stand in the page, so that nothing in the data
is ever executed, loaded or sent anywhere, whatever prompts hold.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any

POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
SCRIPTS = "elements addresses list overview prompt version difference events start".split()
STYLES = "base frame prompt version tables media".split()
"""The files of `page/` that the script and the style of a page consist of, in this order."""

_MARK = re.compile("@(policy|style|data|script)@")
_ESCAPED = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""Characters that JSON has only in texts, and that HTML or older JavaScript would read as something else."""


def document(about: Mapping[str, Any], prompts: Iterable[Mapping[str, Any]]) -> str:
    """Return the page that shows this data, in which `prompts` are a list of that name."""
    return "".join(_pieces(about, prompts))


def _pieces(about: Mapping[str, Any], prompts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the page bit by bit, as a page may be large: the data of a prompt is made when it is its turn."""
    script, style = _joined(SCRIPTS, "js"), _joined(STYLES, "css")
    policy = POLICY.format(script=_source(script), style=_source(style))
    parts = {"policy": [policy], "style": [style], "data": _data(about, prompts), "script": [script]}
    for place, piece in enumerate(_MARK.split(_asset("page.html"))):
        yield from parts[piece] if place % 2 else [piece]


def _data(about: Mapping[str, Any], prompts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield embedded({**about, "prompts": []}).removesuffix("]}")
    for number, prompt in enumerate(prompts):
        yield f"{',' * bool(number)}{embedded(prompt)}"
    yield "]}"


def embedded(data: Mapping[str, Any]) -> str:
    r"""Return JSON that can stand within an element of HTML.

    >>> print(embedded({"template": "</script>"}))
    {"template":"\u003c/script\u003e"}
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character, escaped in _ESCAPED.items():
        text = text.replace(character, escaped)
    return text


def _joined(names: Sequence[str], suffix: str) -> str:
    return "\n".join(_asset(f"{name}.{suffix}") for name in names)


def _asset(name: str) -> str:
    """Return a file of `page/`, with the line ends that a browser reads and hashes."""
    return files("promptreg.report").joinpath("page", name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _source(content: str) -> str:
    """Return the expression of the policy that allows an element with this content."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
