"""The filters and tests of the template language: one row each in `FILTERS` and `TESTS`, and no other list anywhere.

From the rows derive the names that the policy allows, the functions that both tiers call, and the reads of absent
variables that are allowed (`reads.py`); the documentation and the tests are checked against them. A new filter takes
its functions (in `metered/` and, if prompts use it often, in `fast/`), a row here, a line of the documentation and an
expression in the tests' grammar; tests fail until all are there.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from promptreg.rendering.fast import operations as fast
from promptreg.rendering.metered import containers, jinja_tests, operators, selecting, texts

Result: TypeAlias = Literal["any", "text", "integer", "list", "rows", "groups"]
"""What a filter returns: a list of items, of lists of items (rows), or of pairs of a value and a list (groups)."""

TEXT: Result = "text"
INTEGER: Result = "integer"
ANY: Result = "any"
LIST: Result = "list"
ROWS: Result = "rows"
GROUPS: Result = "groups"

LEVELS: dict[Result, int] = {LIST: 1, ROWS: 2, GROUPS: 4}
"""By how many levels of containers such a result may be deeper than what the filter was given."""


class Inline:
    """Marks a filter or test that the fast tier's compiler writes out in place, without a function."""


INLINE = Inline()
FastFunction: TypeAlias = Callable[..., Any] | Inline | None


class Filter(NamedTuple):
    """One filter (`value | name(…)`).

    `metered` is the metered tier's function: it takes the `Meter`, the value and the template's arguments. `fast` is
    the fast tier's, for as many positional arguments as `arguments` allows: it takes the value and these; where the
    filter returns text, first the number of characters that it may take or make at most. Without one, templates that
    use the filter are left to the metered tier. `takes_absent`: an absent value is no error (rule 20).
    """

    metered: Callable[..., Any]
    returns: Result
    fast: FastFunction = None
    arguments: tuple[int, ...] = ()
    takes_absent: bool = False


class Test(NamedTuple):
    """One test (`value is name(…)`): the same as `Filter`, but the fast function takes the value alone.

    A test that takes what is absent answers as stock Jinja2 does (rule 20).
    """

    metered: Callable[..., Any]
    fast: FastFunction = None
    takes_absent: bool = False


FILTERS: dict[str, Filter] = {
    "abs": Filter(texts.do_abs, ANY),
    "attr": Filter(containers.do_attr, ANY),
    "batch": Filter(containers.do_batch, ROWS),
    "capitalize": Filter(texts.do_capitalize, TEXT, fast.do_capitalize, (0,)),
    "center": Filter(texts.do_center, TEXT),
    "count": Filter(containers.do_length, INTEGER, fast.do_length, (0,)),
    "d": Filter(containers.do_default, ANY, INLINE, (0, 1, 2), takes_absent=True),
    "default": Filter(containers.do_default, ANY, INLINE, (0, 1, 2), takes_absent=True),
    "dictsort": Filter(containers.do_dictsort, ROWS),
    "e": Filter(texts.do_escape, TEXT),
    "escape": Filter(texts.do_escape, TEXT),
    "filesizeformat": Filter(texts.do_filesizeformat, TEXT),
    "first": Filter(containers.do_first, ANY, fast.do_first, (0,)),
    "float": Filter(texts.do_float, ANY),
    "forceescape": Filter(texts.do_forceescape, TEXT),
    "format": Filter(texts.do_format, TEXT),
    "groupby": Filter(containers.do_groupby, GROUPS),
    "indent": Filter(texts.do_indent, TEXT, fast.do_indent, (0, 1)),
    "int": Filter(texts.do_int, INTEGER, fast.do_int, (0,)),
    "items": Filter(containers.do_items, ROWS),
    "join": Filter(containers.do_join, TEXT, fast.do_join, (0, 1)),
    "last": Filter(containers.do_last, ANY, fast.do_last, (0,)),
    "length": Filter(containers.do_length, INTEGER, fast.do_length, (0,)),
    "list": Filter(containers.do_list, LIST, fast.do_list, (0,)),
    "lower": Filter(texts.do_lower, TEXT, fast.do_lower, (0,)),
    "map": Filter(selecting.do_map, LIST),
    "max": Filter(containers.do_max, ANY),
    "min": Filter(containers.do_min, ANY),
    "reject": Filter(selecting.do_reject, LIST),
    "rejectattr": Filter(selecting.do_rejectattr, LIST),
    "replace": Filter(texts.do_replace, TEXT, fast.do_replace, (2,)),
    "reverse": Filter(containers.do_reverse, LIST),
    "round": Filter(texts.do_round, ANY, fast.do_round, (0, 1)),
    "safe": Filter(texts.do_safe, TEXT),
    "select": Filter(selecting.do_select, LIST),
    "selectattr": Filter(selecting.do_selectattr, LIST),
    "slice": Filter(containers.do_slice, ROWS),
    "sort": Filter(containers.do_sort, LIST),
    "string": Filter(texts.do_string, TEXT, fast.do_string, (0,)),
    "striptags": Filter(texts.do_striptags, TEXT),
    "sum": Filter(containers.do_sum, ANY),
    "title": Filter(texts.do_title, TEXT, fast.do_title, (0,)),
    "tojson": Filter(containers.do_tojson, TEXT, fast.do_tojson, (0, 1)),
    "trim": Filter(texts.do_trim, TEXT, fast.do_trim, (0,)),
    "truncate": Filter(texts.do_truncate, TEXT, fast.do_truncate, (0, 1)),
    "unique": Filter(containers.do_unique, LIST),
    "upper": Filter(texts.do_upper, TEXT, fast.do_upper, (0,)),
    "urlencode": Filter(texts.do_urlencode, TEXT),
    "wordcount": Filter(texts.do_wordcount, INTEGER),
    "wordwrap": Filter(texts.do_wordwrap, TEXT),
}

TESTS: dict[str, Test] = {
    "boolean": Test(jinja_tests.stock("boolean"), fast.is_boolean, takes_absent=True),
    "callable": Test(jinja_tests.stock("callable"), takes_absent=True),
    "defined": Test(jinja_tests.stock("defined"), INLINE, takes_absent=True),
    "divisibleby": Test(jinja_tests.test_divisibleby, INLINE),
    "eq": Test(operators.eq, INLINE),
    "equalto": Test(operators.eq, INLINE),
    "==": Test(operators.eq, INLINE),
    "escaped": Test(jinja_tests.stock("escaped"), takes_absent=True),
    "even": Test(jinja_tests.test_even, INLINE),
    "false": Test(jinja_tests.stock("false"), fast.is_false, takes_absent=True),
    "filter": Test(jinja_tests.test_filter),
    "float": Test(jinja_tests.stock("float"), fast.is_float, takes_absent=True),
    "ge": Test(operators.ge, INLINE),
    ">=": Test(operators.ge, INLINE),
    "gt": Test(operators.gt, INLINE),
    "greaterthan": Test(operators.gt, INLINE),
    ">": Test(operators.gt, INLINE),
    "in": Test(jinja_tests.test_in, INLINE),
    "integer": Test(jinja_tests.stock("integer"), fast.is_integer, takes_absent=True),
    "iterable": Test(jinja_tests.stock("iterable"), fast.is_iterable),
    "le": Test(operators.le, INLINE),
    "<=": Test(operators.le, INLINE),
    "lower": Test(jinja_tests.test_lower),
    "lt": Test(operators.lt, INLINE),
    "lessthan": Test(operators.lt, INLINE),
    "<": Test(operators.lt, INLINE),
    "mapping": Test(jinja_tests.stock("mapping"), fast.is_mapping, takes_absent=True),
    "ne": Test(operators.ne, INLINE),
    "!=": Test(operators.ne, INLINE),
    "none": Test(jinja_tests.stock("none"), fast.is_none, takes_absent=True),
    "number": Test(jinja_tests.stock("number"), fast.is_number, takes_absent=True),
    "odd": Test(jinja_tests.test_odd, INLINE),
    "sameas": Test(jinja_tests.stock("sameas"), takes_absent=True),
    "sequence": Test(jinja_tests.stock("sequence"), fast.is_sequence, takes_absent=True),
    "string": Test(jinja_tests.stock("string"), fast.is_string, takes_absent=True),
    "test": Test(jinja_tests.test_test),
    "true": Test(jinja_tests.stock("true"), fast.is_true, takes_absent=True),
    "undefined": Test(jinja_tests.stock("undefined"), INLINE, takes_absent=True),
    "upper": Test(jinja_tests.test_upper),
}
