"""Names of temporary files and folders, by which each process knows its own and those that a killed one left."""

import contextlib
import hashlib
import os
import re
import socket
import sys
from functools import cache
from pathlib import Path

_NAME = re.compile(r"\..+\.tmp-([0-9a-f]{8})-(\d+)", re.DOTALL)


def temporary_path(path: Path) -> Path:
    """Return the path beside `path` under which this process writes it; no other process, of any machine, has it."""
    # Cut, since file names are limited to 255 bytes and `path` may use them all.
    return path.with_name(f".{path.name[:60]}.tmp-{machine()}-{os.getpid()}")


def is_left(entry: os.DirEntry[str]) -> bool:
    """Return True for a temporary file or folder of a process of this machine that has ended."""
    match = _NAME.fullmatch(entry.name)
    if match is None or match[1] != machine():
        return False
    # A file with our own process id is older than this process: ids are reused, as in containers.
    return int(match[2]) == os.getpid() or not _alive(int(match[2]))


@cache
def machine() -> str:
    """Return an id of this machine, or of this container, which gives each process its id."""
    namespace = ""
    with contextlib.suppress(OSError):  # that of process ids: containers with one host name have several
        namespace = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{socket.gethostname()}\n{namespace}".encode()).hexdigest()[:8]


def _alive(pid: int) -> bool:
    if sys.platform == "win32":  # where signal 0 is Ctrl-C
        return True
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
