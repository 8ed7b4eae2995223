"""The memory of a process."""

import re
import resource
from pathlib import Path


def peak_bytes() -> int:
    """Return the most memory that this process has held, resident."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not `getrusage`: there Linux lets a process begin with the peak of the one that has started it.
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1]) * 1024
    # Where there is no such file the unit is bytes (macOS).
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
