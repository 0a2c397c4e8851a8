"""Which processor this is: what its kernels are chosen and compiled by."""

import platform
from functools import cache
from pathlib import Path

_TELLING = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
"""Lines of /proc/cpuinfo, on x86 and ARM, that do not change while the machine runs."""


@cache
def processor() -> str:
    """Its name, and on Linux its maker and all that it can do."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            first = file.read(2**14).partition("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    return "\n".join(line for line in first.splitlines() if line.startswith(_TELLING))
