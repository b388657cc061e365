"""What the errors of a template say about its braces: how to keep some of them, or the whole text, as they are.

Much of what people keep as prompts was never meant as a template: code, CSS, LaTeX, shell, JSON. Such a text is
recognized by a few marks that prose and Jinja2 hardly ever have. A wrong guess costs one sentence in an error, and
changes no text.
"""

import re

MAX_SEARCHED = 50_000  # characters

KEPT = "Braces that are text go between {% raw %} and {% endraw %}."
HANDLEBARS = "Handlebars' {{#if x}} … {{/if}} is {% if x %} … {% endif %} here, and {{#each xs}} is {% for x in xs %}."

_HANDLEBARS = r"\{\{\{?[#/^>] ?\w"  # blocks and partials
_CONTEXTS = "github|secrets|env|matrix|inputs|steps|needs|vars|runner|cancelled|always|success|failure|hashFiles"
_LINE = r"(?m:^)[ \t]{0,40}"
_END = r"[ \t]{0,9}(?m:$)"
_MARKS = {
    "LaTeX": (
        r"\\(?:begin|end|documentclass|usepackage|newcommand|frac|sqrt|section|item|text\w{1,9})\b",
        r"\\[A-Za-z]{2,20}\{",
    ),
    "CSS": (
        r"[{;]\s{0,40}-{0,2}[a-z][a-z-]{0,40}:\s?[^:;{}\n]{1,99};",  # a property
        r"[.#][\w-]{1,40} ?\{",  # a selector
        _LINE + r"@media\b",
    ),
    "HTML or JSX": (r"<(?:!DOCTYPE|html|div|span|script|style|button|input|template)\b", r"=\{\{"),
    "a workflow": (r"\$\{\{ ?!?(?:" + _CONTEXTS + r")\b",),
    "a shell script": (
        r"\A#!|\$\{[#!]\w|\$\(\w|\$[A-Z_]{3,40}\b|; ?then\b|\b(?:awk|sed|grep|xargs) ['\"-]",
        _LINE + r"(?:sudo |echo ['\"$-]|export \w{1,40}=|curl -|apt-get |fi" + _END + ")",
    ),
    "code": (
        r"[)\]}'\"];" + _END,
        r"\w ?= ?[^=;\n][^;\n]{0,99};" + _END,
        r"(?<!\{)\{" + _END,
        r"===|!==|&&|\|\||=> ?[{(]|[$#]\{\w|\w(?:->|::)\w|\bself\.\w",
        r"\b(?:printf|print|println!|console\.log|require)\(",
        r"\b(?:if|for|while|switch) ?\([^)\n]{1,99}\) ?\{",
        r"\b(?:def|func|fn|function|class) \w{1,40} ?[(:{]",
        r"\b(?:const|let|var|int|auto|string) \w{1,40}(?:\[\d{0,9}\]){0,3} ?=",
        r"\bimport [\w{*][^\n]{0,99}\bfrom ['\"]|\bfrom [\w.]{1,99} import |\bSELECT [^\n]{1,99}\bFROM ",
        r"\{%[-+#0]?\d{0,9}(?:\.\d)?[sdifgxuc]\}",  # a conversion of printf between braces
        _LINE + r"(?:#include\b|//|/\*)",
    ),
    "JSON": (r"[\"']\s{0,9}:\s{0,9}(?:[\"'\[{\d-]|true\b|false\b|null\b)", r"\{\s{0,9}\}\}"),
}
"""What a text looks like, and its marks: patterns with bounded repetitions, so that no text takes long to search."""


def of_braces(source: str) -> str:
    """Return what the error of a template that can't be parsed says about its braces.

    >>> print(of_braces("Hello {{ name }"))
     Braces that are text go between {% raw %} and {% endraw %}.
    >>> print(of_braces("body {{ color: red; }}").removeprefix(f" {KEPT}"))
     If this is CSS and no template, save it with syntax="plain": all of it stays as it is.
    """
    if re.search(_HANDLEBARS, source[:MAX_SEARCHED]):
        return f" {KEPT} {HANDLEBARS}"
    return f" {KEPT}{_of_plain(looks_like(source))}"


def of_literal(source: str) -> str:
    """Return what any other error says about a text that does not look like a template.

    It says nothing where the text has JSON, which templates often show.

    >>> print(of_literal("int a[2] = {{1, 2}};"))
     If this is code and no template, save it with syntax="plain": all of it stays as it is.
    """
    kind = looks_like(source)
    return "" if kind == "JSON" else _of_plain(kind)


def looks_like(source: str) -> str | None:
    """Return what else than a template a text looks like; None if nothing."""
    start = source[:MAX_SEARCHED]
    return next((kind for kind, marks in _MARKS.items() if any(re.search(mark, start) for mark in marks)), None)


def _of_plain(kind: str | None) -> str:
    what = f'If this is {kind} and no template, save it with syntax="plain": all of it stays as it is.'
    return "" if kind is None else f" {what}"
