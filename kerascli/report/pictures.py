"""Draw the output of callbacks (grids of images, scatter plots, heat maps) and training batches.

matplotlib is imported when one is drawn.
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascli.callbacks.samples import Heat, Images, Points
from kerascli.foundation.errors import safe_text
from kerascli.report.plots import COLORS, GREY, encoded, grid_of, in_style, literal, new_figure, thinned
from kerascli.report.text_tables import text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_GAP = 2
_PIXELS = 900
"""Approximate length, in pixels, of the longer side of a grid of images."""
_DPI = 150
_PANEL = 2.6
_LABELS = 8
"""Maximum number of labels along each axis of a grid of images, because more would overlap."""
_WORDS = 40
"""Maximum number of labels along each axis of a heat map."""
_ACROSS, _WIDTH, _LINE, _ABOVE = 8, 9.6, 0.127, 0.35
"""Pictures in a row of the grid; width of the figure, height of a line of the table and space above, in inches."""
_MOST_PIXELS = 256
"""Size, in pixels, to which a larger picture is reduced as PNG."""
_TABLE_CHARACTERS = 118
"""Maximum width of the table in characters; a wider one is divided."""


def picture(sample: Images | Points | Heat) -> bytes:
    """Return the sample that a callback produced (a grid of images, a scatter plot or a heat map) as bytes of a PNG
    image."""
    return encoded(sample_figure(sample), ".png")


@in_style(grid=False)
def sample_figure(sample: Images | Points | Heat) -> "Figure":
    """Return a figure of a sample."""
    match sample:
        case Images():
            return _images(sample)
        case Points():
            return _points(sample)
        case Heat():
            return _heat(sample)


def _images(sample: Images) -> "Figure":
    rows, columns, height, width, channels = sample.values.shape
    gap = 0 if sample.across else _GAP
    values = sample.values.astype(np.float32)
    spaced = np.pad(values, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=1)
    sheet = spaced.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap), channels)
    sheet = sheet[: len(sheet) - gap, : sheet.shape[1] - gap]
    middles = [[i * (size + gap) + size / 2 - 0.5 for i in range(n)] for n, size in ((rows, height), (columns, width))]
    scale = max(1, round(_PIXELS / max(sheet.shape[:2])))
    tall, wide = (size * scale / _DPI for size in sheet.shape[:2])
    wide, tall = wide + (0.7 if sample.row_names or sample.down else 0.2), tall + (0.6 if sample.across else 0.35)
    figure = new_figure((wide, tall))
    axes = figure.subplots()
    axes.imshow(sheet[..., 0] if sheet.shape[-1] == 1 else sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(sample.title, loc="left")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    names = list(sample.row_names) or [f"{value:.2g}" for value in sample.down]
    axes.set_yticks(*thinned(middles[0], names, _LABELS))
    axes.set_xticks(*thinned(middles[1], [f"{value:.2g}" for value in sample.across], _LABELS))
    return figure


def _points(sample: Points) -> "Figure":
    from matplotlib import colormaps

    figure = new_figure((6.4, 5.6))
    axes = figure.subplots()
    axes.set(title=sample.title, xlabel=sample.axes[0], ylabel=sample.axes[1])
    axes.set_aspect("equal", adjustable="datalim")
    size = 9 if len(sample.values) > 500 else 18
    if sample.classes is None:
        axes.scatter(*sample.values.T, s=size, color=COLORS[0], alpha=0.6, linewidths=0)
        return figure
    numbers = np.unique(sample.classes)
    few = len(numbers) <= len(COLORS)
    colors: Any = COLORS if few else colormaps["turbo"](np.arange(len(numbers)) / (len(numbers) - 1))
    for color, number in zip(colors, numbers, strict=False):
        values = sample.values[sample.classes == number]
        name = sample.class_names[number] if 0 <= number < len(sample.class_names) else str(number)
        label = literal(str(name) or "(missing)", 40) if few else None
        axes.scatter(*values.T, s=size, color=color, alpha=0.7, linewidths=0, label=label)
    if few:
        figure.legend(loc="outside right upper", markerscale=2.0)
    return figure


def _heat(sample: Heat) -> "Figure":
    panels, rows, columns = sample.values.shape
    across = min(panels, 4)
    side = 5.0 if panels == 1 else _PANEL
    aspect = min(2.5, max(0.4, rows / max(1, columns)))
    figure = new_figure((side * across + 1.0, max(1.6, side * aspect) * math.ceil(panels / across) + 0.6))
    low, high = float(np.nanmin(sample.values)), float(np.nanmax(sample.values))
    signed = low < 0 < high
    bound = max(abs(low), abs(high))
    limits = (-bound, bound) if signed else (min(low, 0.0), high if high > low else low + 1)
    image: Any = None
    for number, axes in enumerate(grid_of(figure, panels, across)):
        image = axes.imshow(
            sample.values[number], cmap="RdBu_r" if signed else "Blues", vmin=limits[0], vmax=limits[1],
            aspect="auto", interpolation="nearest",
        )  # fmt: skip
        _panel(axes, number, sample, panels)
    figure.colorbar(image, ax=figure.axes, shrink=0.8, aspect=30).ax.spines[:].set_visible(False)
    figure.suptitle(sample.title, fontsize=11, fontweight="bold", x=0.02, ha="left")
    return figure


def _panel(axes: "Axes", number: int, sample: Heat, panels: int) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.locator_params(integer=True)
    titles, rows, columns = sample.names
    if rows:
        axes.set_yticks(*thinned(range(len(rows)), rows, _WORDS), parse_math=False)
    if columns:
        axes.set_xticks(*thinned(range(len(columns)), columns, _WORDS), rotation=45, ha="right", parse_math=False)
    if panels == 1:
        axes.set(xlabel=sample.axes[0], ylabel=sample.axes[1])
    else:
        axes.set_title(titles[number] if titles else str(number), loc="left", fontsize=9, color=GREY, parse_math=False)


@in_style(grid=False)
def plot_batch(
    pictures: Mapping[str, np.ndarray], labels: Sequence[str], columns: Sequence[Sequence[str]], title: str
) -> "Figure":
    """Return a figure of a batch: a grid of the pictures (rows, H, W, C) of each name, and a table of `columns`, each
    of which begins with its heading; `labels` are written over the pictures."""
    cells = [[safe_text(cell, _TABLE_CHARACTERS) for cell in column] for column in columns]
    text = text_table(cells, "<" * len(cells), width=_TABLE_CHARACTERS) if len(cells) > 1 else ""
    heights = [0.5 + 1.25 * math.ceil(len(values) / _ACROSS) for values in pictures.values()]
    heights += [0.2 + _ABOVE + _LINE * (text.count("\n") + 1)] if text else []
    figure = new_figure((_WIDTH, (0.4 if pictures else 0.0) + sum(heights)))
    figure.suptitle(literal(title), fontsize=9.5, color=GREY, x=0.985, ha="right")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flatten()
    for part, (name, values) in zip(parts, pictures.items(), strict=False):
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        part.suptitle(literal(f"{name}: values from {low:.4g} to {high:.4g}"), x=0.01, ha="left", fontsize=10)
        scaled = _scaled(values)
        draw_pictures(part, scaled.squeeze(-1) if scaled.shape[-1] == 1 else scaled, labels, _ACROSS, size=7)
    if text:
        top = 1 - _ABOVE / heights[-1]
        parts[-1].text(0.02, top, text, family="monospace", fontsize=7.5, va="top", parse_math=False)
    return figure


def draw_pictures(
    part: "Figure | SubFigure", values: Sequence[np.ndarray] | np.ndarray, labels: Sequence[str], across: int,
    size: int = 9,
) -> None:  # fmt: skip
    """Draw pictures, bytes or numbers from 0 to 1, in a grid of `across` columns, each with its label, if any."""
    for number, axes in enumerate(grid_of(part, len(values), across)):
        axes.set_axis_off()
        axes.imshow(values[number], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(literal(labels[number], 3 * size) if labels else "", fontsize=size, loc="center", pad=2)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Return values scaled to numbers from 0 to 1 by their range, which is at least from 0 to 1."""
    low, high = min(0.0, float(np.nanmin(values))), max(1.0, float(np.nanmax(values)))
    return np.nan_to_num((values - low) / (high - low))


def png(pixels: Any) -> bytes:
    """Return a picture (H, W) or (H, W, C) as PNG, at most 256 pixels wide and high.

    Values that are no bytes are scaled to their range, which is at least from 0 to 1.
    """
    from PIL import Image

    if pixels.dtype != np.uint8:
        pixels = np.round(_scaled(pixels.astype(np.float64)) * 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()
