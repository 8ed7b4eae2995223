"""The memory of a process."""

import platform
import resource


def peak_bytes() -> int:
    """Return the most memory that this process has held, resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * 1024 if platform.system() == "Linux" else peak
