"""Modules are imported and a run is trained while the modules and names that Windows lacks are hidden."""

import subprocess
import sys
import textwrap
from pathlib import Path

CONFIG = Path(__file__).parents[1] / "configs/tiny.yaml"

HIDDEN = """
import os, signal, sys, types
import h5py, multiprocessing, numpy, pydantic, safetensors.torch, subprocess, tempfile, typer, yaml
import torch, torch._dynamo, torch.distributed, torch.export

MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty", "posix"}
KEPT = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_CREAT", "O_EXCL", "O_TRUNC", "O_APPEND"}
NAMES = "fork forkpty getgid getegid geteuid getuid getpgid getpgrp getsid killpg setsid mkfifo nice pread preadv \\
    pwrite pwritev register_at_fork sched_getaffinity statvfs fstatvfs sysconf uname fchmod fchown chown sync".split()

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

class Msvcrt(types.ModuleType):
    \"\"\"Locks of one byte behind the text, held by one descriptor, and released before the file is closed.\"\"\"
    LK_UNLCK, LK_NBLCK = 0, 2
    held = {}

    def locking(self, descriptor, mode, count):
        place = os.fstat(descriptor).st_ino
        assert count == 1 and os.lseek(descriptor, 0, os.SEEK_CUR) > os.fstat(descriptor).st_size
        if mode == self.LK_UNLCK:
            assert self.held.pop(place) == descriptor
        elif place in self.held:
            raise PermissionError(13, "Permission denied")
        else:
            self.held[place] = descriptor

sys.meta_path.insert(0, Hidden())
for name in MODULES:
    sys.modules.pop(name, None)
sys.modules["msvcrt"] = msvcrt = Msvcrt("msvcrt")
for name in [*NAMES, *(name for name in vars(os).copy() if name.startswith("O_") and name not in KEPT)]:
    os.__dict__.pop(name, None)
kept = {"SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIG_DFL", "SIG_IGN"}
for name in vars(signal).copy():
    if (name.startswith(("SIG", "ITIMER")) and name not in kept) or name in {
        "setitimer", "getitimer", "alarm", "pause", "pthread_kill", "pthread_sigmask", "sigwait", "siginterrupt"
    }:
        delattr(signal, name)
"""


def test_a_run_is_trained_and_used_where_a_system_lacks_what_linux_has(tmp_path: Path) -> None:
    code = f"""
        import importlib, pkgutil, kerascli
        for module in pkgutil.walk_packages(kerascli.__path__, "kerascli."):
            importlib.import_module(module.name)

        from pathlib import Path
        from kerascli.foundation.disk import locks
        from kerascli.foundation.errors import StorageError
        from kerascli.training import tensor_file
        tensor_file._DESCRIPTORS = "nowhere"
        folder = Path()
        with locks.lock(folder):
            assert locks.locked(folder) and msvcrt.held
            try:
                with locks.lock(folder): raise AssertionError
            except StorageError as error:
                assert f"pid {{os.getpid()}}" in str(error)
        assert not locks.locked(folder) and not msvcrt.held

        from kerascli.__main__ import main
        for line in ("train {CONFIG} --set fit.epochs=1 --name t", "evaluate t", "train --resume t --set fit.epochs=2",
                     "predict t validation"):
            sys.argv = ["kerascli", *line.split()]
            try:
                main()
            except SystemExit as end:
                assert not end.code, (line, end.code)
        assert not msvcrt.held
        """
    command = [sys.executable, "-c", HIDDEN + textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
