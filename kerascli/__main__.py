"""The program's entry, `kerascli` and `python -m kerascli`: signals are heeded before anything else is imported."""

# `signal` is made of it, but takes milliseconds to import, in which Ctrl-C would show a traceback.
import _signal  # pyright: ignore[reportMissingImports]
import os
from types import FrameType


def _end(number: int, frame: FrameType | None) -> None:
    """End in one line: nothing has begun yet, and an exception could be lost in an import."""
    try:  # noqa: SIM105  # contextlib would be one more import before the handlers are set
        os.write(2, b"error: interrupted\n")
    except OSError:
        pass
    os._exit(128 + number)


if os.name != "posix":  # elsewhere there are no SIGHUP, no flock and no file modes, which runs rely on
    os.write(2, b"error: kerascli runs on Linux and macOS; on Windows, run it in WSL (Windows Subsystem for Linux)\n")
    raise SystemExit(2)

for _number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    if _signal.getsignal(_number) != _signal.SIG_IGN:  # as nohup leaves SIGHUP
        _signal.signal(_number, _end)


def main() -> None:
    """Run the command in `sys.argv`."""
    from kerascli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
