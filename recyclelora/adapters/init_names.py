"""The names of the starts, for readers of settings: this file loads nothing, neither torch nor SciPy. `inits.py` holds
the starts themselves, a row each."""

ENDS = ("minor", "major")
HAS_ENDS = {"rrqr": True, "svd": True, "kaiming": False}  # init -> whether `end` means anything to it
EVERY_INIT = tuple(HAS_ENDS)
NO_END = tuple(name for name, has_ends in HAS_ENDS.items() if not has_ends)
