"""Format of history.csv, a run's table of losses and metrics, and its writer: one row per epoch, with exact numbers.

An epoch is appended at a cost that does not grow with the number of epochs.
"""

import contextlib
import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

from pydantic import BaseModel, NonNegativeInt

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import FileRefused
from kerascli.runs.checksums import Digest
from kerascli.runs.reading import decoded, must_read, quoted

Row = Mapping[str, int | float]

_WHOLE = re.compile(r"-?\d{1,18}")


def header(names: Sequence[str]) -> str:
    """Return the header line of history.csv for the given column names."""
    return storage.csv_text([names])


def line(row: Row, names: Sequence[str]) -> str:
    """Return the line of history.csv for an epoch; columns missing in `row` (validation metrics) become empty cells."""
    if unknown := row.keys() - set(names):
        raise ValueError(f"history.csv has no columns {sorted(unknown)}")
    return storage.csv_text([[_cell(row.get(name)) for name in names]])


def ordered(names: Iterable[str]) -> list[str]:
    """Return the names of the columns of history.csv in order: `epoch`, `phase`, the losses and metrics, learning
    rates, times."""
    return sorted(dict.fromkeys(names), key=_rank)  # a stable sort


def is_clock(name: str) -> bool:
    """Return True if a column of history.csv holds measured time, which differs between identical training runs."""
    return name.endswith("seconds")


def is_metric(name: str) -> bool:
    """Return True if a column of history.csv holds a loss or a metric."""
    return name not in {"epoch", "phase"} and not name.endswith("learning_rate") and not is_clock(name)


def parse(data: bytes, path: Path) -> list[dict[str, int | float]]:
    """Return the rows of history.csv as a list of mappings from column name to number; empty cells are left out.

    Numbers are exactly those written. A last line without a line break is ignored: it is being written, or was cut by a
    kill. Raises FileRefused.
    """
    whole = data[: data.rfind(b"\n") + 1]
    with contextlib.suppress(csv.Error, ValueError):
        names, *lines = csv.reader(io.StringIO(decoded(whole, path)), strict=True) if whole else [[]]
        rows = [{name: _number(cell) for name, cell in zip(names, cells, strict=True) if cell} for cells in lines]
        if all(isinstance(row.get("epoch"), int) for row in rows):
            return rows
    raise FileRefused(f"{quoted(path)} is damaged: expected numbers in each row, and an integer as its epoch")


def outline(data: bytes, path: Path, monitor: str, way: str) -> tuple[int, Row, Row]:
    """Return the number of rows of history.csv, the row with the best value of a metric, and the last one; {} for none.

    `way` is `min` or `max`, the better direction of the metric. Raises FileRefused.
    """
    head, *lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True) or [b""]
    best = b""
    with contextlib.suppress(ValueError, IndexError, csv.Error):  # `parse` reports damage in the rows that are shown
        [names] = csv.reader([head.decode()])
        at = names.index(monitor)
        cells = ((line.split(b",", at + 1)[at].strip(), line) for line in lines)
        numbers = [(number, line) for cell, line in cells if not math.isnan(number := float(cell or b"nan"))]
        best = (min if way == "min" else max)(numbers, key=itemgetter(0))[1]
    first, last = (parse(head + each, path) for each in (best, lines[-1] if lines else b""))
    return len(lines), (first or [{}])[0], (last or [{}])[0]


class Prefix(BaseModel, strict=True, frozen=True, extra="forbid"):
    """Length and SHA-256 of the beginning of history.csv, as it was when a checkpoint or run.json was written."""

    size: NonNegativeInt = 0
    """Length, in bytes, of the recorded beginning of history.csv."""
    sha256: Digest = hashlib.sha256().hexdigest()

    def check(self, path: Path) -> bytes:
        """Return the contents of history.csv at `path`. Raises FileRefused unless it begins with the recorded bytes."""
        data = must_read(path)
        if len(data) < self.size:
            raise FileRefused(f"{quoted(path)} is damaged: it has {len(data)} of the {self.size} bytes recorded")
        if hashlib.sha256(data[: self.size]).hexdigest() != self.sha256:
            raise FileRefused(f"{quoted(path)} is damaged: the sha256 of its first {self.size} bytes differs")
        return data


class HistoryWriter:
    """Writer of a run's history.csv during training; it also computes the file's SHA-256."""

    def __init__(self, path: Path, names: Sequence[str], prefix: Prefix) -> None:
        """Open history.csv and check that it begins with the rows in `prefix`; `cut` removes later rows. Raises
        FileRefused."""
        self.path = path
        self._names = names
        self._size = 0
        self._start = header(names).encode()
        if prefix.size:
            data = prefix.check(path)
            if not data.startswith(self._start):
                hint = "start a new run; this one is still there for evaluate, predict and export"
                raise FileRefused(f"{quoted(path)} has other columns than this version writes", hint=hint)
            self._size, self._start = len(data), data[: prefix.size]
        self._digest = hashlib.sha256(self._start)
        self._synced = True

    def cut(self) -> None:
        """Remove an incomplete last line and rows of epochs to train again from history.csv; write a missing header."""
        if self._size != len(self._start):
            storage.write_bytes(self.path, self._start)
        self._size, self._start = len(self._start), b""

    def append(self, row: Row) -> None:
        """Append an epoch's row to history.csv; only `synced_prefix` makes it durable."""
        data = line(row, self._names).encode()
        storage.append(self.path, data)
        self._size += len(data)
        self._digest.update(data)
        self._synced = False

    def synced_prefix(self) -> Prefix:
        """Write history.csv durably (fsync); return its length and SHA-256."""
        if not self._synced:
            storage.sync_file(self.path)
            self._synced = True
        return Prefix(size=self._size, sha256=self._digest.hexdigest())


def _rank(name: str) -> int:
    if name in {"epoch", "phase"}:
        return int(name == "phase")
    return 4 if is_clock(name) else 3 if name.endswith("learning_rate") else 2


def _cell(value: int | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(int(value))
    if math.isnan(value):
        return "NaN"
    # float(): numpy's floats have another repr
    return repr(float(value)) if math.isfinite(value) else "Inf" if value > 0 else "-Inf"


def _number(cell: str) -> int | float:
    return int(cell) if _WHOLE.fullmatch(cell) else float(cell)
