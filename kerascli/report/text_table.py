"""Plain-text tables with numbers aligned right."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size


def text_table(names: Sequence[str], columns: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Return a plain-text table of the names of its rows, aligned left, and of columns; each begins with its heading.

    A table wider than `width` is divided into several, each with the names.
    """
    first = max(map(cell_len, names))
    parts: list[list[str]] = []
    for cells in columns:
        size = max(map(cell_len, cells))
        if not parts or (width is not None and cell_len(parts[-1][0]) + 2 + size > width):
            parts.append([set_cell_size(name, first) for name in names])
        for index, cell in enumerate(cells):
            parts[-1][index] += "  " + " " * (size - cell_len(cell)) + cell
    return "\n\n".join("\n".join(lines) for lines in parts)
