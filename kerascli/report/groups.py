"""Tables of the loss and metrics of groups of rows (`evaluate --by COLUMN`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from kerascli.errors import safe_text
from kerascli.report.console import number_text


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Row of a table of groups: name, numbers of rows (and positives) by heading, and values by metric."""

    name: str
    counts: dict[str, int]
    values: dict[str, float]
    """Mapping from metric to value, without undefined ones, for which the table has `-`."""


def group_table(column: str, rows: Sequence[GroupRow], metrics: Sequence[str], width: int | None = None) -> str:
    """Return the groups of a column as a plain-text table, numbers aligned right.

    A table wider than `width` is divided into several, each with the groups' names.
    """
    names = [safe_text(text, 30) for text in (column, *(row.name for row in rows))]
    first = max(map(cell_len, names))
    columns = [[heading, *(f"{row.counts[heading]:,}" for row in rows)] for heading in rows[0].counts]
    columns += [
        [safe_text(name), *(number_text(row.values[name]) if name in row.values else "-" for row in rows)]
        for name in metrics
    ]
    parts: list[list[str]] = []
    for cells in columns:
        size = max(map(cell_len, cells))
        if not parts or (width is not None and cell_len(parts[-1][0]) + 2 + size > width):
            parts.append([set_cell_size(name, first) for name in names])
        for index, cell in enumerate(cells):
            parts[-1][index] += "  " + " " * (size - cell_len(cell)) + cell
    return "\n\n".join("\n".join(lines) for lines in parts)
