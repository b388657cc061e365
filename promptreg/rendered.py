"""The result of one render: the text, the messages, and the version that they were rendered from.

It is made at each call, so it is a light object with slots. Nothing in here reads a database.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from promptreg.jsonvalues import FrozenDict
from promptreg.rendering.fast_paths import Messages, Output
from promptreg.telemetry.links import linked
from promptreg.telemetry.names import CONTENT_HASH, NAMESPACE, PROMPT_NAME, PROMPT_VERSION

if TYPE_CHECKING:
    from promptreg.prompt import Prompt


class Rendered:
    """The result of one render: the text and the messages, and the version that they were rendered from.

    `text` is the whole text; of a chat prompt, the contents and parts that are text, joined by a blank line. `messages`
    is a new list of dictionaries at each access, as `{"role", "content"}`: a text prompt is one user message, and the
    messages that filled a placeholder are passed on unchanged. Those of the template have all that it holds but
    `cache`. `name`, `version`, `config` and `prompt` say what was rendered. A rendered
    default has neither version nor prompt. `str(rendered)` is the text. Results compare by value, hash and pickle.

    >>> from promptreg import Registry
    >>> with Registry(":memory:") as registry:
    ...     _ = registry.create("greet", "Hello {{ name }}!")
    ...     rendered = registry.render("greet", name="Ana")
    >>> rendered.text, rendered.messages, rendered.version
    ('Hello Ana!', [{'role': 'user', 'content': 'Hello Ana!'}], 1)
    """

    __slots__ = ("_messages", "_name", "prompt", "text")

    def __init__(
        self,
        name: str,
        text: str,
        messages: Messages = None,
        prompt: "Prompt | None" = None,
    ) -> None:
        self._name = name
        self.text: str = text
        self._messages = messages
        self.prompt: Prompt | None = prompt

    @property
    def name(self) -> str:
        """The name of the prompt."""
        return self._name

    @property
    def version(self) -> int | None:
        """The number of the version that was rendered; None for a rendered default."""
        return self.prompt.version if self.prompt else None

    @property
    def config(self) -> Mapping[str, Any]:
        """The version's config; empty for a rendered default."""
        return self.prompt.config if self.prompt else FrozenDict()

    @property
    def messages(self) -> list[Any]:
        """The messages as dictionaries, new at each access, so that a caller may change them.

        The items are typed as `Any`, so that they fit the message types of every SDK without a cast.
        """
        if self._messages is None:
            return [{"role": "user", "content": self.text}]
        if isinstance(self._messages, tuple):  # roles and contents: making dictionaries takes longer than rendering
            return [{"role": role, "content": content} for role, content in zip(*self._messages, strict=True)]
        return self._messages.fresh()

    def openai(self, **overrides: Any) -> dict[str, Any]:
        """Return the arguments of `client.chat.completions.create` of the package `openai`, merged with the config.

        Keywords override the config, and their values are passed as they are; read-only ones, as those of a version's
        `meta` are, as plain dicts and lists. The messages are those of `messages`; one with `cache` ends with a
        breakpoint of the prompt cache, on its last part. The result is new at each call.

        Raises `InvalidInputError` with everything that is wrong: a key of the config or a keyword that the messages
        fill (`messages`, `system` …), no message at all, more than four cache marks, and by message and field what
        OpenAI can't take, such as an image in a system message or a tool's message without its `tool_call_id`.

        >>> from promptreg import Registry
        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello {{ name }}!", config={"model": "gpt-5-mini"})
        ...     arguments = registry.render("greet", name="Ana").openai(temperature=0)
        >>> arguments
        {'model': 'gpt-5-mini', 'temperature': 0, 'messages': [{'role': 'user', 'content': 'Hello Ana!'}]}
        """
        from promptreg.sdks import chat_completions  # noqa: PLC0415 (loaded at first use, like those below)

        return chat_completions.arguments(self, overrides)

    def openai_responses(self, **overrides: Any) -> dict[str, Any]:
        """Return the arguments of `client.responses.create` of the package `openai`, merged with the config.

        Keywords override the config. Messages become `input` items: each text of an answer a message, a tool call and
        its result an item. The items of a placeholder that have this API's form, such as a response's `output`, pass
        unchanged. Left out is what no item has: the `name` of a message, and a cache mark on an assistant's message.

        Raises `InvalidInputError` as `openai` does. Audio is among what this API can't take.

        >>> from promptreg import Registry
        >>> look = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "{{ photo }}"}}]
        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("look", [{"role": "user", "content": look}], config={"model": "gpt-5-mini"})
        ...     arguments = registry.render("look", photo="https://example.com/a.png").openai_responses(store=False)
        >>> arguments["model"], arguments["store"]
        ('gpt-5-mini', False)
        >>> arguments["input"][0]["content"][1]
        {'type': 'input_image', 'image_url': 'https://example.com/a.png', 'detail': 'auto'}
        """
        from promptreg.sdks import responses  # noqa: PLC0415

        return responses.arguments(self, overrides)

    def anthropic(self, **overrides: Any) -> dict[str, Any]:
        """Return the arguments of `client.messages.create` of the package `anthropic`, merged with the config.

        Keywords override the config. Leading system and developer messages are `system`, later ones system messages; an
        image at an https URL, and data of a `data:` URL, are sources of blocks; results of tools that follow each other
        are one user message; a message with `cache` ends with a cache mark. What is in Anthropic's own form passes
        unchanged, and of a whole answer the role and the content. Left out is what has no counterpart: the `name` of a
        message, the `detail` of an image, and blank text of a part or a system message.

        Raises `InvalidInputError`, which names each message, for what Anthropic can't take: audio, arguments of a tool
        that are no JSON object, a call or a result without its id, a message that is blank, more than four cache marks,
        counted with those of the config; and for a key that the messages fill.

        >>> from promptreg import Registry
        >>> chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ question }}"}]
        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("ask", chat, config={"model": "claude-sonnet-5", "max_tokens": 1000})
        ...     arguments = registry.render("ask", question="Why?").anthropic(max_tokens=500)
        >>> arguments["model"], arguments["max_tokens"], arguments["system"]
        ('claude-sonnet-5', 500, [{'type': 'text', 'text': 'Be brief.'}])
        >>> arguments["messages"]
        [{'role': 'user', 'content': 'Why?'}]
        """
        from promptreg.sdks import anthropic  # noqa: PLC0415

        return anthropic.arguments(self, overrides)

    def gemini(self, **overrides: Any) -> dict[str, Any]:
        """Return the arguments of `client.models.generate_content` of the package `google-genai`, with the config.

        All but `model` goes into `config`. A `config` in the version's config or as a keyword, a mapping or a
        `GenerateContentConfig`, is merged key by key: keywords win, and of those what is not in `config`. The texts of
        all system and developer messages are `system_instruction`, in their order, as Gemini has no place for later
        ones. Data of a `data:` URL is inline, as bytes; an image or a file at another URL is `file_data`, its type from
        the suffix. A tool's result has the name of the call with its id, or else of its own message, and is a JSON
        object or the `output` of one; results that follow each other are one content. Gemini's own contents, which have
        `parts`, pass unchanged. Left out are cache marks, names, the `detail` of an image, and blank text.

        Raises `InvalidInputError`, which names each message, for what Gemini can't take, such as a URL without a known
        suffix, arguments of a tool that are no JSON object, and the result of an unknown call; and for a key that the
        messages fill.

        >>> from promptreg import Registry
        >>> chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ question }}"}]
        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("ask", chat, config={"model": "gemini-3-pro", "temperature": 1})
        ...     arguments = registry.render("ask", question="Why?").gemini(temperature=0)
        >>> arguments["model"], arguments["contents"]
        ('gemini-3-pro', [{'role': 'user', 'parts': [{'text': 'Why?'}]}])
        >>> arguments["config"]
        {'temperature': 0, 'system_instruction': {'parts': [{'text': 'Be brief.'}]}}
        """
        from promptreg.sdks import gemini  # noqa: PLC0415

        return gemini.arguments(self, overrides)

    def trace_attributes(self) -> dict[str, str]:
        """Return the attributes of the prompt for the span of a model call, to be set by hand.

        They are empty for a rendered default.

        >>> from promptreg import Registry
        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello {{ name }}!")
        ...     attributes = registry.render("greet", name="Ana").trace_attributes()
        >>> attributes["gen_ai.prompt.name"], attributes["gen_ai.prompt.version"]
        ('greet', '1')
        """
        if self.prompt is None:
            return {}
        return {
            PROMPT_NAME: self.name,
            PROMPT_VERSION: str(self.prompt.version),
            NAMESPACE: self.prompt.namespace,
            CONTENT_HASH: self.prompt.content_hash,
        }

    def trace_context(self) -> AbstractContextManager[None]:
        """Put the prompt into OpenTelemetry's current context, so that spans started inside carry its name and version.

        The instrumentations of OpenInference (Phoenix), Langfuse and Traceloop read it from there;
        `promptreg.telemetry.PromptSpanProcessor` does the same for every other. Nothing is put into baggage. The
        context of a rendered default names no prompt, and hides that of an outer one.

        >>> from promptreg import Registry
        >>> with Registry(":memory:") as registry:
        ...     _ = registry.create("greet", "Hello {{ name }}!")
        ...     rendered = registry.render("greet", name="Ana")
        >>> with rendered.trace_context():
        ...     answer = "…"  # the model call
        """
        return linked(self.trace_attributes())

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        from promptreg import reprs  # noqa: PLC0415

        return reprs.of_render(self._name, self.prompt, self.text)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the messages with their roles."""
        from promptreg import notebooks  # noqa: PLC0415

        return notebooks.rendered_html(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rendered):
            return NotImplemented
        return self._value() == other._value()

    def __hash__(self) -> int:
        return hash((self.name, self.version, self.text))

    def __reduce__(self) -> tuple[Any, ...]:
        return Rendered, (self.name, self.text, self._messages, self.prompt)

    def _value(self) -> tuple[Any, ...]:
        return self.name, self.text, self.messages, self.prompt


def rendered_default(name: str, output: Output) -> Rendered:
    """Return a rendered default, which has no version and no prompt."""
    return Rendered(name, *output)
