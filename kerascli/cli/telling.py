"""Errors on stderr: some are printed while further checks go on, and not repeated at the end."""

import contextlib
import sys

from kerascli.errors import KerasCliError


def say_error(text: str) -> None:
    """Print a text on stderr; a closed stderr is ignored, since the exit code still reports an error."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def tell(error: KerasCliError) -> None:
    """Print the messages of an error that have not been printed yet, with an empty line between two."""
    left = ["\n".join(fault.lines()) for fault in error.faults if fault not in error.told]
    if left:
        say_error("\n" * bool(error.told) + "\n\n".join(left))
