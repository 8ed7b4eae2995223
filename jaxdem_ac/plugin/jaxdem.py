"""JaxDEM itself: whether it is there, how to get it, and its import."""

import importlib
import importlib.util
import sys
from functools import partial
from types import ModuleType

from jaxdem_ac.untrusted import attempt, attribute, one_line

HOW_TO_GET = 'pip install "JaxDEM @ git+https://github.com/cdelv/JaxDEM" tqdm'
"""JaxDEM is not on the package index; of its heavy extra `rl` only tqdm is missing beside what we need ourselves."""

HOST = "jaxdem.rl"
"""The module that holds JaxDEM's registries; ``import jaxdem`` alone does not import it."""


def is_there() -> bool:
    """Return whether JaxDEM can be found, without importing it."""
    return importlib.util.find_spec("jaxdem") is not None


def import_host(where: str) -> ModuleType:
    """Return ``jaxdem.rl``.

    Raises
    ------
    ImportError
        If it cannot be imported; the message says how to get it.
    """
    module, error = attempt(partial(importlib.import_module, HOST))
    if error is not None:
        raise ImportError(
            f"{where}: JaxDEM has to be importable; got {one_line(error)}. Get it: {HOW_TO_GET}"
        ) from error
    found: ModuleType = module
    return found


def is_importing(name: str) -> bool:
    """Return whether the module, or a package that holds it, is being imported at this moment."""
    parts = name.split(".")
    modules = [sys.modules.get(".".join(parts[: length + 1])) for length in range(len(parts))]
    return any(attribute(attribute(each, "__spec__", None), "_initializing", False) is True for each in modules)
