"""Bringing in prompts of other tools: Langfuse, Prompty, Open WebUI, and folders of plain texts.

Each format has a reader, which returns prompts and notes about what it changed or could not carry over. All prompts
are made in one transaction, or none.
"""

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from promptreg.errors import InvalidInputError, counted
from promptreg.files.foreign.reading import read_json, read_texts
from promptreg.files.foreign.results import Read
from promptreg.models import Value
from promptreg.registry import Registry
from promptreg.rules.inputs import Progress, read_choice
from promptreg.untrusted import FieldReader, reads_untrusted


class ImportNote(Value):
    """What was changed of a prompt, or not carried over: of one version, or with None of all."""

    prompt: str
    version: int | None
    text: str


class ImportedPrompt(Value):
    """A prompt that was imported: its name here, its name there, its versions, which is live, and its labels."""

    name: str
    origin: str
    versions: int
    production: int | None
    labels: dict[str, int]
    is_disabled: bool


class ImportReport(Value):
    """What an import made, or with `dry_run` would make, and everything that it changed or could not carry over."""

    kind: str
    dry_run: bool
    prompts: tuple[ImportedPrompt, ...]
    notes: tuple[ImportNote, ...]

    def lines(self) -> Iterator[str]:
        """Yield the report as lines for people: each prompt, with its notes below it."""
        notes: dict[str, list[ImportNote]] = {}
        for note in self.notes:
            notes.setdefault(note.prompt, []).append(note)
        for prompt in self.prompts:
            yield f"{prompt.name} ({_summary(prompt)})"
            for note in notes.get(prompt.name, ()):
                yield f"  {'' if note.version is None else f'version {note.version}: '}{note.text}"


class _Format(NamedTuple):
    """The module and the function that read a format, and the endings of its files; None are those of JSON."""

    module: str
    function: str
    endings: tuple[str, ...] | None = None

    def read(self, path: str) -> Read:
        """Read a file or a folder; the module is imported when it is needed."""
        files = read_json(path) if self.endings is None else read_texts(path, self.endings)
        read: Read = getattr(import_module(f"promptreg.files.foreign.{self.module}"), self.function)(files)
        return read


_FORMATS: Mapping[str, _Format] = {
    "langfuse": _Format("langfuse", "read_langfuse"),
    "prompty": _Format("plain", "read_prompty_files", (".prompty",)),
    "openwebui": _Format("openwebui", "read_openwebui"),
    "plain": _Format("plain", "read_plain", (".md", ".txt", ".j2", ".jinja")),
}

KINDS = tuple(_FORMATS)
"""What `import_from` reads."""


def import_from(
    registry: Registry,
    kind: str,
    path: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    r"""Make the prompts that another tool has written to a file or a folder, all in one transaction, or none.

    `kind` is one of `KINDS`:

    - `langfuse`: JSON of its API, `GET /api/public/v2/prompts/NAME?version=N` for each version, in any number of files,
      as an array or one after the other. The version that is labelled `production` is live.
    - `prompty`: a `.prompty` file, or all in a folder.
    - `openwebui`: the JSON that Open WebUI's workspace exports.
    - `plain`: a text file, or all `.md`, `.txt`, `.j2` and `.jinja` files in a folder. A `.txt` file has the syntax
      `plain`, the others are templates in Jinja. The live version of these three is the one that was read.

    Every version that is not live is a draft. Names that are not valid here become ones that are. The report has each
    change and what could not be carried over, by prompt and version. With `dry_run` everything is checked, the publish
    checks included, and nothing is written. `progress(done, total)` is called while templates are compiled.

    Raises `InvalidInputError` with everything that can't be read and each template that does not compile,
    `ForbiddenError`, `NameTakenError` with every name that is taken, and `PublishCheckError` with every reason.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Registry(":memory:") as registry:
    ...     _ = Path(folder, "Greet.md").write_text("Hello {{ name }}!")
    ...     print(*import_from(registry, "plain", folder).lines(), sep="\n")
    ...     registry.render("greet", name="Ana").text
    greet (1 version, live: 1)
      was named 'Greet'
    'Hello Ana!'
    """
    fields = FieldReader()
    chosen = fields.read(read_choice, kind, "kind", KINDS)
    where = fields.read(_read_path, path)
    fields.require_valid()
    read = _FORMATS[chosen].read(where)
    if not read.prompts:
        raise InvalidInputError.of("path", "holds no prompt")
    registry._import(read.prompts, dry_run=dry_run, progress=progress)
    return _report(chosen, read, dry_run=dry_run)


@reads_untrusted("path")
def _read_path(path: Any) -> str:
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise InvalidInputError.of("path", f"must be a path, not {type(path).__name__}") from None
    if not text:
        raise InvalidInputError.of("path", "must not be empty")
    return text


def _report(kind: str, read: Read, *, dry_run: bool) -> ImportReport:
    prompts = [
        ImportedPrompt(
            name=prompt.name,
            origin=read.origins[prompt.name],
            versions=len(prompt.versions),
            production=prompt.production,
            labels=dict(prompt.labels),
            is_disabled=prompt.is_disabled,
        )
        for prompt in read.prompts
    ]
    notes = [ImportNote(prompt=note.prompt, version=note.version, text=note.text) for note in read.notes]
    return ImportReport(kind=kind, dry_run=dry_run, prompts=tuple(prompts), notes=tuple(notes))


def _summary(prompt: ImportedPrompt) -> str:
    parts = [counted(prompt.versions, "version")]
    parts.append("none is live" if prompt.production is None else f"live: {prompt.production}")
    parts += [f"{label}: {number}" for label, number in sorted(prompt.labels.items())]
    return ", ".join([*parts, *(["disabled"] if prompt.is_disabled else [])])
