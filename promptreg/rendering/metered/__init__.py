"""The metered tier: Jinja's own compiler, with every step measured."""
