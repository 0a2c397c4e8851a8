"""Plots for a binary classifier: ROC curve, precision-recall curve, calibration curve."""

from typing import TYPE_CHECKING

from kerascli.foundation.errors import safe_text
from kerascli.metrics.classification import Thresholds
from kerascli.report.plots import COLORS, GREY, STYLE, new_figure
from kerascli.report.text_tables import area_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def binary_curves(scores: Thresholds, positive: str, title: str) -> "Figure":
    """Return a figure of ROC, precision-recall and calibration curves; `positive` is the name of the positive class."""
    import matplotlib

    share = float(scores.truth.mean()) if len(scores.truth) else 0.0
    with matplotlib.rc_context(STYLE):
        figure = new_figure((11.4, 3.9))
        roc, precision, calibration = figure.subplots(1, 3)
        roc.step(*scores.roc, color=COLORS[0], where="post")
        roc.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="dotted")
        area, average = area_text(scores.roc_auc), area_text(scores.average_precision)
        roc.set(title=f"ROC, area {area}", xlabel="false positive rate", ylabel="true positive rate")
        precision.step(*scores.precision_recall, color=COLORS[0], where="post")
        precision.axhline(share, color=GREY, linewidth=0.9, linestyle="dotted")
        precision.set(title=f"average precision {average}", xlabel="recall", ylabel="precision")
        points = scores.calibration()
        calibration.plot([mean for mean, *_ in points], [true for _, true, _ in points], color=COLORS[0], marker="o")
        calibration.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="dotted")
        calibration.set(
            title="calibration", xlabel=f"mean probability of '{safe_text(positive, 30)}'", ylabel="share of the class"
        )
        for axes in (roc, precision, calibration):
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=GREY)
    return figure
