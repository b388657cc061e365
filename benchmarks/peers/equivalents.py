"""The same prompts in the template languages of peers that can't read them unchanged."""

import re
from collections.abc import Mapping
from typing import Any

from ways import PLAIN

BLOCK = re.compile(r"\{% (if|for) .*?\{% end\1 %\}", re.DOTALL)
NAME = re.compile(r"\{\{ (\w+) \}\}")


def joined(source: str, values: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return a template without statements, and its values: each `if` and `for` is rendered in advance.

    >>> joined("{% for n in ns %}{{ n }}, {% endfor %}{{ end }}", {"ns": [1, 2], "end": "and so on"})
    ('{{ block1 }}{{ end }}', {'block1': '1, 2, ', 'end': 'and so on'})
    """
    blocks = {f"block{at}": match.group() for at, match in enumerate(BLOCK.finditer(source), 1)}
    for name, block in blocks.items():
        source = source.replace(block, f"{{{{ {name} }}}}")
    rendered = {name: PLAIN.from_string(block).render(**values) for name, block in blocks.items()}
    passed = {name: str(values[name]) for name in NAME.findall(source) if name in values}
    return source, {**rendered, **passed}


def single_braces(source: str) -> str:
    """Return a template without statements as a Python format string.

    >>> single_braces("Hello {{ name }}!")
    'Hello {name}!'
    """
    return NAME.sub(r"{\1}", source)


def for_trimmed_blocks(source: str) -> str:
    """Return a template that renders to the same text where Jinja drops the line break after a tag.

    >>> for_trimmed_blocks("{% if a %}\\nb{% endif %}")
    '{% if a %}\\n\\nb{% endif %}'
    """
    return source.replace("%}\n", "%}\n\n")
