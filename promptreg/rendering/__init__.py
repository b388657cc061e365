"""Templates: the text of one and its variables in, the rendered text or one of our errors out.

Only this package knows Jinja2. `template.py` is its entry point. `parsing.py` and `policy.py` check a template when it
is saved, and `reads.py` finds its variables. Two tiers render: `fast/` compiles the common subset of templates to one
Python function each, over builtin values, which bails out on any other; `metered/` renders every template, and measures
each step that may cost much. Both return the same text.
"""
