"""The commands, some in each module; `main.py` imports only the module of the one that is run."""
