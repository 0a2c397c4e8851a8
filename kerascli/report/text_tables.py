"""Plain-text tables: of any columns, of the scores of classes, and of metrics at decision thresholds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from kerascli.foundation.errors import safe_text

if TYPE_CHECKING:
    from kerascli.foundation.shapes import TensorSpec
    from kerascli.metrics.classification import ClassRow, Point


_SCORES = ("precision", "recall", "f1")


def text_table(columns: Sequence[Sequence[str]], sides: str = "<", width: int | None = None) -> str:
    """Return a plain-text table of columns, each of which begins with its heading.

    `sides` has `<` for each column aligned left and `>` for each aligned right, as those after its end are. A table
    wider than `width` is divided into several, each with the first column.
    """
    parts: list[list[str]] = []
    size = max(map(cell_len, columns[0]))
    names = [set_cell_size(cell, size) for cell in columns[0]]
    for cells, side in zip(columns[1:], sides[1:].ljust(len(columns), ">"), strict=False):
        size = max(map(cell_len, cells))
        if not parts or (width is not None and cell_len(parts[-1][0]) + 2 + size > width):
            parts.append([*names])
        for index, cell in enumerate(cells):
            space = " " * (size - cell_len(cell))
            parts[-1][index] += f"  {cell}{space}" if side == "<" else f"  {space}{cell}"
    return "\n\n".join("\n".join(line.rstrip() for line in lines) for lines in parts)


def tensor_table(inputs: "Mapping[str, TensorSpec]", outputs: "Mapping[str, TensorSpec]") -> str:
    """Return names, dtypes and shapes of a model's inputs and outputs as a plain-text table."""
    named = [*(("input", *each) for each in inputs.items()), *(("output", *each) for each in outputs.items())]
    rows = [(kind, safe_text(name), spec.dtype, str(spec)) for kind, name, spec in named]
    return text_table([*zip(("", "", "dtype", "shape"), *rows, strict=True)], "<<<<")


def class_table(rows: "Sequence[ClassRow]") -> str:
    """Return precision, recall and F1 of all classes as a plain-text table."""
    return _scores_table(["class", *(safe_text(row.name) for row in rows)], rows, _SCORES, "support")


def _scores_table(first: Sequence[str], rows: Sequence[Any], scores: Sequence[str], count: str) -> str:
    """Return a table of a first column, a column for each of the rows' attributes `scores`, and one of a `count`."""
    columns = [[name, *(f"{getattr(row, name):.4f}" for row in rows)] for name in scores]
    return text_table([first, *columns, [count, *(f"{getattr(row, count):,}" for row in rows)]])


def matrix_table(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Return a confusion matrix (true class, predicted class) as a plain-text table, with shares of each true class."""
    shown = [safe_text(name, 30) for name in names]
    rows = [[f"{n:,} ({n / max(1, sum(counts)):.1%})" for n in counts] for counts in matrix]
    columns = zip(shown, zip(*rows, strict=True), strict=True)
    return text_table([["true / predicted", *shown], *([name, *cells] for name, cells in columns)])


def threshold_table(points: "Sequence[Point]") -> str:
    """Return the metrics at several decision thresholds as a plain-text table."""
    thresholds = ["threshold", *(f"{each.threshold:>9.4g}" for each in points)]
    return _scores_table(thresholds, points, (*_SCORES, "accuracy"), "positives")


def duration_text(seconds: Any) -> str:
    """Return a duration in seconds as text: 1:02:03, 4:05 or 6.7 s; `-` if it is not a number."""
    if not isinstance(seconds, (int, float)):
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
