"""The layout: imports go down only, one package imports each dependency, and files and functions are short."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from itertools import combinations
from pathlib import Path

import pytest

import promptreg

ROOT = Path(promptreg.__path__[0])
FILES = {
    ".".join(["promptreg", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}

LAYERS = [
    ["promptreg.cli", "promptreg.plugin"],
    ["promptreg.mcp"],
    ["promptreg.files"],
    ["promptreg.registry"],
    ["promptreg.fast_read", "promptreg.report"],
    ["promptreg.core"],
    [f"promptreg.{name}" for name in "rules rendering storage cache telemetry sdks".split()],
    [f"promptreg.{name}" for name in "notebooks reprs harmless validation".split()],
]
"""From the top; a package imports none of a layer above it."""

KNOWN_TO = {
    "jinja2": "promptreg.rendering",
    "markupsafe": "promptreg.rendering",
    "sqlite3": "promptreg.storage.sqlite",
    "sqlite_utils": "promptreg.storage.sqlite",
    "psycopg": "promptreg.storage.postgres",
    "opentelemetry": "promptreg.telemetry",
    "click": "promptreg.cli",
    "yaml": "promptreg.files.yaml_subset",
    "mcp": "promptreg.mcp",
    "anyio": "promptreg.mcp",
    "pytest": "promptreg.plugin",
}
BESIDE = [
    ("promptreg.rendering.fast", "promptreg.rendering.metered"),
    ("promptreg.storage.sqlite", "promptreg.storage.postgres"),
    *combinations(("promptreg.files.syncing", "promptreg.files.full", "promptreg.files.foreign"), 2),
]
"""Packages that don't know each other."""

NEEDED_LATER = [
    *"yaml mcp anyio pytest promptreg_embedded psycopg difflib opentelemetry.sdk promptreg.telemetry.recorder".split(),
    *(f"promptreg.{name}" for name in "cli files mcp report sdks notebooks reprs harmless validation plugin".split()),
]
"""What is loaded by an application that needs it: the command, files, SDKs, reports, notebooks, tests."""

NEEDED_TO_OPEN = [
    "click",
    *(f"promptreg.{name}" for name in "syncing importing rules.syncing rules.importing dump".split()),
]
"""What opening a registry may load, but `import promptreg` may not; sqlite-utils brings click."""


def imports(module: str) -> set[str]:
    """Return the modules of promptreg, and the third-party packages, that a module imports at run time."""
    found, tree = set(), ast.parse(FILES[module].read_text())
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in FILES else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


IMPORTS = {module: imports(module) for module in FILES}


def within(module: str, package: str) -> bool:
    """Return whether a module is a package, or in it."""
    return f"{module}.".startswith(f"{package}.")


def test_no_import_is_circular():
    """An order exists in which each module is imported after those that it needs."""
    tuple(TopologicalSorter({m: found - {m} for m, found in IMPORTS.items()}).static_order())


@pytest.mark.parametrize("name", KNOWN_TO)
def test_a_dependency_is_imported_by_one_package(name):
    """Replacing a dependency affects only one package, or one module."""
    users = [module for module, found in IMPORTS.items() if any(within(other, name) for other in found)]
    assert users
    assert [module for module in users if not within(module, KNOWN_TO[name])] == []


def test_no_layer_imports_one_above_it():
    """This holds from the command line down to rules, rendering, storage, cache and telemetry."""
    wrong = []
    for i, layer in enumerate(LAYERS):
        for package in layer:
            above = [other for higher in LAYERS[:i] for other in higher]
            for module, found in IMPORTS.items():
                if within(module, package):
                    wrong += [(module, f) for f in found if any(within(f, other) for other in above)]
    assert wrong == []


def test_sibling_packages_do_not_import_each_other():
    """Each can be removed without the other; only `storage/opening.py` imports the databases."""
    for one, other in [*BESIDE, *((other, one) for one, other in BESIDE)]:
        assert not [m for m, found in IMPORTS.items() if within(m, one) and any(within(f, other) for f in found)]
    for database in ("promptreg.storage.sqlite", "promptreg.storage.postgres"):
        outside = [m for m in IMPORTS if not within(m, database)]
        assert [m for m in outside if any(within(f, database) for f in IMPORTS[m])] == ["promptreg.storage.opening"]


def test_an_application_loads_nothing_that_it_does_not_use():
    """`import promptreg`, reads and a render load nothing of the command, files, SDKs, reports, notebooks or tests."""
    use = "r.create('a', '{{ b }}'); r.render('a', b=1).messages; r.get('a').variables; r.list(); r.history('a')"
    show = "print(*sys.modules)"
    program = f"import sys, promptreg; {show}; r = promptreg.Registry(':memory:'); {use}; {show}"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    imported, used = (line.split() for line in printed.splitlines())
    assert "promptreg.rendered" in imported
    assert loaded_of([*NEEDED_LATER, *NEEDED_TO_OPEN], imported) == []
    assert loaded_of(NEEDED_LATER, used) == []


def loaded_of(packages: list[str], modules: list[str]) -> list[str]:
    return [name for name in modules if any(within(name, package) for package in packages)]


def test_no_file_is_long():
    """Each file is short, except `registry.py`, which has the documentation of every verb."""
    paths = [*FILES.values(), *ROOT.glob("report/page/*")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths if path.name != "registry.py"}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_functions_are_short():
    """Half of them have at most six lines, without signature and docstring."""
    lengths = []
    for path in FILES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                lengths.append(body[-1].end_lineno - body[0].lineno + 1 if body else 0)
    assert sorted(lengths)[len(lengths) // 2] <= 6
