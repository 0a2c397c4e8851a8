"""Identification of the CPU, by which kernels are chosen and compiled."""

import platform
from functools import cache
from pathlib import Path

_LINES = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
"""First words of the lines of /proc/cpuinfo, on x86 and ARM, that are constant while the machine runs."""


@cache
def processor() -> str:
    """Return the CPU's name, on Linux with its vendor and features."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            first = file.read(2**14).partition("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    return "\n".join(line for line in first.splitlines() if line.startswith(_LINES))
