"""Run users' regular expressions over data under limits of time and memory.

Python's `re` backtracks: `(a+)+$` takes twice as long for each further character, in one call that holds the
interpreter lock. So a child process runs it, and a timer interrupts it.
"""

import contextlib
import json
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerascli.data.storage.table import BadRow
from kerascli.foundation.errors import safe_text

SECONDS = 2.0
"""Limit of the CPU time that a regular expression may take for one text, in seconds."""
MEMORY_BYTES = 2 * 2**30
"""Limit of the address space of the child process that runs regular expressions, in bytes."""
MAX_CHARACTERS = 10_000
"""Maximum length of a regular expression, or of its replacement, in characters."""

_CHILD = Path(__file__).with_name("pattern_child.py")
_TEXTS, _CHARACTERS = 1_000, 2**20
"""Maximum number of texts, and of characters in them, sent to the child process at once."""


def check_pattern(pattern: str) -> str:
    """Return the regular expression unchanged if it compiles. Raises ValueError."""
    if len(pattern) > MAX_CHARACTERS:
        raise ValueError(f"a regular expression of {len(pattern):,} characters; the limit is {MAX_CHARACTERS:,}")
    try:
        re.compile(pattern)
    except RecursionError:
        raise ValueError("invalid regular expression: nested too deeply") from None
    except (re.error, OverflowError) as error:
        raise ValueError(f"invalid regular expression: {error}") from None
    return pattern


class RegexReplacer:
    """Callable that replaces the matches of a regular expression in texts, in a child process.

    The process starts with the first text and ends with this object.
    """

    def __init__(self, pattern: str, rewrite: str) -> None:
        self._pattern = pattern
        self._rewrite = rewrite
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return the texts with matches replaced. Raises BadRow for a text that exceeds SECONDS or the memory limit."""
        replaced: list[str] = []
        with self._lock:
            for part in _parts(texts):
                answer = self._ask(part)
                if "texts" not in answer:
                    raise self._refusal(len(replaced), answer)
                replaced += answer["texts"]
        return replaced

    def _ask(self, texts: Sequence[str]) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # the process has ended: handled below
            process.stdin.write(f"{json.dumps(texts)}\n")
            process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self._process = None
            return {"large": 0}
        return json.loads(line)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, encoding="ascii",
            )  # fmt: skip
            weakref.finalize(self, _end, self._process)
            facts = {"pattern": self._pattern, "rewrite": self._rewrite, "seconds": SECONDS}
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.write(f"{json.dumps({**facts, 'memory_bytes': MEMORY_BYTES})}\n")
        return self._process

    def _refusal(self, before: int, answer: dict[str, Any]) -> BadRow:
        shown = safe_text(self._pattern, 40)
        if "late" in answer:
            text = f"the pattern '{shown}' takes more than {SECONDS:g} s for this text"
            hint = "nested repeats such as (a+)+ backtrack exponentially; a+ matches the same"
            return BadRow(before + answer["late"], text, hint=hint, setting="pattern")
        row = before + answer["large"]
        return BadRow(row, f"the replacement of '{shown}' in this text needs too much memory", setting="rewrite")


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if len(part) == _TEXTS or size > _CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
