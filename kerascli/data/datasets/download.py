"""Data sets that are downloaded once, to where Keras keeps them and under its names: both find the same files."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kerascli.data.base import Context
from kerascli.data.download import download
from kerascli.errors import DataError
from kerascli.files import read_bytes


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the network and its place at home, below Keras's `datasets`."""

    url: str
    path: str
    limit: int
    """The most bytes that it may have."""
    problem: Callable[[bytes], str | None]
    """What is wrong with the contents, or None."""
    packaged: Path | None = None
    """Where a package of the system puts it."""

    @property
    def local(self) -> Path:
        return keras_home() / "datasets" / self.path

    @property
    def place(self) -> Path:
        """Where it is read from: at home, or from the package if it is only there."""
        if self.packaged is not None and self.packaged.exists() and not self.local.exists():
            return self.packaged
        return self.local


def keras_home() -> Path:
    """`$KERAS_HOME`, or `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def fetch(remote: Remote, context: Context) -> bytes:
    """The contents of the file: the one that is there, if it is sound, else downloaded and kept. Raises DataError."""
    wrong = None
    if remote.place.exists():
        data = read_bytes(remote.place, remote.limit)
        wrong = remote.problem(data)
        if wrong is None:
            return data
    try:
        return download(
            remote.url, remote.local, limit=remote.limit, problem=remote.problem, asked=("data", "source"),
            progress=context.progress,
        )  # fmt: skip
    except DataError as error:
        if wrong is None:
            raise
        (fault,) = error.faults
        there = f"'{remote.place}' is there, but cannot be used: {wrong}"
        raise DataError(replace(fault, text=f"{fault.text}; {there}")) from None
