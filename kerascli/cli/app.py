"""Entry point of the `kerascli` program: sets up signals and output streams, and reports errors."""

import contextlib
import errno
import io
import os
import sys

from kerascli.cli.printing import print_to_stderr
from kerascli.foundation.errors import KerasCliError, limited_suggestions, safe_text
from kerascli.foundation.interrupts import Signalled, listening

_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
"""Error numbers (errno) of OSErrors due to the disk, permissions or limits, not to a bug of kerascli."""
_PATH = {errno.ENAMETOOLONG, errno.ELOOP}
"""Error numbers (errno) of OSErrors due to paths on the command line that cannot exist."""


def main() -> None:
    """Run the command in `sys.argv`; report errors that a user can cause in a few lines and by the exit code."""
    _prepare_streams()
    try:
        code = _run()
    except Signalled as signalled:
        if os.environ.get("RANK", "0") == "0":  # all that were started together get the signal
            print_to_stderr("error: interrupted")
        code = signalled.code
    _leave_streams()
    sys.exit(code)


def _run() -> int | str | None:
    """Run the command in `sys.argv` and return its exit code."""
    try:
        with listening(), limited_suggestions():
            from kerascli.cli.commands import app
            from kerascli.compiler.cache import use_own_cache  # a signal during imports is handled like any other
            from kerascli.foundation.cpus import prepare_environment

            prepare_environment()
            use_own_cache()
            app(prog_name="kerascli")
    except SystemExit as end:
        return end.code
    except KerasCliError as error:
        print_to_stderr("\n\n".join("\n".join(fault.lines()) for fault in error.faults))
        return error.exit_code
    except MemoryError:
        print_to_stderr("error: out of memory\n  hint: use less data, or a smaller model")
        return 5
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _MACHINE | _PATH:
            where = f"'{safe_text(str(error.filename))}': " if error.filename else ""
            print_to_stderr(f"error: {where}{(error.strerror or str(error)).lower()}")
            return 6 if error.errno in _MACHINE else 2
        return _report_unexpected(error)
    return 0


def _prepare_streams() -> None:
    """Replace closed standard streams by /dev/null; stdout and stderr escape characters that they cannot encode.

    Under PYTHONUNBUFFERED, which container images set, Python silently drops the rest of a partial write: on a full
    disk, or if the reader has closed the pipe. With line buffering it raises an error instead.
    """
    # The next file would get the descriptor of a closed stream, and with it what C code prints there.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115  # open as long as the program runs
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # open as long as the program runs
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stdout.buffer, io.RawIOBase):
        sys.stdout = open(  # noqa: SIM115  # open as long as the program runs
            sys.stdout.fileno(), "w", buffering=1, encoding=sys.stdout.encoding, closefd=False
        )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _leave_streams() -> None:
    """Discard output that a closed stdout or stderr refuses; otherwise Python exits with code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _report_unexpected(error: Exception) -> int:
    """Print an unexpected exception with its place in the code, write its traceback to a file; return the exit code.

    One that passed through the code of a plugin is an error of that code, others are bugs of kerascli.
    """
    import tempfile
    import traceback
    from pathlib import Path

    from kerascli import __version__
    from kerascli.foundation.user_code import line_of_user_code

    where = ""
    with (
        contextlib.suppress(OSError),
        tempfile.NamedTemporaryFile(
            "w", prefix="kerascli-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file,
    ):
        file.write(f"kerascli {__version__}: {' '.join(sys.argv[1:])}\n")
        traceback.print_exception(error, file=file)
        where = file.name
    text = f"{type(error).__name__}: {safe_text(str(error))}"
    if (place := line_of_user_code(error)) is not None:
        print_to_stderr(f"{place}: error: {text}")
        print_to_stderr("  hint: the code of the plugin failed" + (f"; its traceback is in {where}" if where else ""))
        return 2
    frame = traceback.extract_tb(error.__traceback__)[-1]
    print_to_stderr(f"internal error: {safe_text(f'{text} ({Path(frame.filename).name}:{frame.lineno})')}")
    print_to_stderr("  hint: this is a bug of kerascli; please report it" + (f" with {where}" if where else ""))
    return 1
