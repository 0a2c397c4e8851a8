"""Handling of SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal), such that none is lost.

Python drops an exception that a signal handler raises inside a weakref callback, a `__del__` or a bare `except`.
So the handler records the number first. Work that can be saved checks it between two steps (`deferred`); all other
work is left by an exception, which is raised again until it arrives. A second Ctrl-C or SIGTERM ends the process at
once, even while the main thread is in C code: a separate thread counts them.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a command; Windows has no SIGHUP."""
INSIST_SECONDS = 0.5
"""Seconds after which the exception for a signal is raised again, if the main thread has not received it."""
_IMPORT_PATIENCE = 4
"""Number of times that the exception for a signal is put off during an import.

An import could swallow it, or abort in its C++ code.
"""
_INSISTENCE = 20
"""Number of times that the exception for a signal is raised in vain before the process ends without cleaning up."""
_PR_SET_PDEATHSIG = 1
"""Value of the option PR_SET_PDEATHSIG in linux/prctl.h."""
_AGAIN: int | None = getattr(signal, "SIGURG", None)
"""Signal (ignored by default) by which the watching thread makes the main thread raise the exception for a signal
again; None on Windows, which has none to send to a thread."""


class Signalled(BaseException):
    """Exception for a signal that arrived during work that cannot be saved.

    It is not an Exception, so that no `except Exception` swallows it.
    """

    def __init__(self, number: int) -> None:
        self.code = 128 + number


class Signals:
    """Signals that the process has received; `number` is the first of them, None if there are none."""

    number: int | None = None
    _seen: int | None = None
    """First signal that the watching thread read; Python's own handler misses one if it is replaced before it runs."""
    _deferred = False
    _answered = False
    _closed = False
    _requests = 0
    _raised = 0
    _put_off = 0

    def check(self) -> None:
        """Raise Signalled (the exception for a signal) if a signal was received that has not been handled yet."""
        if self.number is not None and not (self._answered or self._deferred or self._closed):
            raise Signalled(self.number)

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """Context manager that delays the exception for a signal until its block ends; if the block raises, the signal
        counts as handled."""
        self._deferred = True
        try:
            yield
        except BaseException:
            self._answered = self.number is not None
            raise
        finally:
            self._deferred = False
        self.check()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requests += _counts(number)
        if self._requests > 1:
            end_at_once(number)
        if self.number is None:
            self.number = number
            self._raise(frame)

    def _insist(self, number: int, frame: FrameType | None) -> None:
        if self.number is None or _is_in_flight(sys.exc_info()[1]):
            return
        self._raised += 1
        if self._raised > _INSISTENCE:
            end_at_once(self.number)
        self._raise(frame)

    def _raise(self, frame: FrameType | None) -> None:
        """Raise Signalled (the exception for a signal) if a signal is to be handled; during an import, it is put off a
        few times."""
        files = (each.f_code.co_filename for each, _ in traceback.walk_stack(frame))
        if self._put_off < _IMPORT_PATIENCE and "<frozen importlib._bootstrap>" in files:
            self._put_off += 1
        else:
            self.check()

    def _watch(self, reader: socket.socket, main_thread: int) -> None:
        """Read signals in a thread, since Python's handlers do not run while the main thread is in C code.

        A second SIGINT or SIGTERM ends the process. While the first signal is neither handled nor deferred, the main
        thread is asked again to raise.
        """
        requests, came = 0, False
        while True:
            ready, _, _ = select.select([reader], [], [], INSIST_SECONDS if came else None)
            if not ready:
                if _AGAIN is not None and not (self._answered or self._deferred):
                    signal.pthread_kill(main_thread, _AGAIN)
                continue
            if not (numbers := reader.recv(64)):
                return
            for number in numbers:
                if number in SIGNALS and self._seen is None:
                    self._seen = number
                came = came or number in SIGNALS
                requests += _counts(number)
                if requests > 1:
                    end_at_once(number)


_present: Signals | None = None
"""Signals of the command that runs in this process; None if no command runs."""


def _leave_out_signalled(lost: "sys.UnraisableHookArgs") -> None:
    """Report an exception that Python drops, but not that for a signal, which is raised again until it arrives."""
    if not isinstance(lost.exc_value, Signalled):
        sys.__unraisablehook__(lost)


@contextlib.contextmanager
def listening() -> Iterator[Signals]:
    """Context manager that handles signals while a command runs in its block; afterwards they have their default effect
    again.

    Only for the main thread. Raises Signalled at the end of the block, whatever else was raised in it, if a signal has
    not been handled.
    """
    global _present
    signals = Signals()
    reader, writer = socket.socketpair()  # on Windows a pipe can neither be waited for nor woken
    writer.setblocking(False)
    thread = threading.Thread(target=signals._watch, args=(reader, threading.get_ident()), daemon=True)
    thread.start()
    handlers = dict.fromkeys(_heeded(), signals._handle)
    if _AGAIN is not None:
        handlers[_AGAIN] = signals._insist
    unraisable, sys.unraisablehook = sys.unraisablehook, _leave_out_signalled
    try:
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _present = signals
        yield signals
    finally:
        signals._closed = True  # first: from here on no handler raises
        _present = None
        sys.unraisablehook = unraisable
        for number in handlers:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        writer.close()
        thread.join()
        reader.close()
        number = signals._seen if signals.number is None else signals.number
        if number is not None and not signals._answered:
            raise Signalled(number)


@contextlib.contextmanager
def deferred() -> Iterator[Signals]:
    """Context manager that delays the effect of signals until its block ends; in it, `number` is the first signal
    received.

    Outside of `listening` the block sets its own handlers; outside of the main thread signals stay as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Signals()
        return
    if _present is not None:
        with _present.deferring():
            yield _present
        return
    signals = Signals()
    before = {number: signal.signal(number, signals._handle) for number in _heeded()}
    try:
        with signals.deferring():
            yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check() -> None:
    """Raise Signalled if a signal was received that has not been handled yet, for the work of other threads."""
    if _present is not None:
        _present.check()


def end_with_parent(*, at_once: bool = False) -> None:
    """Let the kernel end this process when its parent ends in any way (on Linux only), by SIGTERM or `at_once`."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL if at_once else signal.SIGTERM)


def count_as_handled() -> None:
    """Count all signals received so far as handled, for a command that passed them on to those that it started."""
    if _present is not None:
        _present._answered = True


def end_at_once(number: int) -> None:
    """End the process with a one-line message, without saving or cleaning up."""
    with contextlib.suppress(OSError):
        os.write(2, b"error: interrupted\n")
    os._exit(128 + number)


def _heeded() -> list[int]:
    """Return the signals to handle: not those set to be ignored, as by nohup or for a shell's background jobs."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _counts(number: int) -> bool:
    """Return True for SIGINT and SIGTERM: a second one of these signals ends the process at once.

    A closed terminal sends several SIGHUP, and torch's launcher several of all; it kills what does not end in time.
    """
    return number in (signal.SIGINT, signal.SIGTERM) and "TORCHELASTIC_RUN_ID" not in os.environ


def _is_in_flight(error: BaseException | None) -> bool:
    """Return True if a Signalled (exception for a signal) is being handled: `error` is one, or has one in its chain of
    `__context__`."""
    while error is not None:
        if isinstance(error, Signalled):
            return True
        error = error.__context__
    return False
