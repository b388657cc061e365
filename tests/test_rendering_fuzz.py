"""Random hostile templates in limited child processes: none escapes, crashes, hangs, leaks or raises a foreign error.

A child renders a series of seeds and prints each one first, so that the parent knows which one killed a child.
"""

import dataclasses
import faulthandler
import json
import re
import reprlib
import resource
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import BaseModel

from promptreg import RenderLimits, TemplateError
from promptreg.jsonvalues import FrozenList
from promptreg.rendering.template import CompiledTemplate
from tests import grammar, grammar_values
from tests.grammar import HOSTILE

MIB = 2**20
SECONDS = 0.2
LIMITS = RenderLimits(seconds=SECONDS)
ADDRESS_SPACE, RESIDENT = 3 * 2**30, 256 * MIB
GRACE = 0.3  # CPU time beyond the deadline: 0.1 s is promised, the rest is for slow machines and measuring
HANGS = 20
STACK = 256 * 1024
LEAKS = re.compile(r" at 0x|<function|<class|<built-in|<module|<generator|<bound method|<coroutine|<frame|<code|sesame")

CODES = [
    "text",
    *["template_syntax_error", "template_policy", "missing_variables", "render_error", "render_limit"],
]
USUAL, RUN = 2000, 500
LONG = 100_000


def snapshot(value: Any, shortened: set[int] | None = None) -> Any:
    """Return the comparable part of a value: the first items of each container, without iterators."""
    shortened = set() if shortened is None else shortened
    if isinstance(value, str | int | float | None):
        return value if isinstance(value, float) else hash(value)
    if id(value) in shortened or len(shortened) > 100:
        return "…"
    shortened.add(id(value))
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return kind, len(value), [(repr(key), snapshot(item, shortened)) for key, item in islice(value.items(), 3)]
    if isinstance(value, list | tuple):
        return kind, len(value), [snapshot(item, shortened) for item in value[:3]]
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return kind, snapshot(vars(value), shortened)
    return kind, vars(value) if type(value) is grammar_values.App else None


def case_of(seed: int) -> tuple[str, dict[str, Any]]:
    """Return the template and the variables of one seed."""
    return grammar.template(Random(f"fuzz {seed}"), HOSTILE), grammar.variables(Random(f"fuzz values {seed}"), HOSTILE)


def rendered(source: str, values: dict[str, Any]) -> tuple[str, list[str]]:
    """Render; return the outcome, and what is wrong with it."""
    try:
        text, _ = CompiledTemplate(source, FrozenList(), LIMITS).render("p", values, forbids_extra=False)
    except TemplateError as error:
        shortened = "".join(traceback.format_exception(error)) + repr(error) + repr(error.to_dict())
        return error.code, ["the error holds a value"] if "sesame" in shortened else []
    except BaseException as error:
        return "foreign", [f"{type(error).__name__}: {str(error)[:200]!a}"]
    return "text", [f"the text holds {leak!r}" for leak in LEAKS.findall(text)[:1]]


def in_small_thread(source: str, values: dict[str, Any]) -> tuple[str, list[str]]:
    """Render in a thread with a stack as small as in servers."""
    result: list[tuple[str, list[str]]] = []
    thread = threading.Thread(target=lambda: result.append(rendered(source, values)))
    thread.start()
    thread.join()
    return result[0]


def outcome(seed: int) -> tuple[str, list[str]]:
    """Render one case, every other one in a thread with a small stack; return the outcome, and what is wrong."""
    source, values = case_of(seed)
    grammar_values.TOUCHED.clear()
    before, began, resident = snapshot(values), time.process_time(), peak()
    ended, wrong = (in_small_thread if seed % 2 else rendered)(source, values)
    took, grown = time.process_time() - began, peak() - resident
    wrong += [f"it took {took:.2f} s of CPU"] if took > SECONDS + GRACE else []
    wrong += [f"it took {grown // MIB} MiB more"] if grown > RESIDENT else []
    wrong += [f"it called the application: {grammar_values.TOUCHED[:3]}"] if grammar_values.TOUCHED else []
    wrong += ["it changed a value of the application"] if snapshot(values) != before else []
    return ended, wrong


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def child(first: int, count: int) -> None:
    """Render a series of seeds, and print each one before, and its outcome after."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.stack_size(STACK)
    warnings.simplefilter("ignore", SyntaxWarning)
    for seed in range(first, first + count):
        faulthandler.dump_traceback_later(HANGS, exit=True)
        print(seed, end=" ", flush=True)
        print(json.dumps(outcome(seed)), flush=True)
    faulthandler.cancel_dump_traceback_later()


def run(first: int, count: int) -> Iterator[tuple[int, str, list[str]]]:
    """Run seeds in a child; if it dies, report the seed that killed it, and continue after it in another child."""
    last = first + count
    while first < last:
        command = [sys.executable, "-m", "tests.test_rendering_fuzz", str(first), str(last - first)]
        done = subprocess.run(
            command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, timeout=60 + count
        )
        for line in done.stdout.splitlines():
            seed, _, shortened = line.partition(" ")
            first = int(seed) + 1
            ended, wrong = (
                json.loads(shortened) if shortened.strip() else ("died", [f"{done.returncode}: {done.stderr[:2000]}"])
            )
            yield int(seed), ended, wrong
        if done.returncode and not done.stdout:
            pytest.fail(f"no child starts: {done.stderr}")


def report(seed: int, wrong: list[str]) -> str:
    """Describe one case in full."""
    source, values = case_of(seed)
    read = {name: shortened(value) for name, value in values.items() if re.search(rf"\b{name}\b", source)}
    return f"seed {seed}: {'; '.join(wrong)}\n  template: {source[:3000]!a}\n  variables: {read}"


def shortened(value: Any) -> str:
    """Return the truncated repr of a value, because some are endless."""
    try:
        return reprlib.repr(value).encode("ascii", "backslashreplace").decode()
    except Exception:
        return object.__repr__(value)


@cache
def counted(first: int, count: int) -> Counter[str]:
    """Run that many cases, some hundreds in each child, fail if one is wrong, and count the outcomes."""
    found: Counter[str] = Counter()
    bad = []
    for start in range(first, first + count, RUN):
        for seed, ended, wrong in run(start, min(RUN, first + count - start)):
            found[ended] += 1
            bad += [(seed, wrong)] if wrong else []
    shortest = sorted(bad, key=lambda case: len(case_of(case[0])[0]))[:5]
    assert not bad, f"{len(bad)} of {count}\n" + "\n".join(report(seed, wrong) for seed, wrong in shortest)
    return found


@pytest.mark.parametrize("count", [USUAL // 20, pytest.param(USUAL, marks=pytest.mark.slow)])
def test_hostile_templates_do_no_harm(count):
    """Every random hostile template ends in text or a PromptregError within the limits, and changes nothing."""
    counted(0, count)


@pytest.mark.slow
def test_the_hostile_cases_reach_every_ending():
    """Some cases are refused when saved, and some when rendered, because otherwise the test would not show both."""
    found = counted(0, USUAL)
    assert [code for code in CODES if found[code] < 0.01 * USUAL] == []


WIDE = {
    "names set in a loop": "{% for a in x %}" + "".join(f"{{% set v{n} = 1 %}}" for n in range(1000)) + "{% endfor %}",
    "braces": "{ " * 300_000,
    "lines of braces": "{\n" * 200_000,
    "outputs": "".join(f"{{{{ v{n} }}}}" for n in range(3000)),
    "loops": "".join(f"{{% for a{n} in x %}}{{{{ a{n} }}}}{{% endfor %}}" for n in range(1500)),
    "macros": "".join(f"{{% macro m{n}(a) %}}{{{{ a }}}}{{% endmacro %}}" for n in range(1500)),
    "lines": " \n" * 300_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDE)
def test_a_long_template_is_saved_in_time(name):
    """Parsing and compiling take time linear in the length of the template."""
    began = time.process_time()
    CompiledTemplate(WIDE[name], FrozenList(), RenderLimits())
    assert time.process_time() - began < 4


@pytest.mark.stress
def test_hostile_templates_do_no_harm_for_long():
    """The usual run holds for fifty times as many cases."""
    counted(USUAL, LONG - USUAL)


if __name__ == "__main__":
    child(int(sys.argv[1]), int(sys.argv[2]))
