"""No template can hurt the process: each of the corpus bites where nothing guards, and ends in our error here."""

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
GUARDED = ["saved", "small"]
STOCK = pytest.param("stock", marks=[pytest.mark.slow] if is_recorded() else [])  # anew where Jinja2 or the corpus is

Outcomes = dict[tuple[str, str], Outcome]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """Run every case that the chosen tests ask for, two at a time, and give each outcome by case and way."""
    asked = [item.callspec.params for item in request.session.items if "outcomes" in getattr(item, "fixturenames", ())]
    jobs = [(params["case"].name, params["way"]) for params in asked]
    command = [sys.executable, "-W", "ignore", "-m", "tests.capped"]
    told = subprocess.run(command, cwd=ROOT, input=json.dumps(jobs), stdout=subprocess.PIPE, text=True, check=True)
    lines = map(json.loads, told.stdout.splitlines())
    return {(name, way): Outcome(*fields) for name, way, fields in lines}


def of(*kinds: str) -> pytest.MarkDecorator:
    """Parametrize by the cases of these kinds."""
    cases = [case for case in CASES if case.kind in kinds]
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


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
    """Say what is wrong with how a case ended."""
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
def test_each_case_bites_where_nothing_guards(case: Case, way: str, outcomes: Outcomes) -> None:
    """On stock Jinja2 the template gets what it tries within a tenth of a second, and our tests would tell.

    Where a newer interpreter has mended that, it does not, so the corpus says truly where it bites.
    """
    outcome = outcomes[case.name, way]
    assert bites(case, outcome) is case.bites_here(), outcome
    assert faults(case, outcome) or not case.bites_here(), outcome


@pytest.mark.stress
@of("bomb")
@pytest.mark.parametrize("way", ["patient"])
def test_each_bomb_bites_a_patient_process_too(case: Case, way: str, outcomes: Outcomes) -> None:
    """What stock Jinja2 does not do in a tenth of a second, it does not do in a second either."""
    assert bites(case, outcomes[case.name, way]) is case.bites_here(), outcomes[case.name, way]


@of("escape", "quote")
@pytest.mark.parametrize("way", GUARDED)
def test_no_template_escapes(case: Case, way: str, outcomes: Outcomes) -> None:
    """A refusal, at the latest when rendered, that tells no value and has done nothing to the application."""
    assert faults(case, outcomes[case.name, way]) == [], outcomes[case.name, way]


@of("bomb")
@pytest.mark.parametrize("way", ["saved", pytest.param("small", marks=pytest.mark.slow)])
def test_no_template_overuses_the_process(case: Case, way: str, outcomes: Outcomes) -> None:
    """An error of ours soon after the deadline, in little memory, on a small stack too."""
    assert faults(case, outcomes[case.name, way]) == [], outcomes[case.name, way]


def test_the_corpus_is_large() -> None:
    """At least 100 escapes and 100 bombs, each with a name of its own."""
    assert sum(case.kind == "escape" for case in CASES) >= 100
    assert sum(case.kind == "bomb" for case in CASES) >= 100
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.slow
def test_the_record_is_of_this_corpus() -> None:
    """Whoever changes the corpus, or upgrades Jinja2, records it: until then a plain run shows all of it anew."""
    assert is_recorded()


def test_the_corpus_bites_on_every_interpreter() -> None:
    """All but a few cases bite on whatever runs them, and those few on the oldest that is supported."""
    mended = [case for case in CASES if case.mended_in is not None]
    assert len(mended) <= 5
    assert all(case.mended_in > (3, 11) for case in mended)
