"""Processes that read HDF5 files, forked from one that has imported h5py, in place of a new interpreter for each.

Tests open a thousand such files, and importing h5py takes a fifth of a second; tests of attacks have real processes.
"""

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from kerascli.interop.keras import hdf5

_REAL = ("tests/interop/test_attacks.py", "tests/cli/test_foreign_modules.py")
_FORKS = f"""
import json, os, signal, socket, sys
sys.path.insert(0, {str(hdf5._CHILD.parent)!r})
import hdf5_child
del sys.path[0]
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
server = socket.socket(fileno=int(sys.argv[1]))
while True:
    text, descriptors, _, _ = socket.recv_fds(server, 1000, 3)
    if not text:
        break
    if child := os.fork():
        handle = os.pidfd_open(child)
        socket.send_fds(server, [b"+"], [handle])
        for each in (handle, *descriptors):
            os.close(each)
        continue
    server.close()
    os.dup2(descriptors[0], 0)
    os.dup2(descriptors[1], 1)
    for each in descriptors[:2]:
        os.close(each)
    sys.argv[1:] = [str(descriptors[2]), *json.loads(text)]
    hdf5_child.main()
    os._exit(0)
"""


class _Fork:
    """The part of subprocess.Popen that `Hdf5` uses, of a forked process."""

    def __init__(self, command: Sequence[str], pass_fds: Sequence[int]) -> None:
        requests, own_requests = os.pipe()
        own_replies, replies = os.pipe()
        server = _server()
        socket.send_fds(server, [json.dumps(command[-2:]).encode()], [requests, replies, *pass_fds])
        _, [self._handle], _, _ = socket.recv_fds(server, 1, 1)
        for each in (requests, replies):
            os.close(each)
        self.stdin, self.stdout = os.fdopen(own_requests, "wb"), os.fdopen(own_replies, "rb")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def communicate(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()
        os.close(self._handle)


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-P", "-c", _FORKS, str(theirs.fileno())]
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=env, stderr=subprocess.DEVNULL)
    atexit.register(lambda: (ours.close(), process.wait()))
    return ours


def _started(command: Sequence[str], **options: Any) -> Any:
    if os.environ.get("PYTEST_CURRENT_TEST", "").startswith(_REAL):
        return subprocess.Popen(command, **options)
    return _Fork(command, options["pass_fds"])


def fork_readers() -> None:
    """Let processes that read HDF5 files be forked from now on, where the system can name a process by a descriptor."""
    if hasattr(os, "pidfd_open"):
        names = SimpleNamespace(PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL, Popen=_started)
        hdf5.subprocess = names  # type: ignore[assignment]
