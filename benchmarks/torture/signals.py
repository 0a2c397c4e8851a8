"""python -m benchmarks.torture.signals: send SIGTERM, SIGINT and SIGHUP at random moments of `kerascli train`.

From the first millisecond of the process to its last. The exit code must be 128 + the signal's number, there must be
no traceback, and `train --resume` must end bit-identical to the run that was never interrupted, or nothing had begun.
A third of the whole processes, and all forked children, get the signal in the middle of a garbage collection, where
Python drops an exception that a handler raises.
"""

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.torture import tiny
from benchmarks.torture.cases import Given, Tally, main
from benchmarks.torture.children import Ended, run
from benchmarks.torture.crashes import compared, go_on
from benchmarks.torture.tiny import TRAIN

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_OWN_START = 0.3
"""Part of the timed cases whose signal comes in the first 0.15 s."""

_DRIVER = """
import sys
number, nth, broken, counted = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
del sys.argv[1:5]
import kerascli.__main__
from benchmarks.torture import signals
signals.arrange(number, nth, broken=bool(broken))
try:
    kerascli.__main__.main()
finally:
    signals.write_count(counted)
"""
_NEVER = 10**9
_collections = 0


def arrange(number: int, nth: int, *, broken: bool) -> None:
    """Send this process a signal in its n-th garbage collection; as the control, let handlers do nothing but raise."""

    def collected(phase: str, facts: dict[str, Any]) -> None:
        global _collections
        _collections += phase == "start"
        if _collections == nth and phase == "start":
            os.kill(os.getpid(), number)

    sys.unraisablehook = lambda _: None  # where Python tells of what it dropped
    gc.set_threshold(100)
    gc.callbacks.append(collected)
    if broken:
        only_raise()


def write_count(path: str) -> None:
    """Write how many garbage collections there have been."""
    Path(path).write_text(str(_collections))


def only_raise() -> None:
    """The control: handlers that raise and remember nothing."""
    from kerascli.foundation import interrupts

    def handle(self: interrupts.Signals, number: int, frame: object) -> None:
        raise interrupts.Signalled(number)

    interrupts.Signals._handle = handle
    interrupts.Signals._watch = lambda self, descriptor, thread: None


class Trainings:
    """Trainings that get a signal, beside one that does not."""

    def __init__(self, given: Given) -> None:
        self.given, self.folder = given, given.folder
        tiny.write_config(self.folder)
        self.whole = tiny.outcome(tiny.train_whole(self.folder))
        self.environment = {
            **os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "XDG_CACHE_HOME": str(self.folder / "cache"),
        }  # fmt: skip

    def collections(self, *, whole: bool) -> int:
        """Return how many garbage collections a training has."""
        counted = str(self.folder / "counted")
        if whole:
            ended = self._driven(signal.SIGTERM, _NEVER, counted)
        else:
            self._clear()
            ended = run(TRAIN, self.folder, lambda: arrange(0, _NEVER, broken=False), lambda: write_count(counted))
        assert ended.code == 0, ended.err
        return int(Path(counted).read_text()) * 9 // 10  # now and then there are some fewer

    def forked(self, number: signal.Signals, nth: int, tally: Tally) -> None:
        """In a garbage collection of a child."""
        self._clear()
        ended = run(TRAIN, self.folder, lambda: arrange(number, nth, broken=self.given.control))
        self._judge(f"{number.name} in garbage collection {nth} of a child", number, ended, tally, may_miss=False)

    def collected(self, number: signal.Signals, nth: int, tally: Tally) -> None:
        """In a garbage collection of a whole process."""
        ended = self._driven(number, nth)
        self._judge(f"{number.name} in garbage collection {nth}", number, ended, tally, may_miss=False)

    def _driven(self, number: signal.Signals, nth: int, counted: str = os.devnull) -> Ended:
        broken = "broken" if self.given.control else ""
        command = [sys.executable, "-c", _DRIVER, str(int(number)), str(nth), broken, counted, *TRAIN]
        return self._end(self._start(command))

    def timed(self, number: signal.Signals, seconds: float, tally: Tally) -> None:
        """At a moment of a whole process."""
        process = self._start([sys.executable, "-m", "kerascli", *TRAIN])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        late = process.poll() is not None
        if not late:
            process.send_signal(number)
            late = _is_exiting(process.pid)
        ended = self._end(process)
        self._judge(f"{number.name} after {seconds:.4f} s", number, ended, tally, may_miss=late)

    def duration(self) -> float:
        """Return the seconds of a training that gets no signal."""
        began = time.monotonic()
        ended = self._end(self._start([sys.executable, "-m", "kerascli", *TRAIN]))
        assert ended.code == 0, ended.err
        return time.monotonic() - began

    def _start(self, command: list[str]) -> "subprocess.Popen[str]":
        self._clear()
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    @staticmethod
    def _end(process: "subprocess.Popen[str]") -> Ended:
        out, err = process.communicate()
        return Ended(process.returncode, out, err)

    def _clear(self) -> None:
        shutil.rmtree(self.folder / "runs", ignore_errors=True)

    def _judge(self, case: str, number: int, ended: Ended, tally: Tally, *, may_miss: bool) -> None:
        """`may_miss`: the signal may have come after the end, or not at all."""
        if in_pythons_own_start(ended):
            tally.add(case, "in the start of Python itself")
            return
        complete = ended.out.startswith("test ") and "\nrun " in ended.out
        if ended.code == 0 and complete and may_miss:
            tally.add(case, "after the end", compared_with(self.folder, self.whole))
            return
        if ended.code not in (128 + number, -number) or not ended.is_decent:
            tally.add(case, "", f"expected exit code {128 + number}, {ended.last_words()}")
            return
        go_on(case, "", self.folder, self.whole, tally)


def compared_with(folder: Path, expected: dict[str, Any]) -> str | None:
    """Return what is wrong with the only run, which should have ended."""
    found = tiny.the_run(folder / "runs")
    return "there is no run" if found is None else compared(found, expected)


def _is_exiting(process: int) -> bool:
    """Return True if the system is already taking the process apart, which no signal reaches any more (Linux)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return bool(int(fields[6]) & 0x4)  # PF_EXITING of the kernel's flags


def in_pythons_own_start(ended: Ended) -> bool:
    """Return True if a signal came before the first line of kerascli, when Ctrl-C shows Python's own traceback."""
    if ended.code in (-signal.SIGTERM, -signal.SIGHUP) and not ended.err and not ended.out:
        return True
    frames = [line for line in ended.err.splitlines() if line.startswith("  File ")]
    interrupted = ended.code == -signal.SIGINT or "KeyboardInterrupt" in ended.err
    return interrupted and not any(f"{os.sep}kerascli{os.sep}" in line for line in frames)


def moments(given: Given, duration: float) -> Iterator[float]:
    """Yield when signals come: some in the first milliseconds, some until after the end."""
    while True:
        early = given.luck.random() < _OWN_START
        yield given.luck.uniform(0.001, 0.15) if early else given.luck.uniform(0.001, duration)


def torture(given: Given, tally: Tally) -> None:
    """Send signals to children and to whole processes."""
    trainings = Trainings(given)
    if given.cases:
        last = trainings.collections(whole=False)
        for number in range(given.cases):
            trainings.forked(SIGNALS[number % 3], given.luck.randint(1, last), tally)
    if given.whole:
        when = moments(given, trainings.duration())
        last = trainings.collections(whole=True) if given.whole >= 3 else 0
        for number in range(given.whole):
            chosen = SIGNALS[number // 3 % 3]
            if number % 3 == 2:
                trainings.collected(chosen, given.luck.randint(1, last), tally)
            else:
                trainings.timed(chosen, next(when), tally)


if __name__ == "__main__":
    sys.exit(main("signals", torture, cases=60, whole=300))
