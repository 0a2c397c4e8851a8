"""Blocks and repeats: the layers that they expand to, their names, and the scope of names."""

from typing import Any

import pytest

from kerascli.config.composition.references import References
from kerascli.config.resolved import dump_model
from kerascli.config.yaml.text import parse_document
from kerascli.language.component import Invalid
from kerascli.model.ir.nodes import Model
from tests.support.models import parse_model


def model_of(text: str, **flags: Any) -> Model:
    document = parse_document(text, "model")
    return parse_model(document.data, {}, references=References(document, flags, None))


def chain(model: Model) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(node.name, node.inputs, node.outputs) for node in model.nodes]


def test_names_that_are_taken_get_keras_s_numbers_and_mean_the_body_s_own_inside() -> None:
    model = model_of(
        """
        inputs: {x: [4]}
        layers:
          - repeat: {times: 2, layers: [{dense: {units: 4, name: out}}, relu, {add: [out, relu]}]}
          - dense: 4
          - add: [dense, out, out_1, relu_1]
        """
    )
    assert (
        chain(model)
        == [
            ("out", ("x",), ("out",)),
            ("relu", ("out",), ("relu",)),
            ("add", ("out", "relu"), ("add",)),
            ("out_1", ("add",), ("out_1",)),
            ("relu_1", ("out_1",), ("relu_1",)),
            ("add_1", ("out_1", "relu_1"), ("add_1",)),
            ("dense", ("add_1",), ("dense",)),
            ("add_2", ("dense", "out", "out_1", "relu_1"), ("add_2",)),
        ]
        or model.nodes[-2].name == "dense"
    )


def test_a_use_names_its_results() -> None:
    model = model_of(
        """
        inputs: {x: [4], y: [4]}
        blocks:
          gate:
            inputs: [a, b]
            layers: [{dense: {units: 4, inputs: a, name: one}}, {multiply: {inputs: [one, b], name: both}}]
            outputs: [both, one]
        layers:
          - gate: {inputs: [x, y], name: g, outputs: [p, q]}
          - gate: {inputs: [q, p], name: last}
        outputs: last
        """
    )
    assert chain(model) == [
        ("one", ("x",), ("q",)),
        ("both", ("q", "y"), ("p",)),
        ("one_1", ("q",), ("one_1",)),
        ("both_1", ("one_1", "p"), ("last",)),
    ]
    assert parse_model(dump_model(model), {}) == model


def test_parameters_come_before_loop_variables_and_those_before_flags() -> None:
    model = model_of(
        """
        inputs: {x: [4]}
        blocks: {b: {parameters: {n: 1}, layers: [{dense: $(100 * n + 10 * i + j)}]}}
        layers: [{repeat: {times: 2, index: i, layers: [{b: $(i + 2)}, {dense: $n}]}}]
        """,
        n=7, i=9, j=3,
    )  # fmt: skip
    assert [getattr(node.layer, "units") for node in model.nodes] == [203, 7, 313, 7]  # noqa: B009


def test_repeats_nest_and_none_is_a_number_of_times() -> None:
    model = model_of(
        """
        inputs: {x: [4]}
        layers:
          - repeat: {each: [[2, 3], []], as: row, layers: [{repeat: {each: $row, as: n, layers: [{dense: $n}]}}]}
          - repeat: {times: 0, layers: [{dense: 99}]}
        """
    )
    assert [node.name for node in model.nodes] == ["dense", "dense_1"]
    assert model.outputs == ("dense_1",)


def test_what_when_leaves_out_passes_its_input_on() -> None:
    model = model_of(
        """
        inputs: {x: [4]}
        shared: {t: {layers: [{dense: 4}]}}
        blocks:
          b: {parameters: {deep: false}, layers: [{dense: 4}, {relu: {when: $deep, name: r}}, {add: [r, input]}]}
        layers: [t, {t: {when: false, name: u}}, {b: {when: false, name: v}}, {add: [u, v]}, b]
        """
    )
    assert chain(model)[1:] == [
        ("add", ("t", "t"), ("add",)),
        ("dense", ("add",), ("dense",)),
        ("add_1", ("dense", "add"), ("add_1",)),
    ]


def test_a_block_inside_a_shared_model_makes_weights_of_that_model() -> None:
    model = model_of(
        """
        inputs: {x: [4], y: [4]}
        blocks: {b: {parameters: {n: }, layers: [{dense: $n}, relu]}}
        shared: {t: {layers: [{repeat: {times: 2, layers: [{b: 4}]}}]}}
        layers: [{t: {inputs: x, name: p}}, {t: {inputs: y, name: q}}, {add: [p, q]}]
        """
    )
    owners = [node.owner for node in model.nodes if node.layer.component_name == "dense"]
    assert owners == ["t/dense", "t/dense_1"] * 2


def test_a_block_sees_no_node_outside() -> None:
    text = "inputs: {x: [4]}\nblocks: {b: {layers: [{add: [input, h]}]}}\nlayers: [{dense: {units: 4, name: h}}, b]"
    with pytest.raises(Invalid, match="there is no node 'h'"):
        model_of(text)


def test_a_thousand_blocks_are_read_in_little_time() -> None:
    layers = "[{repeat: {times: 1000, layers: [{b: 4}]}}]"
    text = (
        f"inputs: {{x: [4]}}\nblocks: {{b: {{parameters: {{n: }}, layers: [{{dense: $n}}, relu]}}}}\nlayers: {layers}"
    )
    assert model_of(text).nodes[-1].name == "relu_999"
