"""Convert the diagram of a model to the contents of a file: an image, or text for Mermaid or Graphviz."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kerascli.report import plots
from kerascli.report.architecture.dot import dot
from kerascli.report.architecture.mermaid import mermaid

if TYPE_CHECKING:
    from kerascli.model.runtime.graph import Graph

_TEXTS = {".mmd": mermaid, ".dot": dot, ".gv": dot}
SUFFIXES = (*plots.SUFFIXES, *_TEXTS)


def encoded_model(
    graph: "Graph", name: str, suffix: str, *, expand: bool = False, beside: Sequence["Graph"] = ()
) -> bytes:
    """Return the contents of a file with a model's diagram, as bytes; `suffix` (one of SUFFIXES) sets the format.

    Raises ConfigError for a model that is too large to draw.
    """
    from kerascli.report.architecture.drawing import draw_graph, totals_of

    if (write := _TEXTS.get(suffix.lower())) is None:
        return plots.encoded(draw_graph(graph, name, expand=expand, beside=beside), suffix)
    from kerascli.report.architecture.called_models import whole_diagram

    diagram = whole_diagram(graph, beside, expand=expand)
    return write(diagram, name, totals_of(graph, name, beside)).encode()
