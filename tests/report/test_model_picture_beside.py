"""The picture of other parts of a model: weights, targets and updates as nodes, views, and train_step."""

from pathlib import Path

import pytest

from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.shapes import TensorSpec
from kerascli.model.inference.build import build
from kerascli.model.runtime.graph import Graph
from kerascli.report.architecture.from_graph import diagram_of, whole_diagram
from kerascli.report.architecture.layout import picture_of
from kerascli.workflow.check import graphs_of, spec_of
from tests.report.test_model_picture import check_picture, graph_of, kerascli, said
from tests.support.models import parse_model
from tests.support.runs_harness import write


def test_weights_targets_and_updates_stand_in_the_picture() -> None:
    text = """
    inputs: {x: [4]}
    layers:
      - weight: {shape: [4], name: mean, trainable: false}
      - expr: {value: "x - mean", name: centered}
      - update: {weight: mean, value: "0.9 * mean + 0.1 * mean(x, axis=0)"}
      - dense: {units: 3, inputs: centered, name: out}
      - add_loss: {value: "sum(square(out - targets.y), axis=-1)", name: apart}
    outputs: out
    """
    model = parse_model(parse_document(text, "model").data, {}, data_targets={"y": TensorSpec((3,))})
    diagram = diagram_of(Graph(build(model)))
    check_picture(diagram, picture_of(diagram))
    assert {"weight mean", "update", "target y", "add_loss apart"} <= set(said(diagram))
    kinds = {box.key: box.kind for box in diagram.boxes}
    edges = {(kinds[edge.source], kinds[edge.target]) for edge in diagram.edges}
    assert {("weight", "update"), ("input", "update"), ("target", "add_loss")} <= edges


def test_what_a_wrapper_shares_has_its_parameters_in_the_wrapper_s_box() -> None:
    text = """
    inputs: {x: [3, 4]}
    shared: {tower: {layers: [{dense: 2}]}}
    layers: [{time_distributed: tower}, flatten]
    """
    boxes = {box.kind: box for box in diagram_of(graph_of(text)).boxes}
    assert boxes["time_distributed"].parameters == 4 * 2 + 2


TWO_UPDATES = """
data: {source: {blobs: {rows: 32, features: 4, classes: 3}}, inputs: {x: []}}
model:
  blocks: {tail: {layers: [relu, {dense: 4}]}}
  shared:
    generator: {inputs: {z: [5]}, layers: [{dense: 8}, tail]}
    critic: {layers: [{dense: {units: 8, trainable: false}}, {dense: 1}]}
    score: {dense: 1}
  MODEL
fit:
  train_step:
    - name: judge
      train: [critic, score]
      optimizer: adam
      layers:
        - expr: {value: "random_normal([batch_size, 5])", name: z}
        - generator: {inputs: z, name: fake}
        - critic: {inputs: x, name: on_real}
        - critic: {inputs: fake, name: on_fake}
        - score: {inputs: fake, name: scored}
      loss:
        real: {loss: mse, y_true: 1, y_pred: on_real}
        fake: {loss: mse, y_true: 0, y_pred: on_fake}
        scored: {loss: mse, y_true: 0, y_pred: scored}
"""


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize(
    ("model", "first"),
    [
        ("outputs: generator", ["generator", "input z", "dense", "TAIL", "output dense_1"]),
        ("layers: [{dense: 5}, generator]", ["input x", "dense", "GENERATOR", "output generator"]),
    ],
    ids=["shared alone", "with layers"],
)
def test_what_updates_call_stands_beside_the_model_each_in_a_frame(
    tmp_path: Path, model: str, first: list[str], expand: bool
) -> None:
    config = write(tmp_path, TWO_UPDATES.replace("MODEL", model))
    _, graph, beside = graphs_of(spec_of(config))
    diagram = whole_diagram(graph, beside, expand=expand)
    check_picture(diagram, picture_of(diagram))
    inside = {
        "TAIL": ["tail", *["relu", "dense"] * expand],
        "GENERATOR": ["generator", "dense", "tail", "relu", "dense"],
    }
    inside["GENERATOR"] = inside["GENERATOR"] if expand else ["generator"]
    beginning = [word for each in first for word in inside.get(each, [each])]
    assert said(diagram) == [
        *beginning,
        "critic", "input input", "dense", "dense", "output dense_1",
        "score", "input fake", "dense score", "output scored",
    ]  # fmt: skip
    (critic,) = (box for box in diagram.boxes if box.kind == "critic")
    assert critic.inside is not None
    assert [box.frozen for box in critic.inside.boxes] == [False, True, False, False]


def test_a_view_is_drawn_in_place_of_the_model(tmp_path: Path) -> None:
    text = """
    data: {source: {blobs: {features: 8}}, inputs: {x: []}}
    model:
      shared: {decoder: {layers: [{dense: 16}, relu, {dense: 8}]}}
      layers: [{dense: {units: 2, name: code}}, decoder]
      views: {decode: {inputs: {z: [2]}, layers: [{decoder: z}]}}
    """
    spec = spec_of(write(tmp_path, text))
    title, graph, beside = graphs_of(spec, "decode")
    assert title.endswith(": decode")
    assert said(whole_diagram(graph, beside)) == ["input z", "decoder", "output decoder"]
    file = tmp_path / "decode.svg"
    kerascli("plot", "--model", str(tmp_path / "config.yaml"), "--view", "decode", "-o", str(file))
    assert file.read_bytes().startswith(b"<svg")
    with pytest.raises(ConfigError, match=r"no view 'decod'.*decode"):
        kerascli("plot", "--model", str(tmp_path / "config.yaml"), "--view", "decod", "-o", str(file))
