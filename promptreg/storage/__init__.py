"""The only packages that know SQL: the seam in `base.py`, the choice of a storage in `opening.py`, and the storages."""
