"""Child process of `patterns.py` that runs a regular expression over texts and can be interrupted.

It is run as a script and imports nothing of kerascli. The first line of JSON on stdin has the pattern, each following
line a list of texts; each answer is a line with the new texts, or the index of the text that exceeded time or memory.
"""

import contextlib
import json
import re
import signal
import sys
from types import FrameType
from typing import Any


class TextTimeout(Exception):
    """Exception raised when the replacement in one text exceeds the time limit."""


def _on_timeout(number: int, frame: FrameType | None) -> None:
    raise TextTimeout


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C; its exit closes stdin
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGVTALRM, _on_timeout)  # `re` checks for signals while it matches
    start = json.loads(sys.stdin.readline())
    limit = start["memory_bytes"]
    with contextlib.suppress(ImportError):  # on Windows there are no limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    replace = re.compile(start["pattern"]).sub
    for line in sys.stdin:
        answer = _answer(replace, start["rewrite"], json.loads(line), start["seconds"])
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def _answer(replace: Any, rewrite: str, texts: list[str], seconds: float) -> dict[str, Any]:
    replaced: list[str] = []
    try:
        for text in texts:
            _limit_time(seconds)
            replaced.append(replace(rewrite, text))
    except TextTimeout:
        return {"late": len(replaced)}
    except MemoryError:
        return {"large": len(replaced)}
    finally:
        _limit_time(0)
    return {"texts": replaced}


def _limit_time(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


if __name__ == "__main__":
    main()
