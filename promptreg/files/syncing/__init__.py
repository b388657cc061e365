"""`sync`: a folder of prompts and the registry, brought to the same; `sync.py` has the order of the steps."""
