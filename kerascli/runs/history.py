"""Format of history.csv, a run's table of losses and metrics: one row per epoch, with exact numbers."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kerascli.foundation.disk.storage import csv_text
from kerascli.foundation.errors import FileRefused, show
from kerascli.runs.reading import decoded, quoted

Row = Mapping[str, int | float]

_WHOLE = re.compile(r"-?\d{1,18}")


def header(names: Sequence[str]) -> str:
    """Return the header line of history.csv for the given column names."""
    return csv_text([names])


def line(row: Row, names: Sequence[str]) -> str:
    """Return the line of history.csv for an epoch; columns missing in `row` (validation metrics) become empty cells."""
    if unknown := row.keys() - set(names):
        raise ValueError(f"history.csv has no columns {sorted(unknown)}")
    return csv_text([[_cell(row.get(name)) for name in names]])


def ordered(names: Iterable[str]) -> list[str]:
    """Return the names of the columns of history.csv in order: `epoch`, `phase`, the losses and metrics, learning
    rates, times."""
    return sorted(dict.fromkeys(names), key=_rank)  # a stable sort


def is_clock(name: str) -> bool:
    """Return True if a column of history.csv holds measured time, which differs between identical training runs."""
    return name.endswith("seconds")


def is_figure(name: str) -> bool:
    """Return True if a column of history.csv holds a loss or a metric."""
    return name not in {"epoch", "phase"} and not name.endswith("learning_rate") and not is_clock(name)


def parse(data: bytes, path: Path) -> list[dict[str, int | float]]:
    """Return the rows of history.csv as a list of mappings from column name to number; empty cells are left out.

    Numbers are exactly those written. A last line without a line break is ignored: it is being written, or was cut by a
    kill. Raises FileRefused.
    """
    whole = data[: data.rfind(b"\n") + 1]
    try:
        lines = list(csv.reader(io.StringIO(decoded(whole, path)), strict=True))
    except csv.Error as error:
        raise FileRefused(f"{quoted(path)} is damaged: {error}") from None
    if not any(lines):
        return []
    names, *rows = lines
    if "epoch" not in names:
        raise FileRefused(f"{quoted(path)} is damaged: it has no column 'epoch'")
    for number, cells in enumerate(rows, start=2):
        if len(cells) != len(names):
            raise FileRefused(f"{quoted(path)} is damaged: line {number} has {len(cells)} cells, expected {len(names)}")
    found = [
        {name: _number(cell, path, line, name) for name, cell in zip(names, cells, strict=True) if cell}
        for line, cells in enumerate(rows, start=2)
    ]
    for line, row in enumerate(found, start=2):
        if not isinstance(row.get("epoch"), int):
            raise FileRefused(f"{quoted(path)} is damaged: line {line}, column 'epoch': expected an integer")
    return found


def _rank(name: str) -> int:
    first = ("epoch", "phase")
    if name in first:
        return first.index(name)
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


def _number(cell: str, path: Path, line: int, column: str) -> int | float:
    try:
        return int(cell) if _WHOLE.fullmatch(cell) else float(cell)
    except ValueError:
        raise FileRefused(
            f"{quoted(path)} is damaged: line {line}, column {quoted(column)}: expected a number, got {show(cell)}"
        ) from None
