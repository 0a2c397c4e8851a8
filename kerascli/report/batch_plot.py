"""Plot a training batch: pictures as a grid with labels, other inputs and targets as a table."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerascli.foundation.errors import safe_text
from kerascli.report.plots import GREY, in_style, literal, new_figure
from kerascli.report.text_tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_ACROSS, _WIDTH, _LINE, _ABOVE = 8, 9.6, 0.127, 0.35
"""Pictures in a row of the grid; width of the figure, height of a line of the table and space above, in inches."""
_CHARACTERS = 118
"""Maximum width of the table in characters; a wider one is divided."""


@in_style(grid=False)
def plot_batch(
    pictures: Mapping[str, np.ndarray], labels: Sequence[str], columns: Sequence[Sequence[str]], title: str
) -> "Figure":
    """Return a figure of a batch: a grid of the pictures (rows, H, W, C) of each name, and a table of `columns`, each
    of which begins with its heading; `labels` are written over the pictures."""
    cells = [[safe_text(cell, _CHARACTERS) for cell in column] for column in columns]
    text = text_table(cells, "<" * len(cells), width=_CHARACTERS) if len(cells) > 1 else ""
    heights = [0.5 + 1.25 * math.ceil(len(values) / _ACROSS) for values in pictures.values()]
    heights += [0.2 + _ABOVE + _LINE * (text.count("\n") + 1)] if text else []
    figure = new_figure((_WIDTH, (0.4 if pictures else 0.0) + sum(heights)))
    figure.suptitle(literal(title), fontsize=9.5, color=GREY, x=0.985, ha="right")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flatten()
    for part, (name, values) in zip(parts, pictures.items(), strict=False):
        _draw_grid(part, name, values, labels)
    if text:
        top = 1 - _ABOVE / heights[-1]
        parts[-1].text(0.02, top, text, family="monospace", fontsize=7.5, va="top", parse_math=False)
    return figure


def _draw_grid(part: "SubFigure", name: str, values: np.ndarray, labels: Sequence[str]) -> None:
    """Draw pictures in a grid; their values are scaled to the range that the title tells."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    part.suptitle(literal(f"{name}: values from {low:.4g} to {high:.4g}"), x=0.01, ha="left", fontsize=10)
    low, high = min(low, 0.0), max(high, 1.0)
    scaled = np.nan_to_num((values - low) / (high - low))
    grid = part.subplots(math.ceil(len(values) / _ACROSS), _ACROSS, squeeze=False).flatten()
    for number, axes in enumerate(grid):
        axes.set_axis_off()
        if number < len(scaled):
            axes.imshow(
                scaled[number].squeeze(-1) if scaled.shape[-1] == 1 else scaled[number], cmap="gray", vmin=0, vmax=1
            )
            axes.set_title(literal(labels[number], 20) if labels else "", fontsize=7, loc="center", pad=2)
