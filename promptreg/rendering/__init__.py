"""Templates: the text of one and its variables in, the rendered text or one of our errors out.

Only this package knows Jinja2. `template.py` is its face. `parsing.py` and `policy.py` check a template when it is
saved, and `reads.py` finds its variables. Two tiers render: `fast/` writes the common subset of templates as one Python
function over builtin values, which bails out on any other; `metered/` renders every template, and measures each step
that may cost much. Both give the same text.
"""
