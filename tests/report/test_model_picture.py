"""The picture of a model: everything appears once, nothing overlaps, and all edges go down."""

import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from kerascli.cli import plot
from kerascli.config.composition.references import References
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError
from kerascli.model.inference.build import build
from kerascli.model.runtime.graph import Graph
from kerascli.report.architecture import columns
from kerascli.report.architecture.canvas import FigureCanvas
from kerascli.report.architecture.diagram import Box, Diagram, Edge, folded
from kerascli.report.architecture.drawing import TitledDiagram, draw, encoded_model
from kerascli.report.architecture.from_graph import diagram_of
from kerascli.report.architecture.layered import Ranks, arrange
from kerascli.report.architecture.layout import picture_of
from kerascli.report.architecture.picture import Picture, Placed
from tests.support.models import parse_model

CONFIGS = Path(__file__).parents[2] / "configs"


def graph_of(text: str, **flags: Any) -> Graph:
    document = parse_document(text, "model")
    return Graph(build(parse_model(document.data, {}, references=References(document, flags, None))))


def every(diagram: Diagram) -> Iterator[Box]:
    for box in diagram.boxes:
        yield box
        if box.inside is not None:
            yield from every(box.inside)


def said(diagram: Diagram) -> list[str]:
    """Return the boxes as text, without the points where edges cross frames."""
    return [
        " ".join(filter(None, (box.kind, box.name, f"x{box.times}" if box.times > 1 else "")))
        for box in every(diagram)
        if box.role not in {"entry", "exit"}
    ]


RESIDUAL = """
inputs: {x: [8, 8, 4]}
blocks:
  residual:
    parameters: {filters: , project: false}
    layers:
      - conv_2d: {filters: $filters, kernel_size: 3, padding: same}
      - batch_normalization: {name: out}
      - conv_2d: {filters: $filters, kernel_size: 1, inputs: input, name: skip, when: $project}
      - add: [out, skip]
layers:
  - repeat: {times: 3, layers: [{residual: 4}]}
  - residual: {filters: 8, project: true}
  - flatten
  - dense: 2
"""

SIAMESE = """
inputs: {left: [6], right: [6]}
shared:
  tower: {layers: [{dense: {units: 4, name: features}}, relu, {dense: 3}]}
  score: {dense: 1}
layers:
  - tower: {inputs: left, name: a}
  - tower: {inputs: right, name: b}
  - expr: {value: "abs(a - b) + sum(a.features * b.features, axis=-1, keepdims=true)", name: apart}
  - score
  - add_loss: {value: "sum(a ** 2, axis=-1)", name: small}
  - score: {inputs: a, name: other}
outputs: [score, other]
"""


def random_edges(seed: int, count: int) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    return [
        (str(draw.randrange(max(0, i - 6), i)), str(i))
        for i in range(1, count)
        for _ in range(draw.choice((1, 1, 2, 3)))
    ]


def left_to_right(ranks: Ranks, widths: dict[str, float]) -> Iterator[tuple[float, float]]:
    """Yield, for neighbours in a rank, the right end of the left one and the left end of the right one."""

    def half(key: Any) -> float:
        return widths[key] / 2 if isinstance(key, str) else 1.0

    for row in ranks.rows:
        for one, other in pairwise(row):
            yield ranks.x[one] + half(one), ranks.x[other] - half(other)


@pytest.mark.parametrize("seed", range(8))
def test_every_edge_goes_down_through_every_rank_and_nothing_in_a_rank_overlaps(seed: int) -> None:
    draw = random.Random(seed)
    widths = {str(i): draw.uniform(20, 200) for i in range(30)}
    edges = random_edges(seed, 30)
    ranks = arrange(widths, edges)
    assert all(end < start for end, start in left_to_right(ranks, widths))
    assert sorted(key for row in ranks.rows for key in row if isinstance(key, str)) == sorted(widths)
    for (source, target), path in zip(edges, ranks.paths, strict=True):
        assert (path[0], path[-1]) == (source, target)
        assert [key[1] for key in path[1:-1] if not isinstance(key, str)] == list(
            range(ranks.rank[source] + 1, ranks.rank[target])
        )
    assert arrange(widths, edges) == ranks


def test_edges_that_need_not_cross_do_not() -> None:
    """Two chains whose ends are given in the wrong order."""
    widths: dict[str, float] = dict.fromkeys(["a", "b", "b1", "a1", "a2", "b2"], 50.0)
    ranks = arrange(widths, [("a", "a1"), ("b", "b1"), ("a1", "a2"), ("b1", "b2")])
    assert ranks.rows == [["a", "b"], ["a1", "b1"], ["a2", "b2"]]
    assert len({ranks.x[key] for key in ("a", "a1", "a2")}) == 1


def test_a_chain_stands_straight_and_what_goes_around_it_gives_way() -> None:
    widths = dict.fromkeys("abcde", 80.0)
    ranks = arrange(widths, [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("d", "e")])
    assert [ranks.x[key] for key in "bcde"] == pytest.approx([ranks.x["a"]] * 4, abs=8)
    passing = ranks.paths[3][1:-1]
    assert len({round(ranks.x[key], 6) for key in passing}) == 1


def test_a_model_that_is_all_long_connections_is_refused() -> None:
    keys = [str(i) for i in range(700)]
    edges = [*pairwise(keys), *((key, keys[-1]) for key in keys)]
    with pytest.raises(ConfigError, match="too many long connections"):
        arrange(dict.fromkeys(keys, 10.0), edges)


def inside_of(outer: Placed, inner: Placed) -> bool:
    return outer.x <= inner.x and inner.x + inner.width <= outer.x + outer.width + 1e-6 and (
        outer.y <= inner.y and inner.y + inner.height <= outer.y + outer.height + 1e-6
    )  # fmt: skip


def overlap(one: Placed, other: Placed) -> bool:
    return one.x < other.x + other.width and other.x < one.x + one.width and (
        one.y < other.y + other.height and other.y < one.y + one.height
    )  # fmt: skip


def check_picture(diagram: Diagram, picture: Picture) -> None:
    seen = [each for each in picture.boxes if each.box.role not in {"entry", "exit"}]
    assert sorted(each.box.key for each in seen) == sorted(
        box.key for box in every(diagram) if box.role not in {"entry", "exit"}
    )
    for one, other in combinations(seen, 2):
        if overlap(one, other):
            frame = one if one.box.inside is not None else other
            assert frame.box.inside is not None, f"{one.box.key} overlaps {other.box.key}"
            assert inside_of(frame, other if frame is one else one)
    for each in seen:
        assert each.x >= -1e-6
        assert each.x + each.width <= picture.width + 1e-6
        assert each.y >= -1e-6
        assert each.y + each.height <= picture.height + 1e-6
    edges = sum(len(box.inside.edges) for box in every(diagram) if box.inside is not None) + len(diagram.edges)
    assert sum(not line.leads_on for line in picture.lines) == edges
    for line in picture.lines:
        if not line.leads_on:
            assert all(y <= below for (_, y), (_, below) in pairwise(line.points))


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("text", [RESIDUAL, SIAMESE])
def test_boxes_cover_nothing_but_what_is_in_them_and_every_edge_is_drawn(text: str, expand: bool) -> None:
    diagram = diagram_of(graph_of(text), expand=expand)
    picture = picture_of(diagram)
    check_picture(diagram, picture)
    assert picture_of(diagram) == picture


def test_a_use_of_a_block_is_a_box_and_equal_ones_in_a_row_are_one() -> None:
    diagram = diagram_of(graph_of(RESIDUAL))
    assert said(diagram) == ["input x", "residual x3", "residual", "flatten", "dense", "output dense"]
    assert [edge.label for edge in diagram.edges if edge.target == "output dense"] == ["2"]
    assert {edge.label for edge in diagram.edges} == {"8×8×4", "8×8×8", "512", "2"}  # noqa: RUF001
    three = next(box for box in diagram.boxes if box.times == 3)
    assert three.parameters == 3 * (3 * 3 * 4 * 4 + 4 + 4 * 4)


def test_uses_of_a_block_with_a_repeat_inside_are_distinguished_by_what_stands_between() -> None:
    """The outermost level of a U-Net, where each use has the same places in the config."""
    text = """
inputs: {x: [8, 8, 1]}
blocks:
  conv: {layers: [{repeat: {times: 2, layers: [{conv_2d: {filters: 2, kernel_size: 3, padding: same}}]}}]}
layers:
  - repeat: {times: 2, index: i, layers: [{conv: {name: "level_$(i)"}}, {max_pooling_2d: 2}]}
  - repeat: {times: 2, index: i, layers: [{up_sampling_2d: 2}, {concatenate: ["level_$(1 - i)", prev]}, conv]}
"""
    for expand in (False, True):
        diagram = diagram_of(graph_of(text), expand=expand)
        check_picture(diagram, picture_of(diagram))
        assert [box.kind for box in diagram.boxes if box.role == "block"] == ["conv"] * 4


def test_expanded_a_block_is_a_frame_around_its_layers_for_each_use() -> None:
    diagram = diagram_of(graph_of(RESIDUAL), expand=True)
    frames = [box for box in diagram.boxes if box.inside is not None]
    assert [box.kind for box in frames] == ["residual"] * 4
    assert [said(box.inside) for box in frames if box.inside is not None] == [
        ["conv_2d", "batch_normalization out", "add"],
        ["conv_2d", "batch_normalization out_1", "add"],
        ["conv_2d", "batch_normalization out_2", "add"],
        ["conv_2d", "batch_normalization out_3", "conv_2d skip", "add"],
    ]


def test_what_is_shared_stands_once_and_its_edges_say_which_call_they_belong_to() -> None:
    diagram = diagram_of(graph_of(SIAMESE))
    assert said(diagram) == [
        "input left", "input right", "tower a, b", "expr apart", "dense score", "add_loss small",
        "output score", "output other",
    ]  # fmt: skip
    tower = next(box for box in diagram.boxes if box.kind == "tower")
    assert (tower.details, tower.parameters) == ("3 layers, 2 calls", 6 * 4 + 4 + 4 * 3 + 3)
    labels = {edge.label for edge in diagram.edges if edge.source == tower.key}
    assert labels == {"a: 3", "b: 3", "a.features: 4", "b.features: 4"}


def test_expanded_a_shared_model_is_one_frame_with_each_layer_once() -> None:
    diagram = diagram_of(graph_of(SIAMESE), expand=True)
    (tower,) = (box for box in diagram.boxes if box.inside is not None)
    assert tower.inside is not None
    assert said(tower.inside) == ["dense features", "relu", "dense"]


def test_calls_that_need_each_other_stand_one_by_one() -> None:
    text = "{inputs: {x: [4]}, shared: {step: {layers: [{dense: 4}, relu]}}, layers: [step, {step: {name: again}}]}"
    assert said(diagram_of(graph_of(text))) == ["input x", "step step to again x2", "output again"]
    assert said(diagram_of(graph_of(text), expand=True)) == [
        "input x", "step", "dense", "relu", "step again", "dense", "relu", "output again",
    ]  # fmt: skip


def test_a_call_between_the_layers_of_a_shared_model_is_inside_its_box() -> None:
    text = """
inputs: {x: [4]}
shared: {tower: {shared: {inner: {layers: [{dense: 4}]}}, layers: [relu, inner, relu]}}
layers: [tower, {tower: {name: again}}]
"""
    diagram = diagram_of(graph_of(text), expand=True)
    assert said(diagram) == [
        "input x", "tower", "relu", "inner tower", "dense", "relu",
        "tower again", "relu", "inner again", "dense", "relu", "output again",
    ]  # fmt: skip


def test_repeated_layers_stand_once_in_a_frame() -> None:
    text = "{inputs: {x: [8]}, layers: [{repeat: {times: 60, layers: [{dense: 8}, relu, {dropout: 0.1}]}}, {dense: 1}]}"
    graph = graph_of(text)
    assert said(diagram_of(graph)) == ["input x", "repeat x60", "dense", "relu", "dropout", "dense", "output dense_60"]
    assert diagram_of(graph, expand=True).count() == 183
    for diagram in (diagram_of(graph), diagram_of(graph, expand=True)):
        check_picture(diagram, picture_of(diagram))


def test_the_settings_of_a_layer_are_written_as_in_a_config() -> None:
    graph = graph_of("inputs: {x: [4, 3, 2]}\nlayers: [{permute: [2, 1, 3]}, {max_pooling_2d: [1, 2]}]")
    details = {box.kind: box.details for box in every(diagram_of(graph))}
    assert details["permute"] == "dims: [2, 1, 3]"
    assert details["max_pooling_2d"] == "pool_size: [1, 2]"


def test_layers_in_a_layer_are_reported_by_their_names() -> None:
    layers = "[{concatenate: [frame, h]}, {dense: {units: 4, name: new}}]"
    cell = f"{{inputs: frame, states: {{h: 4}}, layers: {layers}, next: {{h: new}}}}"
    stack = "{stacked_rnn_cells: {cells: [{gru_cell: 4}, {gru_cell: 2}]}}"
    graph = graph_of(
        "inputs: {x: [5, 3]}\nlayers:\n"
        f"- rnn: {{cell: {cell}, inputs: x, return_sequences: true}}\n"
        f"- rnn: {{cell: {stack}}}"
    )
    boxes = every(diagram_of(graph))
    assert [box.details for box in boxes if box.kind == "rnn"] == [
        "return_sequences: true",
        "cell: stacked_rnn_cells",
    ]


def test_layers_that_differ_are_not_folded() -> None:
    def chain(*details: str) -> Diagram:
        keys = ["in", *map(str, range(len(details))), "out"]
        boxes = [
            Box("in", "input", "input"),
            *(Box(str(i), "layer", "dense", details=d) for i, d in enumerate(details)),
        ]
        edges = tuple(Edge(a, b, a, "4") for a, b in pairwise(keys))
        return Diagram((*boxes, Box("out", "output", "output")), edges)

    assert folded(chain("8", "8")) == chain("8", "8")
    assert folded(chain("8", "4", "8", "4")) == chain("8", "4", "8", "4")
    assert [box.times for box in folded(chain("8", "8", "8", "4")).boxes] == [1, 3, 1, 1]


def test_a_tall_picture_stands_in_columns_of_about_one_height() -> None:
    layers = ", ".join(f"{{dense: {units}}}" for units in range(1, 101))
    diagram = diagram_of(graph_of(f"{{inputs: {{x: [8]}}, layers: [{layers}]}}"))
    picture = picture_of(diagram)
    check_picture(diagram, picture)
    ways = [line for line in picture.lines if line.leads_on]
    assert len(ways) >= 2
    assert 0.6 < picture.height / picture.width < 2


def test_a_column_ends_only_where_one_tensor_goes_on() -> None:
    tops, heights = [float(100 * i) for i in range(40)], [50.0] * 40
    extents = [(-50.0, 50.0)] * 40
    moved = columns.shifts(tops, heights, extents, [i in {17, 30} for i in range(40)])
    assert [i for i, (one, other) in enumerate(pairwise(moved)) if one != other] in ([17], [30], [17, 30])
    assert len(set(columns.shifts(tops, heights, extents, [False] * 40))) == 1


def test_what_is_frozen_and_what_has_no_result_are_distinguished() -> None:
    text = """
    inputs: {x: [4]}
    layers:
      - dense: {units: 3, trainable: false}
      - add_loss: {value: "sum(prev, axis=-1)", name: penalty}
      - lambda: "prev * 2"
    """
    boxes = {box.kind: box for box in diagram_of(graph_of(text)).boxes}
    assert boxes["dense"].frozen
    assert boxes["add_loss"].role == "figure"
    assert not boxes["expr"].frozen


def test_a_picture_of_more_boxes_than_can_be_distinguished_is_refused() -> None:
    graph = graph_of("{inputs: {x: [2]}, layers: [{repeat: {times: 2100, layers: [relu]}}]}")
    with pytest.raises(ConfigError, match="at most 2,000"):
        encoded_model(graph, "long", ".png", expand=True)
    assert draw(TitledDiagram("long", "", diagram_of(graph)), FigureCanvas).figure.get_size_inches()[1] < 5


def kerascli(*words: str) -> str:
    app = typer.Typer(rich_markup_mode=None)
    app.command("plot")(plot.plot)
    app.callback()(lambda: None)
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_picture_of_a_config_is_written_the_same_each_time(tmp_path: Path, suffix: str) -> None:
    config = str(CONFIGS / "vision" / "mnist_siamese_graph.yaml")
    files = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for file in files:
        assert kerascli("plot", "--model", config, "-o", str(file), "--expand") == f"{file}\n"
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith({".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF"}[suffix])


def test_the_picture_of_a_config_lies_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert kerascli("plot", "--model", str(CONFIGS / "tiny.yaml")) == "tiny-model.png\n"
    assert Path("tiny-model.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--model", "CONFIG", "-o", "a.jpg"], "expected a file that ends in .png"),
        (["--model", "CONFIG", "CONFIG", "-o", "a.png"], "--model draws one config or run"),
        (["--model", "CONFIG", "-o", "a.png", "--log"], "--log cannot be used with --model"),
        (["CONFIG", "--expand"], "--expand can only be used with --model"),
        (["CONFIG", "--view", "a"], "--view can only be used with --model"),
    ],
)
def test_what_cannot_be_drawn_is_reported(
    words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = str(CONFIGS / "tiny.yaml")
    with pytest.raises(ConfigError, match=text):
        kerascli("plot", *(config if word == "CONFIG" else word for word in words))
    assert list(tmp_path.iterdir()) == []


def test_to_lay_out_a_picture_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; import kerascli.report.architecture.layout\n"
        "print({'torch', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
