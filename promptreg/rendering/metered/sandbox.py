"""The metered tier: any template that the policy allows, compiled by Jinja's own compiler and metered as it runs.

Jinja's generator writes the code, so scopes, macros and loops mean what they mean in Jinja; the steps
whose cost or safety depends on values are written as calls: reading (`values.py`), calling (`methods.py`),
filters and tests (`filters.py`), arithmetic, comparing and printing (`meter.py`). Each pass of a loop and each
call of a macro pays for the nodes in its body. Nothing is folded when the template is compiled. No
autoescape, a trailing newline stays, no loader, and of Jinja's globals only `range`, `dict`, `namespace`.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator
from io import StringIO
from typing import Any, ClassVar, NoReturn, TypeAlias

from jinja2 import Environment, Undefined, nodes
from jinja2 import TemplateSyntaxError as JinjaSyntaxError
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import TemplateRuntimeError
from jinja2.lexer import TokenStream
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, identity
from jinja2.utils import missing
from markupsafe import Markup

from promptreg.errors import RenderError, RenderLimitError, TemplateError, TemplatePolicyError, TemplateSyntaxError
from promptreg.nearest import nearest
from promptreg.rendering.filters import FILTERS, TESTS
from promptreg.rendering.limits import RenderLimits, body_cost
from promptreg.rendering.metered.blame import none_read, owner
from promptreg.rendering.metered.meter import Exceeded, Meter
from promptreg.rendering.metered.methods import BUILTIN_FUNCTIONS, OwnMacro, OwnNamespace, call, call_method
from promptreg.rendering.policy import STATEMENT_NAMES, levels_made, require_allowed
from promptreg.rendering.values import (
    Absent,
    AbsentAttribute,
    AbsentDeclared,
    AbsentVariable,
    HintedAbsence,
    Refused,
    read_attribute,
    read_item,
)
from promptreg.untrusted import CallerError
from promptreg.variables import MAX_IDENTIFIER

_Token: TypeAlias = tuple[int, str, str]  # its line, its kind and its text

FILE = "<promptreg template>"  # another name than Jinja gives the templates of an application, which a value may render
SMALL = 2**63  # integers under it take no measuring: what arithmetic makes of two has at most 126 bits
MAX_MESSAGE = 200  # characters of a message of Jinja's, which may quote much of a template
MAX_TAG, MAX_CHAIN = 5_000, 600  # tokens of one tag, and between two commas of it

_BINARY = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "floor_divide"}
_BINARY |= {"%": "remainder"}
_COMPARISONS = {"in": "contains", "notin": "lacks"}


def _binary(operation: str) -> Callable[..., None]:
    def visit(self: "_Generator", node: Any, frame: Frame) -> None:
        self.arithmetic(operation, node, frame)

    return visit


class _Generator(CodeGenerator):
    """Jinja's code generator, which writes the measured steps as calls."""

    unguarded: Container[int] = ()
    declared: Container[str] = ()
    _printed = ""

    def call(self, function: str, *operands: nodes.Node, frame: Frame) -> None:
        """Write a call."""
        self.write(f"{function}(")
        for operand in operands:
            self.visit(operand, frame)
            self.write(", ")
        self.write(")")

    def arithmetic(self, operation: str, node: Any, frame: Frame) -> None:
        """Write an operation on two exact integers in place, where neither is big; else as a call."""
        left, right = self.temporary_identifier(), self.temporary_identifier()
        self.write(f"({left} {operation} {right} if (type({left} := ")
        self.visit(node.left, frame)
        self.write(f") is int) & (type({right} := ")
        self.visit(node.right, frame)
        self.write(f") is int) and -{SMALL} < {left} < {SMALL} and -{SMALL} < {right} < {SMALL}")
        self.write(f" else context.{_BINARY[operation]}({left}, {right}))")

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        """Write the one function of a template that stands alone."""
        frame = Frame(EvalContext(self.environment))
        frame.symbols.analyze_node(node)
        frame.toplevel = frame.rootlevel = True
        frame.require_output_check = False
        self.writeline("def root(context):")
        self.indent()
        self.writeline("resolve, text, concat = context.resolve_or_missing, context.text, context.joined")
        self.writeline("if 0: yield None")
        self.enter_frame(frame)
        self.blockvisit(node.body, frame)

    def pop_assign_tracking(self, frame: Frame) -> None:
        """Nothing outside the template reads what it sets."""
        self._assign_stack.pop()

    def _make_finalize(self) -> CodeGenerator._FinalizeInfo:
        """Fold no constants."""
        return self._FinalizeInfo(None, None)

    def _output_child_pre(self, node: Any, frame: Frame, finalize: Any) -> None:
        self._printed = self.temporary_identifier()
        self.write(f"({self._printed} if type({self._printed} := ")

    def _output_child_post(self, node: Any, frame: Frame, finalize: Any) -> None:
        self.write(f") is str else str({self._printed}) if type({self._printed}) is int else text({self._printed}))")

    def visit_Name(self, node: nodes.Name, frame: Frame) -> None:
        if id(node) in self.unguarded:
            ref = frame.symbols.ref(node.name)
            self.write(f"({ref} if {ref} is not missing else absent({node.name!r}))")
        elif node.ctx == "load" and node.name in self.declared:
            ref = frame.symbols.ref(node.name)
            self.write(f"({ref} if {ref} is not missing else absent_declared(name={node.name!r}))")
        else:
            super().visit_Name(node, frame)

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        node.body.insert(0, _payment(body_cost(node.body) + 2, node))
        node.iter = _internal("each item" if node.test is None else "counted items", node.iter)
        super().visit_For(node, frame)

    def macro_body(self, node: Any, frame: Frame) -> Any:
        node.body.insert(0, _payment(body_cost(node.body) + 2, node))
        return super().macro_body(node, frame)

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:
        levels = levels_made(node.node) if node.find(nodes.NSRef) else 0
        if levels:
            node.node = _internal(f"kept {levels}", node.node)
        super().visit_Assign(node, frame)

    def visit_AssignBlock(self, node: nodes.AssignBlock, frame: Frame) -> None:
        """Jinja checks only in plain assignments that what is assigned to is a namespace."""
        for reference in node.find_all(nodes.NSRef):
            self.writeline(f"if not isinstance({frame.symbols.ref(reference.name)}, Namespace):")
            self.indent()
            self.writeline('raise TemplateRuntimeError("cannot assign attribute on non-namespace object")')
            self.outdent()
        super().visit_AssignBlock(node, frame)

    def visit_ExprStmt(self, node: nodes.ExprStmt, frame: Frame) -> None:
        """Pay, written out as `Meter.spend` does it; a template has no such statement of its own."""
        self.writeline(f"context.tank -= {node.node.value}")  # type: ignore[attr-defined]
        self.writeline("if context.tank < 0: context.refill()")

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        self.write("read_attribute(")
        self.visit(node.node, frame)
        self.write(f", {node.attr!r})")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if isinstance(node.arg, nodes.Slice):
            self.write("context.sliced(")
            self.visit(node.node, frame)
            self.write(", slice(")
            for part in (node.arg.start, node.arg.stop, node.arg.step):
                self.visit(part or nodes.Const(None), frame)
                self.write(", ")
            self.write("))")
        else:
            is_spelled = isinstance(node.arg, nodes.Const)
            self.call("read_item" if is_spelled else "context.item", node.node, node.arg, frame=frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("{")
        for pair in node.items:
            self.call("context.weigh", pair.key, frame=frame)
            self.write(": ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("}")

    visit_Add = _binary("+")
    visit_Sub = _binary("-")
    visit_Mul = _binary("*")
    visit_Div = _binary("/")
    visit_FloorDiv = _binary("//")
    visit_Mod = _binary("%")

    def visit_Pow(self, node: Any, frame: Frame) -> None:
        self.call("context.power", node.left, node.right, frame=frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("context.concat((")
        for operand in node.nodes:
            self.visit(operand, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        """Write `a < b < c` as `a < b and b < c`, reading b once."""
        self.write("(")
        left = ""
        for i, operand in enumerate(node.ops):
            is_last = i == len(node.ops) - 1
            self.write(f"context.{_COMPARISONS.get(operand.op, operand.op)}(")
            if left:
                self.write(left)
            else:
                self.visit(node.expr, frame)
            self.write(", ")
            left = self.temporary_identifier()
            self.write("" if is_last else f"({left} := ")
            self.visit(operand.expr, frame)
            self.write(")" if is_last else ")) and ")
        self.write(")")

    def visit_Filter(self, node: nodes.Filter, frame: Frame) -> None:
        if node.name.startswith("kept "):
            self.write(f"context.kept({node.name.removeprefix('kept ')}, ")
        else:
            self.write(_INTERNAL.get(node.name) or f"filter_{node.name}(context, ")
        if node.node is not None:
            self.visit(node.node, frame)
        else:
            self.write(f"concat({frame.buffer})")
        self.signature(_bounded(node), frame)
        self.write(")")

    def visit_Test(self, node: nodes.Test, frame: Frame) -> None:
        self.write(f"test_{node.name}(context, ")
        self.visit(node.node, frame)
        self.signature(_bounded(node), frame)
        self.write(")")

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        if isinstance(node.node, nodes.Getattr):
            self.write("call_method(context, ")
            self.visit(node.node.node, frame)
            self.write(f", {node.node.attr!r}")
        else:
            self.write("call(context, ")
            self.visit(node.node, frame)
        self.signature(_bounded(node), frame, {"caller": "caller"} if forward_caller else None)
        self.write(")")


_INTERNAL = {
    "each item": "context.each(",
    "counted items": "context.counted(",
    "unpacked items": "context.as_list(",
    "unpacked pairs": "context.pairs(",
}


def _internal(name: str, node: Any) -> nodes.Filter:
    """Give a filter that no template can spell, for a step of the meter."""
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _payment(cost: int, node: nodes.Node) -> nodes.ExprStmt:
    return nodes.ExprStmt(nodes.Const(cost), lineno=node.lineno)


def _bounded(node: Any) -> Any:
    """Unpack `*items` and `**pairs` through the meter."""
    if node.dyn_args is not None:
        node.dyn_args = _internal("unpacked items", node.dyn_args)
    if node.dyn_kwargs is not None:
        node.dyn_kwargs = _internal("unpacked pairs", node.dyn_kwargs)
    return node


class _Environment(Environment):
    code_generator_class = _Generator


ENVIRONMENT = _Environment(
    undefined=Absent, autoescape=False, keep_trailing_newline=True, cache_size=0, optimized=False
)
_LEXER = ENVIRONMENT.lexer  # which Jinja makes, and keeps, at the first template
_EVALUATION = EvalContext(ENVIRONMENT)


class Rendering(Meter, Context):
    """One render, of all the texts of a template: its variables, and its account."""

    filters: ClassVar = {name: row.metered for name, row in FILTERS.items()}
    tests: ClassVar = {name: row.metered for name, row in TESTS.items()}

    def __init__(self, variables: dict[str, Any], limits: RenderLimits) -> None:
        self.start(limits)
        self.variables = variables
        self.vars = {}
        self.exported_vars = set()
        self.environment = ENVIRONMENT
        self.eval_ctx = _EVALUATION

    def resolve_or_missing(self, key: str) -> Any:
        """Give a variable, else a builtin of the template language, else Jinja's `missing`."""
        value = self.variables.get(key, missing)
        return BUILTIN_FUNCTIONS.get(key, missing) if value is missing else value


def _absent(name: str) -> NoReturn:
    raise AbsentVariable(name)


_GLOBALS: dict[str, Any] = {
    **{f"filter_{name}": row.metered for name, row in FILTERS.items()},
    **{f"test_{name}": row.metered for name, row in TESTS.items()},
    **{"read_attribute": read_attribute, "read_item": read_item, "call": call, "call_method": call_method},
    **{"absent": _absent, "absent_declared": AbsentDeclared, "undefined": Absent, "cond_expr_undefined": Undefined},
    **{"LoopContext": LoopContext, "Macro": OwnMacro, "Namespace": OwnNamespace, "Markup": Markup, "missing": missing},
    **{"TemplateRuntimeError": TemplateRuntimeError, "identity": identity, "environment": ENVIRONMENT},
    "__name__": f"{__name__}.template",
}


def parse(source: str, limits: RenderLimits) -> tuple[nodes.Template, int]:
    """Give the syntax tree of a template that the policy allows, and the number of its nodes.

    Raises `TemplateSyntaxError` with the line, or `TemplatePolicyError`.
    """
    if len(source) > limits.source_characters:
        raise TemplatePolicyError(f"The template has more than {limits.source_characters:,} characters.", line=None)
    try:
        tree = _parsed(source, limits)
    except JinjaSyntaxError as error:
        raise _syntax_error(error) from None
    except RecursionError:
        raise TemplatePolicyError("The template is nested too deep to be read.", line=None) from None
    except ValueError:
        raise TemplateSyntaxError("The template holds a number that is too long to be read.", line=None) from None
    return tree, require_allowed(tree, limits)


def _parsed(source: str, limits: RenderLimits) -> nodes.Template:
    tokens: Iterable[_Token] = _LEXER.tokeniter(source, None)
    if len(source) > MAX_IDENTIFIER:  # a shorter source holds neither a long name nor many tokens
        tokens = _few(tokens, limits)
    parser = Parser(ENVIRONMENT, "")
    parser.stream = TokenStream(_LEXER.wrap(tokens), None, None)
    return parser.parse()


def _few(tokens: Iterable[_Token], limits: RenderLimits) -> Iterator[_Token]:
    """Yield tokens; raise `TemplatePolicyError` for too many in all or in one tag, and for a name that is too long.

    Jinja parses a chain of thousands of operators, but Python 3.13 crashes a small thread when it frees such a tree.
    Python normalises each identifier that it compiles, in the square of its combining marks: 130,000 take 13 s.
    """
    in_tag = in_chain = 0
    for count, token in enumerate(tokens):
        line, kind, text = token
        if kind == "name" and len(text) > MAX_IDENTIFIER:
            raise TemplatePolicyError(
                f"Line {line}: a name has {len(text):,} characters; {MAX_IDENTIFIER} is the most.", line=line
            )
        if kind != "whitespace":
            is_tag = kind in {"operator", "name", "string", "integer", "float"}
            in_tag = in_tag + 1 if is_tag else 0
            in_chain = in_chain + 1 if is_tag and text != "," else 0
            if count > limits.nodes * 5 or in_tag > MAX_TAG or in_chain > MAX_CHAIN:
                raise TemplatePolicyError(f"Line {line}: the template holds too much to be read.", line=line)
        yield token


def _syntax_error(error: JinjaSyntaxError) -> TemplateSyntaxError:
    told = (error.message or "it can't be read")[:MAX_MESSAGE]
    unknown = re.match(r"Encountered unknown tag '(\w+)'", told)
    if unknown and unknown[1] in STATEMENT_NAMES:  # as Jinja calls the end, or another branch, of nothing that is open
        told = f"the tag {unknown[1]!r} is out of place{told[unknown.end() :]}"
        unknown = None
    near = nearest(unknown[1], STATEMENT_NAMES) if unknown else None
    meant = "" if near is None else f" Did you mean {near!r}?"
    return TemplateSyntaxError(f"Line {error.lineno}: {told}{meant}", line=error.lineno)


_TYPES_ALONE = (
    r"'\w+' object is not (?:iterable|subscriptable|reversible)|object of type '\w+' has no len\(\)"
    r"|unhashable type: '\w+'"
    r"|unsupported operand type\(s\) for \S+(?: or pow\(\))?: '\w+' and '\w+'|bad operand type for \S+ \S+: '\w+'"
    r"|'\S+' not supported between instances of '\w+' and '\w+'|can only concatenate \w+ \(not \"\w+\"\) to \w+"
    r"|(?:float |integer )?(?:division or modulo|division|modulo) by zero|argument of type '\w+' is not iterable"
    r"|not enough values to unpack \(expected \d+, got \d+\)|too many values to unpack \(expected \d+\)"
    r"|cannot unpack non-iterable \w+ object"
)
"""What Python says of types alone, compiled when a render fails; whatever else an error says may quote a value."""


def _told(error: Exception) -> str:
    """Give the name of an error's type, or its text where Python says it of types alone, and no other code could."""
    entry = error.__traceback__
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    module = entry.tb_frame.f_globals.get("__name__", "") if entry is not None else ""
    is_pythons = type(error) in {TypeError, ValueError, ZeroDivisionError} and module.startswith(
        ("promptreg.", "jinja2.")
    )
    return str(error) if is_pythons and re.fullmatch(_TYPES_ALONE, str(error)) else type(error).__name__


def _nones(told: str, source: str, line: int | None, rendering: Rendering) -> str:
    """Return what of that line is None, where None is what failed."""
    return none_read(_parsed(source, rendering.limits), line, rendering.variables) if "NoneType" in told else ""


def _template_line(lines: Iterable[tuple[int, int]], written: int | None) -> int | None:
    """Return the template's line that a line of its compiled code was written for."""
    return max((line for line, code in lines if written and code <= written), default=None)


class Metered:
    """A template compiled for the metered tier. What `render` raises is ours, Jinja's or the variables' own."""

    __slots__ = ("_lines", "_root")

    def __init__(
        self, tree: nodes.Template, unguarded: Iterable[nodes.Node], declared: Container[str] = frozenset()
    ) -> None:
        """Compile, which changes the tree; raise `TemplateSyntaxError`, or `TemplateError` where Python can't.

        Jinja lets an absent variable pass where nothing is done with it (`x is none`, `[x] | length`);
        here each of the `unguarded` readings of one is an error (rule 20). An absent `declared` one is false elsewhere.
        """
        source = StringIO()
        generator = _Generator(ENVIRONMENT, None, None, source, optimized=False)
        generator.unguarded = {id(node) for node in unguarded}
        generator.declared = declared
        try:
            generator.visit(tree)
            code = compile(source.getvalue(), FILE, "exec")
        except JinjaSyntaxError as error:
            raise _syntax_error(error) from None
        except SyntaxError as error:  # Python's, of blocks in each other
            line = _template_line(generator.debug_info, error.lineno) or 1
            reason = f"Line {line}: loops or macros lie too deep in each other; Python takes about 20."
            raise TemplateError(reason, line=line) from None
        except Exception as error:
            raise TemplateError(f"The template does not compile ({type(error).__name__}).", line=None) from None
        module: dict[str, Any] = {}
        exec(code, _GLOBALS, module)
        self._root = module["root"]
        self._lines = generator.debug_info

    def render(self, rendering: Rendering) -> str:
        """Give the text."""
        return rendering.printed(rendering.joined(list(self._root(rendering))))

    def failed(self, error: Exception, source: str, rendering: Rendering) -> Exception:
        """Translate what a render raised.

        The text of the cause may quote a value, so only its type stays, and of an attribute that is not
        there the name, where the template itself spells it. A variable that is not there stays `AbsentVariable`.
        """
        line = self._line(error)
        where = f" at line {line}" if line else ""
        match error:
            case AbsentVariable() if error.name not in rendering.variables:
                return AbsentVariable(error.name)
            case Exceeded():
                return RenderLimitError(f"The render stopped{where}: {error}.", limit=error.limit, line=line)
            case Refused():
                nones = _nones(str(error), source, line, rendering)
                return RenderError(f"The template failed{where}: {error}{nones}.", line=line)
            case AbsentVariable():
                failure = RenderError(f"The template failed{where}: {error.name} is set only later on.", line=line)
            case HintedAbsence():
                failure = RenderError(f"The template failed{where}: {error.message}", line=line)
            case AbsentAttribute() if isinstance(error.name, str) and error.name in source:
                whose = owner(error, _parsed(source, rendering.limits), line, rendering.variables)
                failure = RenderError(f"The template failed{where}: {whose} no {error.name!r}.", line=line)
            case AbsentAttribute():
                told = "a value has no such attribute or item"
                nones = _nones(type(error.obj).__name__, source, line, rendering)
                failure = RenderError(f"The template failed{where}: {told}{nones}.", line=line)
            case _:
                told = _told(error)
                nones = _nones(told, source, line, rendering)
                failure = RenderError(f"The template failed{where} ({told}){nones}.", line=line)
        failure.__cause__ = CallerError(type(error).__name__)
        return failure

    def _line(self, error: Exception) -> int | None:
        """Find the template's line: its compiled code is the innermost frame of a file named `FILE`."""
        written, entry = None, error.__traceback__
        while entry is not None:
            if entry.tb_frame.f_code.co_filename == FILE:
                written = entry.tb_lineno
            entry = entry.tb_next
        return _template_line(self._lines, written)
