"""The metered tier: Jinja's code generator, with a call that measures wherever the cost of a step depends on values.

`compiler.py` is its entry point. Nothing here knows the fast tier.
"""
