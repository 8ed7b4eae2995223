"""Old module paths, kept for one version."""

import importlib
import sys
import warnings


def moved(old: str, new: str) -> None:
    """Let the module `old` be the module `new`, dotted names, and warn whoever imports it."""
    warnings.warn(f"{old} has moved, and goes in the next version. Import {new}.", DeprecationWarning, stacklevel=3)
    sys.modules[old] = importlib.import_module(new)
