"""The verdict of the config fuzzer: what is wrong with how a command ended."""

import re

from benchmarks.torture.forked import Outcome

CODES = {"validate": {0, 2, 3, 4, 6}, "summary": {0, 2, 3, 4, 6}, "train": {0, 2, 3, 4, 5, 6}}
"""Exit codes that a command may have. 5: what is trained may not converge, or not fit in memory."""
MEMORY = 2**30
"""Bytes that a command which does not train may take."""
OUTPUT = 100_000
"""Characters that it may write."""

_OF_FILE = (
    "there is no file '|no file can be called |expected a config file, '|'.*' cannot be read|no such file|which config"
    "|'.*' is (?:not a sound|damaged|a folder)|there are no runs|there is no run|'.*' is not a run"
    "|'.*': file name too long|--(set|flag) goes with a config|[.]{3} and "
)
"""How a fault begins that has no place: it names the file itself, or comes after those that have one."""
_PLACED = re.compile(rf"^(\S.*: (error|warning): |error: ({_OF_FILE})|Usage: )", re.M)
_UNPLACED = re.compile(rf"^error: (?!{_OF_FILE})", re.M)
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_LEAKS = re.compile(r"Input should|pydantic|NoneType|<class '|object at 0x")


def wrong(command: str, outcome: Outcome) -> str | None:
    """Return what is wrong with how a command ended, or None."""
    trains = command == "train"
    if outcome.timed_out:
        return "it did not end"
    if outcome.ended_by_cpu_limit:
        return None if trains else f"{outcome.cpu_seconds:.0f} s of CPU"  # a training may be as long as it was asked to
    if bug := re.search(r"^(internal error|Traceback|AUDIT).*", outcome.output, re.M):
        return bug.group()
    if outcome.code not in CODES[command]:
        return f"exit code {outcome.code}"
    if not trains and outcome.memory > MEMORY:
        return f"{outcome.memory >> 20} MiB of memory"
    return _wrong_words(outcome.output, placed=outcome.code in {2, 3, 4} and not trains)


def _wrong_words(said: str, *, placed: bool) -> str | None:
    if placed and (_UNPLACED.search(said) or not _PLACED.search(said)):
        return f"no place: {said[:80]!r}"
    if _CONTROLS.search(said):
        return "control characters in the output"
    if found := _LEAKS.search(said):
        return f"words of Python: {found.group()}"
    return f"{len(said):,} characters of output" if len(said) > OUTPUT else None
