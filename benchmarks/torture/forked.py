"""Run a command of kerascli in a forked child of this warmed process, under limits, and measure it.

The child starts at the program's real entry, `kerascli.cli.app.main`. Nothing that it does stays: it has no network,
a limit of CPU time (the kernel ends it), of memory (allocation fails) and of wall-clock time (the parent ends it).
"""

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPU_LIMIT = 10
"""Seconds after which the kernel ends a child."""
WALL_LIMIT = 240.0
"""Seconds after which the parent does: it waits for something. Room for a machine that is busy."""
ADDRESS_ROOM = 6 * 2**30
"""Bytes of address space that a child may take beside its parent's."""

_WATCHED = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    """The exit code; negative: the number of the signal that ended it."""
    output: str
    """Text written to stdout and stderr."""
    cpu_seconds: float
    memory: int
    """The most bytes of memory that it had beside those of its parent."""
    timed_out: bool = False
    """It was ended by the wall-clock limit."""

    @property
    def ended_by_cpu_limit(self) -> bool:
        return self.code in {-signal.SIGXCPU, -signal.SIGKILL} and not self.timed_out


@dataclass(slots=True)
class Child:
    """A running child."""

    pid: int
    output: Path
    started: float
    timed_out: bool = False

    def end_if_late(self, limit: float) -> None:
        if time.monotonic() - self.started > limit:
            self.timed_out = True
            os.kill(self.pid, signal.SIGKILL)

    def outcome(self, status: int, usage: resource.struct_rusage) -> Outcome:
        """The outcome from what `wait4` said; the file of its output is removed."""
        text = self.output.read_bytes().decode("utf-8", errors="backslashreplace")
        self.output.unlink()
        begun = self.output.with_name(f"{self.output.name}.rss")
        used = max(0, usage.ru_maxrss - int(begun.read_text() or 0)) * 1024
        begun.unlink()
        code = os.waitstatus_to_exitcode(status)
        return Outcome(code, text, usage.ru_utime + usage.ru_stime, used, self.timed_out)


def resident() -> int:
    """Return the resident memory of this process in KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def start(arguments: Sequence[str], *, folder: Path, output: Path, prepare: Callable[[], None] | None = None) -> Child:
    """Start `kerascli ARGUMENTS` in `folder`; `prepare` runs first in the child."""
    sys.stdout.flush()
    sys.stderr.flush()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            output.with_name(f"{output.name}.rss").write_text(str(resident()))
            _redirect(output)
            confine(folder)
            _soft(resource.RLIMIT_CPU, CPU_LIMIT)
            if prepare is not None:
                prepare()
            code = _main(arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    return Child(pid, output, began)


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    output: Path,
    prepare: Callable[[], None] | None = None,
    limit: float = WALL_LIMIT,
) -> Outcome:
    """Start a command and wait for its end."""
    child = start(arguments, folder=folder, output=output, prepare=prepare)
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            return child.outcome(status, usage)
        child.end_if_late(limit)
        time.sleep(0.002)


def run_here(arguments: Sequence[str], output: Path) -> Outcome:
    """The same in this process, which is a confined child itself: cheaper where thousands of commands are run."""
    output.write_bytes(b"")
    _redirect(output)
    before, memory = _cpu(), resident()
    _soft(resource.RLIMIT_CPU, int(before) + CPU_LIMIT)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins at what is there now
    try:
        code = _main(arguments)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    text = output.read_bytes().decode("utf-8", errors="backslashreplace")
    return Outcome(code, text, _cpu() - before, max(0, _most_resident() - memory) * 1024)


def confine(folder: Path) -> None:
    """Put this process, a child, in a folder and under the limits of memory and of the network."""
    os.chdir(folder)
    _soft(resource.RLIMIT_CORE, 0)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    room = pages * resource.getpagesize() + ADDRESS_ROOM
    _soft(resource.RLIMIT_AS, room)
    sys.addaudithook(_watch)


def _soft(what: int, limit: int) -> None:
    """Set a limit that a child of this process may set anew."""
    resource.setrlimit(what, (limit, resource.getrlimit(what)[1]))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _most_resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _redirect(output: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    for target, descriptor in ((0, null), (1, written), (2, written)):
        os.dup2(descriptor, target)
    os.close(null)
    os.close(written)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # as long as the child
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """No network, and a line for each attempt to run something; configs with plugins are not among the cases."""
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        raise OSError(101, "Network is unreachable")
    if event in _WATCHED and "site-packages" not in repr(arguments)[:300]:
        os.write(2, f"AUDIT {event}\n".encode())


def _main(arguments: Sequence[str]) -> int:
    from kerascli.cli.app import main

    sys.argv = ["kerascli", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0
