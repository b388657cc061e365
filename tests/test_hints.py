"""What the errors of a template say about braces that are text (rule 20)."""

import re
from itertools import chain
from re import _parser
from string import Template

import pytest

from promptreg import MissingVariablesError, Registry, TemplateError, TemplatePolicyError, TemplateSyntaxError
from promptreg.rendering import hints
from promptreg.rendering.hints import MAX_SEARCHED, looks_like
from tests.test_docs import section

LITERAL = {
    "LaTeX": [
        r"\newcommand{\pair}[2]{#1 and #2} is in the preamble",
        "\\begin{tabular}{%\n  l r}\n  tea & pots \\\\\n\\end{tabular}",
        r"Typeset $\frac{{a: b}}{2}$ as it is.",
        r"\textbf{{% a comment",
    ],
    "CSS": [
        "#tea {#x}\nbody { color: red; }",
        "@media print{#nav{display:none}}",
        "body {{ color: red; margin: 0; }}",
        ".pot {%width: 5px;}",
    ],
    "HTML or JSX": [
        "<div style={{color: 'red'}} />",
        "return <Pot lid={{open: true}} />",
        '<div id="app">{{ message | capitalize: 3 }}</div>',
        "<Pot lid={{\n    ...props,\n}} />",
        '<button class="tea">{{ pour( }}</button>',
        "{#if tea}<p>hot</p>{/if}\n<script>pour()</script>",
    ],
    "a workflow": ["run: ship ${{ github.sha }} --to ${{ inputs.place", "if: ${{ !cancelled() }}"],
    "a shell script": [
        'for pot in "${#pots[@]}"; do pour; done',
        "#!/bin/sh\ngrep -c '{%' tea.txt",
        "echo ${#TEA}",
        "if [ -z \"$TEA_POT\" ]; then awk '{{ print $1 }'; fi",
    ],
    "code": [
        "int cups[2][2] = {{1,2},{3,4}};",
        "std::vector<int> cups{{1,2},{3,4}};",
        'printf("{%d}", cups);',
        "const pour = () => {{ return 1 }}",
        'func main() {\n\ttext := "{{ .Tea }}"\n}',
        "def pour(self):\n    return '{{' + self.tea",
        'println!("{{}}", tea);',
        "SELECT '{{' FROM pots;",
        "print(f'{{{tea}}}: {{')",
    ],
    "JSON": ['Answer with {{"tea": "green", "cups": 2}} alone.', "{'pot': {'lid': {}}} is what {% holds"],
}
PROSE = [
    "Hello {{ name }",
    "{% fro x in y %}{{ x }}{% endfor %}",
    "You are kind.\n{% if x %}\n- Be brief;\n- be clear;\nno end",
    "Sum up the text in {{ n words: }}",
    "Use the tone -> {{ tone and answer.",
    "# Role\n\n- Answer in {{ language }}.\n{% for d in docs %}<doc>{{ d.text }}</doc>\n{% endif %}",
    "It costs ${{ price }. Let me know.",
    "Class of 2020; import your {{ data",
    "{# a note\nHello",
    "{% if a == 1 and b != 'c' %}x",
    "Write a function that adds {{ a } and b. Use Python.",
    "name={{ name }} {{ b }",
    "<input>{{ x }</input>",
    "<template>{{ x }</template>",
    "<style>Formal</style><script>{{ scene }</script><html>{{ page }}</html>",
    '<document id="1" type="{{ kind }">…</document>',
    "Find each <span>{{ x }</span>.",
    "Read notes.md {{ x }",
    "Read notes.md {% iff x %}",
    "Ticket #12 {% iff x %}",
    "Read it; then answer {{ q }",
    "You do function calling: {{ x }",
    "Choose the class label:\n{{ x }",
    "It costs ${{ inputs }.",
]
PAIRS = [(kind, text) for kind, texts in LITERAL.items() for text in texts]


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, shared by tests that each use other prompts."""
    with Registry(":memory:") as opened:
        yield opened


def refusal(memory, template, kind=TemplateSyntaxError):
    """Return the message of the error that saving a template raises."""
    with pytest.raises(kind) as caught:
        memory.create("refused", template)
    return caught.value.message


@pytest.mark.parametrize(("kind", "text"), PAIRS)
def test_rule_20_a_syntax_error_of_what_is_no_template_says_that_plain_exists(memory, kind, text):
    """It says what the text looks like and how it is kept whole, and saved so it is."""
    message = refusal(memory, text)
    assert f'If this is {kind} and no template, save it with syntax="plain": all of it stays as it is.' in message
    chat = refusal(memory, [{"role": "user", "content": "x"}, {"role": "user", "content": text}])
    assert chat.startswith("'refused': message 2 of 2: Line ")
    assert 'syntax="plain"' in chat
    assert memory.save("kept", text, syntax="plain").render().text == text


@pytest.mark.parametrize("text", PROSE)
def test_rule_20_a_syntax_error_of_prose_says_only_how_to_keep_braces(memory, text):
    """In what is meant as a template it says that braces can stay, and speaks of no other syntax."""
    message = refusal(memory, text)
    assert message.endswith("Braces that are text go between {% raw %} and {% endraw %}.")
    assert "plain" not in message


def test_rule_20_what_an_error_says_about_braces_is_true(memory):
    """Text between these tags is rendered as it is."""
    assert memory.save("raw", "{% raw %}{{ a }{% endraw %} {{ b }}").render(b=1).text == "{{ a } 1"


MUSTACHE = {
    "Handlebars' {{#if x}} … {{/if}} is {% if x %} … {% endif %} here, and {{#each xs}} is {% for x in xs %}.": [
        "{{#if tea}}hot{{/if}}",
        "{{#each pots}}{{this}}{{/each}}",
        "{{~#if tea~}}hot{{~/if~}}",
        "{% if tea %}hot{{/if}}",
        "{{#if tea}}{{{pot}}}{{> footer}}{{/if}}",
    ],
    "Mustache's {{#x}} … {{/x}} is {% if x %} … {% endif %} here, and of a list {% for item in x %}.": [
        "{{#tea}}hot{{/tea}}"
    ],
    "{{^x}} … {{/x}} and {{#unless x}} … {{/unless}} are {% if not x %} … {% endif %} here.": [
        "{{^tea}}no{{/tea}}",
        "{{#unless tea}}no{{/unless}}",
    ],
    "{{{x}}} is {{ x }} here, as nothing is escaped.": ["Tea: {{{tea}}}", "<div>{{{ pot.tea }}}</div>"],
    "{{&x}} is {{ x }} here, as nothing is escaped.": ["Tea: {{&tea}}", "{{& pot.tea }}"],
    "A comment {{! … }} is {# … #} here.": ["{{! note}}tea", "{{!-- note --}}tea"],
    "Instead of {{> part}} write the part out, or pass its text as a variable: {{ part }}.": [
        "{{> footer }}",
        "{{>footer}}",
    ],
    "{{~x~}} is {{- x -}} here.": ["a {{~tea~}} b", "a {{~ tea }} b"],
    "{{@index}} is {{ loop.index0 }} here; @first is loop.first, and @last loop.last.": ["{{@index}}. {{@last}}"],
    "{{../x}} is {{ x }} here: what is outside a loop can be read inside.": ["{{../tea}}"],
    "{{.}} is the variable of a loop here: {% for x in xs %}{{ x }}{% endfor %}.": ["{{.}}"],
}


@pytest.mark.parametrize(("advice", "text"), [(advice, text) for advice, texts in MUSTACHE.items() for text in texts])
def test_a_syntax_error_of_a_mustache_tag_says_what_to_write(memory, advice, text):
    """It is about the first tag of Mustache or Handlebars, and speaks of no other syntax, as the text is a template."""
    assert refusal(memory, text).endswith(f"between {{% raw %}} and {{% endraw %}}. {advice}")


FORMATTED_BRACES = "If its braces are doubled for an f-string, write them single here, and {name} as {{ name }}."


@pytest.mark.parametrize(
    "text",
    [
        'Return {{"a": 1}} for {question}',
        "Return {{'a': [{{'b': {user.name}}}]}} only.",
        'Answer {question} as\n{{\n    "a": "…"\n}}\n',
        "Return {{}} for {question}",
        'Use def pour(): and {{"a": 1}} for {question}',
    ],
)
def test_a_syntax_error_of_doubled_braces_says_that_they_are_single_here(memory, text):
    """Beside names in single braces they come from an f-string; `plain` would keep both as they are."""
    assert refusal(memory, text).endswith(f" {FORMATTED_BRACES}")
    prompt = memory.save("single", 'Return {"a": 1} for {{ question }}')
    assert prompt.render(question="Q").text == 'Return {"a": 1} for Q'


def test_doubled_braces_alone_may_be_meant_as_they_are_too(memory):
    """Then the error says both."""
    message = refusal(memory, 'Answer with {{"tea": "green"}} alone.')
    assert message.endswith(
        f' {FORMATTED_BRACES} If this is JSON and no template, save it with syntax="plain": all of it stays as it is.'
    )
    for text in ('<Pot style={{"color": "red"}}>{children}</Pot>', "Use {name} in {{ name }"):
        assert FORMATTED_BRACES not in refusal(memory, text)


def test_what_the_policy_refuses_of_code_is_answered_alike(memory):
    """Code that Jinja2 can read may hold what no template may; JSON alone is no sign of it."""
    code = "const tea = () => {\n  return `{{ pour(pot) }}`\n}"
    assert refusal(memory, code, TemplatePolicyError).endswith(
        'If this is code and no template, save it with syntax="plain": all of it stays as it is.'
    )
    assert "plain" not in refusal(memory, "{{ pour(pot) }}", TemplatePolicyError)
    for json in ('{"tea": "{{ pour(pot) }}"}', '{\n  "tea": {\n    "cups": "{{ pour(pot) }}"\n  }\n}'):
        assert "plain" not in refusal(memory, json, TemplatePolicyError)


def test_rule_20_an_unknown_filter_or_test_is_a_syntax_error_too(memory):
    """It says how braces are kept, and speaks of `plain` unless another name may be meant."""
    for unknown in ("{{ tea | brewed }}", "{{ tea is brewed }}"):
        assert refusal(memory, unknown).endswith(
            "'brewed'. Braces that are text go between {% raw %} and {% endraw %}."
        )
        assert 'save it with syntax="plain"' in refusal(memory, f"const tea = `{unknown}`;")
    for code in ("{{ pot | uper }}", "const tea = `{{ pot | uper }}`;"):
        assert refusal(memory, code).endswith("'upper'? Braces that are text go between {% raw %} and {% endraw %}.")


def test_code_that_is_read_as_a_template_says_so_when_its_first_render_fails(memory):
    """What parses is saved; where none of what it reads is passed, the error names the other syntax."""
    texts = {
        "LaTeX": r"Typeset $\frac{{a}}{{b}}$ as it is.",
        "a workflow": "run: ship ${{ github.sha }}",
        "code": "def pour():\n    return '{{ tea }}'",
    }
    for kind, text in texts.items():
        for template in (text, [{"role": "user", "content": "x"}, {"role": "user", "content": text}]):
            prompt = memory.save("read", template)
            with pytest.raises(MissingVariablesError) as caught:
                prompt.render(other=1)
            assert caught.value.message.endswith(
                f'If this is {kind} and no template, save it with syntax="plain": all of it stays as it is.'
            )
            assert caught.value.details["missing"]
    with pytest.raises(MissingVariablesError) as caught:
        memory.save("read", texts["LaTeX"]).render(a=1)
    assert caught.value.message == "'read': Variables are missing: b; pass them to render."
    for template in ("Hello {{ name }}", '{"name": "{{ name }}"}'):
        with pytest.raises(MissingVariablesError) as caught:
            memory.save("read", template).render()
        assert caught.value.message == "'read': Variables are missing: name; pass them to render."
    chat = [{"role": "user", "content": texts["code"]}, {"placeholder": "history"}]
    with pytest.raises(MissingVariablesError) as caught:
        memory.save("read", chat, syntax="plain").render()
    assert caught.value.message == "'read': Variables are missing: history; pass them to render."
    memory.save("read", "x", syntax="jinja")


FORMATTED = {"name": "Ana", "total": 2.5, "user": {"name": "Bo"}, "tags": ["a", "b"], "x": ""}
HERE = ["Ana", "…", "…", "ab", "0", "Ana", "", None]


def codes(title):
    """Return the codes in the cells of the table below a heading of the page about moving in."""
    return [
        [
            [code.replace(r"\|", "|") for code in re.findall("`([^`]+)`", cell)]
            for cell in re.split(r"(?<!\\)\|", row)[1:3]
        ]
        for row in section("moving.md", title).splitlines()
        if row.startswith("| `")
    ]


@pytest.mark.parametrize("row", codes("From Python's strings"), ids=lambda row: row[0][0])
def test_the_page_about_moving_writes_what_python_does(memory, row):
    """Each template in the right column renders what the f-string in the left one makes."""
    for there in row[0]:
        made = Template(there).substitute(FORMATTED) if "$" in there else eval(f"f'''{there}'''", {}, FORMATTED)
        assert memory.save("moved", row[1][0], syntax="jinja").render(FORMATTED).text == made


@pytest.mark.parametrize(("row", "made"), [*zip(codes("From Mustache and Handlebars"), HERE, strict=True)])
def test_the_page_about_moving_writes_what_handlebars_does(memory, row, made):
    """Each template in the right column renders; in the left one an error says what it is, where it is none here."""
    if made is None:
        assert row[1] == []
        return
    values = {"name": "Ana", "x": "X" if "not" not in row[1][0] else "", "xs": ["a", "b"]}
    template = row[1][0] if "loop." not in row[1][0] else f"{{% for x in xs[:1] %}}{row[1][0]}{{% endfor %}}"
    assert memory.save("moved", template, syntax="jinja").render(values).text == made


def unbounded(pattern):
    """Return the repetitions without an upper bound in a parsed regular expression, and in its parts."""
    if not isinstance(pattern, tuple | list | _parser.SubPattern):
        return []
    inner = [found for part in pattern for found in unbounded(part)]
    is_repetition = isinstance(pattern, tuple) and len(pattern) == 3 and isinstance(pattern[2], _parser.SubPattern)
    return [pattern, *inner] if is_repetition and pattern[1] is _parser.MAXREPEAT else inner


def test_no_text_takes_long_to_look_at():
    """Each repetition of each pattern has a bound, so that searching takes time linear in the length of a text."""
    assert unbounded(_parser.parse("a(b|c[de]*)"))
    marks = [*chain(*hints._MARKS.values()), *(mark for mark, _ in hints._MUSTACHE), hints._NAMED, hints._DOUBLED]
    assert [mark for mark in marks if unbounded(_parser.parse(mark))] == []


@pytest.mark.slow
def test_long_texts_of_half_marks_look_like_nothing():
    """Marks are searched for in the beginning of a text, however often a part of one stands there."""
    for mark in (
        "\n",
        "; ",
        "{a",
        "\\a",
        " \n",
        "\"'",
        "import a",
        "SELECT a ",
        "x = a",
        "{%1",
        "a:",
        "{{",
        "{a",
        "{a}}",
        "<a ",
        "<",
        "{-a",
        "#a",
    ):
        assert looks_like(mark * MAX_SEARCHED) is None
    assert looks_like("x" * MAX_SEARCHED + "#include") is None
    with Registry(":memory:") as registry, pytest.raises(TemplateError):
        registry.create("p", "{{" + "; " * 100_000)
