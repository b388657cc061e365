"""The fast tier: a template's text as one Python function over exact builtin values."""
