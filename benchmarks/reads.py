"""Fresh reads against their floors: `get` against `dict[key]`, `render` against a held plain Jinja2 template."""

import tempfile
from pathlib import Path

import jinja2
from timing import Row, print_machine, print_ratios, require_same, rounds_asked

from promptreg import Registry

TEMPLATE = "Summarize in {{ words }} words."


def main() -> None:
    rounds = rounds_asked(__doc__)
    print_machine()
    with tempfile.TemporaryDirectory() as folder, Registry(Path(folder, "prompts.db")) as registry:
        registry.create("summarize", TEMPLATE)
        names = {
            "registry": registry,
            "held": {"summarize": registry.get("summarize")},
            "plain": jinja2.Environment().from_string(TEMPLATE),
        }
        get = Row("get / dict[key]", "registry.get('summarize')", "held['summarize']", names)
        render = Row(
            "render / plain Jinja2, short prompt",
            "registry.render('summarize', words=20)",
            "plain.render(words=20)",
            names,
        )
        require_same([get, render], lambda result: getattr(result, "text", result))
        print_ratios("fresh reads", [get, render], rounds)


if __name__ == "__main__":
    main()
