"""Text that identifies the CPU; libraries choose kernels by it, and compiled code depends on it."""

import platform
from functools import cache
from pathlib import Path

_LINES = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
"""First words of the lines in /proc/cpuinfo (x86 and ARM) that do not change while the machine runs."""


@cache
def processor() -> str:
    """Return a text that identifies the CPU: its name, on Linux with its vendor and features."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            first = file.read(2**14).partition("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    return "\n".join(line for line in first.splitlines() if line.startswith(_LINES))
