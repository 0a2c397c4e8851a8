"""Keep the diagram of a model as JSON in a run's folder, so that its page can draw it without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from pydantic import TypeAdapter, ValidationError

from kerascli.foundation.errors import FileRefused
from kerascli.report.architecture.canvas import SvgCanvas
from kerascli.report.architecture.diagram import Diagram
from kerascli.report.architecture.drawing import MOST_BOXES, draw, totals_text

if TYPE_CHECKING:
    from kerascli.model.runtime.graph import Graph


@dataclass(frozen=True, slots=True)
class StoredDiagram:
    """Diagram of a model with its title and the line on its numbers of parameters."""

    title: str
    totals: str
    diagram: Diagram


def diagram_json(graph: "Graph", name: str, updates: Sequence["Graph"] = ()) -> str:
    """Return the text of diagram.json for a model, and for the graphs `updates` (of `fit.train_step`)."""
    from kerascli.model.runtime.summary import summarize
    from kerascli.report.architecture.from_graph import whole_diagram

    totals = totals_text(summarize(graph, name, updates=updates))
    stored = StoredDiagram(name, totals, whole_diagram(graph, updates))
    return TypeAdapter(StoredDiagram).dump_json(stored, exclude_defaults=True).decode() + "\n"


def diagram_svg(text: str) -> Element | None:
    """Return the picture of a diagram, given the text of diagram.json; None if it is too large to draw.

    Raises FileRefused if the text is not a diagram.
    """
    try:
        stored = TypeAdapter(StoredDiagram).validate_json(text)
    except ValidationError:
        raise FileRefused("diagram.json is damaged: it has values that kerascli does not write") from None
    too_large = stored.diagram.count() > MOST_BOXES
    return None if too_large else draw(stored.diagram, stored.title, stored.totals, SvgCanvas).root
