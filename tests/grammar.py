r"""Random templates, and variables for them, for the tests that compare tiers and the tests that attack them.

Everything comes from a `random.Random`, so that a seed identifies a case. For a second render the variables are
built again from the same seed, because the first one exhausts iterators. Three modes: *friendly* stays close
to real prompts; *normal* uses the whole grammar, with small numbers, because the reference has no limits; *hostile*
adds sandbox escapes, bombs and text that is not Jinja.

A production is Jinja with holes: `@text` is any expression of that kind, `$text` a name in scope that is usually
of that kind. Kinds are hints: sometimes a hole is deliberately filled with another kind.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from tests.grammar_values import FRIENDLY, HOSTILE, NAMES, NORMAL, variables

__all__ = ["FRIENDLY", "HOSTILE", "NAMES", "NORMAL", "template", "variables"]

ITEMS = {"tags": "text", "docs": "map", "numbers": "num", "pairs": "seq", "tree": "map"}
ODD_KINDS = ("text", "num", "flag", "seq", "map", "any")

LEAVES = {
    "text": """
        $text ; $text ; $text ; $text ; $map.title ; $map['title'] ; 'a' ; "it's" ; '' ; 'ß <b>x</b>\\n' ;
        '{{ x }}' ; 'a' 'b' ; 'Ana' ; 'a, b' ; $map.name
    """,
    "num": "$num ; $num ; $num ; 0 ; 1 ; 2 ; 3 ; 42 ; 1_0 ; 0x1f ; 0b11 ; 0o17 ; 1.5 ; 2.5e-3 ; 1e3 ; $map.n ; 0.0",
    "small": "0 ; 1 ; 2 ; 3 ; 5 ; 9 ; 20 ; $small ; -1",
    "flag": "$flag ; $flag ; true ; false ; True ; False ; none",
    "seq": """
        $seq ; $seq ; $seq ; $seq ; [] ; () ; [1, 2, 3] ; ['b', 'a', 'B'] ; (3, 1, 2) ; [1, 'a', none] ; 'abc' ;
        [[2, 'x'], [1, 'y']] ; range(3) ; $map.tags ; [{'title': 'b', 'n': 2}, {'title': 'a', 'n': 1}]
    """,
    "map": """
        $map ; $map ; $map ; {} ; {'title': 'T', 'n': 2} ; {'b': 1, 'a': 2} ; {1: 'x', none: 'y'} ;
        {'items': 1, 'keys': 2, '_x': 3} ; {'B': [1], 'a': {'c': 2}} ; dict(a=1, b='x')
    """,
    "any": "$any ; $any ; $text ; $num ; $flag ; $seq ; $map ; $small ; none ; None ; 'a' ; 1 ; [] ; {}",
    "key": "title ; n ; name ; tags ; items ; keys ; a ; b ; author ; nope ; _x ; 0 ; children",
    "words": "'title' ; 'n' ; 'name' ; 'a' ; 'author.name' ; 'tags.0' ; 'nope' ; 0 ; '1' ; 'title,n'",
}
COMPOUND = {
    "text": """
        @text | upper ; @text | lower ; @text | capitalize ; $text | capitalize ; @text | title ; @text | trim ;
        @text | trim('a ') ; @text | striptags ; @text | escape ; @text | e ; @text | forceescape ; @any | string ;
        @text | safe ; @text | safe ~ '<' ; @text | center(@small) ; @text | center ; @text | indent ;
        @text | indent(@small, true) ; @text | indent(width='> ', first=@flag) ; @text | indent(2, blank=true) ;
        @text | replace('a', 'b') ; @text | replace(@text, @text) ; @text | replace('a', @any, 1) ;
        @text | truncate(@small) ; @text | truncate ; @text | truncate(9, true, '…', 2) ;
        @text | truncate(length=@small, killwords=@flag, end='', leeway=0) ; @text | wordwrap(5) ;
        @text | wordwrap(9, false) ; @text | wordwrap(7, wrapstring='|', break_on_hyphens=false) ;
        @any | urlencode ; @map | urlencode ; @num | filesizeformat ; @num | filesizeformat(true) ; @seq | join ;
        @seq | join(', ') ; @seq | join(@text) ; @seq | join(', ', attribute=@words) ; @seq | join(d='-') ;
        @any | tojson ; @any | tojson(2) ; @map | tojson(indent=1) ; '<' + (@any | tojson) ; (@any | tojson) + '<' ;
        '<' ~ (@any | tojson) ; (@any | tojson if @cond else '<') + '<' ; (@any | tojson) if @cond else '<' ;
        ((@any | tojson) or '') + '<' ; (@text | safe) | indent(@text) ; '%s and %5.2f' | format(@any, @num) ;
        '%(a)s %(b)d' | format(a=@any, b=@num) ; '%s %%' | format(@any) ; '%x' | format(@num) ; '%s' | format ;
        '%-6s|%+d' | format(@text, @num) ; 'a' | format(@any) ; @any | default(@text) ; @any | d('x', true) ;
        $any | default('none') ; $any | default ; @any | default(default_value=@text, boolean=@flag) ;
        @seq | first ; @seq | last ; @text | reverse ; @text | first ; @text ~ @any ; @text + @text ; @text * 2 ;
        2 * @text ; @any ~ @num ~ @text ; @text[0] ; @text[1:3] ; @text[::-1] ; @text[@small] ; @text[-2:] ;
        @map.@key ; @map['title'] ; @map[@text] ; @any.@key ; @any['title'] ; @any[0] ; @map | attr('title') ;
        @map | attr(@words) ; @text if @cond else @text ; @text if @cond ; @any or @text ; @any and @text ;
        @text.strip() ; @text.strip('a') ; @text.lstrip() ; @text.rstrip('\\n') ; @text.replace('a', 'b') ;
        @text.replace('a', @text, 1) ; @text.join(@seq) ; ', '.join(@seq) ; @text.upper() ; @text.lower() ;
        @text.title() ; @text.capitalize() ; @text.removeprefix('a') ; @text.removesuffix(@text) ;
        @map.get('title') ; @map.get(@text, @any) ; $any.isoformat() ; $any.strftime('%Y-%m-%d %H:%M') ;
        $any.date() ; $any.time() ; @seq | max ; @seq | min ; @seq | map('upper') | join ;
        (@seq | batch(2) | first)[0] ; loop.cycle('a', 'b') ; @text.ljust(@small) ; @text.rjust(@small, '.') ;
        @text.center(9) ; @text.zfill(@small) ; @text.casefold() ; @text.swapcase() ; @text.partition('a')[0] ;
        @text.rpartition(@text) | join('|') ; raise_exception(@text) ; raise_exception('no') if @cond else 'yes' ;
        @seq | groupby('title') | map(attribute='grouper') | join ; @seq | map('string') | join(@text) ;
        nope or @text ; $map.nope or @text ; @text if nope else @text ; @text if $map['nope'] ; loop.previtem or @text
    """,
    "num": """
        @seq | length ; @seq | count ; @text | length ; @text | wordcount ; @any | int ; @any | int(7) ;
        @text | int(0, 16) ; @text | int(default=-1, base=2) ; @any | float ; @any | float(0.5) ; @num | abs ;
        @num | round ; @num | round(@small) ; @num | round(1, 'ceil') ; @num | round(method='floor') ; @seq | sum ;
        @seq | sum(attribute='n') ; @seq | sum(start=@num) ; @seq | max ; @seq | min ; @seq | max(attribute='n') ;
        @seq | min(case_sensitive=true) ; @num + @num ; @num - @num ; @num * 3 ; 2 * @num ; @num / 2 ; @num / @num ;
        @num // @num ; @num % 3 ; @num % @num ; @num ** 2 ; @num ** 0.5 ; -@num ; +@num ; - @num ** 2 ;
        @text.find('a') ; @text.rfind('a') ; @text.index('a') ; @text.rindex(@text) ; @text.index('a', @small) ;
        @text.count(@text) ; @seq.index(@any) ; @seq.count(@any) ; loop.index ; loop.index0 ;
        loop.revindex ; loop.revindex0 ; loop.length ; loop.depth ; loop.depth0 ; @num if @cond else @num ;
        @num + @any ; @flag + @num ; @seq | length + @num ; @num - -1
    """,
    "flag": "@cond ; @cond ; not @flag ; @flag and @flag ; @flag or @flag",
    "cond": """
        @any is defined ; $any is defined ; $text is defined ; @any is undefined ; $any is not defined ;
        @num is odd ; @num is even ; @num is divisibleby 3 ; @num is divisibleby(2) ; 'upper' is filter ;
        'odd' is test ; @text is filter ; @any is none ; @any is boolean ; @any is false ; @any is true ;
        @any is integer ; @any is float ; @text is lower ; @text is upper ; @any is string ; @any is mapping ;
        @any is number ; @any is sequence ; @any is iterable ; @any is callable ; @any is sameas(@any) ;
        @any is escaped ; @any is in(@seq) ; @any is eq(@any) ; @any is equalto @any ; @any is ne(@any) ;
        @num is gt(@num) ; @num is greaterthan(@num) ; @num is ge @num ; @num is lt(@num) ; @num is lessthan @num ;
        @num is le(@num) ; @num is not lt(@num) ; @any == @any ; @text == @text ; @any != @any ; @num < @num ;
        @num < @num <= @num ; @num >= @num ; @num > @any ; @any in @seq ; @text in @text ; @text not in @map ;
        not @any ; @any and @any ; @any or @any ; @flag ; $any ; @seq ; @text ; 1 < @num < 5 != @any ;
        @text.startswith('a') ; @text.endswith(@text) ; @text.isdigit() ; @text.isalpha() ; @text.isalnum() ;
        @text.isdecimal() ; @text.isnumeric() ; @text.isspace() ; @text.islower() ; @text.isupper() ;
        loop.first ; loop.last ;
        loop.changed(@any) ; loop.previtem is defined ; not (@cond and not @cond) ; @num == @num == @num ; nope ;
        not nope ; $map.nope ; not $map['nope'] ; $seq[99] ; loop.previtem ; not loop.nextitem ; nope is string ;
        $map.nope is none ; nope or @cond ; $map.nope and $map.nope.a
    """,
    "seq": """
        @seq | list ; @text | list ; @seq | sort ; @seq | sort(true) ;
        @seq | sort(reverse=true, case_sensitive=true) ; @seq | sort(attribute=@words) ;
        @seq | sort(attribute='title,n') ; @seq | unique | list ; @seq | unique(true) | list ;
        @seq | unique(attribute='title') | list ; @seq | reverse | list ; @seq | batch(2) | list ;
        @seq | batch(@small, '-') | list ; @seq | slice(2) | list ; @seq | slice(@small, 'x') | list ;
        @seq | map('upper') | list ; @seq | map('default', 'x') | list ; @seq | map(attribute=@words) | list ;
        @seq | map(attribute='title', default='?') | list ; @seq | map('replace', 'a', 'b') | list ;
        @seq | map('length') | list ; @seq | map('int') | list ; @seq | select | list ; @seq | reject | list ;
        @seq | select('odd') | list ; @seq | select('>', 2) | list ; @seq | reject('in', @seq) | list ;
        @seq | select('string') | list ; @seq | selectattr('title') | list ; @seq | selectattr('n', '>', 1) | list ;
        @seq | selectattr(@words, 'defined') | list ; @seq | rejectattr('title', 'equalto', @text) | list ;
        @seq | rejectattr(@words) | list ; docs | rejectattr('n', 'gt', 1) | list ;
        [{'a': 1}, {'a': @any}] | rejectattr('a') | list ; [{'n': @num}] | rejectattr('n', 'lt', 2) | list ;
        @seq | groupby('title') ; @seq | groupby('n', default=0) ; @seq | groupby(@words, case_sensitive=true) ;
        @map | dictsort ; @map | dictsort(true) ; @map | dictsort(false, 'value') ; @map | dictsort(by='value') ;
        @map | dictsort(reverse=true) ; @map | items | list ; @map.items() ; @map.keys() | list ;
        @map.values() | list ; @map.items() | list ; @text.split() ; @text.split(',') ; @text.split(', ', 1) ;
        @text.rsplit(none, 1) ; @text.splitlines() ; @text.splitlines(true) ; @seq + @seq ; @seq * 2 ; @seq[1:] ;
        @seq[:-1] ; @seq[::2] ; @seq[@small:] ; [@any, @any] ; (@any,) ; (@text, @num) ; [@seq] ; range(@small) ;
        range(1, @small, 2) ; @map.tags ; @seq if @cond else @seq ; @seq | map('first') | list ; @map | list ;
        @any | list ; @seq | select('defined') | list ; @seq | map('tojson') | list ;
        zip(@seq, @seq) | list ; zip(@seq, @text, @map) | list ; zip(*@seq) | list ; zip(@seq, strict=@flag) | list ;
        zip(@seq, @seq, strict=true) | list ; [nope, @any] | select | list ;
        [@map, {}] | selectattr('nope') | list ; [nope, $map.nope, 1] | reject | list | length ; nope or @seq
    """,
    "lazy": """
        @seq | map('upper') ; @seq | select ; @seq | reject('none') ; @seq | unique ; @seq | batch(2) ;
        @seq | slice(2) ; @seq | reverse ; @map | items ; @map.items() ; @map.values() ;
        @seq | map(attribute='title') ; @seq | selectattr('title') ; @seq ; @seq ; @map ; @text ; range(@small) ;
        zip(@seq, @seq) ; zip(@lazy, range(@small)) ; zip(@seq, strict=@flag)
    """,
    "map": """
        {'a': @any} ; {@text: @any, 'title': @text} ; dict(a=@any) ; dict(@map, b=@any) ; dict(@seq) ; @seq[0] ;
        @seq | first ; @seq | last ; {@any: @any} ; dict() ; {'title': @text, 'n': @num, 'tags': @seq} ;
        @map.author ; @map if @cond else @map
    """,
    "any": """
        @text ; @num ; @flag ; @seq ; @map ; @text ; @num ; @cond ; @any[@any] ; @any.@key ; @seq[0] ; @lazy ;
        (@any) ; @any if @cond ; @seq[0, 1] ; @seq.0 ; @map.items ; @seq[@small] ; -@any ; @any | first
    """,
}
FRIENDLY_LEAVES = {
    "text": """
        $text ; $text ; $text ; $map.title ; $map.name ; $map['title'] ; 'Ana' ; '' ; "it's" ; 'a'
    """,
    "num": "$num ; $num ; 0 ; 1 ; 2 ; 42 ; 1.5 ; $map.n",
    "small": "1 ; 2 ; 3 ; 20 ; $small",
    "flag": "$flag ; $flag ; true ; false",
    "seq": "$seq ; $seq ; $seq ; $seq ; $map.tags ; [1, 2] ; ['b', 'a']",
    "map": "$map",
    "any": "$text ; $num ; $flag ; $text ; $map.title ; $map.n ; 'a' ; 1",
    "key": "title ; n ; name ; tags",
    "words": "'title' ; 'n'",
}
FRIENDLY_COMPOUND = {
    "text": """
        @text | upper ; @text | lower ; @text | trim ; @text | title ; @text | capitalize ; $text | capitalize ;
        @seq | join(', ') ; @text | default('none') ; $text | default('x', true) ; $any | default('') ;
        @seq | length ; @any ~ ' ' ~ @any ; @text | replace('a', 'b') ; @text if @cond else @text ; $map['title'] ;
        @num + 1 ; @seq | first ; @text | indent ; @text | truncate(20) ; @map | tojson ; @num | round(1) ;
        docs | map(attribute='title') | join(', ') ; nope or @text ; $map.nope or @text
    """,
    "num": """
        @seq | length ; @num + 1 ; @num - @num ; loop.index ; @num | int ; @num | round ; @text | length ;
        @num % 2 ; @num * @num ; @num // 2 ; -@num ; loop.index0 ; loop.revindex
    """,
    "flag": "@cond ; not @flag",
    "cond": """
        $flag ; $text ; $seq ; not $flag ; @text == @text ; @num > @num ; $any is defined ; $text is defined ;
        @any is none ; @text in @seq ; $flag and $text ; $flag or @cond ; @num != 1 ; $any is not none ; not @cond ;
        loop.first ; loop.last ; not loop.last ; loop.previtem ; loop.nextitem is defined ; loop.index is even ;
        0 < @num <= 3 ; @text is eq('Ana') ; $map.nope ; $any.nope is defined ; $map.title ; @text == 'Ana' ;
        @num >= 2 ; $map is defined ; nope ;
        $map.nope ; not $map['nope'] ; nope is string ; $text and $map.nope
    """,
    "seq": """
        $seq ; @seq | sort ; $map.tags ; @seq | list ; @seq[:2] ; @text.split(',') ; @map.items() ; @seq + [@text] ;
        docs | selectattr('title', 'equalto', @text) | list ; docs | rejectattr('nope') | list ; @seq[::-1]
    """,
    "lazy": "$seq ; $seq ; $seq ; $map.tags ; @seq ; $map.items() ; range(3) ; zip($seq, $map.tags) ; zip($seq, $seq)",
    "map": "$map ; @seq | first",
    "any": "@text ; @num ; @text ; @flag ; @num ; $map.author.name ; @seq",
}
HOSTILE_COMPOUND = {
    "text": """
        @any.@dunder ; @any['@dunder'] ; @any | attr('@dunder') ; '{0.@dunder}'.format(@any) ; @text.format(@any) ;
        '{x.@dunder}'.format_map(@map) ; '%s' % @any ; '%999999999d' % @num ; '%999999999d' | format(@num) ;
        @text % @map ; @text | format(@any) ; @text * @huge ; @text | center(@huge) ; @text | indent(@huge) ;
        @text | wordwrap(@huge) ; (@text * 9999) | wordwrap(1) ; @text | replace('', @text * @huge) ;
        @text.center(@huge) ; @text.ljust(@huge) ; @text.zfill(@huge) ; @text.encode() ; @text.translate(@map) ;
        @any | pprint ; @seq | random ; @text | urlize ; @map | xmlattr ; @any | nope ; @text.expandtabs(@huge) ;
        @any.@dunder.@dunder ; @any() ; @any(@any) ; @any.@method() ; @any.@method(@any) ;
        @any.@method(*@seq, **@map) ; @any.save ; $any.save() ; $any.touch ; $any(1) ; $any.@method(@any, @any) ;
        lipsum(@huge) ; cycler(@any) ; joiner() ; self ; self._TemplateReference__context ; caller() ; varargs ;
        kwargs ; loop ; loop._iterable ; loop.@dunder ; range.@dunder ; dict.@dunder ; namespace.@dunder ;
        namespace(@any).@dunder ; dict.fromkeys(@seq) ; @text | truncate(@huge, end=@text * @huge) ;
        @seq | join(@text * @huge) ; 'x'.join(range(@huge) | map('string')) ; @any | string * 9999 ;
        @text | tojson(indent=@huge) ; $any | string ; @text.splitlines(@huge) ; (@text ~ @text) * @huge ;
        @any | map('@dunder') | list ; @text.join(range(@huge)) ; @any | filesizeformat ; @text | urlencode * 9999 ;
        [$any] ; {1: $any} ; ($any,) | string ; [[$any]] | tojson ; '%r' | format($any) ; [$any] | join ;
        namespace ; range ; dict ; m1 ; [m1] ; m1 ~ m1.@dunder ; caller ; [loop] ; @text.upper ; [@text.upper] ;
        zip(@any, $any) ; [zip(@seq)] ; zip.@dunder ; zip(@seq).@dunder ;
        raise_exception.@dunder ; raise_exception(@any) ; raise_exception($any ~ @text) ; @text.rindex(@text * 9999) ;
        (@text * @huge).index(@text) ; $any.index(@text) ; @text.ljust(@huge, @text) ;
        @lazy ; [@lazy] ; '' ~ @lazy ; [@lazy] | string ; $any.gi_frame ; $any.gi_code.co_code
    """,
    "num": """
        @huge ; @huge ** @huge ; @num ** @huge ; @huge * @huge * @huge ; 9 ** 9 ** 9 ; @num / 0 ; @num // 0 ;
        @num % 0 ; @num | round(@huge) ; @num | round(@huge, 'ceil') ; ('9' * @huge) | int ;
        ('f' * 99999) | int(0, 16) ; range(@huge) | sum ; range(@huge) | list | length ; ([1] * @huge) | sum ;
        @num << @huge ; (@huge ** 99) | string ; @huge | abs ; @huge // 3 ; -@huge ; 10 ** 300 * 1.5 ;
        2 ** 255 + @num ; @huge | float ; 1e308 * @huge
    """,
    "cond": """
        @any is nope ; @any is sameas(@dunder) ; @huge in range(@huge) ; 1.5 in range(@huge) ; @any == @any ;
        @seq * 99 == @seq * 99 ; $any == $any ; $any < $any ; $any in $any ; $any in [$any] ; @text in @text * @huge
    """,
    "seq": """
        range(@huge) ; range(0, @huge, @small) ; @seq * @huge ; [@seq * 999] * 999 ;
        @seq | batch(@huge, 'x') | list ; @seq | slice(@huge) | list ; @seq | map(attribute='@dunder') | list ;
        @seq | sort(attribute='@dunder') ; @seq | groupby('@dunder') ; @seq | sum(attribute='@dunder') ;
        @seq | map('attr', '@dunder') | list ; @seq | selectattr('@dunder') | list ; @seq.append(@any) ;
        @seq.extend(@seq) ; @seq.pop() ; @seq.clear() ; @seq.sort() ; @map.pop('title') ; @map.update(title=1) ;
        @map.clear() ; @map.setdefault('a', @any) ; @seq.insert(0, 1) ; (@text * 99999) | list ;
        (@text * 9999).split('a') ; ([@text * 999] * 999) | sort ; (@seq * 9999) | unique | list ;
        @seq | map('nope') | list ; @seq | select('nope') | list ; @seq | map('pprint') | list ; [@seq] * 9 ;
        $any | list ; $any | sort ; $any | unique | list ; $any | reverse | list ;
        @seq | map(attribute='@dunder.@dunder') | list ; @any | dictsort ;
        @seq | unique(attribute='@dunder') | list ; @seq | join(attribute='@dunder') | list ;
        zip(range(@huge), range(@huge)) | list ; zip(*[@seq * 999] * 9999) | list ; zip(@any, $any) | list ;
        zip(*range(@huge)) | list ; range(@huge) | map('string') | list ; range(@huge) | batch(1) | list ;
        dict(range(@huge) | batch(2)) | list
    """,
    "map": """
        namespace() ; namespace(a=@any) ; dict(@any) ; @any.@dunder ; dict.fromkeys(range(@huge)) ; {$any: 1} ;
        $any ; namespace(**@map) ; dict(**@map) ; {'@dunder': @any} ; dict(@map, **{'@dunder': 1})
    """,
    "any": "@any.@dunder ; @any['@dunder'] ; $any ; $any ; @any.@method ; @huge ; $any.@key ; @any()",
    "key": "@dunder ; @method",
    "dunder": """
        __class__ ; __mro__ ; __subclasses__ ; __globals__ ; __init__ ; __dict__ ; __builtins__ ; __self__ ;
        __code__ ; __call__ ; __getattribute__ ; __format__ ; __reduce__ ; __doc__ ; __module__ ; __len__ ;
        __iter__ ; __name__ ; _secret ; __func__ ; __wrapped__ ; __closure__ ; __import__ ; gi_frame ; f_globals ;
        f_builtins ; cr_frame ; tb_frame ; mro ; _x
    """,
    "method": """
        save ; touch ; delete ; format ; format_map ; append ; pop ; update ; clear ; encode ; upper ; items ; get ;
        mro ; model_dump ; model_construct ; copy ; __class__ ; send ; throw ; close ; read ; now ; today ;
        fromtimestamp ; replace ; bit_length ; conjugate ; hex ; as_tuple ; _replace ; _asdict ; sort ; index ;
        count ; split ; ljust ; zfill ; join
    """,
    "huge": """
        999999999 ; 99999999999999999999 ; 10000 ; 100000 ; 9 ** 9 ; 2 ** 31 ; 1000000 ; 4294967296 ; (10 ** 9) ;
        -999999999 ; 1e400 ; 1e308 ; 0
    """,
}

PLAIN = {
    "text": "'a b'",
    "num": "2",
    "small": "2",
    "flag": "true",
    "cond": "true",
    "seq": "[3, 1]",
    "map": "{'title': 't', 'n': 1}",
    "any": "'a'",
    "lazy": "[3, 1]",
    "key": "title",
    "words": "'title'",
}
FIXED = {"key", "small", "cond"}  # names are not values, and an arbitrary width makes the reference hang

WORDS = ("Hello ", "\n", " and ", "- ", "a\n\nb", "{ ", " % }", "<b>&amp;</b>", "ß☕ ", "\t", " # x\n", "$1 {x} ", "")
REPEATED = re.compile(r"<<(.*?)>>")
BOMBS = (
    "<<{% for i in range(@huge) %}>>x<<{% endfor %}>>",
    "<<{% for i in range(@huge) %}>><<{% endfor %}>>",
    "{% for i in range(@huge) %}{% for j in range(@huge) %}{{ i }}{% endfor %}{% endfor %}",
    "{% macro m1(a) %}@text{{ m1(a) }}{{ m1(a) }}{% endmacro %}{{ m1(@any) }}",
    "{% macro m1(a) %}{{ caller(a) }}{% endmacro %}<<{% call(b) m1(@any) %}>>{{ b }}<<{% endcall %}>>",
    "{% set name = 'ab' %}<<{% set name = name ~ name %}>>{{ name | length }}",
    "{% set name = 'ab' %}<<{% set name = name ~ name %}>>{{ name }}",
    "{% set x = [1] %}<<{% set x = [x, x] %}>>{{ x }}",
    "{% set x = [1] %}<<{% set x = [x, x] %}>>{{ x == x }}{{ x in [x] }}{{ x | tojson }}",
    "{% set x = [1] %}<<{% set x = zip(x) %}>>{{ x | list }}",
    "{% set x = [1] %}<<{% set x = zip(x, *@seq) %}>>{% for y in x %}{% break %}{% endfor %}",
    "{% for x in [1] recursive %}{{ loop([x]) }}{% break %}{% endfor %}",
    "{% set x = (1,) %}<<{% set x = (x, x) %}>>{{ {x: 1} }}",
    "{% set x = {} %}<<{% set x = {'a': x, 'b': x} %}>>{{ x | string | length }}",
    "{% set ns = namespace(a='x') %}{% for i in range(@huge) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a }}",
    "{% set ns = namespace(a=2) %}{% for i in range(@huge) %}{% set ns.a = ns.a * ns.a %}{% endfor %}{{ ns.a }}",
    "{{ <<(>>@any<<)>> }}",
    "{{ <<1 + >>1 }}",
    "{{ <<@num + >>@num }}",
    "{{ <<[>><<]>> }}",
    "{{ x<<.a>> }}",
    "{{ x<< | upper>> }}",
    "{{ x<<[0]>> }}",
    "{{ x<< ~ x>> }}",
    "{{ x<< if x else x>> }}",
    "{{ <<not >>x }}",
    "{{ <<->>1 }}",
    "{{ 1<< < 2>> }}",
    "{{ [<<@any, >>] }}",
    "{% if x %}<<{% elif x %}>>{% endif %}",
    "<<{% if x %}>><<{% endif %}>>",
    "<<{% filter upper %}>>x<<{% endfilter %}>>",
    "<<{{ x }}>>",
    "{% for i in [1, [2, [3]]] recursive %}{{ loop([i, i]) }}{% endfor %}",
    "{% for i in $any recursive %}{{ loop(i) }}{% endfor %}",
    "{% filter indent(@huge) %}@text{% endfilter %}",
    "{% set v1 | center(@huge) %}x{% endset %}{{ v1 | length }}",
    "{% include 'x' %}",
    "{% import name as i %}",
    "{% from 'x' import y %}",
    "{% extends title %}",
    "{% block b %}{{ super() }}{% endblock %}{{ self.b() }}",
    "{% autoescape true %}{{ x }}{% endautoescape %}",
    "{% set ns = namespace() %}{% set ns.@dunder = @any %}{{ ns.@dunder }}",
    "{% set ns = $any %}{% set ns.title = @any %}",
    "{% set @dunder = @any %}{{ @dunder }}",
    "{% for i in $any %}{{ i }}{% for j in $any %}{{ j }}{% endfor %}{% endfor %}",
    "{% for a, b in $any %}{{ b }}{% endfor %}{{ $any | tojson }}{{ $any }}",
    "{% for i in $any %}{% endfor %}",
    "{% call(@dunder) m1(@any) %}{% endcall %}",
    "{% macro @dunder(a=@any) %}{{ caller }}{% endmacro %}{{ @dunder }}",
    "{% macro m1() %}{{ caller.@dunder }}{{ varargs.@dunder }}{% endmacro %}{% call m1(@any) %}{% endcall %}",
    "{% set loop = @any %}{% set range = dict %}{{ range(a=@any) }}{{ loop }}",
    "{% for loop in @seq %}{{ loop }}{% endfor %}{% for i in @seq %}{{ loop.@dunder }}{% endfor %}",
    "{% for i in @seq %}{{ loop }}{{ [loop] }}{{ loop.cycle(@huge, $any) }}{{ loop.changed($any) }}{% endfor %}",
    "{% for i in $any %}{{ loop.length }}{{ loop.nextitem }}{{ loop.last }}{% endfor %}",
    "{% trans %}@text{% endtrans %}",
    "{% do $any.save() %}",
    "{% with @dunder = @any %}{{ @dunder }}{% endwith %}",
)


def _table(*sources: dict[str, str]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for source in sources:
        for kind, text in source.items():
            table.setdefault(kind, []).extend(part.strip() for part in text.split(" ;") if part.strip())
    return table


def _merged(leaves: dict[str, list[str]], compound: dict[str, list[str]]) -> dict[str, list[str]]:
    return {kind: leaves.get(kind) or compound[kind] for kind in {*leaves, *compound}}


GRAMMARS = {
    FRIENDLY: (_table(FRIENDLY_LEAVES), _table(FRIENDLY_COMPOUND)),
    NORMAL: (_table(LEAVES), _table(COMPOUND)),
    HOSTILE: (_table(LEAVES), _table(COMPOUND, *[HOSTILE_COMPOUND] * 3)),
}
HOLE = re.compile(r"([@$])([a-z]+)")
ATOM = re.compile(r"[\w.]+|'[^']*'|\[[^\[\]]*\]|\{[^{}]*\}")


class Writer:
    """Writes one template, from the outermost statement inwards."""

    def __init__(self, random: Random, mode: str) -> None:
        self.random = random
        self.mode = mode
        self.leaves, self.compound = GRAMMARS[mode]
        self.odd = 0.01 if mode == FRIENDLY else 0.04
        self.scope = {kind: list(names) for kind, names in NAMES.items()}
        self.loops = 0
        self.macros: list[tuple[str, int]] = []
        self.namespaces: list[str] = []
        self.fresh = itertools.count(1)
        self.statements, self.weights = zip(*STATEMENTS[mode], strict=True)

    def chance(self, part: float) -> bool:
        """Return True with this probability."""
        return self.random.random() < part

    def body(self, depth: int, most: int = 3) -> str:
        """Write some statements, one after the other."""
        if depth > 3:
            return self.output(depth)
        count = self.random.randint(1, most)
        return "".join(self.random.choices(self.statements, self.weights)[0](self, depth) for _ in range(count))

    # Expressions

    def expression(self, kind: str, depth: int = 0) -> str:
        """Write an expression of this kind, most of the time."""
        if kind in ODD_KINDS and self.chance(self.odd):
            kind = self.random.choice(ODD_KINDS)
        leaf = kind in self.leaves and (depth > 2 or self.chance(0.3 + 0.2 * depth))
        grammar = self.leaves if leaf or kind not in self.compound else self.compound
        production = self.random.choice(grammar[kind])
        if "loop." in production and not self.loops and self.chance(0.98):
            return self.expression(kind, depth)
        if production.count("@") > 1:
            depth += 1
        return HOLE.sub(lambda hole: self._filled(hole, depth), production)

    def _filled(self, hole: re.Match[str], depth: int) -> str:
        sign, kind = hole.groups()
        if sign == "$":
            return self.random.choice(self.scope[kind])
        text = self.expression(kind, depth + 1)
        if hole.group() == hole.string or kind in {"key", "dunder", "method"} or ATOM.fullmatch(text):
            return text
        goes_on = hole.string[hole.end() : hole.end() + 1] in {".", "[", "("}
        return f"({text})" if goes_on or self.chance(0.8) else text

    # Tags

    def tag(self, text: str) -> str:
        """Write a tag, sometimes with whitespace control."""
        return f"{{%{self._mark('+')} {text} {self._mark('+')}%}}"

    def _mark(self, other: str = "") -> str:
        return self.random.choice(["-", "-", other]) if self.chance(0.12) else ""

    def words(self, depth: int) -> str:
        """Write plain text."""
        return self.random.choice(WORDS)

    def output(self, depth: int) -> str:
        """Write an output."""
        kind = self.random.choices(["text", "num", "any", "seq", "map", "cond"], [8, 3, 4, 1, 0.5, 1])[0]
        return f"{{{{{self._mark()} {self.expression(kind, depth // 2)} {self._mark()}}}}}"

    def comment(self, depth: int) -> str:
        """Write a comment."""
        return f"{{#{self._mark()} {{{{ x }}}} note {self._mark()}#}}"

    def raw(self, depth: int) -> str:
        """Write a raw block."""
        return (
            f"{{%{self._mark()} raw {self._mark()}%}}{{{{ x }}}}{{% if %}}\n{{%{self._mark()} endraw {self._mark()}%}}"
        )

    def branch(self, depth: int) -> str:
        """Write an if, with elifs and an else."""
        parts = [self.tag(f"if {self.expression('cond', 1)}"), self.body(depth + 1, 2)]
        while self.chance(0.25):
            parts += [self.tag(f"elif {self.expression('cond', 1)}"), self.body(depth + 1, 2)]
        if self.chance(0.45):
            parts += [self.tag("else"), self.body(depth + 1, 2)]
        return "".join([*parts, self.tag("endif")])

    def loop(self, depth: int) -> str:
        """Write a for over anything, with names, a filter, an else."""
        if self.chance(0.1) and self.mode != FRIENDLY:
            return self.recursive(depth)
        source = self.expression("lazy", 2)
        tail = f" if {self.expression('cond', 2)}" if self.chance(0.15) else ""
        with self.inside():
            target = self._target(source)
            head = self.tag(f"for {target} in {source}{tail}")
            self.loops += 1
            body = self.body(depth + 1, 3) + (self._about_loop() if self.chance(0.3) else "")
            self.loops -= 1
        other = self.tag("else") + self.body(depth + 1, 2) if self.chance(0.2) else ""
        return head + body + other + self.tag("endfor")

    def _about_loop(self) -> str:
        attribute = self.random.choice(["index", "index0", "first", "last", "length", "revindex", "depth", "revindex0"])
        rest = ["cycle('odd', 'even')", "changed(x)", "previtem", "nextitem is defined", "depth0", "nope"]
        if self.mode != FRIENDLY and self.chance(0.4):
            attribute = self.random.choice(rest)
        return f"{{{{ loop.{attribute} }}}}"

    def _target(self, source: str) -> str:
        if (
            self.chance(0.12)
            or (("items" in source or "zip" in source) and self.chance(0.8))
            or (source == "pairs" and self.chance(0.6))
        ):
            first, second = self.bind("text"), self.bind("any")
            return self.random.choice([f"{first}, {second}", f"{first}, {second}", f"({first}, {second})"])
        return self.bind(ITEMS.get(source, "any"))

    def leave(self, depth: int) -> str:
        """Write a break or continue, usually in an if and in a loop."""
        if not self.loops and (self.mode == FRIENDLY or self.chance(0.95)):
            return self.words(depth)
        control = self.words(depth) + self.tag(self.random.choice(["break", "continue"]))
        if self.chance(0.1):
            return control
        return self.tag(f"if {self.expression('cond', 1)}") + control + self.tag("endif")

    def recursive(self, depth: int) -> str:
        """Write a recursive for over the tree."""
        with self.inside():
            one = self.bind("map")
            self.loops += 1
            inner = self.body(depth + 2, 2)
            self.loops -= 1
        child = self.random.choice(["children", "children", "children", "tags", "nope"])
        again = f"{{% if {one}.{child} %}}({{{{ loop({one}.{child}) }}}}){{% endif %}}"
        return self.tag(f"for {one} in tree recursive") + inner + again + self.tag("endfor")

    def assign(self, depth: int) -> str:
        """Write a set, plain or of a tuple."""
        kind = self.random.choice(ODD_KINDS)
        if self.chance(0.12):
            pair = f"{self.expression('any', 2)}, {self.expression(kind, 2)}"
            return self.tag(f"set {self.bind('any')}, {self.bind(kind)} = {pair}")
        value = self.expression(kind, 1)
        return self.tag(f"set {self.bind(kind)} = {value}")

    def assign_block(self, depth: int) -> str:
        """Write a set block, sometimes through a filter."""
        through = self.random.choice(["", "", " | upper", " | trim | title", " | replace('a', 'b')", " | indent(2)"])
        with self.inside():
            body = self.body(depth + 1, 2)
        return self.tag(f"set {self.bind('text')}{through}") + body + self.tag("endset")

    def with_(self, depth: int) -> str:
        """Write a with block."""
        kinds = self.random.choices(ODD_KINDS, k=self.random.randint(0, 2))
        values = [self.expression(kind, 1) for kind in kinds]
        with self.inside():
            parts = [f"{self.bind(kind)} = {value}" for kind, value in zip(kinds, values, strict=True)]
            return self.tag(f"with {', '.join(parts)}") + self.body(depth + 1, 2) + self.tag("endwith")

    def namespace(self, depth: int) -> str:
        """Write a namespace and set an attribute of it, often from within a loop."""
        name = f"ns{next(self.fresh)}"
        start = self.random.choice([f"namespace(a={self.expression('any', 2)})", "namespace(a=0)", "namespace(a='')"])
        step = self.random.choice(
            [f"{name}.a ~ {self.expression('text', 2)}", f"{name}.a + 1", self.expression("any", 2)]
        )
        change = self.tag(f"set {name}.{self.random.choice(['a', 'a', 'a', 'b'])} = {step}")
        if self.chance(0.6):
            change = self.tag(f"for i in {self.expression('lazy', 2)}") + change + self.tag("endfor")
        self.scope["any"].append(f"{name}.a")
        return self.tag(f"set {name} = {start}") + change + f"{{{{ {name}.a }}}}"

    def macro(self, depth: int) -> str:
        """Write a macro and call it."""
        name, loops, self.loops = f"m{next(self.fresh)}", self.loops, 0
        with self.inside():
            arguments = [f"p{next(self.fresh)}" for _ in range(self.random.randint(0, 3))]
            shown = []
            for index, argument in enumerate(arguments):
                default = f"={self.expression('any', 2)}" if index or self.chance(0.3) else ""
                shown.append(argument + default)
                self.scope[self.random.choice(["text", "any"])].append(argument)
            extra = self.random.choice(["", "", "", "", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}"])
            inner = self.body(depth + 1, 2) + extra
        self.loops = loops
        text = self.tag(f"macro {name}({', '.join(shown)})") + inner + self.tag("endmacro")
        self.macros.append((name, len(arguments)))
        return text + self.call(depth)

    def call(self, depth: int) -> str:
        """Write a call of a macro, sometimes with a caller."""
        if not self.macros:
            return self.output(depth)
        name, count = self.random.choice(self.macros)
        given = [self.expression("any", 2) for _ in range(count if self.chance(0.8) else self.random.randint(0, 4))]
        given += ["b=1"] if self.chance(0.05) else []
        call = f"{name}({', '.join(given)})"
        if self.chance(0.6):
            return f"{{{{ {call}{self.random.choice(['', '', ' | upper', ' ~ 1', ' | length'])} }}}}"
        signature, loops, self.loops = self.random.choice(["", "", "(c)", "(c='z')"]), self.loops, 0
        body = self.body(depth + 1, 2)
        self.loops = loops
        return self.tag(f"call{signature} {call}") + body + self.tag("endcall")

    def filter_(self, depth: int) -> str:
        """Write a filter block."""
        through = self.random.choice(
            ["upper", "trim", "title | replace('A', 'b')", "indent(2)", "wordwrap(9)", "length"]
        )
        with self.inside():
            return self.tag(f"filter {through}") + self.body(depth + 1, 2) + self.tag("endfilter")

    def bomb(self, depth: int) -> str:
        """Write what no prompt needs: a large amount, deep nesting, or a sandbox escape."""
        many = self.random.choice([3, 10, 30, 60, 300])
        repeated = REPEATED.sub(lambda part: part[1] * many, self.random.choice(BOMBS))
        return HOLE.sub(lambda hole: self._filled(hole, 1), repeated)

    # Names

    def bind(self, kind: str) -> str:
        """Return a name to bind: a new one, a reused one, or one that hides a variable."""
        name = self.random.choice(
            ["a", "b", f"v{next(self.fresh)}", f"v{next(self.fresh)}", self.random.choice(self.scope[kind])]
        )
        name = name if name.isidentifier() else "c"
        self.scope[kind] += [name] * 3
        return name

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Drop the names that are bound inside this block."""
        before = {kind: list(names) for kind, names in self.scope.items()}
        macros = list(self.macros)
        yield
        if self.chance(0.95):
            self.scope, self.macros = before, macros


STATEMENTS: dict[str, list[tuple[Callable[[Writer, int], str], float]]] = {
    FRIENDLY: [
        (Writer.words, 5),
        (Writer.output, 7),
        (Writer.branch, 3),
        (Writer.loop, 3),
        (Writer.leave, 0.6),
        (Writer.comment, 0.2),
        (Writer.assign, 0.6),
        (Writer.assign_block, 0.15),
        (Writer.with_, 0.15),
        (Writer.namespace, 0.25),
        (Writer.macro, 0.3),
        (Writer.call, 0.2),
    ],
    NORMAL: [
        (Writer.words, 3),
        (Writer.output, 7),
        (Writer.branch, 2),
        (Writer.loop, 2.5),
        (Writer.leave, 0.6),
        (Writer.comment, 0.2),
        (Writer.raw, 0.2),
        (Writer.assign, 1),
        (Writer.assign_block, 0.5),
        (Writer.with_, 0.5),
        (Writer.namespace, 0.4),
        (Writer.macro, 0.7),
        (Writer.call, 0.5),
        (Writer.filter_, 0.4),
    ],
}
STATEMENTS[HOSTILE] = [*STATEMENTS[NORMAL], (Writer.bomb, 2)]


def singles() -> list[str]:
    """Return each production of the normal grammar as a template, with `x` or an absent value in one hole, or PLAIN."""
    found = []
    for kind, productions in GRAMMARS[NORMAL][1].items():
        for production in productions:
            found += [] if HOLE.search(production) else [_single(kind, production, -1, "")]
            for chosen in HOLE.finditer(production):
                if chosen[2] not in FIXED:
                    found += [_single(kind, production, chosen.start(), value) for value in ("x", "({}.nope)")]
    return list(dict.fromkeys(found))


def _single(kind: str, production: str, chosen: int, value: str) -> str:
    text = HOLE.sub(lambda hole: value if hole.start() == chosen else PLAIN[hole[2]], production)
    output = f"{{{{ ({text}) | list }}}}" if kind == "lazy" else f"{{{{ {text} }}}}"
    return f"{{% for i in [1, 2] %}}{output}{{% endfor %}}" if "loop." in text else output


def template(random: Random, mode: str = NORMAL) -> str:
    """Return a template."""
    source = Writer(random, mode).body(0, 3)
    if random.random() < (0.005 if mode == FRIENDLY else 0.02):
        cut = random.randrange(len(source) + 1)
        source = source[:cut] + source[cut + random.randint(1, 3) :]
    return source
