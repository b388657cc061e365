"""No template can harm the process: each of the corpus succeeds in stock Jinja2, and ends in a TemplateError here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.capped import Outcome
from tests.hostile import CASES, Case, is_recorded

ROOT = Path(__file__).parents[1]
MOST_MEBIBYTES, MOST_CHARACTERS = 256, 1_000_000
REFUSALS = {"TemplateSyntaxError", "TemplatePolicyError", "MissingVariablesError", "RenderError"}
REFUSALS_OF_BOMBS = REFUSALS | {"RenderLimitError", "TemplateError"}
OVERUSES = {"MemoryError", "RecursionError", "OverflowError"}
GUARDED = ["saved", pytest.param("small", marks=pytest.mark.slow)]
STOCK = pytest.param(
    "stock", marks=[pytest.mark.slow] if is_recorded() else []
)  # again if Jinja2 or the corpus has changed

Outcomes = dict[tuple[str, str], Outcome]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """Run every case of the selected tests, two at a time, and return each outcome by case and way."""
    asked = [item.callspec.params for item in request.session.items if "outcomes" in getattr(item, "fixturenames", ())]
    jobs = [(params["case"].name, params["way"]) for params in asked]
    command = [sys.executable, "-W", "ignore", "-m", "tests.capped"]
    completed = subprocess.run(command, cwd=ROOT, input=json.dumps(jobs), stdout=subprocess.PIPE, text=True, check=True)
    lines = map(json.loads, completed.stdout.splitlines())
    return {(name, way): Outcome(*fields) for name, way, fields in lines}


def of(*kinds: str, every: int = 1) -> pytest.MarkDecorator:
    """Parametrize by the cases of these kinds; all but each `every`-th are slow."""
    cases = [case for case in CASES if case.kind in kinds]
    marked = [pytest.param(case, marks=[pytest.mark.slow] if i % every else []) for i, case in enumerate(cases)]
    return pytest.mark.parametrize("case", marked, ids=[case.name for case in cases])


def bites(case: Case, outcome: Outcome) -> bool:
    """Return whether an attack succeeded: a leak, a side effect, an error that quotes a value, or overuse."""
    if case.kind == "escape":
        return bool(outcome.shows or outcome.happened)
    if case.kind == "quote":
        return outcome.ended == "error" and bool(outcome.shows)
    killed = outcome.ended.startswith("SIG")
    foreign = outcome.when == "save" and outcome.error != "TemplateSyntaxError"
    return killed or foreign or outcome.error in OVERUSES or outcome.mebibytes > MOST_MEBIBYTES


def faults(case: Case, outcome: Outcome) -> list[str]:
    """Return what is wrong with the outcome of a case."""
    allowed = REFUSALS_OF_BOMBS if case.kind == "bomb" else REFUSALS
    honest = case.text_is_fine and outcome.ended == "text" and outcome.characters <= MOST_CHARACTERS
    found = {
        f"ended in {outcome.ended} {outcome.error}": not honest and not (outcome.is_ours and outcome.error in allowed),
        f"shows {outcome.shows}": outcome.shows,
        f"raised from a {outcome.context} that quotes a value": outcome.context,
        "changed the application": outcome.happened,
        f"took {outcome.mebibytes} MiB": outcome.mebibytes > MOST_MEBIBYTES,
    }
    return [fault for fault, is_so in found.items() if is_so]


@of("escape", "bomb", "quote")
@pytest.mark.parametrize("way", [STOCK])
def test_each_case_bites_in_stock_jinja(case: Case, way: str, outcomes: Outcomes) -> None:
    """On stock Jinja2 each attack succeeds within a tenth of a second, so that the tests below would notice it.

    Where a newer interpreter has fixed the problem, the attack fails, as the corpus says.
    """
    outcome = outcomes[case.name, way]
    assert bites(case, outcome) is case.bites_here(), outcome
    assert faults(case, outcome) or not case.bites_here(), outcome


@pytest.mark.stress
@of("bomb")
@pytest.mark.parametrize("way", ["patient"])
def test_each_bomb_bites_a_patient_process_too(case: Case, way: str, outcomes: Outcomes) -> None:
    """A bomb that exceeds a tenth of a second in stock Jinja2 exceeds a second too."""
    assert bites(case, outcomes[case.name, way]) is case.bites_here(), outcomes[case.name, way]


@of("escape", "quote", every=9)
@pytest.mark.parametrize("way", GUARDED)
def test_no_template_escapes(case: Case, way: str, outcomes: Outcomes) -> None:
    """Each escape is refused, at the latest on rendering, without a value in the error or a side effect."""
    assert faults(case, outcomes[case.name, way]) == [], outcomes[case.name, way]


@of("bomb", every=5)
@pytest.mark.parametrize("way", GUARDED)
def test_no_template_overuses_the_process(case: Case, way: str, outcomes: Outcomes) -> None:
    """Each bomb ends in a TemplateError soon after the deadline, in little memory, on a small stack too."""
    assert faults(case, outcomes[case.name, way]) == [], outcomes[case.name, way]


def test_the_corpus_is_large() -> None:
    """It has at least 100 escapes and 100 bombs, each with a unique name."""
    assert sum(case.kind == "escape" for case in CASES) >= 100
    assert sum(case.kind == "bomb" for case in CASES) >= 100
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.slow
def test_the_recorded_outcomes_are_of_this_corpus() -> None:
    """After a change of the corpus or Jinja2 the outcomes must be recorded again; until then every run tests all."""
    assert is_recorded()


def test_the_corpus_bites_on_every_interpreter() -> None:
    """All but a few cases bite on every interpreter, and those few on the oldest supported one."""
    fixed = [case for case in CASES if case.fixed_in is not None]
    assert len(fixed) <= 5
    assert all(case.fixed_in > (3, 11) for case in fixed)
