"""Rendering what real prompts and models' chat templates are made of, against plain Jinja2 without any limit.

Namespaces, macros, literals of lists and dicts, `tojson`, and chat templates that loop over messages. Each row names
the tier that renders it; both sides are compiled once, and their texts are compared before anything is measured.
"""

from typing import Any

from prompts import TEXT
from rendering import LIMITS, MACROS, METERED_VALUES, PLAIN, read_by, tier
from timing import Options, Row, Tables, measure, require_same, run

from promptreg.rendering.template_text import TemplateText

ROUNDS = 40
GOALS = (1.0, 0.6)

PROMPTS = {
    "namespace: found": """\
{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'tool' %}\
{% set ns.found = true %}{% endif %}{% endfor %}\
{% if ns.found %}A tool has answered.{% else %}No tool has answered.{% endif %}""",
    "namespace: numbered": """\
{% set ns = namespace(number=0, seen='') %}{% for d in documents %}{% if d.text %}{% set ns.number = ns.number + 1 %}\
[{{ ns.number }}] {{ d.title }}{% set ns.seen = ns.seen ~ d.title ~ ';' %}
{% endif %}{% endfor %}{{ ns.number }} documents: {{ ns.seen }}""",
    "macros": MACROS,
    "macros: in macros": """\
{% macro tag(name, text) -%}<{{ name }}>{{ text }}</{{ name }}>{%- endmacro -%}
{% macro entry(d, numbered=true) -%}
{% if numbered %}{{ d.number }}. {% endif %}{{ tag('title', d.title) }}{{ tag('date', d.date) }}
{%- endmacro -%}
{% for d in documents %}{{ entry(d) }}
{% endfor %}{{ entry(documents[0], numbered=false) }}""",
    "list literals": """\
{% set roles = ['system', 'user', 'assistant'] %}{% for role in roles %}- {{ role }}
{% endfor %}{% for name, value in [('tone', tone), ('language', language)] %}{{ name }}: {{ value }}
{% endfor %}{% set parts = [tone] %}{% if language %}{% set parts = parts + [language] %}{% endif %}\
{{ parts | join(', ') }}""",
    "dict literals": """\
{% set names = {'en': 'English', 'fr': 'French'} %}Answer in {{ names['fr'] }} or {{ names.en }}.
{% for key, value in {'tone': tone, 'language': language}.items() %}{{ key }}={{ value }}
{% endfor %}""",
    "tojson": "{% set schema = tools[0] | tojson %}Use:\n{{ schema }}\n{% for t in tools %}{{ '- ' ~ t | tojson }}\n"
    "{% endfor %}",
    "blocks: set, with": """\
{% set head %}You are {{ tone }}, and answer in {{ language }}.{% endset %}{{ head }}
{% with shown = documents[0] %}{{ shown.title }}: {{ shown.text }}{% endwith %}""",
}

CHATS = {
    "chat: roles": """\
{% for message in messages %}{{ '<|start|>' + message['role'] + '\\n' + message['content'] + '<|end|>' + '\\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}""",
    "chat: system apart": """\
{%- if messages[0]['role'] == 'system' -%}
    {%- set system = messages[0]['content'] | trim + '\\n\\n' -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}
    {%- set rest = messages -%}
{%- endif -%}
{{ bos_token }}
{%- for message in rest -%}
    {%- if loop.first -%}{%- set content = system + message['content'] -%}
    {%- else -%}{%- set content = message['content'] -%}{%- endif -%}
    {%- if message['role'] == 'user' -%}
        {{- '[INST] ' + content | trim + ' [/INST]' -}}
    {%- elif message['role'] == 'assistant' -%}
        {{- ' ' + content | trim + eos_token -}}
    {%- elif loop.index0 % 2 == 0 -%}
        {{- '[' ~ message.role ~ '] ' ~ content -}}
    {%- endif -%}
{%- endfor -%}""",
    "chat: tools": """\
{%- macro header(role) -%}<|{{ role }}|>{%- endmacro -%}
{%- if tools is not none and tools -%}
{{ header('system') }}You may call these functions:
{% for tool in tools %}{{ tool | tojson(indent=2) }}
{% endfor %}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role in ['system', 'user'] or (message.role == 'assistant' and message.tool_calls is not defined) -%}
        {{- header(message.role) ~ message.content -}}
    {%- elif message.role == 'assistant' -%}
        {{- header('assistant') -}}
        {%- for call in message.tool_calls -%}
            {%- set call = call.function -%}
            {{- '{"name": "' ~ call.name ~ '", "arguments": ' ~ call.arguments | tojson ~ '}' -}}
            {%- if not loop.last %}, {% endif -%}
        {%- endfor -%}
    {%- else -%}
        {%- if loop.first or loop.previtem.role != 'tool' -%}{{- header('tool') -}}{%- endif -%}
        {{- message.content -}}
        {%- if loop.last or loop.nextitem.role != 'tool' %}<|done|>{% endif -%}
    {%- endif -%}
{%- endfor -%}""",
    "chat: thinking": """\
{%- set ns = namespace(last=0, searching=true) -%}
{%- for message in messages[::-1] -%}
    {%- set index = (messages | length - 1) - loop.index0 -%}
    {%- if ns.searching and message.role == 'user' and message.content is string -%}
        {%- set ns.searching = false -%}{%- set ns.last = index -%}
    {%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
    {%- set content = message.content if message.content is string else '' -%}
    {%- if message.role == 'assistant' -%}
        {%- set thought = '' -%}
        {%- if '</think>' in content -%}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
        {%- endif -%}
        {%- if loop.index0 > ns.last and thought -%}
            {{- '<|assistant|><think>' + thought.strip('\\n') + '</think>' + content -}}
        {%- else -%}
            {{- '<|assistant|>' + content -}}
        {%- endif -%}
    {%- else -%}
        {{- '<|' + message.role + '|>' + content + '\\n' -}}
    {%- endif -%}
{%- endfor -%}""",
    "chat: parts": """\
{%- for message in messages -%}
    {{- '<|' ~ message.role ~ '|>' -}}
    {%- if message.content is string -%}
        {{- message.content -}}
    {%- else -%}
        {%- for part in message.content -%}
            {%- if part['type'] == 'text' -%}{{- part['text'] -}}
            {%- elif 'image' in part or 'image_url' in part -%}<image>{%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endfor -%}""",
}

LONG = TEXT * 40
MESSAGES = [
    {"role": "system", "content": " You are careful. "},
    {"role": "user", "content": "Where is my parcel?"},
    {"role": "assistant", "content": "<think>\nLook it up.\n</think>\n\nIt is on its way."},
    {"role": "user", "content": TEXT},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Thank you. And now?"},
]
CALL = {"arguments": {"city": "Paris", "days": 3}, "name": "weather"}
TOOL_MESSAGES = [
    *MESSAGES,
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": CALL, "id": "c1"}, {"function": CALL, "id": "c2"}],
    },
    {"role": "tool", "content": "12 degrees"},
    {"role": "tool", "content": "rain"},
    {"role": "user", "content": "And tomorrow?"},
]
PARTS = [{"type": "text", "text": TEXT}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
PART_MESSAGES = [*MESSAGES, {"role": "user", "content": PARTS}]
LONG_MESSAGES = [{**message, "content": message["content"] + LONG} for message in MESSAGES]
PARAMETERS = {"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "type": "object"}
TOOL = {"function": {"description": "The weather.", "name": "weather", "parameters": PARAMETERS}, "type": "function"}
VALUES: dict[str, Any] = {
    **METERED_VALUES,
    "tone": "friendly",
    "language": "French",
    "messages": MESSAGES,
    "tools": [TOOL, TOOL],
    "bos_token": "<s>",
    "eos_token": "</s>",
    "add_generation_prompt": True,
}
MESSAGES_OF = {"chat: tools": TOOL_MESSAGES, "chat: parts": PART_MESSAGES}


def measured(options: Options) -> Tables:
    prompts = [row(name, source, VALUES) for name, source in PROMPTS.items()]
    chats = [
        row(name, source, {**VALUES, "messages": MESSAGES_OF.get(name, MESSAGES)}) for name, source in CHATS.items()
    ]
    long = {**VALUES, "messages": LONG_MESSAGES}
    chats += [
        row(f"{name}, long", CHATS[name], long) for name in ("chat: roles", "chat: system apart", "chat: thinking")
    ]
    require_same([*prompts, *chats], str)
    rounds = options.rounds or ROUNDS
    return {
        "rendering real prompts / plain Jinja2": measure(prompts, rounds),
        "rendering models' chat templates / plain Jinja2": measure(chats, rounds),
    }


def row(name: str, source: str, all_values: dict[str, Any]) -> Row:
    """Return the row of a template, which names the tier that renders it."""
    values, template = read_by(source, all_values), TemplateText(source, LIMITS)
    names = {"template": template, "plain": PLAIN.from_string(source), "values": values}
    return Row(f"{name} ({tier(template, values)})", "template.render(values)", "plain.render(**values)", names, GOALS)


if __name__ == "__main__":
    run(__doc__, measured)
