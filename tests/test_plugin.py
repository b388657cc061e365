"""The pytest plugin: its two fixtures, and that it is in nobody's way.

Most tests run pytest in this process, with this plugin alone; those that need a new one are slow.
"""

import inspect
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import promptreg
from promptreg import plugin
from promptreg.telemetry import compat, recorder, spans
from tests.otel import provided, unprovided

pytest_plugins = ["pytester"]

UNRELATED = {"promptreg", "promptreg_db", "promptreg_run", "prompt_regression", "promptreg.pytest_plugin"}
"""What the unrelated package `promptreg` registers: its plugin, its fixtures, and the module of these."""

ALONE = ("-p", "promptreg_embedded", "-p", "no:cacheprovider")


def run(pytester: pytest.Pytester, test: str, *arguments: str, **outcomes: int) -> pytest.RunResult:
    """Run a test file with this plugin alone, warnings as errors, and compare how many passed and failed."""
    pytester.makepyfile(test)
    with unprovided():
        result = pytester.runpytest_inprocess(*arguments, *ALONE, "-W", "error", "--strict-markers")
    result.assert_outcomes(**outcomes)
    return result


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of pytest within a test load no other plugin."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


class TestInstalled:
    """What pytest finds where promptreg-embedded is installed."""

    def test_the_distribution_has_the_plugin_as_a_module_beside_the_package(self) -> None:
        """Its name is that of the entry point, so that `-p`, `pytest_plugins` and PYTEST_PLUGINS mean one plugin.

        If this fails in a checkout, install it again: `pip install -e .` copies the file.
        """
        found = {point.name: point for point in entry_points(group="pytest11") if point.dist is not None}
        assert found["promptreg_embedded"].value == "promptreg_embedded"
        assert found["promptreg_embedded"].dist.name == "promptreg-embedded"
        spec = find_spec("promptreg_embedded")
        assert spec is not None and spec.origin is not None  # noqa: PT018
        assert Path(spec.origin).read_bytes() == Path(inspect.getfile(plugin)).read_bytes()

    def test_a_run_that_uses_no_fixture_imports_nothing_of_promptreg(self) -> None:
        """Nor does it import pydantic, or OpenTelemetry."""
        program = (
            "import pytest, sys; old = set(sys.modules); import promptreg_embedded; print(*set(sys.modules) - old)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["promptreg_embedded"]

    def test_no_name_is_one_of_the_unrelated_package(self) -> None:
        """The plugin, the fixtures and the module have other names, and it adds no option, marker or setting."""
        ours = {name for name, value in vars(plugin).items() if name[0] != "_" and not inspect.ismodule(value)}
        assert not {"promptreg_embedded", *ours} & UNRELATED
        assert find_spec("promptreg.pytest_plugin") is None
        assert not any(name.startswith("pytest_") for name in ours)

    def test_a_promptreg_that_was_imported_before_pytest_is_no_warning(self, pytester: pytest.Pytester) -> None:
        """`PYTEST_DONT_REWRITE` in the docstrings says so, for `pytest.main` in a script or a notebook."""
        assert "PYTEST_DONT_REWRITE" in (promptreg.__doc__ or "")
        config = pytester.parseconfig("-p", "no:promptreg_embedded", "-W", "error")
        config.pluginmanager.rewrite_hook.mark_rewrite("promptreg")


class TestRegistry:
    """The fixture `prompt_registry`."""

    def test_each_test_gets_an_empty_registry_in_its_folder(self, pytester: pytest.Pytester) -> None:
        """Its file is in `tmp_path`, so that threads and processes share it as in production."""
        test = """
            from pathlib import Path
            import pytest
            from promptreg import Registry

            @pytest.mark.parametrize("number", [1, 2])
            def test_it(number, prompt_registry, tmp_path):
                assert Path(prompt_registry.path) == tmp_path / "prompts.db"
                assert prompt_registry.list().items == []
                prompt_registry.create("greet", "Hello {{ name }}!")
                with Registry(prompt_registry.path) as other:
                    assert other.render("greet", name="Ana").text == "Hello Ana!"
        """
        run(pytester, test, passed=2)

    def test_it_is_closed_after_the_test(self, pytester: pytest.Pytester) -> None:
        """A call after it is refused."""
        test = """
            import pytest
            from promptreg import StorageError
            kept = []

            def test_one(prompt_registry):
                kept.append(prompt_registry)

            def test_two():
                with pytest.raises(StorageError) as refused:
                    kept[0].list()
                assert refused.value.details["reason"] == "closed"
        """
        run(pytester, test, passed=2)

    def test_a_conftest_may_override_it_to_seed_prompts(self, pytester: pytest.Pytester) -> None:
        """The fixture of the same name takes this one."""
        pytester.makeconftest("""
            import pytest

            @pytest.fixture
            def prompt_registry(prompt_registry):
                prompt_registry.seed("greet", "Hello {{ name }}!")
                return prompt_registry
        """)
        test = """
            def test_it(prompt_registry):
                assert prompt_registry.render("greet", name="Ana").text == "Hello Ana!"
        """
        run(pytester, test, passed=1)

    def test_the_help_of_fixtures_has_both(self, pytester: pytest.Pytester) -> None:
        """`pytest --fixtures` says what they are."""
        result = run(pytester, "", "--fixtures")
        result.stdout.fnmatch_lines(["prompt_registry*", "*Return a new, empty promptreg.Registry*", "prompt_spans*"])

    def test_a_package_that_cannot_be_imported_is_named_with_what_to_do(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The unrelated package may have replaced it; tests that use no fixture pass."""
        monkeypatch.setitem(sys.modules, "promptreg", type(sys)("promptreg"))
        monkeypatch.delitem(sys.modules, "promptreg.fast_read")
        test = """
            def test_of_something_else(): pass
            def test_registry(prompt_registry): pass
            def test_spans(prompt_spans): pass
        """
        result = run(pytester, test, passed=1, errors=2)
        result.stdout.fnmatch_lines(["*promptreg-embedded can't be imported*pip uninstall promptreg*"] * 2)


class Unhashable(TracerProvider):
    """A provider that compares by value, as that of Logfire."""

    __hash__ = None  # type: ignore[assignment]


CALLS = """
            def calls(registry):
                registry.create("greet", "Hello {{ name }}!")
                registry.get("greet")
                registry.render("greet", name="Ana")
                registry.update("greet", template="Hi {{ name }}!")
                registry.render("greet", name="Ana")
"""
NAMES = ["create_prompt greet", "get_prompt greet", "render_prompt greet", "update_prompt greet", "render_prompt greet"]


class TestSpans:
    """The fixture `prompt_spans`."""

    def test_it_has_each_call_of_the_test_with_its_attributes(self, pytester: pytest.Pytester) -> None:
        """They are the SDK's spans, oldest first, in a sequence."""
        test = f"""{CALLS}
            def test_it(prompt_registry, prompt_spans):
                calls(prompt_registry)
                assert [span.name for span in prompt_spans] == {NAMES}
                assert len(prompt_spans) == 5
                assert prompt_spans[-1].attributes["gen_ai.prompt.name"] == "greet"
                assert [s.attributes["gen_ai.prompt.version"] for s in prompt_spans[1:]] == ["1", "1", "2", "2"]
                assert prompt_spans[-1].attributes["promptreg.namespace"] == "default"
                assert prompt_spans.get_finished_spans() == tuple(prompt_spans)
                assert repr(prompt_spans) == "<PromptSpans {NAMES}>"
        """
        run(pytester, test, passed=1)

    def test_it_has_errors_with_their_codes(self, pytester: pytest.Pytester) -> None:
        """A refused call has a span too."""
        test = """
            import pytest
            from promptreg import NotFoundError

            def test_it(prompt_registry, prompt_spans):
                with pytest.raises(NotFoundError):
                    prompt_registry.render("absent")
                assert prompt_spans[0].attributes["promptreg.error.code"] == "not_found"
                assert not prompt_spans[0].status.is_ok
        """
        run(pytester, test, passed=1)

    def test_it_has_the_spans_of_its_test_alone(self, pytester: pytest.Pytester) -> None:
        """A registry that many tests share, opened at import and used before, is recorded from the test's start on."""
        test = """
            from promptreg import Registry
            registry, kept = Registry(":memory:"), []
            registry.create("greet", "Hello")

            def test_one(prompt_spans):
                registry.render("greet")
                registry.render("greet")
                kept.append(prompt_spans)
                assert len(prompt_spans) == 2
                prompt_spans.clear()
                assert not prompt_spans
                registry.render("greet")

            def test_two():
                registry.render("greet")
                assert len(kept[0]) == 1

            def test_three(prompt_spans):
                registry.render("greet")
                assert [span.name for span in prompt_spans] == ["render_prompt greet"]
                assert len(kept[0]) == 1

            def teardown_module():
                registry.close()
        """
        run(pytester, test, passed=3)

    def test_it_leaves_promptreg_as_it_was(self, pytester: pytest.Pytester) -> None:
        """After the run nothing is patched, and a registry that was recorded records nothing."""
        before = vars(spans.Instrumentation)["tracer"]
        run(pytester, "def test_it(prompt_registry, prompt_spans): prompt_registry.list()", passed=1)
        assert vars(spans.Instrumentation)["tracer"] is before
        assert spans.TRACE_STATE is compat.TRACE_STATE
        assert promptreg.fast_read.TRACE_STATE is compat.TRACE_STATE

    @pytest.mark.parametrize("order", ["prompt_registry, prompt_spans", "prompt_spans, prompt_registry"])
    def test_what_a_registry_is_seeded_with_is_not_in_it(self, pytester: pytest.Pytester, order: str) -> None:
        """This holds whatever the order of the fixtures."""
        pytester.makeconftest("""
            import pytest

            @pytest.fixture
            def prompt_registry(prompt_registry):
                prompt_registry.seed("greet", "Hello")
                return prompt_registry
        """)
        test = f"""
            def test_it({order}):
                prompt_registry.render("greet")
                assert [span.name for span in prompt_spans] == ["render_prompt greet"]
        """
        run(pytester, test, passed=1)

    def test_it_needs_no_registry_of_the_plugin(self, pytester: pytest.Pytester, tmp_path: Path) -> None:
        """The application's own registries are recorded, and no file is made."""
        test = """
            from promptreg import Registry

            def test_it(prompt_spans, tmp_path):
                with Registry(":memory:") as registry:
                    registry.scope(namespace="shop").create("greet", "Hello")
                assert prompt_spans[0].attributes["promptreg.namespace"] == "shop"
                assert list(tmp_path.iterdir()) == []
        """
        run(pytester, test, passed=1)

    def test_it_has_the_spans_of_every_thread(self, pytester: pytest.Pytester) -> None:
        """Those of a pool of workers are in it, each once."""
        test = """
            from concurrent.futures import ThreadPoolExecutor

            def test_it(prompt_registry, prompt_spans):
                prompt_registry.create("greet", "Hello {{ name }}")
                prompt_spans.clear()
                with ThreadPoolExecutor(4) as pool:
                    list(pool.map(lambda number: prompt_registry.render("greet", name=number), range(20)))
                assert len(prompt_spans) == 20
        """
        run(pytester, test, passed=1)

    def test_a_process_without_a_provider_has_none_afterwards(self, pytester: pytest.Pytester) -> None:
        """The application's own code records nothing either, and may install its provider during the test."""
        test = """
            from opentelemetry import trace
            from opentelemetry.sdk.trace import TracerProvider
            application = trace.get_tracer("application")

            def test_it(prompt_registry, prompt_spans):
                prompt_registry.list()
                assert not application.start_span("call").is_recording()
                provider = TracerProvider(shutdown_on_exit=False)
                trace.set_tracer_provider(provider)
                assert trace.get_tracer_provider() is provider
                with application.start_as_current_span("call") as span:
                    prompt_registry.list()
                assert [s.name for s in prompt_spans] == ["list_prompts", "list_prompts"]
                assert prompt_spans[1].parent.span_id == span.get_span_context().span_id
        """
        run(pytester, test, passed=1)

    def test_the_provider_of_the_application_stays_and_gets_the_spans_too(self, pytester: pytest.Pytester) -> None:
        """They are the same spans, below those of the application; and of many tests each is in one place once."""
        exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        pytester.makepyfile("""
            import pytest
            from opentelemetry import trace

            @pytest.mark.parametrize("number", [1, 2])
            def test_it(number, prompt_registry, prompt_spans):
                with trace.get_tracer("application").start_as_current_span("call") as call:
                    prompt_registry.create("greet", "Hello")
                    prompt_registry.render("greet")
                assert [span.name for span in prompt_spans] == ["create_prompt greet", "render_prompt greet"]
                assert {span.parent.span_id for span in prompt_spans} == {call.get_span_context().span_id}
        """)
        with provided(provider):
            pytester.runpytest_inprocess(*ALONE).assert_outcomes(passed=2)
            assert trace.get_tracer_provider() is provider
        names = [span.name for span in exporter.get_finished_spans()]
        assert names == ["create_prompt greet", "render_prompt greet", "call"] * 2

    def test_what_the_sampler_of_the_application_drops_is_not_in_it(self) -> None:
        """As in production, where it would not be exported."""
        provider = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
        with promptreg.Registry(":memory:") as registry, provided(provider), recording() as found:
            registry.list()
        assert not found

    def test_the_provider_of_the_application_is_not_changed(self) -> None:
        """Nothing is added to it that would stay after the test."""
        provider = TracerProvider(shutdown_on_exit=False)
        before = provider._active_span_processor._span_processors
        with promptreg.Registry(":memory:") as registry, provided(provider), recording() as found:
            registry.list()
        assert len(found) == 1
        assert provider._active_span_processor._span_processors == before

    def test_a_span_is_there_once_it_has_ended(self) -> None:
        """One that has not ended is not, is not forgotten by `clear`, and comes after those that ended before it."""
        seen = []

        def check(prompt: promptreg.Prompt) -> None:
            registry.list()
            seen.append([span.name for span in found])
            found.clear()
            registry.search("any")

        with promptreg.Registry(":memory:", publish_checks=[check]) as registry, unprovided(), recording() as found:
            registry.create("greet", "Hello")
        assert seen == [["list_prompts"]]
        assert [span.name for span in found] == ["search_prompts", "create_prompt greet"]

    def test_a_provider_without_a_hash_is_recorded(self) -> None:
        """Some wrap the SDK's in a class that compares by value."""
        provider = Unhashable(shutdown_on_exit=False)
        with promptreg.Registry(":memory:") as registry, provided(provider), recording() as found:
            registry.list()
        assert [span.name for span in found] == ["list_prompts"]

    def test_a_registry_that_makes_no_spans_has_none(self) -> None:
        """With `spans="attributes"` the application's own span has what there is."""
        with promptreg.Registry(":memory:", spans="attributes") as registry, unprovided(), recording() as found:
            registry.create("greet", "Hello")
            assert registry.render("greet").text == "Hello"
        assert not found

    def test_a_provider_that_takes_no_processor_does_without(self) -> None:
        """That of another vendor, or of an application that turned tracing off, stays, and spans are recorded."""
        with promptreg.Registry(":memory:") as registry, provided(trace.NoOpTracerProvider()), recording() as found:
            registry.list()
        assert [span.name for span in found] == ["list_prompts"]

    def test_it_records_where_tracing_is_turned_off_by_the_environment(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """OTEL_SDK_DISABLED is often set where tests run; a sampler that is set so counts no more than that."""
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
        test = """
            from opentelemetry import trace
            from opentelemetry.sdk.trace import TracerProvider

            def test_it(prompt_registry, prompt_spans):
                prompt_registry.list()
                trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
                prompt_registry.list()
                assert len(prompt_spans) == 2
        """
        run(pytester, test, passed=1)

    def test_without_the_sdk_it_is_an_error_with_the_command_that_installs_it(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A skip would be a test that nobody runs; the other fixture works."""
        monkeypatch.delitem(sys.modules, "promptreg.telemetry.recorder")
        monkeypatch.delattr("promptreg.telemetry.recorder")
        monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
        test = """
            def test_registry(prompt_registry): pass
            def test_spans(prompt_spans): pass
        """
        result = run(pytester, test, passed=1, errors=1)
        result.stdout.fnmatch_lines(["prompt_spans needs the SDK of OpenTelemetry*pip install opentelemetry-sdk"])
        result.stdout.no_fnmatch_line("*During handling*")

    def test_every_reader_of_the_tracer_provider_is_recorded(self) -> None:
        """Each module that asks whether spans are recorded is given to the recorder; the others install providers."""
        sources = {path for path in Path(promptreg.__file__).parent.rglob("*.py") if "TRACE_STATE[" in path.read_text()}
        assert {path.stem for path in sources} == {"fast_read", "spans", "span_tree", "recorder"}


@pytest.mark.slow
class TestNewProcess:
    """pytest as it starts where other plugins are installed, which takes seconds."""

    @pytest.mark.parametrize("processes", ["0", "2"])
    def test_it_works_beside_the_plugin_of_the_unrelated_package(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: str
    ) -> None:
        """Both are loaded, in one process or in several, where the first conftest imports promptreg."""
        info = pytester.mkdir("promptreg-0.1.1.dist-info")
        info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: promptreg\nVersion: 0.1.1\n")
        info.joinpath("entry_points.txt").write_text("[pytest11]\npromptreg = unrelated\n")
        info.joinpath("RECORD").write_text("promptreg/__init__.py,,\npromptreg/pytest_plugin.py,,\nunrelated.py,,\n")
        pytester.makepyfile(
            unrelated="""
            import pytest

            @pytest.fixture(scope="session")
            def promptreg_db():
                return "db"

            @pytest.fixture(scope="session")
            def promptreg_run(promptreg_db):
                return "run"

            @pytest.fixture
            def prompt_regression(promptreg_db, promptreg_run):
                return promptreg_db + promptreg_run
            """
        )
        pytester.makeconftest("import promptreg")
        pytester.makepyfile("""
            import promptreg
            import pytest

            @pytest.mark.parametrize("number", range(4))
            def test_it(number, prompt_regression, prompt_registry, prompt_spans, pytestconfig):
                assert prompt_regression == "dbrun"
                prompt_registry.create("greet", "Hello")
                assert [span.name for span in prompt_spans] == ["create_prompt greet"]
                assert pytestconfig.pluginmanager.has_plugin("promptreg")
                assert pytestconfig.pluginmanager.has_plugin("promptreg_embedded")
        """)
        monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
        monkeypatch.setenv("PYTHONPATH", str(pytester.path))
        result = pytester.runpytest_subprocess("-n", processes, "-W", "error", "--strict-markers", "-p", "no:anyio")
        result.assert_outcomes(passed=4)

    def test_the_plugin_can_be_turned_off(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        """`-p no:promptreg_embedded` leaves no fixture, where pytest loads all plugins that are installed."""
        monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
        pytester.makepyfile("def test_it(prompt_registry): pass")
        pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:promptreg_embedded")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*fixture 'prompt_registry' not found*"])

    def test_it_can_be_run_in_a_process_that_has_imported_promptreg(self, pytester: pytest.Pytester) -> None:
        """As in a notebook, and again in the same process."""
        pytester.makepyfile("def test_it(prompt_registry, prompt_spans): pass")
        program = (
            "import promptreg, pytest;"
            " print([int(pytest.main(['-q', '-W', 'error', '-p', 'promptreg_embedded'])) for _ in range(2)])"
        )
        assert pytester.run(sys.executable, "-c", program).outlines[-1] == "[0, 0]"


@pytest.mark.slow
def test_a_snapshot_of_the_page_fails_where_a_prompt_renders_another_text(pytester: pytest.Pytester) -> None:
    """It also fails where there is no snapshot, and says how to write one; and it passes once that is updated."""
    page = (Path(promptreg.__file__).parent / "docs" / "testing.md").read_text(encoding="utf-8")
    for name in ("shop", "conftest", "test_snapshots"):
        Path(f"{name}.py").write_text(page.split(f"```python\n# {name}.py\n")[1].split("```")[0])
    call = {"id": "1", "type": "function", "function": {"name": "opening_hours", "arguments": "{}"}}
    with Path("shop.py").open("a") as shop:  # a message without a content
        shop.write(f'SUPPORT += [{{"role": "assistant", "tool_calls": [{call}]}}]\n')
    command = (*ALONE, "test_snapshots.py")
    absent = pytester.runpytest_subprocess(*command)
    absent.stdout.fnmatch_lines(["*run pytest --update-snapshots, and commit *support.txt*"])
    pytester.runpytest_subprocess(*command, "--update-snapshots").assert_outcomes(passed=1)
    Path("shop.py").write_text(Path("shop.py").read_text().replace("Answer for", "Kindly answer for"))
    pytester.runpytest_subprocess(*command).assert_outcomes(failed=1)
    pytester.runpytest_subprocess(*command, "--update-snapshots").assert_outcomes(passed=1)
    snapshot = Path("snapshots/support.txt").read_text()
    assert "'Kindly answer for Tea & Co.'" in snapshot
    assert "opening_hours" in snapshot


def recording() -> Any:
    """Record as the fixture does."""
    return recorder.SpanRecorder((promptreg.fast_read, spans)).recording()
