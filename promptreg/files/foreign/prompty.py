"""`.prompty` files, of Prompty's first and second version, as the fields of a prompt.

A file is front matter in YAML and a body in Jinja. What it says of the model becomes `config`, its inputs become
declared variables, its sample an example, and what a prompt here has no field for stays in `meta`. Nothing beside the
text is read: no environment variable, and no other file.
"""

from typing import Any, NamedTuple

from promptreg.files.flaws import FormatError
from promptreg.files.foreign.prompty_body import read_body
from promptreg.files.foreign.prompty_inputs import read_inputs
from promptreg.files.front_matter import FENCE

MAX_CHARACTERS = 10_000_000


class PromptyFile(NamedTuple):
    """What a file says: the name in its front matter, the fields of a prompt, and what was changed or left out."""

    name: str | None
    fields: dict[str, Any]
    notes: list[str]


def read_prompty(text: str) -> PromptyFile:
    r"""Return what a `.prompty` file says, as the fields that `create` takes.

    Raises `FormatError` with everything that is wrong.

    >>> file = read_prompty("---\nname: Greeter\nmodel: gpt-5\n---\nuser:\nHello {{name}}!\n")
    >>> file.name, file.fields["template"], file.fields["config"]
    ('Greeter', [{'role': 'user', 'content': 'Hello {{name}}!'}], {'model': 'gpt-5'})
    """
    if len(text) > MAX_CHARACTERS:
        raise FormatError(1, f"has over {MAX_CHARACTERS:,} characters")
    return _File(text).read()


class _File:
    """A file while it is read: the keys that are left, the fields and notes so far, and flaws with their lines."""

    def __init__(self, text: str) -> None:
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        first, last = _fences(lines)
        from promptreg.files.yaml_subset import read_mapping  # noqa: PLC0415 (PyYAML takes 25 ms)

        entries = read_mapping("\n".join(lines[first + 1 : last]), first + 2, is_yaml_1_1=True)
        self.keys = {key: value for key, (value, _) in entries.items()}
        self.lines = {key: first + 2 + line for key, (_, line) in entries.items()}
        self.body, self.body_line = "\n".join(lines[last + 1 :]), last + 2
        self.fields: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.meta: dict[str, Any] = {}
        self.kinds: dict[str, str] = {}
        self.notes: list[str] = []
        self.flaws: list[FormatError] = []

    def read(self) -> PromptyFile:
        name = self.take("name", str, "text")
        title = self.take("displayName", str, "text") or name
        fields = {"title": title, "description": self.take("description", str, "text")}
        self.read_template_kind()
        self.read_model()
        self.read_inputs()
        self.read_sample()
        self.read_metadata()
        self.keep_others()
        self.read_body()
        if self.flaws:
            raise FormatError(self.flaws[0].line, self.flaws[0].reason, self.flaws[1:])
        fields = {key: text for key, text in fields.items() if text and not text.isspace()}
        held = {key: value for key, value in (("config", self.config), ("meta", self.meta)) if value}
        return PromptyFile(name, {**fields, **self.fields, **held}, list(dict.fromkeys(self.notes)))

    def take(self, key: str, form: type, what: str) -> Any:
        """Remove a key and return its value; None where it is absent or null, or of another form, which is a flaw."""
        value = self.keys.pop(key, None)
        if value is None or isinstance(value, form):
            return value
        self.refuse(key, f"{key} must be {what}")
        return None

    def refuse(self, key: str, reason: str) -> None:
        self.flaws.append(FormatError(self.lines.get(key, 1), reason))

    def read_template_kind(self) -> None:
        """Refuse a body in another language than Jinja, or one that another parser splits."""
        given = self.keys.pop("template", None)
        template = given if isinstance(given, dict) else {"format": given}
        if _kind(template.get("format", template.get("type"))) not in {"", "*", "jinja2"}:
            self.refuse("template", "only a template in jinja2 is read")
        if _kind(template.get("parser")) not in {"", "*", "prompty"}:
            self.refuse("template", "only the parser prompty is known")

    def read_model(self) -> None:
        """Read the model and its settings; how it is reached is left out, because that may hold a secret."""
        model = self.keys.pop("model", None)
        if model is None:
            return
        if not isinstance(model, str | dict):
            self.refuse("model", "model must be text or an object")
            return
        given = _object(model if isinstance(model, dict) else {"id": model})
        configuration = _object(given.pop("configuration", None))
        self.config = _settings(given, configuration)
        left = [*given, *(f"configuration.{key}" for key in configuration)]
        self.notes += [f"model.{key} is not carried over: it belongs to the application" for key in left]
        self.note_references("model", self.config)

    def read_inputs(self) -> None:
        given = self.keys.pop("inputs", None)
        if given is None:
            return
        if not isinstance(given, dict) and not (isinstance(given, list) and all(isinstance(i, dict) for i in given)):
            self.refuse("inputs", "inputs must be an object, or a list of objects")
            return
        self.note_references("inputs", given)
        inputs = read_inputs(given)
        self.kinds = inputs.kinds
        self.notes += inputs.notes
        if inputs.variables:
            self.fields["variables"] = inputs.variables
        if inputs.example:
            self.fields["examples"] = [inputs.example]

    def read_sample(self) -> None:
        sample = self.keys.pop("sample", None)
        if isinstance(sample, dict) and sample:
            self.note_references("sample", sample)
            self.fields["examples"] = [sample]
        elif isinstance(sample, str):
            self.notes.append("the sample is in another file, which is not read")
        elif sample:
            self.refuse("sample", "sample must be an object")

    def read_metadata(self) -> None:
        """Read the tags, and keep the rest of the metadata."""
        metadata = _object(self.take("metadata", dict, "an object"))
        tags = [self.keys.pop("tags", None), metadata.pop("tags", None)]
        listed = [tag for given in tags if given is not None for tag in (given if isinstance(given, list) else [given])]
        if not all(isinstance(tag, str) for tag in listed):
            self.refuse("tags" if "tags" in self.lines else "metadata", "tags must be texts")
        elif any(not tag.isspace() and tag for tag in listed):
            self.fields["tags"] = [tag for tag in listed if tag and not tag.isspace()]
        self.meta.update(metadata)

    def keep_others(self) -> None:
        for key, value in self.keys.items():
            if value is not None:
                self.meta[key] = value
                self.notes.append(f"{key} is kept in meta")

    def read_body(self) -> None:
        if not self.body.strip():
            self.flaws.append(FormatError(self.body_line, "the body must not be empty"))
        elif self.config.get("api") == "completion":
            self.fields["template"] = self.body.strip("\n")
        else:
            threads, images = (self.of_kind(kind) for kind in ("thread", "image"))
            body = read_body(self.body, threads=threads, images=images)
            self.fields["template"] = body.messages
            self.notes += body.notes
            if not body.messages:
                self.flaws.append(FormatError(self.body_line, "the body must hold a message"))
        self.notes += [f"the {kind} {name} is text here" for kind in ("file", "audio") for name in self.of_kind(kind)]

    def of_kind(self, kind: str) -> list[str]:
        return [name for name, held in self.kinds.items() if held == kind]

    def note_references(self, key: str, value: Any) -> None:
        """Note each `${env:NAME}` and `${file:path}`, which Prompty replaces, and which stays as it is here."""
        if isinstance(value, str) and value.startswith("${") and value.endswith("}"):
            self.notes.append(f"${{…}} in {key} is kept as it is: no environment variable or other file is read")
        elif isinstance(value, dict | list):
            for item in value.values() if isinstance(value, dict) else value:
                self.note_references(key, item)


def _fences(lines: list[str]) -> tuple[int, int]:
    """Return the positions of the lines around the front matter, before which may be empty lines."""
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if lines[first].strip() != FENCE:
        raise FormatError(first + 1, "must begin with front matter between two lines ---")
    last = next((i for i in range(first + 1, len(lines)) if lines[i].rstrip() == FENCE), None)
    if last is None:
        raise FormatError(first + 1, "the front matter has no end: put a line --- after its last key")
    return first, last


def _kind(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else value
    return kind if isinstance(kind, str) else ""


def _object(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _settings(given: dict[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
    """Remove the model, its provider, its API and its options from both objects, and return them as one."""
    names = [
        part.pop(key, None) for part in (given, configuration) for key in ("id", "azure_deployment", "name", "model")
    ]
    apis = [given.pop(key, None) for key in ("apiType", "api")]
    providers = [given.pop("provider", None), configuration.pop("type", None)]
    chosen = {"model": names, "provider": providers, "api": apis}
    config = {key: next((value for value in values if value), None) for key, values in chosen.items()}
    for key in ("parameters", "options"):
        options = _object(given.pop(key, None))
        more = _object(options.pop("additionalProperties", None))
        config.update({**options, **more})
    return {key: value for key, value in config.items() if value is not None}
