"""Names of temporary files and folders, by which each process knows its own and those that a killed one left."""

import contextlib
import hashlib
import os
import re
import socket
import sys
import time
from functools import cache
from pathlib import Path

OTHER_MACHINE_SECONDS = 3600.0
"""Time without a change after which a temporary file of another machine counts as left; it cannot be asked."""

_NAME = re.compile(r"\..+\.tmp-([0-9a-f]{8})-(\d+)", re.DOTALL)


def temporary_path(path: Path) -> Path:
    """Return the path beside `path` under which this process writes it; no other process, of any machine, has it."""
    # Cut, since file names are limited to 255 bytes and `path` may use them all.
    return path.with_name(f".{path.name[:60]}.tmp-{machine()}-{os.getpid()}")


def is_left(entry: os.DirEntry[str]) -> bool:
    """Return True for a temporary file or folder whose process has ended. Raises FileNotFoundError if it is gone."""
    if not (match := _NAME.fullmatch(entry.name)):
        return False
    if match[1] != machine():
        changed = entry.stat(follow_symlinks=False).st_ctime  # of a renamed folder, the time of that
        return time.time() - changed > OTHER_MACHINE_SECONDS
    # A file with our own process id is older than this process: ids are reused, as in containers.
    return int(match[2]) == os.getpid() or not _alive(int(match[2]))


@cache
def machine() -> str:
    """Return an id of this machine, or of this container, which gives each process its id."""
    parts = [socket.gethostname(), "", ""]
    with contextlib.suppress(OSError):  # the id of the kernel's start, by which machines of one name differ
        parts[1] = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    with contextlib.suppress(OSError):  # the namespace of process ids: containers of one machine have several
        parts[2] = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _alive(pid: int) -> bool:
    if sys.platform == "win32":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return True if a process has ended, and its parent has not asked for its exit code; False where /proc is none."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[0] == "Z"
    return False
