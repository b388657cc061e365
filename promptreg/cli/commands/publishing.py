"""`promptreg publish`, `rollback` and `discard`: what goes live, what comes back, and what is thrown away."""

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import click

from promptreg.cli.asking import ask, require_answer, yes_option
from promptreg.cli.completion import ReferenceCommand, complete_names, reference_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.differences import print_diff
from promptreg.cli.expectations import expect_hash, expect_production, read_hashes, read_numbers, selector
from promptreg.cli.output import note, print_many, print_one
from promptreg.cli.results import show_discarded, show_live
from promptreg.errors import counted
from promptreg.harmless import harmless
from promptreg.prompt import Prompt
from promptreg.registry import Registry


@click.command()
@click.argument("references", metavar="NAME[@VERSION]...", nargs=-1, required=True, shell_complete=complete_names)
@yes_option
@expect_production
@expect_hash
@output_options
@registry_options
@click.pass_obj
def publish(
    settings: Settings,
    references: tuple[str, ...],
    yes: bool,
    expect_production: tuple[str, ...],
    expect_hash: tuple[str, ...],
) -> None:
    """Make versions live, after showing what changes; all of them, or none.

    Without a version it is the one draft that there is. `a@spring b@spring` publishes a release.
    """
    numbers, hashes = read_numbers(expect_production, references), read_hashes(expect_hash, references)
    require_answer(yes, f"publish {_these(references)}")
    with settings.registry(create=True) as registry:
        planned = registry._plan_publish(_one_or_all(references), expected_production=numbers, expected_hash=hashes)
        moving = [prompt for prompt in planned if prompt.version != prompt.production_version]
        if not (settings.for_programs) or not yes:
            _show_changes(registry, moving)
        if moving and not yes:
            ask(f"Publish {_versions(moving)}?")
        published = _publish(registry, planned)
    _print(settings, references, published)


def _publish(registry: Registry, planned: Sequence[Prompt]) -> list[Prompt]:
    """Publish what was shown, and nothing else: neither other content, nor in place of another version."""
    live = {prompt.name: prompt.production_version or 0 for prompt in planned}
    hashes = {prompt.name: prompt.content_hash for prompt in planned}
    references = [f"{prompt.name}@{prompt.version}" for prompt in planned]
    if len(planned) > 1:
        return registry.publish(references, expected_production=live, expected_hash=hashes)
    (name,) = live
    return [registry.publish(references[0], expected_production=live[name], expected_hash=hashes[name])]


def _show_changes(registry: Registry, moving: Iterable[Prompt]) -> None:
    for prompt in moving:
        live = prompt.production_version
        diff = _from_nothing(prompt) if live is None else registry.diff(prompt.name, live, prompt.version)
        if not diff:
            note(f"{prompt.name}: version {prompt.version} says the same as version {live}, which is live.")
        print_diff(diff if sys.stderr.isatty() else harmless(diff), sys.stderr)


def _from_nothing(prompt: Prompt) -> str:
    """Return the difference of the first version that is to be live: the lines of its file, all of them added."""
    from promptreg.files.format import fields_of, to_text  # noqa: PLC0415 (25 ms, where nothing was live)
    from promptreg.rules.unified_diff import unified  # noqa: PLC0415

    lines = to_text(prompt.name, fields_of(prompt)).removesuffix("\n").split("\n")
    return "\n".join(unified([], lines, f"{prompt.name}: nothing is live", f"{prompt.name}@{prompt.version}"))


@click.command()
@click.argument("references", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_names)
@click.option("--to", "version", metavar="VERSION", help="The version to bring back; by default the one live before.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the record.")
@expect_production
@output_options
@registry_options
@click.pass_obj
def rollback(
    settings: Settings,
    references: tuple[str, ...],
    version: str | None,
    reason: str,
    expect_production: tuple[str, ...],
) -> None:
    """Bring back the version that was live before; of several prompts, all or none."""
    numbers = read_numbers(expect_production, references)
    chosen = None if version is None else selector(version)
    with settings.registry(create=True) as registry:
        names: Any = _one_or_all(references)
        done: Any = registry.rollback(names, chosen, reason=reason, expected_production=numbers)
    _print(settings, references, done if isinstance(done, list) else [done])


@click.command(cls=ReferenceCommand)
@reference_argument
@yes_option
@output_options
@registry_options
@click.pass_obj
def discard(settings: Settings, name: str, yes: bool) -> None:
    """Throw a draft away: the one that there is, or the one that is chosen."""
    require_answer(yes, f"discard {name}")
    with settings.registry(create=True) as registry:
        draft = registry._plan_discard(name)
        if not yes:
            author = f" by {draft.author}" if draft.author else ""
            ask(f"Discard version {draft.version} of {draft.name}, a {draft.state} version{author}?")
        prompt = registry.discard(f"{draft.name}@{draft.version}")
    print_one(settings, prompt, partial(show_discarded, number=draft.version))


def _one_or_all(references: Sequence[str]) -> str | list[str]:
    return references[0] if len(references) == 1 else [*references]


def _these(references: Sequence[str]) -> str:
    return references[0] if len(references) == 1 else counted(len(references), "prompt")


def _versions(moving: Sequence[Prompt]) -> str:
    if len(moving) == 1:
        return f"version {moving[0].version} of {moving[0].name}"
    return counted(len(moving), "prompt")


def _print(settings: Settings, references: Sequence[str], prompts: list[Prompt]) -> None:
    if len(references) == 1:
        print_one(settings, prompts[0], show_live)
    else:
        print_many(settings, prompts, _show_all)


def _show_all(prompts: Iterable[Prompt]) -> None:
    for prompt in prompts:
        show_live(prompt)
