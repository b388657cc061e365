"""The metered tier: Jinja's code generator, with a call that measures wherever the cost of a step depends on values.

`compiler.py` is its face. Nothing here knows the fast tier.
"""
