"""A notebook that is run in a real kernel, and what it shows and keeps in its file."""

from pathlib import Path
from typing import Any

import pytest

from tests.test_notebooks import SHORT, Parsed

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # those of the kernel's client
REASON = "no kernel here: install the extra test-notebooks"

CELLS = [
    """from promptreg import Registry
registry = Registry("prompts.db")
_ = registry.create("look", [
    {"role": "system", "content": "You <b>look</b>."},
    {"role": "user", "content": [
        {"type": "text", "text": "What is {{ it }}?"},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/{{ it }}.png"}},
    ]},
])""",
    "registry.get('look')",
    "registry.list()",
    "registry.render('look', it='<script>')",
    "registry.history('look')[0]",
    "registry.history('look')",
    "print(registry.get('look'))",
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Return what a notebook has as the output of each cell, after it was written to a file and read again."""
    nbformat, nbclient, _ = (pytest.importorskip(name, reason=REASON) for name in ("nbformat", "nbclient", "ipykernel"))
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    file = Path(folder, "prompts.ipynb")
    nbformat.write(client.execute(), file)
    return [cell.outputs[0] if cell.outputs else None for cell in nbformat.read(file, as_version=4).cells]


@pytest.mark.parametrize(
    ("cell", "plain", "text"),
    [
        (1, "Prompt(name='look', version=1, state='published', ", "You <b>look</b>."),
        (2, "Page(items=[look@1], next=None)", "1 prompt"),
        (3, "Rendered(name='look', version=1, characters=", "What is <script>?"),
        (4, "Version(name='look', version=1, state='published', ", "What is {{ it }}?"),
    ],
)
def test_a_kernel_shows_a_value_as_html_and_as_a_short_line(shown: list[Any], cell: int, plain: str, text: str) -> None:
    """The last expression of a cell is shown by both; a program that shows no HTML takes the line."""
    data = shown[cell].data
    assert data["text/plain"].startswith(plain)
    assert len(data["text/plain"]) < SHORT
    page = Parsed(data["text/html"])
    assert text in page.text
    assert not {"script", "img", "b"} & set(page.elements)


def test_a_kernel_shows_lists_and_prints_as_lines(shown: list[Any]) -> None:
    """A list of versions is a list of lines, and `print` is short as well."""
    assert "text/html" not in shown[5].data
    assert shown[5].data["text/plain"].startswith("[Version(name='look'")
    assert shown[6].text.startswith("name='look' version=1 ")
    assert len(shown[6].text) < SHORT
