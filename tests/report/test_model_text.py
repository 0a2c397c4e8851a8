"""Export of a model as Mermaid and DOT: every box and edge of the picture, in valid syntax."""

import re
import subprocess
from pathlib import Path

import pytest

from kerascli.cli import plot
from kerascli.report.architecture.diagram import Box, Diagram, Edge
from kerascli.report.architecture.from_graph import diagram_of, whole_diagram
from kerascli.report.architecture.texts import Connection, connections, dot, mermaid
from tests.report.test_model_picture import CONFIGS, RESIDUAL, SIAMESE, every, graph_of
from tests.support.needs import needs_program

NESTED = """
inputs: {left: [6], right: [6]}
blocks: {double: {layers: [{dense: 6}, relu]}}
shared:
  tower: {layers: [double, double, {dense: 3}]}
layers:
  - tower: {inputs: left, name: a}
  - tower: {inputs: right, name: b}
  - add: [a, b]
"""


def ends(found: list[Connection]) -> list[str]:
    return [f"{source[-1].split(' ', 1)[1]} > {target[-1].split(' ', 1)[1]}" for source, target, _ in found]


@pytest.mark.parametrize("text", [RESIDUAL, SIAMESE, NESTED])
@pytest.mark.parametrize("expand", [False, True])
def test_connections_lead_from_box_to_box_and_never_end_at_a_frame(text: str, expand: bool) -> None:
    diagram = diagram_of(graph_of(text), expand=expand)
    frames = {box.key for box in every(diagram) if box.inside is not None}
    doors = {box.key for box in every(diagram) if box.role in {"entry", "exit"}}
    assert not {way[-1] for source, target, _ in connections(diagram) for way in (source, target)} & (frames | doors)


def test_connections_go_through_the_frames_of_blocks_in_shared_models() -> None:
    found = ends(connections(diagram_of(graph_of(NESTED), expand=True)))
    assert found == [
        "tower/dense > tower/relu",
        "tower/dense_1 > tower/relu_1",
        "tower/relu > tower/dense_1",
        "tower/relu_1 > tower/dense_2",
        "left > tower/dense",
        "right > tower/dense",
        "tower/dense_2 > add",
        "tower/dense_2 > add",
        "add > add",
    ]


def test_a_repeat_is_entered_at_its_first_layer_and_left_at_its_last() -> None:
    text = "{inputs: {x: [4]}, layers: [{repeat: {times: 4, layers: [{dense: 4}, relu]}}, {dense: 1}]}"
    assert ends(connections(diagram_of(graph_of(text)))) == [
        "dense > relu", "dense_4 > dense_4", "x > dense", "relu > dense_4",
    ]  # fmt: skip


@pytest.mark.parametrize("expand", [False, True])
def test_both_texts_have_every_box_and_every_edge_once(expand: bool) -> None:
    diagram = diagram_of(graph_of(SIAMESE), expand=expand)
    boxes = [box for box in every(diagram) if box.role not in {"entry", "exit"}]
    edges = len(connections(diagram))
    flowchart, graph = mermaid(diagram, "siamese", "43 parameters"), dot(diagram, "siamese", "43 parameters")
    nodes = sum(box.inside is None for box in boxes)
    assert len(re.findall(r"^ +n\d+[(\[]", flowchart, re.M)) == len(re.findall(r"^ +n\d+ \[", graph, re.M)) == nodes
    assert flowchart.count(" -->") == len(re.findall(r"^  n\d+ -> n\d+", graph, re.M)) == edges
    frames = len(boxes) - nodes
    assert flowchart.count(" subgraph ") == graph.count(" subgraph ") == frames == (1 if expand else 0)


def test_no_name_or_setting_can_end_a_label() -> None:
    words = 'say "hi" <b> #1; \\ `x` {y} | %% [z]'
    boxes = Box("a", "layer", words), Box("b", "output", "output", "b")
    diagram = Diagram(boxes, (Edge("a", "b", "a", "2 x 3"),))
    flowchart, graph = mermaid(diagram, words, ""), dot(diagram, words, "")
    labels = re.findall(r'"([^"]*)"', flowchart.partition("flowchart TB")[2])
    assert not set("".join(labels)) & set("<>`{}|%\\")
    assert "say #34;hi#34; #60;b#62; #35;1#59;" in labels[0]
    assert r'label="say \"hi\" <b> #1; \\ `x` {y} | %% [z]"' in graph


@needs_program("dot", reason="needs Graphviz")
@pytest.mark.parametrize("text", [RESIDUAL, SIAMESE, NESTED])
def test_graphviz_draws_it(text: str) -> None:
    whole = dot(whole_diagram(graph_of(text), expand=True), "model", "")
    drawn = subprocess.run(["dot", "-Tplain"], input=whole, capture_output=True, text=True, check=True)
    assert drawn.stderr == ""
    assert len(re.findall("^edge ", drawn.stdout, re.M)) == len(connections(diagram_of(graph_of(text), expand=True)))


@pytest.mark.parametrize(("name", "begin"), [("a.mmd", '---\ntitle: "'), ("a.dot", "digraph "), ("a.gv", "digraph ")])
def test_a_config_is_written_as_text_and_its_file_is_replaced(
    name: str, begin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, config = tmp_path / name, str(CONFIGS / "tiny.yaml")
    for _ in range(2):
        plot.plot([config], file, model=True, runs_dir=tmp_path)
        assert capsys.readouterr().out == f"{file}\n"
    text = file.read_text(encoding="utf-8")
    assert text.startswith(begin)
    assert "dense" in text
