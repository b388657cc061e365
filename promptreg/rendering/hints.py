"""What the errors of a template say about its braces: how to keep some of them, or the whole text, as they are.

Much of what people keep as prompts was never meant as a template: code, CSS, LaTeX, shell, JSON. Such a text is
recognized by a few marks that prose and Jinja2 hardly ever have. A wrong guess costs one sentence in an error, and
changes no text.
"""

import re
from operator import itemgetter

MAX_SEARCHED = 50_000  # characters

KEPT = "Braces that are text go between {% raw %} and {% endraw %}."
FORMATTED = "If its braces are doubled for an f-string, write them single here, and {name} as {{ name }}."

_MUSTACHE = (
    (
        r"\{\{~?(?:\^|#\s?unless\b)",
        "{{^x}} … {{/x}} and {{#unless x}} … {{/unless}} are {% if not x %} … {% endif %} here.",
    ),
    (
        r"\{\{~?(?:#\s?(?:if|each|with)\b|/\s?\w)",
        "Handlebars' {{#if x}} … {{/if}} is {% if x %} … {% endif %} here, and {{#each xs}} is {% for x in xs %}.",
    ),
    (
        r"\{\{~?#\s?\w",
        "Mustache's {{#x}} … {{/x}} is {% if x %} … {% endif %} here, and of a list {% for item in x %}.",
    ),
    (r"(?<!\$)\{\{~?!(?!=)", "A comment {{! … }} is {# … #} here."),
    (r"\{\{~?>\s?[\w'\"]", "Instead of {{> part}} write the part out, or pass its text as a variable: {{ part }}."),
    (r"\{\{&\s?[\w.]{1,99}\s?\}\}", "{{&x}} is {{ x }} here, as nothing is escaped."),
    (
        r"\{\{~?@(?:index|first|last|key)\b",
        "{{@index}} is {{ loop.index0 }} here; @first is loop.first, and @last loop.last.",
    ),
    (r"\{\{~?\.\./", "{{../x}} is {{ x }} here: what is outside a loop can be read inside."),
    (r"\{\{~?\.\s?~?\}\}", "{{.}} is the variable of a loop here: {% for x in xs %}{{ x }}{% endfor %}."),
    (r"\{\{~\s?[\w.]", "{{~x~}} is {{- x -}} here."),
    (r"\{\{\{\s?[\w.]{1,99}\s?\}\}\}", "{{{x}}} is {{ x }} here, as nothing is escaped."),
)
"""Tags of Mustache and Handlebars, and what they are here. Three braces are the last: code may have them too."""

_NAMED = r"(?<!\{)\{[A-Za-z_]\w{0,99}(?:[.\[][^{}\n]{0,99})?\}(?:\}\}){0,9}(?!\})"  # {name}
_DOUBLED = r"\{\{\s{0,99}(?:[\"'}]|\w{1,99}\s?:)"  # the beginning of JSON in an f-string
_ATTRIBUTES = "class(?:Name)?|style|href|src|lang|on[A-Za-z]{4,20}"
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
        r"(?<![\w{])[.#][A-Za-z_][\w-]{0,40} ?\{(?!\{|% )",  # a selector
        _LINE + r"@media\b",
    ),
    "HTML or JSX": (  # tags alone are no sign: prompts mark their parts with <input>, <style> or <template>
        r"<(?:!DOCTYPE\b|div[ >])",
        r"<(?:a|body|button|h[1-6]|html|img|input|li|link|p|script|span|table|td|ul) (?:" + _ATTRIBUTES + ")=",
        r"=\{\{\s{0,40}(?:\.\.\.|['\"]?[A-Za-z][\w-]{0,40}['\"]?\s?:)",  # an object as an attribute
        r"(?<!\{)\{/(?:if|each|await|key)\}",
    ),
    "a workflow": (r"\$\{\{ ?!?(?:" + _CONTEXTS + r")[.(\[]",),
    "a shell script": (
        r"\A#!|\$\{[#!]\w|\$\(\w|\$[A-Z_]{3,40}\b|\]; ?then\b|\b(?:awk|sed|grep|xargs) ['\"-]",
        _LINE + r"(?:sudo |echo ['\"$-]|export \w{1,40}=|curl -|apt-get |fi" + _END + ")",
    ),
    "code": (
        r"[)\]}'\"];" + _END,
        r"\w ?= ?[^=;\n][^;\n]{0,99};" + _END,
        r"[\w)>=] ?\{" + _END,
        r"===|!==|&&|\|\||=> ?[{(]|[$#]\{\w|\w(?:->|::)\w|\bself\.\w",
        r"\b(?:printf|print|println!|console\.log|require)\(",
        r"\b(?:if|for|while|switch) ?\([^)\n]{1,99}\) ?\{",
        r"\b(?:def|func|fn|function|class) \w{1,40} ?(?:\(|\{(?!\{|%))",
        r"\b(?:const|let|var|int|auto|string) \w{1,40}(?:\[\d{0,9}\]){0,3} ?=",
        r"\bimport [\w{*][^\n]{0,99}\bfrom ['\"]|\bfrom [\w.]{1,99} import |\bSELECT [^\n]{1,99}\bFROM ",
        r"\{%[-+#0]?\d{0,9}(?:\.\d)?[sdifgxuc]\}",  # a conversion of printf between braces
        _LINE + r"(?:#include\b|//|/\*|class [A-Z]\w{0,40}:" + _END + ")",
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
    start = source[:MAX_SEARCHED]
    kind = looks_like(start)
    return f" {KEPT}{_of_mustache(start, kind) or _of_formatted(start, kind) or _of_plain(kind)}"


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


def _of_mustache(start: str, kind: str | None) -> str:
    """Return what the first tag of Mustache or Handlebars in a text is here; `""` where there is none."""
    marks = _MUSTACHE if kind in {None, "HTML or JSX"} else _MUSTACHE[:-1]
    found = [(match.start(), advice) for mark, advice in marks if (match := re.search(mark, start))]
    return f" {min(found, key=itemgetter(0))[1]}" if found else ""


def _of_formatted(start: str, kind: str | None) -> str:
    """Return what the doubled braces of an f-string, or of LangChain's default format, are here; `""` where none are.

    Without a name in single braces the text may as well be meant as it stands.
    """
    if kind not in {None, "JSON", "code"} or re.search(_DOUBLED, start) is None:
        return ""
    return f" {FORMATTED}{'' if re.search(_NAMED, start) else _of_plain(kind)}"


def _of_plain(kind: str | None) -> str:
    what = f'If this is {kind} and no template, save it with syntax="plain": all of it stays as it is.'
    return "" if kind is None else f" {what}"
