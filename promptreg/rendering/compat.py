"""The undocumented names of Jinja2 and pydantic that rendering depends on; no other file of `rendering/` uses any.

The others import from `jinja2`, `jinja2.nodes` and `markupsafe` alone, whose names are documented. A release that
changes one of the names below fails `tests/test_rendering_compat.py`, which has a test for each.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator as JinjaCodeGenerator
from jinja2.compiler import Frame
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.lexer import TokenStream
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro, identity
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.utils import Namespace, missing, url_quote
from pydantic import BaseModel

__all__ = [
    "JINJA_FILTERS",
    "JINJA_TESTS",
    "CodeGenerator",
    "Context",
    "Frame",
    "LoopContext",
    "Macro",
    "Namespace",
    "Token",
    "identity",
    "is_root_model",
    "missing",
    "parse_tokens",
    "tokenize",
    "url_quote",
    "wordwrap",
]

Token: TypeAlias = tuple[int, str, str]
"""A token of a template: its line, its kind and its text."""


class CodeGenerator(JinjaCodeGenerator):
    """Jinja's code generator for a template that stands alone, with its private hooks under public names.

    It folds no constants, and exports nothing that the template sets.
    """

    def before_printed(self) -> None:
        """Write what stands before an expression that is printed."""
        raise NotImplementedError

    def after_printed(self) -> None:
        """Write what stands after an expression that is printed."""
        raise NotImplementedError

    def pop_assign_tracking(self, frame: Frame) -> None:
        """Forget the names that were assigned, instead of exporting them."""
        self._assign_stack.pop()

    def _make_finalize(self) -> JinjaCodeGenerator._FinalizeInfo:
        return self._FinalizeInfo(None, None)

    def _output_child_pre(self, node: Any, frame: Frame, finalize: Any) -> None:
        self.before_printed()

    def _output_child_post(self, node: Any, frame: Frame, finalize: Any) -> None:
        self.after_printed()


def tokenize(environment: Environment, source: str) -> Iterator[Token]:
    """Yield the tokens of a template, one at a time; raise Jinja's `TemplateSyntaxError`."""
    return environment.lexer.tokeniter(source, None)


def parse_tokens(environment: Environment, tokens: Iterable[Token]) -> nodes.Template:
    """Return the syntax tree of the tokens, with Jinja's loop controls; raise Jinja's `TemplateSyntaxError`."""
    parser = Parser(environment, "")
    parser.extensions |= {"break": _loop_control, "continue": _loop_control}
    parser.stream = TokenStream(environment.lexer.wrap(tokens), None, None)
    return parser.parse()


def _loop_control(parser: Parser) -> nodes.Break | nodes.Continue:
    """Parse `break` or `continue`, as Jinja's extension does, whose module takes 2 ms to import."""
    token = next(parser.stream)
    return (nodes.Break if token.value == "break" else nodes.Continue)(lineno=token.lineno)


def wordwrap(text: str, width: int, break_long_words: bool, wrapstring: str, break_on_hyphens: bool) -> Any:
    """Apply Jinja's filter, which takes an environment only for the `wrapstring` that is not given."""
    jinja: Any = JINJA_FILTERS["wordwrap"]
    return jinja(None, text, width, break_long_words, wrapstring, break_on_hyphens)


def is_root_model(value: BaseModel) -> bool:
    """Return whether a model is a pydantic `RootModel`, without importing that class, which takes 18 ms."""
    return value.__pydantic_root_model__
