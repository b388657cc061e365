"""`promptreg demo`: each step of a prompt's life, run through the public API and printed with its result."""

from collections.abc import Callable
from itertools import count
from textwrap import indent
from typing import TextIO

from promptreg.errors import PromptregError
from promptreg.models import Actor, Role
from promptreg.registry import Registry
from promptreg.telemetry.span_tree import model_call_span


def run_demo(path: str, out: TextIO) -> None:
    """Run the demo in the registry at `path`, in a new namespace, and print each step to `out`."""
    with Registry(path) as registry:
        namespace = _free_namespace(registry)
        ana = registry.scope(namespace=namespace, actor=Actor("ana", Role.TEAM_ADMIN))
        _print(out, _versions(ana))
        _print(out, _statuses(ana))


def _versions(ana: Registry) -> list[tuple[str, str]]:
    shipped = "summarize", "Summarize in {{ words }} words:\n{{ text }}"
    created = ana.seed(*shipped, tags=["writing"])
    ana.create(
        "support/reply",
        [
            {"role": "system", "content": "You answer for {{ shop }}."},
            {"placeholder": "history"},
            {"role": "user", "content": "{{ question }}"},
        ],
    )
    text = ana.render("summarize", words=20, text="What SQLite is to data …")
    with text.trace_context(), model_call_span():
        pass  # the model call: its span carries the prompt's name and version
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    chat = ana.render("support/reply", shop="Tea & Co", history=history, question="Is {{ this }} safe?")
    draft = ana.update(
        "summarize", template="In {{ words }} words:\n{{ text }}", is_production=False, commit_message="Shorter"
    )
    live = ana.get("summarize")
    published = ana.publish("summarize", draft.version)
    return [
        ("seed a text prompt, create a chat prompt", f"{created.name} is live with version {created.version}"),
        ("render the text prompt", text.text),
        ("make the arguments of OpenAI's SDK of it; also anthropic(), gemini()", str(text.openai(model="gpt-5-mini"))),
        ("render the chat prompt (a value is never a template)", "\n".join(map(_message, chat.messages))),
        ("update it as a draft", f"version {draft.version} is a {draft.state}; version {live.version} is still live"),
        ("publish the draft", f"version {published.production_version} is live now"),
        ("start again, and seed the same", f"version {ana.seed(*shipped, tags=['writing']).version} stays live"),
        ("diff 1 and 2", "\n".join(ana.diff("summarize", 1, 2).splitlines()[:6])),
        ("roll back", f"version {ana.rollback('summarize', reason='Too terse').production_version} is live again"),
        ("make a report to look at in a browser", f"one page of HTML, {len(ana.report()) // 1000} kB"),
    ]


def _statuses(ana: Registry) -> list[tuple[str, str]]:
    ana.set_status("support/reply", "disabled")
    disabled = _result(lambda: ana.render("support/reply"))
    ana.archive("summarize")
    changed = _result(lambda: ana.update("summarize", template="…"))
    rendered = ana.render("summarize", words=5, text="…").version
    return [
        ("disable the chat prompt, and render it", disabled),
        ("archive the text prompt, and update it", changed),
        ("archived prompts still render", f"version {rendered}; list() shows {[p.name for p in ana.list()]}"),
        ("who did what", ", ".join(f"{e.action} {e.version or ''}".strip() for e in ana.events("summarize"))),
    ]


def _result(call: Callable[[], object]) -> str:
    try:
        return str(call())
    except PromptregError as error:
        return f"{error.code}: {error.message}"


def _message(message: dict[str, str]) -> str:
    return f"{message['role']}: {message['content']}"


def _free_namespace(registry: Registry) -> str:
    taken = set(registry.namespaces())
    return next(name for n in count(1) if (name := f"demo-{n}") not in taken)


def _print(out: TextIO, steps: list[tuple[str, str]]) -> None:
    for title, result in steps:
        print(f"• {title}\n{indent(result, '    ')}", file=out)
