"""Entry point of `kerascli` and `python -m kerascli`; sets signal handlers before it imports anything else."""

# `signal` is built on `_signal`, but takes milliseconds to import, in which Ctrl-C would show a traceback.
import _signal  # pyright: ignore[reportMissingImports]
import gc
import os
import sys
from types import FrameType

_PATH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] != _PATH:
    del sys.path[0]  # `python -m` puts the current folder there, whose random.py would be imported


def _end(number: int, frame: FrameType | None) -> None:
    """Signal handler during the start: exit with a one-line message, since an import could swallow an exception."""
    try:  # contextlib would be one more import before the handlers are set
        if os.environ.get("RANK", "0") == "0":  # all that were started together get the signal
            os.write(2, b"error: interrupted\n")
    except OSError:
        pass
    os._exit(128 + number)


if os.name != "posix":
    os.write(
        2, b"warning: kerascli is made for Linux and macOS; on Windows, run it in WSL (Windows Subsystem for Linux)\n"
    )

for _number in (_signal.SIGINT, _signal.SIGTERM, getattr(_signal, "SIGHUP", None)):  # Windows has no SIGHUP
    if _number is not None and _signal.getsignal(_number) != _signal.SIG_IGN:  # nohup sets SIGHUP to be ignored
        _signal.signal(_number, _end)


def main() -> None:
    """Run the kerascli command whose arguments are in `sys.argv`."""
    gc.disable()  # until a command computes or serves: imports make many objects, and no garbage
    from kerascli.cli.app import main as run

    try:
        run()
    finally:
        gc.freeze()  # Python's collection at exit would go through all modules: a third of the time of importing torch


if __name__ == "__main__":
    main()
