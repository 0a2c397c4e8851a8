"""Plot a forecast of a time series: the history given to the model, the true values after it if known, the forecast."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kerascli.report.plots import COLORS, GREY, in_style, literal, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKED = 60  # more markers would hide the line


class ForecastPanel(NamedTuple):
    """Values of one column of a time series: history, true values after it (possibly none), forecast."""

    column: str
    history: np.ndarray
    truth: np.ndarray
    forecast: np.ndarray
    positions: np.ndarray
    """Positions of history and forecast on the horizontal axis: dates, or row numbers from 1."""
    series: str = ""
    """Name of the series, if there are several."""


@in_style()
def plot_forecast(panels: Sequence[ForecastPanel], run: str, *, axis: str, truth: str) -> "Figure":
    """Return a figure with a plot for each column of a time series, and for each series, over dates or row numbers.

    `axis` is the label of the positions, `truth` that of the known values after the history.
    """
    shared = all(np.array_equal(panel.positions, panels[0].positions) for panel in panels)
    figure = new_figure((8.6, max(3.9, 2.7 * len(panels) + 0.9)))
    grid = figure.subplots(len(panels), 1, sharex=shared, squeeze=False).flatten()
    for axes, panel in zip(grid, panels, strict=True):
        _draw(axes, panel, truth)
        if not shared or axes is grid[-1]:
            _position_axis(axes, panel.positions)
    grid[-1].set_xlabel(literal(axis))
    handles, labels = max((axes.get_legend_handles_labels() for axes in grid), key=lambda each: len(each[1]))
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(literal(run), fontsize=9.5, color=GREY, x=0.985, ha="right")
    return figure


def _draw(axes: "Axes", panel: ForecastPanel, truth: str) -> None:
    begin, positions = len(panel.history), panel.positions
    marker = "o" if len(positions) <= _MARKED else None
    axes.axvspan(positions[begin - 1], positions[-1], color=COLORS[1], alpha=0.06, linewidth=0)
    axes.plot(positions[:begin], panel.history, color=GREY, linewidth=1.3, marker=marker, label="history")
    last = panel.history[-1:]  # lines begin at the last known value
    if len(panel.truth):
        values = np.concatenate([last, panel.truth])
        where = positions[begin - 1 : begin - 1 + len(values)]
        axes.plot(where, values, color=COLORS[0], linewidth=1.5, marker=marker, label=literal(truth))
    values = np.concatenate([last, panel.forecast])
    axes.plot(positions[begin - 1 :], values, color=COLORS[1], linestyle=(0, (4, 1.2)), marker=marker, label="forecast")
    axes.set_title(literal(f"{panel.column} ({panel.series})" if panel.series else panel.column))
    axes.set_ylabel(literal(panel.column))
    axes.tick_params(length=0, which="both")
    axes.margins(x=0.01)


def _position_axis(axes: "Axes", positions: np.ndarray) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    if positions.dtype.kind == "M":
        locator = AutoDateLocator(minticks=4, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
