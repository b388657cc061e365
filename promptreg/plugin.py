"""pytest's plugin of promptreg-embedded: the fixtures `prompt_registry` and `prompt_spans`.

A wheel has this file as `promptreg_embedded.py`, beside the package and not in it: pytest imports plugins in every run,
and `import promptreg` takes twice as long as `import pytest`. So nothing of promptreg is imported before a fixture
needs it, and a promptreg that can't be imported breaks no other test.

pytest leaves the assertions of this module as they are: PYTEST_DONT_REWRITE.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from promptreg import Registry
    from promptreg.telemetry.recorder import PromptSpans, SpanRecorder

_SHADOWED = (
    "The package promptreg of promptreg-embedded can't be imported ({error}). If the unrelated package promptreg was"
    " installed beside it: python -m pip uninstall promptreg, then install promptreg-embedded again."
)
_NO_SDK = (
    "prompt_spans needs the SDK of OpenTelemetry, which can't be imported ({error}):"
    " python -m pip install opentelemetry-sdk"
)


@pytest.fixture
def prompt_registry(tmp_path: Path) -> Iterator["Registry"]:
    """Return a new, empty promptreg.Registry, in the file `prompts.db` of `tmp_path`; it is closed after the test.

    To seed prompts for all tests, override it in conftest.py by a fixture of the same name that takes this one.
    """
    try:
        from promptreg import Registry  # noqa: PLC0415
    except ImportError as error:
        raise pytest.fail.Exception(_SHADOWED.format(error=error), pytrace=False) from None
    with Registry(tmp_path / "prompts.db") as registry:
        yield registry


@pytest.fixture(scope="session")
def _prompt_span_recorder() -> "SpanRecorder":
    """Return what records promptreg's spans for `prompt_spans`, in one test after another."""
    try:
        from promptreg import fast_read  # noqa: PLC0415
        from promptreg.telemetry import spans  # noqa: PLC0415
    except ImportError as error:
        raise pytest.fail.Exception(_SHADOWED.format(error=error), pytrace=False) from None
    try:
        from promptreg.telemetry.recorder import SpanRecorder  # noqa: PLC0415
    except ImportError as error:
        raise pytest.fail.Exception(_NO_SDK.format(error=error), pytrace=False) from None
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("OTEL_SDK_DISABLED", raising=False)  # which a provider reads when it is made
        return SpanRecorder(readers=(fast_read, spans))


@pytest.fixture
def prompt_spans(request: pytest.FixtureRequest, _prompt_span_recorder: "SpanRecorder") -> Iterator["PromptSpans"]:
    """Return the spans that promptreg has ended in this process since the test began: a sequence, oldest first.

    They are read-only spans of opentelemetry-sdk, which must be installed. A tracer provider of the application stays
    installed, and gets them too; what its sampler drops is not here. A registry with `spans="attributes"` makes none.
    What `prompt_registry` is seeded with is not here, whatever the order of the fixtures. `prompt_spans.clear()`
    forgets those so far.
    """
    if "prompt_registry" in request.fixturenames:
        request.getfixturevalue("prompt_registry")
    with _prompt_span_recorder.recording() as spans:
        yield spans
