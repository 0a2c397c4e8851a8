"""Pictures of the figures. matplotlib is loaded when one is drawn: the processes that are measured inherit from us."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.outcomes import Outcome, seconds, sound
from benchmarks.peers import is_ours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS, _OTHERS, _INK = "#2f6fd6", "#aab4c0", "#20262e"
_CURVES = ("#2f6fd6", "#e2632b", "#6b7684", "#2b9a66")


def draw_bars(path: Path, unit: str, groups: Mapping[str, Sequence[Outcome]]) -> None:
    """A panel for each group: medians as bars, with lines from the fastest to the slowest round."""
    from matplotlib.figure import Figure

    kept = {title: sound(outcomes) for title, outcomes in groups.items() if sound(outcomes)}
    if not kept:
        return
    heights = [len(outcomes) + 1.5 for outcomes in kept.values()]
    figure = Figure(figsize=(7.5, 0.3 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(kept), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, (title, outcomes) in zip(axes, kept.items(), strict=True):
        _bars(panel, title, outcomes)
    axes[-1].set_xlabel(unit)
    _save(figure, path)


def _bars(panel: "Axes", title: str, outcomes: Sequence[Outcome]) -> None:
    ordered = sorted(outcomes, key=lambda each: each.median, reverse=True)
    medians = [each.median for each in ordered]
    below = [each.median - min(each.seconds) for each in ordered]
    above = [max(each.seconds) - each.median for each in ordered]
    colors = [_OURS if is_ours(each.peer) else _OTHERS for each in ordered]
    names = [each.peer for each in ordered]
    bars = panel.barh(names, medians, xerr=(below, above), color=colors, ecolor=_INK, capsize=2)
    panel.bar_label(bars, [seconds(median) for median in medians], padding=4, fontsize=8)
    panel.margins(x=0.1)
    panel.set_title(title, loc="left", fontsize=11, fontweight="bold")
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9)


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    points: Sequence[tuple[float, float]]
    """(work, seconds)"""
    proportional: slice
    """The points at which seconds are in proportion to work."""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    x: str
    curves: Sequence[Curve]


def draw_panels(path: Path, unit: str, panels: Sequence[Panel]) -> None:
    """Side by side, with logarithmic axes; points out of proportion are hollow."""
    from matplotlib.figure import Figure

    panels = [panel for panel in panels if panel.curves]
    if not panels:
        return
    figure = Figure(figsize=(4.2 * len(panels), 3.8), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _panel(axes, panel)
        axes.set_ylabel(unit)
    _save(figure, path)


def _panel(axes: "Axes", panel: Panel) -> None:
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

    for curve, color in zip(panel.curves, _CURVES, strict=False):
        axes.plot(*zip(*curve.points, strict=True), "o-", markersize=5, markerfacecolor="white", color=color)
        inside = curve.points[curve.proportional]
        axes.plot(*zip(*inside, strict=True), "o", markersize=5, color=color, label=curve.name)
        (x_low, _), (x_high, _), (x, y) = curve.points[0], curve.points[-1], inside[-1]
        axes.plot([x_low, x_high], [y * x_low / x, y * x_high / x], "--", linewidth=0.8, color=color, alpha=0.6)
    axes.set(xscale="log", yscale="log", xlabel=panel.x)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False))
    axes.xaxis.set_minor_formatter(NullFormatter())  # labels of less than a decade would cover each other
    axes.set_title(panel.title, loc="left", fontsize=11, fontweight="bold")
    axes.grid(visible=True, which="major", alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, title="filled: in proportion (dashed)", title_fontsize=8)


def _save(figure: "Figure", path: Path) -> None:
    figure.savefig(path, dpi=150)
