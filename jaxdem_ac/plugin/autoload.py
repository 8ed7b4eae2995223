"""Scripts that never import us: an opt-in, for one Python environment, that brings our classes into JaxDEM.

It is a file of one line in the environment's ``site-packages``, which Python runs at start-up (see the
``site`` module). The line imports nothing: it waits for ``import jaxdem``, and then imports `jaxdem_ac`, if
that is still there.
"""

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from jaxdem_ac._files import as_path, write_text

FILE = "jaxdem_ac_autoload.pth"

# Python runs the line twice in a virtual environment (3.11: `site` visits its site-packages twice).
_FINDER = """\
class JaxdemAcAutoload:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "jaxdem":
            try:
                import jaxdem_ac
            except Exception as error:
                if getattr(error, "name", None) != "jaxdem_ac":
                    import warnings
                    warnings.warn(f"jaxdem_ac_autoload: {error!r}", RuntimeWarning, stacklevel=2)

if JaxdemAcAutoload.__name__ not in [getattr(finder, "__name__", "") for finder in sys.meta_path]:
    sys.meta_path.insert(0, JaxdemAcAutoload)
"""

LINE = f"import sys; exec({_FINDER!r}, {{'sys': sys}})\n"
"""Text of the file."""


@dataclass(frozen=True)
class AutoloadStatus:
    """Whether scripts of this environment get our classes without importing us."""

    enabled: bool
    """Whether the file is there."""
    path: Path
    """Path of the file, whether it is there or not."""


def enable(directory: str | os.PathLike[str] | None = None) -> Path:
    """Write the file, whole or not at all, and return its path. Scripts that start from now on are concerned.

    `directory` is a folder whose ``.pth`` files Python reads, by default the ``site-packages`` of the running one.
    Raises OSError if the file cannot be written; PermissionError if that is for lack of permission.
    """
    path = _path(directory)
    try:
        # Its draft is not named `*.pth`: Python does not run half a line.
        write_text(path, LINE)
    except OSError as error:
        cause = error.__cause__
        raise _explained("enable", path, cause if isinstance(cause, OSError) else error) from error
    return path


def disable(directory: str | os.PathLike[str] | None = None) -> Path | None:
    """Remove the file; return its path, or None if there was none. Raises as :func:`enable`."""
    path = _path(directory)
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _explained("disable", path, error) from error
    return path


def status(directory: str | os.PathLike[str] | None = None) -> AutoloadStatus:
    """Return whether the file is there, and where."""
    path = _path(directory)
    return AutoloadStatus(enabled=path.is_file(), path=path)


def _path(directory: str | os.PathLike[str] | None) -> Path:
    folder = sysconfig.get_path("purelib") if directory is None else directory
    return as_path("autoload", "directory", folder) / FILE


def _explained(where: str, path: Path, error: OSError) -> OSError:
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    return kind(
        f"autoload.{where}: {path.parent} has to be writable; got {error.strerror or error}. "
        "Use a virtual environment of your own, or put `import jaxdem_ac` into the script."
    )
