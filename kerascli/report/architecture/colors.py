"""Colors of the boxes of a model's diagram, by the family (`pooling`, `recurrent` ...) of their layer."""

from kerascli.report.architecture.diagram import Box

_COLORS = {
    "core": "#2f6fd6", "convolutional": "#e2632b", "pooling": "#cf3d7d", "recurrent": "#2b9a66",
    "attention": "#8b4fc6", "normalization": "#c99a06", "regularization": "#7a6248", "reshaping": "#5b6573",
    "merging": "#0e9fb5", "activations": "#b0567c", "preprocessing": "#6f8f12", "wrappers": "#2b9a66",
    "expressions": "#4b5bb5", "own": "#9c3fb0",
}  # fmt: skip
"""Mapping from a family of layers (the folder that has the layer's file) to the color of its boxes in a diagram."""
DARK = "#3d4854"
"""Color of the inputs, outputs and frames of a diagram."""


def color_of(box: Box) -> str:
    """Return the border color of a box in a diagram: the color of its layer's family; all layers of plugins have the
    same color."""
    return DARK if not box.family else _COLORS.get(box.family, _COLORS["own"])
