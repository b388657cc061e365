"""promptreg: a render of a name from a file, always fresh.

A rendered chat prompt builds its messages when they are read, so it is measured with them, since all peers return
messages, and with its text alone.
"""

from collections.abc import Iterator
from pathlib import Path

from equivalents import joined
from prompts import CHAT
from ways import PROMPT_VALUES, TEXTS, Way, contents

from promptreg import Registry

PACKAGE = "promptreg-embedded"


def ways(folder: Path) -> Iterator[Way]:
    """Yield each prompt from a registry in a file, with default settings."""
    registry = Registry(folder / "prompts.db")
    for name, source in TEXTS.items():
        registry.create(name, source)
        names = {"registry": registry, "values": PROMPT_VALUES[name]}
        yield Way("promptreg", name, f"registry.render({name!r}, values).text", names, "0")
    flat, values = joined(TEXTS["medium"], PROMPT_VALUES["medium"])
    registry.create("joined", flat)
    names = {"registry": registry, "values": values}
    yield Way("promptreg, blocks made before", "medium", "registry.render('joined', values).text", names, "0")
    registry.create("chat", CHAT)
    names = {"registry": registry, "values": PROMPT_VALUES["chat"]}
    rendered = "registry.render('chat', values)"
    yield Way("promptreg", "chat", f"{rendered}.messages", names, "0", contents)
    yield Way(
        "promptreg, messages not asked for", "chat", rendered, names, "0", lambda result: contents(result.messages)
    )
