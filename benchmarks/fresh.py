"""Fresh reads from memory of a registry on PostgreSQL, against the same reads of one in a file, in one run.

Two rows have no goal: the first read after a millisecond, which looks at the listener's socket, and a strict read,
which asks the server each time and takes a round trip.
"""

import sys
import tempfile
from importlib.util import find_spec
from os import environ
from pathlib import Path

from prompts import CHAT, CHAT_VALUES, MEDIUM, SHORT, VALUES
from timing import Options, Row, Tables, measure, require_same, run

from promptreg import Prompt, Registry

sys.path.append(str(Path(__file__).parents[1]))
from tests.postgres import EXISTING, MISSING, programs

if find_spec("psycopg") is not None:
    from schemas import schemas, server

ROUNDS = 40
GOALS = (1.5, 1.1)


def measured(options: Options) -> Tables:
    if find_spec("psycopg") is None or not (environ.get(EXISTING) or programs()):
        print(f"fresh: skipped, {MISSING if find_spec('psycopg') else 'psycopg is not installed'}", file=sys.stderr)
        return {}
    with (
        tempfile.TemporaryDirectory() as folder,
        server() as url,
        schemas(url) as places,
        Registry(Path(folder, "prompts.db")) as file,
        places.registry() as postgres,
        places.registry(freshness="strict") as strict,
    ):
        for registry in (file, postgres):
            registry.create("short", SHORT), registry.create("medium", MEDIUM), registry.create("chat", CHAT)
        names = {
            "expired": expired,
            "file": file,
            "postgres": postgres,
            "strict": strict,
            "values": VALUES,
            "chat_values": CHAT_VALUES,
        }
        rows = [
            Row("fresh get", "postgres.get('short')", "file.get('short')", names, GOALS),
            *(
                Row(
                    f"fresh render, {name}",
                    f"postgres.render({name!r}, {values})",
                    f"file.render({name!r}, {values})",
                    names,
                    GOALS,
                )
                for name, values in (("short", "values"), ("medium", "values"), ("chat", "chat_values"))
            ),
            Row(
                "the first render after a millisecond",
                "expired(postgres).render('short', values)",
                "file.render('short', values)",
                names,
            ),
            Row(
                "strict render, short",
                "strict.render('short', values)",
                "file.render('short', values)",
                names,
                by_clock=True,
            ),
        ]
        require_same(rows, lambda result: result.template if isinstance(result, Prompt) else result.text)
        return {"fresh reads, PostgreSQL / SQLite": measure(rows, options.rounds or ROUNDS)}


def expired(registry: Registry) -> Registry:
    """Have the next read check for changes."""
    registry._core.cache.generation.until = 0
    return registry


if __name__ == "__main__":
    run(__doc__, measured)
