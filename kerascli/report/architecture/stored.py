"""Keep the diagram of a model as JSON in a run's folder, so that its page can draw it without torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from pydantic import TypeAdapter, ValidationError

from kerascli.foundation.errors import FileRefused
from kerascli.report.architecture.canvas import SvgCanvas
from kerascli.report.architecture.drawing import MOST_BOXES, TitledDiagram, draw, titled_diagram

if TYPE_CHECKING:
    from kerascli.model.runtime.graph import Graph


def diagram_json(graph: "Graph", name: str, updates: Sequence["Graph"] = ()) -> str:
    """Return the text of diagram.json for a model, and for the graphs `updates` (of `fit.train_step`)."""
    stored = titled_diagram(graph, name, updates)
    return TypeAdapter(TitledDiagram).dump_json(stored, exclude_defaults=True).decode() + "\n"


def diagram_svg(text: str) -> Element | None:
    """Return the picture of a diagram, given the text of diagram.json; None if it is too large to draw.

    Raises FileRefused if the text is not a diagram.
    """
    try:
        stored = TypeAdapter(TitledDiagram).validate_json(text)
    except ValidationError:
        raise FileRefused("diagram.json is damaged: it has values that kerascli does not write") from None
    too_large = stored.diagram.count() > MOST_BOXES
    return None if too_large else draw(stored, SvgCanvas).root
