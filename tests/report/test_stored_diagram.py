"""The diagram that a run keeps: the picture drawn from it is that of `plot --model`, without torch or matplotlib."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kerascli.foundation.errors import FileRefused
from kerascli.model.inference.build import build
from kerascli.model.runtime.graph import Graph
from kerascli.report.architecture.drawing import diagram_json, diagram_svg, encoded_model
from kerascli.report.architecture.picture import text_width
from tests.support.models import parse_model
from tests.support.needs import library

MODEL = {
    "inputs": {"x": [8, 8, 3]},
    "shared": {"tower": {"layers": [{"dense": 4}, {"dense": {"units": 2, "trainable": False}}]}},
    "layers": [
        {"repeat": {"times": 3, "layers": [{"conv_2d": {"filters": 3, "kernel_size": 3, "padding": "same"}}, "relu"]}},
        "flatten",
        {"tower": {"inputs": "prev", "name": "first"}},
        {"dense": {"units": 2, "trainable": False}},
    ],
}


@pytest.fixture
def graph() -> Graph:
    return Graph(build(parse_model(MODEL, {})))


def test_the_picture_of_the_stored_diagram_is_that_of_the_model(graph: Graph) -> None:
    root = diagram_svg(diagram_json(graph, "name <&> ☃"))
    assert root is not None
    assert ElementTree.tostring(root) == ElementTree.tostring(
        ElementTree.fromstring(encoded_model(graph, "name <&> ☃", ".svg"))
    ).replace(b"ns0:", b"").replace(b":ns0", b"")


def test_an_svg_is_drawn_without_matplotlib_and_the_stored_one_without_torch(graph: Graph, tmp_path: Path) -> None:
    file = tmp_path / "diagram.json"
    file.write_text(diagram_json(graph, "name"), encoding="utf-8")
    code = (
        "import sys; from kerascli.report.architecture.drawing import diagram_svg; "
        f"diagram_svg(open({str(file)!r}).read()); print(sorted({{'torch', 'numpy', 'matplotlib'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"title": 1, "totals": "", "diagram": {"boxes": [], "edges": []}}'])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(FileRefused, match=r"diagram\.json is damaged"):
        diagram_svg(text)


def test_widths_of_texts_are_those_of_the_font() -> None:
    manager, path = library("matplotlib.font_manager"), library("matplotlib.textpath")
    for weight in ("normal", "bold"):
        font = manager.FontProperties(family="DejaVu Sans", weight=weight, size=100)
        for text in ("dense", "conv_2d 28\N{MULTIPLICATION SIGN}28", "3, softmax  ·  99 parameters", "WAVE fiTj"):
            width, _, _ = path.text_to_path.get_text_width_height_descent(text, font, ismath=False)
            # matplotlib moves some pairs of letters together, and measures what is inked of the last one
            assert text_width(text, 100.0, weight == "bold") == pytest.approx(width, rel=0.03)
