"""Plot runs and classifiers: training curves, confusion matrices, ROC, precision-recall and calibration curves.

matplotlib is imported only for drawing, torch never.
"""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError, one_of, safe_text, suggestion
from kerascli.runs.history import Row, is_metric
from kerascli.runs.reading import quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from kerascli.metrics.classification import Thresholds

SUFFIXES = (".png", ".svg", ".pdf")

COLORS = ("#2f6fd6", "#e2632b", "#2b9a66", "#8b4fc6", "#c99a06", "#0e9fb5", "#cf3d7d", "#7a6248", "#5b6573", "#94b51f")
_INK, GREY, _GRID = "#20262e", "#6b7480", "#e3e7ec"
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif", "font.size": 10, "text.color": _INK, "text.usetex": False,
    "axes.edgecolor": "#b8c0ca", "axes.labelcolor": GREY, "axes.grid": True, "axes.axisbelow": True,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.formatter.useoffset": False,
    "grid.color": _GRID, "grid.linewidth": 0.8, "lines.linewidth": 1.8, "lines.markersize": 4,
    "xtick.color": GREY, "ytick.color": GREY, "xtick.labelsize": 9, "ytick.labelsize": 9,
    "legend.frameon": False, "legend.fontsize": 9.5,
    "svg.hashsalt": "kerascli",  # the same data gives the same file
}  # fmt: skip
PREFIXES = {"training": "", "validation": "val_"}
_LINES = {"training": "solid", "validation": "dashed"}
_MARKED_EPOCHS = 20  # more markers would hide the line
_COUNTED_CLASSES, _NAMED_CLASSES = 20, 60

Runs = Sequence[tuple[str, Sequence[Row]]]


@contextmanager
def in_style(*, grid: bool = True) -> Iterator[None]:
    """Context manager, and decorator of functions that draw a figure: the figure gets the style of all plots."""
    import matplotlib

    with matplotlib.rc_context({**_STYLE, "axes.grid": grid}):
        yield


def new_figure(size_inches: tuple[float, float]) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=size_inches, dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))


def grid_of(figure: "Figure | SubFigure", count: int, across: int) -> "Sequence[Axes]":
    """Return `count` axes of a figure, in rows of `across`; the places that are left over stay empty."""
    grid: list[Axes] = [*figure.subplots(math.ceil(count / across), across, squeeze=False).flat]
    for axes in grid[count:]:
        axes.set_axis_off()
    return grid[:count]


def panels(runs: Runs) -> list[str]:
    """Return the metrics that have a panel in the plot of runs: the loss first; no durations or learning rates."""
    names = dict.fromkeys(name.removeprefix("val_") for name in _columns(runs))
    return sorted(filter(is_metric, names), key=lambda name: name != "loss")


def _columns(runs: Runs) -> dict[str, None]:
    return dict.fromkeys(name for _, rows in runs for row in rows for name in row)


@in_style()
def plot_history(
    runs: Runs, metrics: Sequence[str] | None = None, *, log_scale: bool = False, smooth: float = 0.0
) -> "Figure":
    """Return a figure of training curves: a panel per metric, training solid, validation dashed, a color per run.

    `smooth` is the weight of earlier values in an exponential moving average of each curve; 0: the values themselves.
    """
    names = _chosen(runs, metrics)
    columns = 1 if len(names) <= 3 else 2 if len(names) <= 8 else 3
    height = math.ceil(len(names) / columns)
    size = (7.2 if columns == 1 else 4.6 * columns, max(3.6, 2.5 * height + 0.7) + 0.22 * (len(runs) - 1))
    figure = new_figure(size)
    for number, (name, axes) in enumerate(zip(names, grid_of(figure, len(names), columns), strict=True)):
        _panel(axes, name, runs, log_scale, smooth)
        if number >= len(names) - columns:
            axes.set_xlabel("epoch")
    _legend(figure, runs, names)
    return figure


@in_style(grid=False)
def confusion_matrix(matrix: Sequence[Sequence[float]], classes: Sequence[str], title: str = "") -> "Figure":
    """Return a figure of a confusion matrix: counts of true class (row) and predicted class, with and shaded by their
    share of the row."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    counts = np.asarray(matrix, dtype=float)
    many = len(classes)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    side = min(11.0, max(3.2, 1.6 + 0.5 * many))
    figure = new_figure((side + 1.4, side + 0.4))
    axes = figure.subplots()
    blues = LinearSegmentedColormap.from_list("kerascli", ["#ffffff", "#a9c7f2", "#2f6fd6", "#123a7a"])
    image = axes.imshow(shares, cmap=blues, norm=PowerNorm(0.6, 0, 1))  # a power scale, so that few errors show
    bar = figure.colorbar(image, ax=axes, shrink=0.75, aspect=30, label="share of the true class")
    for each in (bar.ax, axes):
        each.spines[:].set_visible(False)
        each.tick_params(length=0)
    axes.set(title=literal(title), xlabel="predicted", ylabel="true")
    _class_ticks(axes, classes)
    if many <= _COUNTED_CLASSES:
        axes.set_xticks(np.arange(many + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(many + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.3 else _INK if count else "#b8c0ca"
            text = f"{count:,.0f}\n{shares[row, column]:.1%}" if count else "0"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8 if many < 10 else 6)
    return figure


@in_style()
def binary_curves(scores: "Thresholds", positive: str, title: str) -> "Figure":
    """Return a figure of ROC, precision-recall and calibration curves; `positive` is the name of the positive class."""
    from kerascli.report.tables import value_text

    share = float(scores.truth.mean()) if len(scores.truth) else 0.0
    figure = new_figure((11.4, 3.9))
    roc, precision, calibration = panels = figure.subplots(1, 3)
    roc.plot(*scores.roc, color=COLORS[0])
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="dotted")
    area, average = value_text(scores.roc_auc), value_text(scores.average_precision)
    roc.set(title=f"ROC, area {area}", xlabel="false positive rate", ylabel="true positive rate")
    recalls, precisions = scores.precision_recall  # the steps that the average precision sums
    precision.step([0, *recalls], [precisions[0], *precisions], color=COLORS[0], where="pre")
    precision.axhline(share, color=GREY, linewidth=0.9, linestyle="dotted")
    precision.set(title=f"average precision {average}", xlabel="recall", ylabel="precision")
    means, shares, _ = zip(*scores.calibration(), strict=True)
    calibration.plot(means, shares, color=COLORS[0], marker="o")
    calibration.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="dotted")
    mean = f"mean probability of '{literal(positive, 30)}'"
    calibration.set(title="calibration", xlabel=mean, ylabel="share of the class")
    for axes in panels:
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    figure.suptitle(literal(title), x=0.01, ha="left", fontsize=10, color=GREY)
    return figure


def save(figure: "Figure", path: Path) -> None:
    """Write a matplotlib figure to a file, atomically, in the format of its suffix."""
    check_suffix(path)
    storage.write_bytes(path, encoded(figure, path.suffix))


def encoded(figure: "Figure", suffix: str) -> bytes:
    """Return the bytes of an image file of a matplotlib figure; `suffix` sets its format."""
    import matplotlib

    form = suffix.lower().removeprefix(".")
    out = io.BytesIO()
    # Without a date, the same data gives the same file.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box: nothing that a warning at the terminal would help.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(out, format=form, metadata=metadata, facecolor="white")
    return out.getvalue()


def check_suffix(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raise ConfigError, before any work, if a plot cannot be saved in the format of the file's suffix."""
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"cannot draw {quoted(path)}: expected a file that ends in {one_of(suffixes)}")


def _chosen(runs: Runs, metrics: Sequence[str] | None) -> list[str]:
    recorded = {name.removeprefix("val_") for name in _columns(runs)} - {"epoch"}
    if not recorded:
        raise ConfigError("there is nothing to plot: no epoch has been recorded")
    names: dict[str, None] = {} if metrics is not None else dict.fromkeys(panels(runs))
    for name in (metric.removeprefix("val_") for metric in metrics or ()):
        # the name of a metric of several values stands for all of its columns
        columns = [name] if name in recorded else [each for each in panels(runs) if each.startswith(f"{name}_")]
        if not columns:
            near = suggestion(name, recorded) or f"; recorded: {', '.join(map(safe_text, sorted(recorded)))}"
            raise ConfigError(f"no metric {quoted(name)} in the history{near}")
        names |= dict.fromkeys(columns)
    return list(names)


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving average of values, corrected for its start at zero; values of NaN stay NaN."""
    mean, share, averages = 0.0, 1.0, list[float]()
    for value in values:
        if math.isfinite(value):
            mean, share = weight * mean + (1 - weight) * value, share * weight
        averages.append(mean / (1 - share) if math.isfinite(value) else math.nan)
    return averages


def _panel(axes: "Axes", name: str, runs: Runs, log_scale: bool, smooth: float) -> None:
    from matplotlib.ticker import MaxNLocator

    lines = list(_lines(name, runs))
    marked = max(len(epochs) for epochs, *_ in lines) <= _MARKED_EPOCHS
    for epochs, values, look in lines:
        shown = smoothed(values, smooth) if smooth else values
        axes.plot(epochs, shown, marker="o" if marked or len(epochs) == 1 else None, **look)
    for before, row in pairwise(runs[0][1] if len(runs) == 1 else ()):
        if before.get("phase") != row.get("phase"):  # a new training phase begins
            axes.axvline(row["epoch"] - 0.5, color=GREY, linestyle="dotted", linewidth=1)
    axes.set_title(literal(name))
    axes.tick_params(length=0, which="both")
    if log_scale:
        axes.set_yscale("log")
    first, last = (of(epoch for epochs, *_ in lines for epoch in epochs) for of in (min, max))
    margin = 0.02 * (last - first) if last > first else 0.5
    axes.set_xlim(first - min(margin, 0.8), last + margin)  # there is no epoch 0
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def _lines(name: str, runs: Runs) -> Iterator[tuple[list[float], list[float], dict[str, Any]]]:
    """Yield (epochs, values, style) of each line in a metric's panel: those of training and validation of each run."""
    for number, (_, rows) in enumerate(runs):
        for split, prefix in PREFIXES.items():
            if recorded := [row for row in rows if prefix + name in row]:
                values = [row[prefix + name] if math.isfinite(row[prefix + name]) else math.nan for row in recorded]
                look = {"linestyle": _LINES[split], "color": _color(number, split, runs)}
                yield [row["epoch"] for row in recorded], values, look


def _color(number: int, split: str, runs: Runs) -> str:
    alone = len(runs) == 1 and split == "validation"  # the two lines of a single run differ in colour, too
    return COLORS[(number + alone) % len(COLORS)]


def _legend(figure: "Figure", runs: Runs, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    recorded, one = _columns(runs), len(runs) == 1
    splits = [split for split, prefix in PREFIXES.items() if any(prefix + name in recorded for name in names)]
    colors = [_color(0, split, runs) if one else GREY for split in splits]
    handles = [Line2D([], [], ls=_LINES[split], color=c, label=split) for split, c in zip(splits, colors, strict=True)]
    place = "outside lower center" if one else "outside upper right"
    figure.legend(handles=handles, loc=place, ncols=len(handles))
    if one:
        figure.suptitle(literal(runs[0][0]), fontsize=9.5, color=GREY, x=0.985, ha="right")
        return
    labels, longest = [literal(label) for label, _ in runs], max(len(label) for label, _ in runs)
    colors = [Line2D([], [], color=_color(i, "training", runs), lw=3, label=label) for i, label in enumerate(labels)]
    in_a_row = max(1, int(figure.get_size_inches()[0] * 11 // (longest + 8)))
    figure.legend(handles=colors, loc="outside lower center", ncols=min(in_a_row, len(colors)))


def thinned(places: Sequence[float], names: Sequence[str], most: int) -> tuple[Sequence[float], Sequence[str]]:
    """Return (positions, texts) of at most `most` of the labels of an axis, evenly spaced."""
    every = max(1, math.ceil(len(names) / most))
    return places[: len(names) : every], names[::every]


def _class_ticks(axes: "Axes", classes: Sequence[str]) -> None:
    at, labels = thinned(range(len(classes)), [literal(name, 24) for name in classes], _NAMED_CLASSES)
    slanted = max(map(len, labels)) > 3
    small = 9 if len(classes) <= _COUNTED_CLASSES else 6
    slant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(at, labels, fontsize=small, **slant)
    axes.set_yticks(at, labels, fontsize=small)
    axes.tick_params(length=0)


def literal(text: str, limit: int = 80) -> str:
    """Return a text that matplotlib draws literally: `$` starts no formula, and a leading `_` does not hide a legend
    entry."""
    text = safe_text(text, limit).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
