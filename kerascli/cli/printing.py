"""Errors on stderr."""

import contextlib
import sys

from kerascli.foundation.errors import KerasCliError


def print_to_stderr(text: str) -> None:
    """Print a text on stderr; a closed stderr is ignored, since the exit code still reports an error."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def print_error(error: KerasCliError) -> None:
    """Print the messages of an error, with an empty line between two."""
    print_to_stderr("\n\n".join("\n".join(fault.lines()) for fault in error.faults))
