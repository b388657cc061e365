"""What the errors of templates say to write instead of what is refused renders."""

import re

import pytest

from promptreg import Registry, TemplatePolicyError
from promptreg.rendering import alternatives, policy

ALTERNATIVES = {f"{{{{ {name}(x) }}}}": code for name, code in alternatives.FUNCTIONS.items()} | {
    f"{{{{ x.{name}() }}}}": code for name, code in alternatives.METHODS.items()
}


@pytest.mark.parametrize("refused_call", ALTERNATIVES)
def test_a_call_that_is_refused_is_answered_with_what_to_write(refused_call):
    """What the error says to write instead renders."""
    code = ALTERNATIVES[refused_call]
    with Registry(":memory:") as registry:
        with pytest.raises(TemplatePolicyError, match=re.escape(f"can't be called in a template; write {code}.")):
            registry.save("p", refused_call)
        for part in re.split(", or (?:in a loop )?", code):
            written = part if part.startswith("{") else f"{{{{ {part} }}}}"
            template = f"{{% set ns = namespace(xs=[]) %}}{{% for i in [1] %}}{written}{{% endfor %}}"
            registry.save("p", template).render(x={"name": "n"}, xs=["x"], ys=["y"], y="y")


def test_each_statement_and_filter_that_is_refused_has_an_alternative():
    """The tables have a row for each."""
    assert {*policy.FORBIDDEN_STATEMENTS.values()} == {*alternatives.STATEMENTS}
    assert not {*alternatives.FUNCTIONS} & {*policy.BUILTINS}
    assert not {*alternatives.METHODS} & policy.METHOD_NAMES
