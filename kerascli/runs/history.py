"""history.csv: a row an epoch, numbers exact; R, pandas and a spreadsheet read it."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kerascli.errors import FileRefused, show
from kerascli.runs.reading import quoted, read_text

Row = Mapping[str, int | float]

_WHOLE = re.compile(r"-?\d{1,18}")


def to_csv(rows: Sequence[Row]) -> str:
    """The table as text. A row may lack columns (validation every other epoch); its cells are empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = columns(rows)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def columns(rows: Iterable[Row]) -> list[str]:
    """`epoch` (and `phase`), the figures as they first appeared, then the learning rate and the clock."""
    seen = dict.fromkeys(name for row in rows for name in row)
    return sorted(seen, key=_rank)  # a stable sort


def is_clock(name: str) -> bool:
    """Whether a column holds measured time, which no rerun repeats."""
    return name.endswith("seconds")


def is_figure(name: str) -> bool:
    """Whether a column is a loss or a metric."""
    return name not in {"epoch", "phase"} and not name.endswith("learning_rate") and not is_clock(name)


def read(path: Path) -> list[dict[str, int | float]]:
    """The rows, each with the cells that are not empty, equal to the numbers written."""
    try:
        lines = list(csv.reader(io.StringIO(read_text(path)), strict=True))
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
            raise FileRefused(f"{quoted(path)} is damaged: line {line}, column 'epoch': expected a whole number")
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
    # `float`: numpy's numbers are floats too, and have another repr.
    return repr(float(value)) if math.isfinite(value) else "Inf" if value > 0 else "-Inf"


def _number(cell: str, path: Path, line: int, column: str) -> int | float:
    try:
        return int(cell) if _WHOLE.fullmatch(cell) else float(cell)
    except ValueError:
        raise FileRefused(
            f"{quoted(path)} is damaged: line {line}, column {quoted(column)}: expected a number, got {show(cell)}"
        ) from None
