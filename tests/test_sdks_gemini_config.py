"""`Rendered.gemini`: the config of the call, which is merged key by key."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.sdk_renders import HI, Renders, flaws, named, renders, text

HI_CONTENT = {"role": "user", "parts": [{"text": "Hi"}]}


@pytest.fixture(scope="module")
def make() -> Iterator[Renders]:
    """What makes renders."""
    with renders() as made:
        yield made


def test_all_but_the_model_goes_into_the_config(make: Renders) -> None:
    """Names are not translated, and keywords override the config."""
    rendered = make.of("Hi", {"model": "m", "temperature": 0.2, "top_k": 5})
    assert rendered.gemini(temperature=0, stop_sequences=["x"]) == {
        "model": "m",
        "contents": [HI_CONTENT],
        "config": {"temperature": 0, "top_k": 5, "stop_sequences": ["x"]},
    }
    assert rendered.gemini(model="n")["model"] == "n"


def test_without_a_config_and_a_system_message_there_is_no_such_key(make: Renders) -> None:
    """A model alone is no config, and blank system messages are no instruction."""
    assert make.of("Hi").gemini() == {"contents": [HI_CONTENT]}
    blank = [{"role": "system", "content": "{{ x }}"}, {"role": "developer", "content": [text(" ")]}, HI]
    assert make.of(blank, {"model": "m"}, x="").gemini() == {"model": "m", "contents": [HI_CONTENT]}


def test_a_config_is_merged_key_by_key(make: Renders) -> None:
    """That of the version is below that of a keyword, which is below the keywords beside it; None is no config."""
    rendered = make.of("Hi", {"top_k": 1, "top_p": 1, "config": {"seed": 1, "temperature": 1}})
    given = {"temperature": 2, "top_p": 2}
    merged = {"top_k": 1, "top_p": 2, "seed": 3, "temperature": 2}
    assert rendered.gemini(config=given, seed=3)["config"] == merged
    assert given == {"temperature": 2, "top_p": 2}
    assert rendered.gemini(config=None)["config"] == {"top_k": 1, "top_p": 1, "seed": 1, "temperature": 1}
    assert rendered.gemini(config={"top_p": 5}, top_p=6)["config"]["top_p"] == 6


def test_the_value_of_a_keyword_is_passed_as_it_is(make: Renders) -> None:
    """In a config and beside it; it may be an object of the SDK."""
    marker = object()
    found = make.of("Hi").gemini(tools=marker, config={"safety_settings": marker})["config"]
    assert found["tools"] is found["safety_settings"] is marker


@pytest.mark.parametrize("config", [1, "x", [], {1}])
def test_a_config_that_is_none_is_an_error(make: Renders, config: Any) -> None:
    """Of a version and of a keyword; the error has its type."""
    of_version = {} if isinstance(config, set) else {"config": config}
    fields = ["config.config"] if of_version else []
    found = flaws(make.of("Hi", of_version).gemini, config=config)
    assert [field for field, _ in found] == [*fields, "config"]
    assert type(config).__name__ in found[-1][1]


def test_what_the_messages_fill_is_refused_in_a_config_too(make: Renders) -> None:
    """Under the name that the API has for it as well."""
    rendered = make.of("Hi", {"config": {"contents": []}, "systemInstruction": "x"})
    assert named(rendered.gemini, config={"system_instruction": "x"}, system="x") == [
        "config.systemInstruction",
        "config.config.contents",
        "system",
        "config.system_instruction",
    ]


def test_a_mapping_whose_own_code_raises_is_an_error(make: Renders) -> None:
    """The error has the type of the exception, and nothing that it says."""

    class Hostile(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise RuntimeError("secret")

        def __iter__(self) -> Iterator[str]:
            return iter("a")

        def __len__(self) -> int:
            return 1

    ((field, reason),) = flaws(make.of("Hi").gemini, config=Hostile())
    assert field == "config"
    assert "RuntimeError" in reason
    assert "secret" not in reason
