"""The report: prompts with their versions, differences and events as one page of HTML, which needs no server.

`gathering.py` reads what the page shows, `showing.py` makes plain JSON data of it, `comparing.py` compares versions
side by side, and `document.py` puts the data into the page, whose elements, styles and script are in `page/`.
"""

from collections.abc import Sequence

from promptreg.core import Core
from promptreg.report.document import document
from promptreg.report.gathering import gather
from promptreg.report.showing import Showing
from promptreg.rules.access import View
from promptreg.rules.names import Reference
from promptreg.telemetry.metrics import installed_version

MAX_VERSIONS = 20  # of a prompt, the newest, unless all are asked for
MAX_EVENTS = 200  # likewise


def make_report(core: Core, view: View, references: Sequence[Reference] | None, *, is_all: bool) -> str:
    """Return the page about these prompts, or about all that the actor may read.

    Raises one `NotFoundError` with every name that is not found.
    """
    author = core.planner(view).author
    max_versions, max_events = (None, None) if is_all else (MAX_VERSIONS, MAX_EVENTS)
    gathered = gather(core, view, references, max_versions)
    about = {
        "title": f"Prompts of {view.namespace}",
        "generated_at": author.now,
        "namespace": view.namespace,
        "actor": author.actor,
        "promptreg": installed_version(),
        "max_versions": max_versions,
        "is_selection": references is not None,
    }
    return document(about, map(Showing(core.limits, max_events).prompt, gathered))
