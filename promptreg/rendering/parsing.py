"""Parsing: the text of a template in, a syntax tree that the policy allows out, which both tiers compile.

Jinja's syntax errors become ours, with the line. Nothing is compiled or run here.
"""

import re
from collections.abc import Iterable, Iterator

from jinja2 import Environment, nodes
from jinja2 import TemplateSyntaxError as JinjaSyntaxError

from promptreg.errors import TemplateError, TemplatePolicyError, TemplateSyntaxError
from promptreg.nearest import nearest
from promptreg.rendering import hints
from promptreg.rendering.compat import Token, parse_tokens, tokenize
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.metered.functions import CALLED_FUNCTIONS
from promptreg.rendering.policy import TAGS, Offence, bound_names, require_allowed
from promptreg.rendering.values import Absent
from promptreg.variables import MAX_IDENTIFIER

MAX_MESSAGE = 200  # characters of a message of Jinja's, which may quote much of a template
MAX_TAG_TOKENS = 5_000
MAX_CHAIN_TOKENS = 600  # between two commas of a tag

ENVIRONMENT = Environment(undefined=Absent, autoescape=False, keep_trailing_newline=True, cache_size=0, optimized=False)
TRIMMING = ENVIRONMENT.overlay(trim_blocks=True, lstrip_blocks=True)
"""What reads `jinja-trim`; its trees are compiled and rendered as all others."""
_LEXER = ENVIRONMENT.lexer  # Jinja keeps the one that it makes here; making it takes 0.7 ms of the first render


def parse(source: str, limits: RenderLimits, *, trims: bool = False) -> tuple[nodes.Template, int]:
    """Return the syntax tree of a template that the policy allows, and the number of its nodes.

    With `trims` a block takes the line break after it and the spaces before it, as `jinja-trim` says. Raises
    `TemplateSyntaxError` with the line, or `TemplatePolicyError`.
    """
    try:
        tree = syntax_tree(source, limits, TRIMMING if trims else ENVIRONMENT)
        count = require_allowed(tree, limits)
    except JinjaSyntaxError as error:
        raise _refusal(syntax_offence(error), source) from None
    except Offence as offence:
        raise _refusal(offence, source) from None
    except RecursionError:
        raise TemplatePolicyError("The template is nested too deep to be read.", line=None) from None
    except ValueError:
        raise TemplateSyntaxError("The template holds a number that is too long to be read.", line=None) from None
    if any(name in source for name in CALLED_FUNCTIONS):
        _resolve_functions(tree)
    return tree, count


def _refusal(offence: Offence, source: str) -> TemplateError:
    """Return the error of an offence, with what it says about braces that are text."""
    if offence.kind is TemplateSyntaxError:
        return offence.error(f" {hints.KEPT}" if offence.is_misspelling else hints.of_braces(source))
    return offence.error("" if offence.is_misspelling else hints.of_literal(source))


def _resolve_functions(tree: nodes.Template) -> None:
    """Have calls of `zip` and `raise_exception` mean the functions, whatever variables are passed.

    Where the template binds such a name itself, it means its own. No other read of the names is changed: they are
    variables.
    """
    bound = bound_names(tree)
    for call in tree.find_all(nodes.Call):
        called = call.node
        if isinstance(called, nodes.Name) and called.name in CALLED_FUNCTIONS and called.name not in bound:
            is_literal = called.name == "raise_exception" and _is_one_text(call)
            name = "raise_literal" if is_literal else called.name
            call.node = nodes.ExtensionAttribute("promptreg", name, lineno=called.lineno)


def _is_one_text(call: nodes.Call) -> bool:
    """Return whether a call has one argument, a literal text."""
    match call:
        case nodes.Call(args=[nodes.Const(value=str())], kwargs=[], dyn_args=None, dyn_kwargs=None):
            return True
    return False


def syntax_tree(source: str, limits: RenderLimits, environment: Environment = ENVIRONMENT) -> nodes.Template:
    """Return the syntax tree, as Jinja parses it; raise Jinja's own errors, and `Offence` for its size."""
    tokens: Iterable[Token] = tokenize(environment, source)
    if len(source) > MAX_IDENTIFIER:  # a shorter source holds neither a long name nor many tokens
        tokens = _within_limits(tokens, limits)
    return parse_tokens(environment, tokens)


def _within_limits(tokens: Iterable[Token], limits: RenderLimits) -> Iterator[Token]:
    """Yield tokens; raise `Offence` for too many in all or in one tag, and for a name that is too long.

    Jinja parses a chain of thousands of operators, but Python 3.13 crashes a small thread when it frees such a tree.
    Python normalises each identifier that it compiles, in the square of its combining marks: 130,000 take 13 s.
    """
    in_tag = in_chain = 0
    for count, token in enumerate(tokens):
        line, kind, text = token
        if kind == "name" and len(text) > MAX_IDENTIFIER:
            raise Offence(line, f"a name has {len(text):,} characters; {MAX_IDENTIFIER} is the most")
        if kind != "whitespace":
            is_in_tag = kind in {"operator", "name", "string", "integer", "float"}
            in_tag = in_tag + 1 if is_in_tag else 0
            in_chain = in_chain + 1 if is_in_tag and text != "," else 0
            if count > limits.nodes * 5 or in_tag > MAX_TAG_TOKENS or in_chain > MAX_CHAIN_TOKENS:
                raise Offence(line, "the template holds too much to be read")
        yield token


def syntax_offence(error: JinjaSyntaxError) -> Offence:
    """Return the offence that is Jinja's syntax error.

    For an unknown tag it suggests the nearest, and is no misspelling: what follows `{%` in CSS is often near some tag.
    """
    message = (error.message or "it can't be read")[:MAX_MESSAGE]
    unknown = re.match(r"Encountered unknown tag '(\w+)'", message)
    if unknown and unknown[1] in TAGS:  # an end, or another branch, of nothing that is open
        message = f"the tag {unknown[1]!r} is out of place{message[unknown.end() :]}"
        unknown = None
    near = nearest(unknown[1], TAGS) if unknown else None
    meant = "" if near is None else f" Did you mean {near!r}?"
    return Offence(error.lineno, message + meant, kind=TemplateSyntaxError)
