"""Change one place of the code at a time, and list the changes that fail no test.

    python -m tests.mutation --most 60 --seed 1 --only promptreg/rules

Each mutant is written into a copy of the tree, where the tests of its room run until the first one fails. Its result is
appended to a file of JSON lines, so that an interrupted run can be continued; a file that has changed since is tested
again, and `--again` tests the survivors again. The exit status is 1 where mutants survived.

Neither cosmic-ray nor mutmut 3 removes statements or returned values; cosmic-ray runs one test command for all files,
and mutmut calls each function through another one, which breaks the code that inspects frames. Hence this program.
"""

import argparse
import ast
import compileall
import hashlib
import json
import os
import py_compile
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    *("rules", "core.py", "cache.py", "prompt.py", "storage", "telemetry"),
    *(
        "arguments.py",
        "checks.py",
        "fast_read.py",
        "lookup.py",
        "many.py",
        "planning.py",
        "sets.py",
        "syncing.py",
        "templates.py",
        "untrusted.py",
        "vetting.py",
    ),
)
STORAGE = "storage_contract storage_sqlite"
TESTS = {  # by the longest prefix of a file's path; the quickest tests run first
    "promptreg/rules": "rules_versions rules_drafts rules_labels rules_names bad_input model",
    "promptreg/rules/seeding": "rules_seeding rules_seeding_people releases",
    "promptreg/rules/sets": "rules_sets",
    "promptreg/rules/together": "rules_sets",
    "promptreg/rules/sync": "rules_sync rules_sync_labels rules_sync_calls",
    "promptreg/syncing": "rules_sync rules_sync_labels rules_sync_calls",
    "promptreg/sets": "rules_sets",
    "promptreg/vetting": "rules_sets rules_meanwhile",
    "promptreg/rules/access": "rules_people rules_status",
    "promptreg/rules/version_fields": "bad_input values rules_versions rules_drafts rules_variables rules_templates",
    "promptreg/rules/inputs": "bad_input values rules_versions rules_drafts rules_variables rules_templates",
    "promptreg/rules/names": "rules_names bad_input rules_labels rules_people rules_versions",
    "promptreg/rules/statuses": "rules_status rules_people bad_input",
    "promptreg/many": "get_many telemetry_metrics",
    "promptreg/storage/sqlite/queries": "finding paging search",
    "promptreg/core": "cache rules_versions rules_drafts rules_writers reentry interrupts threads telemetry",
    "promptreg/arguments": "bad_input rules_names rules_versions rules_drafts rules_labels rules_status",
    "promptreg/cache": "cache freshness replaced_file",
    "promptreg/checks": "rules_check rules_sets rules_drafts rules_meanwhile rules_templates",
    "promptreg/fast_read": "cache rules_variables telemetry telemetry_metrics",
    "promptreg/lookup": "missing_rows rules_versions rules_people rules_status",
    "promptreg/planning": "rules_versions rules_drafts rules_labels rules_people rules_status rules_meanwhile",
    "promptreg/templates": "cache rules_variables rules_templates",
    "promptreg/untrusted": "untrusted bad_input messages",
    "promptreg/prompt": "values rules_variables rules_templates rules_status errors telemetry_content replaced_file",
    "promptreg/storage": STORAGE,
    "promptreg/storage/sqlite/connections": f"{STORAGE} cache replaced_file reentry interrupts",
    "promptreg/storage/sqlite/erasure": f"{STORAGE} rules_status",
    "promptreg/storage/sqlite/failures": f"{STORAGE} opening reentry",
    "promptreg/storage/slots": f"{STORAGE} slots reentry interrupts",
    "promptreg/storage/sqlite/pool": f"{STORAGE} slots reentry interrupts fork threads",
    "promptreg/storage/sqlite/forks": f"{STORAGE} reentry interrupts fork",
    "promptreg/storage/sqlite/event_log": f"{STORAGE} rules_people",
    "promptreg/storage/sqlite/reader": f"{STORAGE} rules_versions rules_status paging cache rules_people",
    "promptreg/storage/sqlite/writer": f"{STORAGE} rules_versions rules_status paging cache rules_people",
    "promptreg/storage/sqlite/connecting": f"opening {STORAGE} read_only",
    "promptreg/storage/sqlite/files": f"replaced_file {STORAGE}",
    "promptreg/storage/sqlite/queue": f"{STORAGE} rules_writers reentry writers",
    "promptreg/storage/sqlite/readonly": f"read_only {STORAGE}",
    "promptreg/storage/sqlite/sidecar": f"{STORAGE} cache freshness replaced_file",
    "promptreg/storage/sqlite/storage": f"{STORAGE} cache freshness interrupts replaced_file read_only reentry",
    "promptreg/storage/sqlite/change_check": f"{STORAGE} cache freshness replaced_file",
    "promptreg/telemetry": "telemetry telemetry_content telemetry_harmless telemetry_metrics",
    "promptreg/telemetry/links": "telemetry_links telemetry_content",
    "promptreg/telemetry/span_tree": "cli telemetry",
}
LEAST_SECONDS = 60.0  # the least timeout in seconds; it is otherwise a multiple of what the tests take
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add},
}


class Mutant(NamedTuple):
    """One change of one file: bytes from `start` to `end` become `new`."""

    path: str
    line: int
    start: int
    end: int
    old: str
    new: str

    @property
    def change(self) -> str:
        """The change, on one line."""
        return f"{' '.join(self.old.split())}  ->  {self.new}"

    def key(self, source: bytes) -> str:
        """Return its key in the file of results, which is the same as long as the source is."""
        return f"{self.path}:{self.start}:{hashlib.sha256(source).hexdigest()[:12]}:{self.new}"

    def applied_to(self, source: bytes) -> bytes:
        """Return the changed source."""
        return source[: self.start] + self.new.encode() + source[self.end :]


def mutants(path: str, source: str) -> list[Mutant]:
    """Return every mutant of a file, in the order of the source."""
    lines = [0]
    for line in source.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    found = []
    for node in _nodes(ast.parse(source)):
        start = lines[node.lineno - 1] + node.col_offset
        end = lines[node.end_lineno - 1] + node.end_col_offset
        old = source.encode()[start:end].decode()
        found += [Mutant(path, node.lineno, start, end, old, new) for new in _replacements(node)]
    return sorted(found, key=lambda mutant: mutant[2:])


def _nodes(node: ast.AST) -> Iterator[Any]:
    """Walk the code that runs: no annotations, and no f-strings, whose parts have no positions before Python 3.12."""
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for name, value in ast.iter_fields(node):
        if name not in {"annotation", "returns"}:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                    yield from _nodes(child)


def _replacements(node: ast.AST) -> Iterable[str]:
    match node:
        case ast.Compare(left, operators, right):
            for i, operator in enumerate(operators):
                swapped = [*operators[:i], SWAPS[type(operator)](), *operators[i + 1 :]]
                yield f"({ast.unparse(ast.Compare(left, swapped, right))})"
        case ast.BoolOp(operator, values):
            yield f"({ast.unparse(ast.BoolOp(SWAPS[type(operator)](), values))})"
        case ast.UnaryOp(ast.Not(), operand):
            yield f"({ast.unparse(operand)})"
        case ast.BinOp(left, ast.Add() | ast.Sub() as operator, right):
            yield f"({ast.unparse(ast.BinOp(left, SWAPS[type(operator)](), right))})"
        case ast.Constant(bool() as value):
            yield str(not value)
        case ast.Constant(int() as value):
            yield str(value + 1)
        case ast.IfExp(test, body, orelse):
            yield f"({ast.unparse(ast.IfExp(test, orelse, body))})"
        case ast.Return(value) if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            yield "return None"
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Delete() | ast.AugAssign():
            yield "pass"
        case ast.Expr(ast.Call()):
            yield "pass"
        case ast.Assign(targets) if any(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
            yield "pass"


def relevant(path: str) -> list[str]:
    """Return the test files that run for a changed file, and the file itself, for its doctests."""
    longest = max((prefix for prefix in TESTS if path.startswith(prefix)), key=len)
    return [*(f"tests/test_{name}.py" for name in TESTS[longest].split()), path]


def sources(only: str) -> dict[str, str]:
    """Return the source files whose paths in the tree begin with `only`."""
    paths = [
        path
        for room in ROOMS
        for path in sorted((ROOT / "promptreg").glob(f"{room}/**/*.py" if "." not in room else room))
    ]
    named = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    return {name: text for name, text in named.items() if name.startswith(only)}


class Tree:
    """A copy of the tree in which mutants are tested."""

    def __init__(self, folder: str) -> None:
        self.root = Path(folder, "tree")
        ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "dist", "build")
        shutil.copytree(ROOT, self.root, ignore=ignored)
        # Bytecode is checked by the source's hash, because a mutant may have the file's size and modification time.
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(str(self.root), quiet=2, invalidation_mode=mode)
        self._seconds: dict[str, float] = {}

    def result(self, mutant: Mutant, source: bytes) -> str:
        """Return the result of a mutant: `killed`, `timeout` or `survived`."""
        tests = sorted(relevant(mutant.path), key=self._seconds_alone)
        timeout = max(LEAST_SECONDS, 5 * sum(map(self._seconds_alone, tests)))
        file = self.root / mutant.path
        file.write_bytes(mutant.applied_to(source))
        status = self._run(tests, timeout)
        file.write_bytes(source)
        return {None: "timeout", 0: "survived"}.get(status, "killed")

    def _seconds_alone(self, test: str) -> float:
        """Return the seconds that a test file takes on the unchanged code; raise `SystemExit` where it fails there."""
        if test not in self._seconds:
            began = time.monotonic()
            if self._run([test], timeout=None) not in {0, 5}:  # 5: a file without doctests
                sys.exit(f"{test} fails on the code as it is; run it alone first.")
            self._seconds[test] = time.monotonic() - began
        return self._seconds[test]

    def _run(self, tests: list[str], timeout: float | None) -> int | None:
        """Return the exit status of pytest, or None after the timeout, when it and its child processes are killed."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=self.root, env=environment, start_new_session=True, **quiet)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def main() -> int:
    """Test mutants, and list the survivors."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.split("\n")[0])
    parser.add_argument("--most", type=int, default=60, help="mutants to try in this run (60)")
    parser.add_argument("--seed", type=int, default=0, help="which ones are chosen (0)")
    parser.add_argument("--only", default="promptreg/", help="the file or folder to change (promptreg/)")
    parser.add_argument("--again", action="store_true", help="try those that survived once more, and no others")
    parser.add_argument(
        "--results", type=Path, default=ROOT / ".mutants.jsonl", help="what came of each (.mutants.jsonl)"
    )
    asked = parser.parse_args()
    texts = sources(asked.only)
    chosen = {mutant.key(texts[path].encode()): mutant for path in texts for mutant in mutants(path, texts[path])}
    known = read_results(asked.results)
    left = [key for key in chosen if (known.get(key) == "survived" if asked.again else key not in known)]
    Random(asked.seed).shuffle(left)
    with tempfile.TemporaryDirectory() as folder, asked.results.open("a") as results:
        tree = Tree(folder)
        for number, key in enumerate(left[: asked.most], 1):
            mutant = chosen[key]
            known[key] = tree.result(mutant, texts[mutant.path].encode())
            print(json.dumps({"key": key, "result": known[key]}), file=results, flush=True)
            print(f"{number:4}  {known[key]:8}  {mutant.path}:{mutant.line}  {mutant.change}", flush=True)
    survivors = [chosen[key] for key in chosen if known.get(key) == "survived"]
    tried = sum(key in known for key in chosen)
    print(f"{tried} of {len(chosen)} mutants were tried; {len(survivors)} survived{':' if survivors else '.'}")
    for mutant in survivors:
        print(f"{mutant.path}:{mutant.line}  {mutant.change}")
    return 1 if survivors else 0


def read_results(path: Path) -> dict[str, str]:
    """Return the results of the mutants that were tested before."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {line["key"]: line["result"] for line in map(json.loads, lines)}


if __name__ == "__main__":
    sys.exit(main())
