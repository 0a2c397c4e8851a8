"""Cells of rows of a data file as they are shown with an evaluation: texts, and pictures as PNG."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from kerascli.data.batches.rows import Split, raw_table
from kerascli.data.storage.on_disk import Stream, in_memory
from kerascli.report.pictures import png
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.rows.batch_picture import is_picture
from kerascli.workflow.rows.command_rows import kept_columns

_MOST_COLUMNS, _MOST_CHARACTERS, _MOST_VALUES = 60, 2_000, 20
"""Maximum numbers: of columns, of characters of a cell, and of values of a cell that is a vector."""


def add_cells(
    run: LoadedRun, rows: Split, worst: Sequence[dict[str, Any]], names: Collection[str] = ()
) -> Mapping[str, bytes]:
    """Add to rows of an evaluation, which have a number `row` from 1, their `cells` by column, and the SHA-256 of their
    `pictures` by column; return the pictures (PNG), by number of the row and of the picture (`17-0`).

    `names` are the columns; none: the first 60. Columns that are no text, picture, window or few numbers are left out.
    Raises ConfigError if the rows have no columns.
    """
    part = rows.read(np.array([row["row"] - 1 for row in worst], np.int64))
    table, files = raw_table(part, "--cells"), dict[str, bytes]()
    for row in worst:
        row |= {"cells": {}, "pictures": {}}
    for name in names or list(table)[:_MOST_COLUMNS]:
        values = np.empty((0,)) if table.on_disk([name], Stream) else in_memory(table[name])
        if values.ndim == 1 or name in table.files:
            shown = kept_columns(run, part, [name]).get(name, values)
        else:
            shown = values.reshape(len(values), -1) if values.ndim == 2 or values.shape[2:] == (1,) else values[:0]
        for row, value in zip(worst, shown.tolist(), strict=False):
            row["cells"][name] = _text(value)
        for row, pixels in zip(worst, values if is_picture(values) else (), strict=False):
            data = png(pixels)
            files[f"{row['row']}-{len(row['pictures'])}"] = data
            row["pictures"][name] = sha256(data).hexdigest()
    return files


def _text(value: Any) -> str:
    """Return the text of a cell, cut where it is long; of a missing value an empty one, as in the file."""
    if value is None:
        return ""
    if isinstance(value, list):
        more = ["..."] if len(value) > _MOST_VALUES else []
        return " ".join([*(each if isinstance(each, str) else f"{each:.6g}" for each in value[:_MOST_VALUES]), *more])
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
