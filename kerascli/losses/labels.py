"""Labels of classes: which numbers targets may be, for the losses and metrics that take classes by number."""

from dataclasses import dataclass

from kerascli.shapes import TensorSpec


@dataclass(frozen=True, slots=True)
class Labels:
    """The numbers that a component takes as targets."""

    low: int | None = None
    """The smallest; None: no limit."""
    high: int | None = None
    """The largest; None: no limit."""
    whole: bool = True
    """Fractions would be cut off: they are no labels."""
    besides: int | None = None
    """A label outside the limits that stands for no class."""
    words: str = ""
    """Why there are these limits."""


def class_labels(output: TensorSpec, axis: int = -1, besides: int | None = None) -> Labels:
    """Labels of an output with a unit for each class on `axis`, which counts the batch axis."""
    at = axis if axis < 0 else axis - 1
    size = output.shape[at] if -output.rank <= at < output.rank else None
    if size is None:
        return Labels(0, besides=besides, words="classes count from 0")
    words = f"the {size} units of the output stand for the classes 0 to {size - 1}"
    return Labels(0, size - 1, besides=besides, words=words)


YES_OR_NO = Labels(0, 1, whole=False, words="binary targets are 0 or 1")
"""Shares between them are targets, too."""
