"""The `kerascli` program: its signals, its streams, and what happens to errors."""

import contextlib
import errno
import io
import os
import signal
import sys
from types import FrameType

from kerascli.errors import Interrupted, KerasCliError, safe_text

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
"""Errors of the disk, its permissions and its limits: nobody's bug."""
_PATH = {errno.ENAMETOOLONG, errno.ELOOP}
"""Errors of a path on the command line that no file can have."""


class _Signal(BaseException):
    """A signal came where nothing can be saved; no exception, lest a library's `except Exception` swallows it."""

    def __init__(self, number: int) -> None:
        self.code = 128 + number


def main() -> None:
    """Run a command; every error that a user can cause ends in a few lines and its exit code."""
    handled = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup leaves them
    for number in handled:
        signal.signal(number, _interrupt)
    try:
        _prepare_streams()
        code = _run()
    except _Signal as found:
        _say("error: interrupted")
        code = found.code
    finally:
        for number in handled:  # leaving takes a moment, in which a signal should simply end it
            signal.signal(number, signal.SIG_DFL)
    sys.exit(code)


def _run() -> int | str | None:
    """The exit code of the command."""
    try:
        from kerascli.builder.cache import use_own_cache  # here, so that a signal during imports is told as any other
        from kerascli.cli.commands import app
        from kerascli.cpus import prepare_environment

        prepare_environment()
        use_own_cache()
        app(prog_name="kerascli")
    except SystemExit as end:
        return end.code
    except KerasCliError as error:
        _tell(error)
        return error.code if isinstance(error, Interrupted) else error.exit_code
    except MemoryError:
        _say("error: no memory is left\n  hint: less data, or a smaller model, needs less")
        return 5
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _MACHINE | _PATH:
            where = f"'{safe_text(str(error.filename))}': " if error.filename else ""
            _say(f"error: {where}{(error.strerror or str(error)).lower()}")
            return 6 if error.errno in _MACHINE else 2
        _report_bug(error)
        return 1
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Before there is anything to save, a signal just ends the program; a second one at once."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise _Signal(number)


def _prepare_streams() -> None:
    """A closed stream is as /dev/null; a character that the terminal does not know is written as its escape.

    Under PYTHONUNBUFFERED, which images of containers set, Python drops what a write did not take whole, in silence:
    the rest of an output on a full disk, or whose reader has gone. With a buffer, flushed at once, it does not.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # as long as the program
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stdout.buffer, io.RawIOBase):
        buffer = io.BufferedWriter(sys.stdout.buffer)
        sys.stdout = io.TextIOWrapper(buffer, encoding=sys.stdout.encoding, line_buffering=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens: the exit code still tells
        sys.stderr.write(f"{text}\n")


def _tell(error: KerasCliError) -> None:
    _say("\n\n".join("\n".join(fault.lines()) for fault in error.faults))


def _report_bug(error: Exception) -> None:
    """A bug of ours: say where, keep the traceback in a file."""
    import traceback
    from pathlib import Path

    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = safe_text(f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})")
    _say(f"internal error: {text}")
    try:
        _say(f"  hint: this is a bug of kerascli; please report it with {_write_traceback(error)}")
    except OSError:
        _say("  hint: this is a bug of kerascli; please report it")


def _write_traceback(error: Exception) -> str:
    import tempfile
    import traceback

    from kerascli import __version__

    with tempfile.NamedTemporaryFile(
        "w", prefix="kerascli-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(f"kerascli {__version__}: {' '.join(sys.argv[1:])}\n")
        traceback.print_exception(error, file=file)
    return file.name
