"""promptreg: a render of a name from a file, always fresh.

A rendered chat prompt makes its messages when they are asked for, so it is measured with them, as all peers give
them, and with its text alone.
"""

from collections.abc import Iterator
from pathlib import Path

from equivalents import joined
from prompts import CHAT
from ways import GIVEN, TEXTS, Way, contents

from promptreg import Registry

PACKAGE = "promptreg-embedded"


def ways(folder: Path) -> Iterator[Way]:
    """Give each prompt from a registry in a file, with default settings."""
    registry = Registry(folder / "prompts.db")
    for name, source in TEXTS.items():
        registry.create(name, source)
        names = {"registry": registry, "values": GIVEN[name]}
        yield Way("promptreg", name, f"registry.render({name!r}, values).text", names, "0")
    flat, values = joined(TEXTS["medium"], GIVEN["medium"])
    registry.create("joined", flat)
    names = {"registry": registry, "values": values}
    yield Way("promptreg, blocks made before", "medium", "registry.render('joined', values).text", names, "0")
    registry.create("chat", CHAT)
    names = {"registry": registry, "values": GIVEN["chat"]}
    rendered = "registry.render('chat', values)"
    yield Way("promptreg", "chat", f"{rendered}.messages", names, "0", contents)
    yield Way("promptreg, messages not asked for", "chat", rendered, names, "0", lambda given: contents(given.messages))
