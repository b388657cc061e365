"""Rendering and compiling, with all limits on, against Jinja2 with the same templates and values.

The floor of the fast tier is plain Jinja2, without any limit; the floor of the metered tier is Jinja2's sandbox. Each
is compiled once. The two texts of every row are compared before anything is measured.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jinja2
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment
from prompts import CHAT, CHAT_VALUES, DOCUMENTS, MEDIUM, SHORT, TEXT, VALUES
from pydantic import BaseModel
from timing import Options, Row, Tables, measure, require_same, run

from promptreg import Registry, RenderLimits
from promptreg.jsonvalues import FrozenList, freeze
from promptreg.rendering.metered.compiler import MeteredText
from promptreg.rendering.parsing import parse
from promptreg.rendering.template import CompiledTemplate
from promptreg.rendering.template_text import TemplateText

ROUNDS = 40
LIMITS = RenderLimits()
PLAIN = jinja2.Environment()
PLAIN.filters["tojson"] = partial(json.dumps, ensure_ascii=False)  # as rule 20 has it; Jinja2's own escapes HTML
SANDBOX = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)

GOALS = {  # ratios to the floor: the must goal and the aim, both upper bounds
    "short": (0.08, 0.02),
    "medium": (0.15, 0.10),
    "chat": (0.08, 0.04),
    "plain": (0.08, 0.06),
    "common": (0.5, 0.2),
    "metered": (2.0, 1.3),
    "compile": (1.5, 0.6),
}

COMMON = {
    "upper, lower, capitalize": "{{ company | upper }}: {{ title | capitalize }}, {{ TONE | lower }}.",
    "title": "# {{ title | title }}\n\nAnswer about {{ title }}.",
    "trim, replace": "{{ padded | trim }} and {{ text | replace('&', 'and') }}",
    "default": "Answer in {{ language | default('English') }}, in a {{ mood | default('friendly') }} tone.",
    "what is absent": "{% if context %}Context: {{ context }}\n{% endif %}Answer in a {{ mood or 'friendly' }} tone"
    "{% if document.link %} and with the link{% endif %}.",
    "join, length, first, last": "{{ tags | length }} topics, from {{ tags | first }} to {{ tags | last }}: "
    "{{ tags | join(', ') }}.",
    "tojson": 'Answer about {{ document | tojson }} as {"answer": …}.',
    "loop.index, loop.last": "{% for d in documents %}{{ loop.index }}. {{ d.title }}"
    "{% if not loop.last %}; {% endif %}{% endfor %}",
    "set": "{% set product = company ~ ' ' ~ title %}You sell {{ product }}.\nAlways say {{ product }}, never less.",
    "elif": "{% if tone == 'formal' %}Be formal.{% elif tone == 'plain' %}Be plain.{% elif tone == 'friendly' %}"
    "Be friendly.{% else %}Be yourself.{% endif %}",
    "nested for": "{% for s in sections %}# {{ s.title }}\n{% for line in s.lines %}- {{ line }}\n{% endfor %}"
    "{% endfor %}",
}
COMMON_VALUES: dict[str, Any] = {
    "company": "Tea & Co",
    "title": "shipping abroad",
    "TONE": "Friendly",
    "tone": "friendly",
    "language": "French",
    "padded": "\n  Keep it short.  \n",
    "text": TEXT,
    "tags": ["returns", "shipping", "warranty", "tea", "pots"],
    "document": DOCUMENTS[0],
    "documents": DOCUMENTS,
    "sections": [{"title": title, "lines": ["one", "two", "three", "four"]} for title in ("Do", "Do not", "Maybe")],
}

MACROS = """\
{% macro quoted(d, mark=">") %}{{ mark }} {{ d.title }} ({{ d.date }})
{{ mark }} {{ d.text }}
{% endmacro %}Documents:
{% for d in documents %}{{ quoted(d) }}{% endfor %}{{ quoted(documents[0], mark="#") }}"""

METERED = {
    "macros": MACROS,
    "arithmetic": "{% for o in orders %}{{ o.count }} × {{ o.price }} = {{ o.count * o.price }}, with tax "
    "{{ (o.count * o.price * 119 / 100) | round(2) }}, left {{ (o.count - 1) // 2 + o.price % 3 }}\n{% endfor %}",
    "loops four deep": "{% for a in six %}{% for b in six %}{% for c in six %}{% for d in six %}"
    "{{ a }}{{ b }}{{ c }}{{ d }} {% endfor %}{% endfor %}{% endfor %}{% endfor %}",
    "range, namespace": "{% set n = namespace(total=0) %}{% for i in range(50) %}{% set n.total = n.total + i %}"
    "{% endfor %}{{ n.total }}",
    "sort, map, unique, select": "{{ tags | sort | join(', ') }}; "
    "{{ documents | map(attribute='title') | join(', ') }}; {{ tags | map('upper') | unique | join(' ') }}; "
    "{{ orders | selectattr('count', 'gt', 3) | list | length }}",
    "groupby, sum, dictsort": "{% for kind, some in orders | groupby('kind') %}{{ kind }}: "
    "{{ some | sum(attribute='count') }}\n{% endfor %}"
    "{% for key, value in document | dictsort %}{{ key }}={{ value }}\n{% endfor %}",
}
METERED_VALUES: dict[str, Any] = {
    "documents": DOCUMENTS,
    "document": DOCUMENTS[0],
    "six": [1, 2, 3, 4, 5, 6],
    "tags": ["tea", "pots", "returns", "shipping", "warranty", "tea", "gifts", "pots"],
    "orders": [{"count": n, "price": 3 * n + 2, "kind": ("tea", "pots")[n % 2]} for n in range(1, 9)],
}

OBJECTS = "{{ person.name }} asks:\n{% for d in documents %}{{ d.number }}. {{ d.title }}: {{ d.text }}\n{% endfor %}"


@dataclass(frozen=True)
class Person:
    """An application's dataclass."""

    name: str


class Document(BaseModel):
    """An application's pydantic model."""

    number: int
    title: str
    text: str


OBJECT_VALUES: dict[str, Any] = {"person": Person("Ana"), "documents": [Document(**document) for document in DOCUMENTS]}


def measured(options: Options) -> Tables:
    rounds = options.rounds or ROUNDS
    with Registry(":memory:") as registry:
        prompts, features, metered = prompt_rows(registry), common_rows(), metered_rows()
        require_same([*prompts, *features, *metered], text_of)
        return {
            "rendering three prompts / plain Jinja2": measure(prompts, rounds),
            "rendering common features / plain Jinja2": measure(features, rounds),
            "rendering what is metered / Jinja2's sandbox": measure(metered, rounds),
            "compiling / plain Jinja2's from_string": measure(compile_rows(), rounds),
        }


def text_of(result: Any) -> str:
    """Return the text of a result of either side; messages are joined as promptreg joins them."""
    return "\n\n".join(map(str, result)) if isinstance(result, list) else getattr(result, "text", result)


def prompt_rows(registry: Registry) -> list[Row]:
    """Return the rows of the three prompts, the template alone and `prompt.render`, and of a plain text."""
    rows = []
    for name, source in (("short", SHORT), ("medium", MEDIUM)):
        names = {
            "template": TemplateText(source, LIMITS),
            "plain": PLAIN.from_string(source),
            "prompt": registry.create(name, source),
            "values": read_by(source, VALUES),
        }
        rows += prompt_pair(name, names, "template.render(values)", "plain.render(**values)")
    chat = CompiledTemplate(freeze(CHAT), FrozenList(), LIMITS)
    names = {
        "template": chat,
        "plain": [PLAIN.from_string(message["content"]) for message in CHAT],
        "prompt": registry.create("chat", CHAT),
        "values": CHAT_VALUES,
    }
    alone = "template.render('chat', values, forbids_extra=False)[0]"
    rows += prompt_pair("chat", names, alone, "[message.render(**values) for message in plain]")
    short = rows[0]
    names = {**short.names, "prompt": registry.create("plain", short.results()[1], syntax="plain")}
    return [*rows, Row("plain, prompt.render", "prompt.render()", short.floor, names, GOALS["plain"])]


def prompt_pair(name: str, names: Mapping[str, Any], alone: str, floor: str) -> list[Row]:
    """Return the two rows of a prompt; only the first has goals, because only it measures rendering alone."""
    return [
        Row(f"{name}, alone", alone, floor, names, GOALS[name]),
        Row(f"{name}, prompt.render", "prompt.render(values)", floor, names),
    ]


def read_by(source: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the values that a template reads."""
    read = find_undeclared_variables(PLAIN.parse(source))
    return {name: value for name, value in values.items() if name in read}


def common_rows() -> list[Row]:
    """Return the rows of common features; each names the tier that renders it."""
    rows = []
    for name, source in COMMON.items():
        values = read_by(source, COMMON_VALUES)
        template = TemplateText(source, LIMITS)
        names = {"template": template, "plain": PLAIN.from_string(source), "values": values}
        title = f"{name} ({tier(template, values)})"
        rows.append(Row(title, "template.render(values)", "plain.render(**values)", names, GOALS["common"]))
    return rows


def tier(template: TemplateText, values: dict[str, Any]) -> str:
    """Return the name of the tier that renders these values."""
    try:
        return "metered" if template.fast is None or template.fast(values) is None else "fast"
    except Exception:
        return "metered"


def metered_rows() -> list[Row]:
    """Return the rows of the metered tier; each names the tier that would render it by default.

    The last row is rendered by default: the fast tier tries and fails first.
    """
    rows = []
    texts = [(name, source, METERED_VALUES) for name, source in METERED.items()]
    for name, source, all_values in [*texts, ("dataclass, pydantic", OBJECTS, OBJECT_VALUES)]:
        values, template = read_by(source, all_values), TemplateText(source, LIMITS)
        names = {"template": template, "stock": SANDBOX.from_string(source), "values": values}
        title = f"{name} ({tier(template, values)})"
        rows.append(Row(title, "template.metered(values)", "stock.render(**values)", names, GOALS["metered"]))
    fallback = "the same, the fast tier tried before"
    return [*rows, Row(fallback, "template.render(values)", "stock.render(**values)", names, GOALS["metered"])]


def compile_rows() -> list[Row]:
    """Return the rows of saving a template, and of the first use of the metered tier."""
    rows = []
    chat = [message["content"] for message in CHAT]
    for name, sources in (("short", [SHORT]), ("medium", [MEDIUM]), ("chat", chat), ("macros", [MACROS])):
        names = {"TemplateText": TemplateText, "limits": LIMITS, "plain": PLAIN, "sources": sources}
        names["metered"] = compile_metered
        floor = "for source in sources: plain.from_string(source)"
        saved = "for source in sources: TemplateText(source, limits)"
        first = "for source in sources: metered(source)"
        rows.append(Row(f"{name}: saved", saved, floor, names, GOALS["compile"]))
        rows.append(Row(f"{name}: first metered use", first, floor, names, GOALS["compile"]))
    return rows


def compile_metered(source: str) -> None:
    """Compile as the first render of a fast template that needs the metered tier does."""
    tree, _ = parse(source, LIMITS)
    MeteredText(tree)


if __name__ == "__main__":
    run(__doc__, measured)
