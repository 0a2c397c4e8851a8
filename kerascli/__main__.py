"""Entry point of `kerascli` and `python -m kerascli`; sets signal handlers before it imports anything else."""

# `signal` is built on `_signal`, but takes milliseconds to import, in which Ctrl-C would show a traceback.
import _signal  # pyright: ignore[reportMissingImports]
import os
from types import FrameType


def _end(number: int, frame: FrameType | None) -> None:
    """Signal handler during the start: exit with a one-line message, since an import could swallow an exception."""
    try:  # contextlib would be one more import before the handlers are set
        if os.environ.get("RANK", "0") == "0":  # processes that were started together all get the signal
            os.write(2, b"error: interrupted\n")
    except OSError:
        pass
    os._exit(128 + number)


if os.name != "posix":  # elsewhere there are no SIGHUP, no flock and no file modes, which runs rely on
    os.write(2, b"error: kerascli runs on Linux and macOS; on Windows, run it in WSL (Windows Subsystem for Linux)\n")
    raise SystemExit(2)

for _number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    if _signal.getsignal(_number) != _signal.SIG_IGN:  # nohup sets SIGHUP to be ignored
        _signal.signal(_number, _end)


def main() -> None:
    """Run the kerascli command whose arguments are in `sys.argv`."""
    from kerascli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
