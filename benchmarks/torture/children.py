"""Commands in forked children of one warmed process: they start at the program's real entry and cost no imports."""

import contextlib
import importlib
import os
import resource
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Prepare = Callable[[], None]
SECONDS = 240.0
"""Time after which a child is killed: it waits for something. Room for a machine that is busy."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; a negative code is the number of the signal that killed it."""

    code: int
    out: str
    err: str
    cpu_seconds: float = 0.0
    memory: int = 0
    """Most bytes of memory that it had beside those of its parent (Linux)."""

    @property
    def is_decent(self) -> bool:
        """Return True if no traceback and no internal error was shown."""
        return not any(text in self.err for text in ("Traceback (most recent", "internal error", "Exception ignored"))

    def last_words(self) -> str:
        return f"exit code {self.code}: {' / '.join(self.err.strip().splitlines()[-2:])[:300]}"


def one_thread() -> None:
    """Compute on one thread, which survives a fork; before torch is imported."""
    os.environ["OMP_NUM_THREADS"] = "1"


def warm(arguments: Sequence[str], folder: Path, prepare: Prepare | None = None) -> Ended:
    """As `run`; then import what the command has imported, so that later children need not. It must end well."""
    listed = folder / "modules"
    ended = run(arguments, folder, prepare, lambda: listed.write_text("\n".join(sys.modules)) and None)
    if ended.code != 0:
        raise SystemExit(f"kerascli {' '.join(arguments)} does not work: {ended.err}")
    for name in listed.read_text().split("\n"):
        if name not in sys.modules and not name.startswith(("kerascli_user_", "__")):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    listed.unlink()
    return ended


def run(arguments: Sequence[str], folder: Path, prepare: Prepare | None = None, at_end: Prepare | None = None) -> Ended:
    """Run `kerascli ARGUMENTS` in a child that stands in `folder`, after `prepare`."""

    def work() -> None:
        from kerascli.cli.app import main

        os.chdir(folder)
        sys.argv = ["kerascli", *arguments]
        if prepare is not None:
            prepare()
        try:
            main()
        finally:
            if at_end is not None:
                at_end()

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before = _resident()
        pid = fork(work, out.fileno(), err.fileno())
        timer = threading.Timer(SECONDS, os.kill, (pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(pid, 0)
        timer.cancel()
        timer.join()
        code, memory = os.waitstatus_to_exitcode(status), max(0, usage.ru_maxrss * 1024 - before)
        return Ended(code, _text(out.fileno()), _text(err.fileno()), usage.ru_utime + usage.ru_stime, memory)


def fork(work: Prepare, out: int | None = None, err: int | None = None) -> int:
    """Do `work` in a child whose number is returned; its exit code is that of `work`, 0 at its end."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid != 0:
        return pid
    code = 70
    try:
        for given, descriptor in ((out, 1), (err, 2)):
            if given is not None:
                os.dup2(given, descriptor)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        try:
            work()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _text(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read().decode("utf-8", errors="backslashreplace")


def _resident() -> int:
    """Return the bytes of memory of this process; 0 where there is no /proc."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * resource.getpagesize() if path.exists() else 0
