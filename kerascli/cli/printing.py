"""Errors on stderr."""

import contextlib
import sys


def print_to_stderr(text: str) -> None:
    """Print a text on stderr; a closed stderr is ignored, since the exit code still reports an error."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
