"""Wrapper layers in whole models: names, masks, freezing, losses and updates, training."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import layers
from keras.src.backend.common import dtypes

from kerascli.compiler import program as programs
from kerascli.config.yaml.text import parse_document
from kerascli.foundation import draws
from kerascli.language.component import Invalid
from kerascli.layers.base import LAYERS
from kerascli.model.inference.build import build
from kerascli.model.runtime.graph import Graph, GraphOutcome
from kerascli.model.runtime.weights import materialize
from kerascli.training.execution_mode import GraphRunner, make_runner
from tests.support.fit_harness import prepare
from tests.support.models import parse_model
from tests.training.test_execution_mode import assert_steps_agree, request_of

# Keras's fit hands torch's tensors to numpy, which finds them old-fashioned.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def graph_of(text: str) -> Graph:
    graph = Graph(build(parse_model(parse_document(text, "graph").data, {})))
    materialize(graph, graph.weights(), seed=1, device=torch.device("cpu"))
    return graph


def run(graph: Graph, *, training: bool = False, **inputs: torch.Tensor) -> GraphOutcome:
    with draws.using(draws.Draws(0, "test", 0)):
        return graph.train(training)(inputs)


def faults(text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        graph_of(text)
    return [fault.text for fault in caught.value.faults]


class TestWriting:
    def test_a_layer_may_stand_alone_or_under_its_key(self):
        short = LAYERS.parse({"bidirectional": {"lstm": 64}})
        assert short == LAYERS.parse({"bidirectional": {"layer": {"lstm": {"units": 64}}}})
        assert LAYERS.parse({"time_distributed": "flatten"}) == LAYERS.parse({"time_distributed": {"layer": "flatten"}})

    def test_node_keys_may_stand_beside_the_short_form(self):
        graph = graph_of("inputs: {x: [5, 3]}\nlayers: [{bidirectional: {gru: 4, name: both}}]")
        assert list(run(graph, x=torch.ones(2, 5, 3)).outputs) == ["both"]

    def test_a_layer_whose_name_is_like_a_node_key_is_that_layer(self):
        graph = graph_of("inputs: {x: [4, 5, 3]}\nlayers: [{time_distributed: {masking: {mask_value: 1.0}}}]")
        assert run(graph, x=torch.ones(2, 4, 5, 3)).outputs["time_distributed"].sum() == 0

    @pytest.mark.parametrize(
        ("written", "text"),
        [
            ({"bidirectional": {"dense": 3}}, "layer: expected a recurrent layer (lstm, gru ...), got dense"),
            ({"time_distributed": "add"}, "layer: expected a layer of one input, got add"),
            ({"bidirectional": {"layer": {"gru": 3}, "backward_layer": {"gru": 3}}},
             "layer and backward_layer must differ in go_backwards: set it in one of them"),
            ({"bidirectional": {"layer": {"gru": {"units": 3, "return_state": True}},
                                "backward_layer": {"gru": {"units": 3, "go_backwards": True}}}},
             "layer and backward_layer must have the same return_state"),
            ({"bidirectional": {"layer": {"gru": 3}, "merge_mode": "max"}},
             "merge_mode: expected sum, mul, concat or ave, got the text 'max'"),
        ],
    )  # fmt: skip
    def test_settings_that_cannot_be_are_refused(self, written: Any, text: str):
        with pytest.raises(Invalid) as caught:
            LAYERS.parse(written)
        assert [fault.text for fault in caught.value.faults] == [text]

    @pytest.mark.parametrize(
        ("layer", "text"),
        [
            ("bidirectional: {lstm: 4}", "'bidirectional': its lstm needs sequences (steps, features), got (None, 3)"),
            ("time_distributed: {dense: 4}", "'time_distributed' needs sequences (steps, features), got (None, 3)"),
            ("spectral_normalization: relu",
             "'spectral_normalization' needs a layer with a kernel or embeddings, got relu"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_reported(self, layer: str, text: str):
        assert faults(f"inputs: {{x: [3]}}\nlayers: [{{{layer}}}]") == [text]

    def test_outputs_that_cannot_be_merged_are_reported(self):
        config = "{layer: {gru: 3}, merge_mode: sum, backward_layer: {gru: {units: 2, go_backwards: true}}}"
        assert faults(f"inputs: {{x: [5, 3]}}\nlayers: [{{bidirectional: {config}}}]") == [
            "'bidirectional' needs two outputs of one shape to merge them, got (None, 3) and (None, 2)"
        ]


class TestWeights:
    @pytest.mark.parametrize(
        ("layer", "names"),
        [
            ("bidirectional: {gru: 4}", [
                f"bidirectional/{way}_gru/{name}" for way in ("forward", "backward")
                for name in ("kernel", "recurrent_kernel", "bias")]),
            ("time_distributed: {dense: 4}", ["time_distributed/dense/kernel", "time_distributed/dense/bias"]),
            ("rnn: {gru_cell: 4}", [f"rnn/gru_cell/{name}" for name in ("kernel", "recurrent_kernel", "bias")]),
            ("time_distributed: {spectral_normalization: {dense: 4}}", [
                f"time_distributed/spectral_normalization/{name}"
                for name in ("vector_u", "dense/kernel", "dense/bias")]),
        ],
    )  # fmt: skip
    def test_they_are_named_along_the_path(self, layer: str, names: list[str]):
        graph = graph_of(f"inputs: {{x: [5, 3]}}\nlayers: [{{{layer}}}]")
        assert [weight.name for weight in graph.weights()] == names

    def test_the_two_directions_start_from_numbers_of_their_own(self):
        graph = graph_of("inputs: {x: [5, 3]}\nlayers: [{bidirectional: {gru: 4}}]")
        kernels = [weight.tensor for weight in graph.weights() if weight.name.endswith("/kernel")]
        assert not torch.equal(*kernels)

    @pytest.mark.parametrize(
        ("layer", "frozen"),
        [
            ("bidirectional: {layer: {gru: 4}, trainable: false}", 6),
            ("bidirectional: {layer: {gru: {units: 4, trainable: false}}}", 6),
            ("bidirectional: {layer: {gru: {units: 4, trainable: false}}, "
             "backward_layer: {gru: {units: 4, go_backwards: true}}}", 3),
            ("time_distributed: {spectral_normalization: {layer: {dense: {units: 4, trainable: false}}}}", 3),
        ],
    )  # fmt: skip
    def test_what_is_not_trainable_inside_or_outside_is_frozen(self, layer: str, frozen: int):
        weights = graph_of(f"inputs: {{x: [5, 3]}}\nlayers: [{{{layer}}}]").weights()
        assert sum(not weight.trainable for weight in weights) == frozen
        assert all(weight.tensor.requires_grad == weight.trainable for weight in weights)

    @pytest.mark.parametrize(
        ("layer", "path"),
        [
            ("time_distributed: {layer: batch_normalization, trainable: %s}", "time_distributed/batch_normalization"),
            ("pipeline: {layers: [batch_normalization], trainable: %s}", "pipeline/layers/0"),
        ],
    )
    def test_a_frozen_wrapper_freezes_statistics_too(self, layer: str, path: str):
        text = f"inputs: {{x: [5, 3]}}\nlayers: [{{{layer}}}]"
        x = torch.randn(4, 5, 3)
        assert run(graph_of(text % "false"), training=True, x=x).updates == {}
        assert run(graph_of(text % "true"), training=True, x=x).updates.keys() == {
            f"{path}/moving_mean", f"{path}/moving_variance",
        }  # fmt: skip

    def test_no_layer_inside_another_has_lora(self):
        with pytest.raises(Invalid, match="cannot take a dense with lora_rank"):
            graph_of("inputs: {x: [3]}\nlayers: [{pipeline: [{dense: {units: 4, lora_rank: 2}}]}]")


class TestSideResults:
    def test_activity_regularizers_inside_count(self):
        gru = "{gru: {units: 4, return_sequences: true, activity_regularizer: {l2: 0.5}}}"
        x = torch.randn(3, 5, 2)
        outcome = run(
            graph_of(f"inputs: {{x: [5, 2]}}\nlayers: [{{bidirectional: {{layer: {gru}, merge_mode: null, "
                     "outputs: [a, b]}}]\noutputs: [a, b]"), x=x)  # fmt: skip
        for way, name in (("forward", "a"), ("backward", "b")):
            wanted = 0.5 * outcome.outputs[name].square().sum() / 3
            torch.testing.assert_close(outcome.losses[f"bidirectional/{way}_gru/activity"], wanted)

    @pytest.mark.parametrize("wrapped", ["{}", "{{spectral_normalization: {}}}"])
    def test_that_of_every_step_adds_up(self, wrapped: str):
        layer = wrapped.format("{dense: {units: 4, activity_regularizer: {l1: 0.5}}}")
        text = f"inputs: {{x: [5, 2]}}\nlayers: [{{time_distributed: {layer}}}]"
        outcome = run(graph_of(text), training=True, x=torch.randn(3, 5, 2))
        wanted = 0.5 * outcome.outputs["time_distributed"].abs().sum() / 3
        torch.testing.assert_close(sum(outcome.losses.values()), wanted)

    def test_a_pipeline_counts_those_of_its_layers(self):
        text = "inputs: {x: [2]}\nlayers: [{pipeline: [{dense: {units: 4, activity_regularizer: {l1: 0.5}}}, relu]}]"
        graph, x = graph_of(text), torch.randn(3, 2)
        dense = graph.nodes[0].layers[0](x)  # type: ignore[index,operator,union-attr]
        torch.testing.assert_close(run(graph, x=x).losses, {
            "pipeline/layers/0/activity": 0.5 * dense.abs().sum() / 3,
        })  # fmt: skip
        assert graph.model.nodes[0].layer.adds_losses()

    def test_a_pipeline_that_mixes_samples_runs_step_by_step(self):
        inner = {"pipeline": ["batch_normalization", "relu"]}
        wrapped = LAYERS.parse({"time_distributed": inner})
        assert LAYERS.parse(inner).mixes_samples
        assert wrapped.mixes_samples

    def test_a_pipeline_keeps_no_states(self):
        with pytest.raises(Invalid, match="cannot keep the states of gru between batches"):
            graph_of("inputs: {x: [5, 2]}\nlayers: [{pipeline: [{gru: {units: 4, stateful: true}}]}]")


class TestMasks:
    TEXT = """
inputs: {x: {shape: [5], dtype: int64}}
layers:
  - embedding: {input_dim: 9, output_dim: 3, mask_zero: true}
"""

    def test_both_results_of_both_directions_have_the_mask(self):
        text = self.TEXT + (
            "  - bidirectional: {layer: {gru: {units: 2, return_sequences: true}}, merge_mode: null, outputs: [a, b]}\n"
            "outputs: [a, b]"
        )
        x = torch.tensor([[1, 2, 0, 0, 0], [3, 4, 5, 0, 6]])
        outcome = run(graph_of(text), x=x)
        for name in ("a", "b"):
            assert torch.equal(outcome.masks[name], x != 0)
            assert outcome.outputs[name][x == 0].abs().sum() == 0

    def test_they_go_on_through_time_distributed(self):
        x = torch.tensor([[1, 2, 0, 0, 0], [3, 4, 5, 0, 6]])
        outcome = run(graph_of(self.TEXT + "  - time_distributed: {dense: 2}"), x=x)
        assert torch.equal(outcome.masks["time_distributed"], x != 0)

    def test_a_masked_document_is_read_sentence_by_sentence(self):
        """An embedding, a gru along each sentence, and another along the sentences."""
        text = """
inputs: {x: {shape: [3, 5], dtype: int64}}
layers:
  - embedding: {input_dim: 9, output_dim: 3, mask_zero: true}
  - time_distributed: {gru: 4}
  - gru: {units: 2, name: document}
"""
        graph = graph_of(text)
        x = torch.tensor([[[1, 2, 0, 0, 0], [3, 4, 5, 0, 0], [0, 0, 0, 0, 0]]])
        got = run(graph, x=x).outputs["document"]
        short = run(graph, x=x[:, :2, :3]).outputs["document"]
        torch.testing.assert_close(got, short)


class TestTraining:
    DATA = "data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}\n"

    @pytest.fixture(autouse=True)
    def _in_float64(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
        keras.config.set_floatx("float64")
        yield
        keras.config.set_floatx("float32")
        torch.set_default_dtype(torch.float32)

    @pytest.mark.parametrize("optimizer", ["adam", "{adam_w: {weight_decay: 0.1}}"])
    def test_spectral_normalization_trains_as_in_keras(self, tmp_path: Path, optimizer: str):
        """The optimizer starts from the divided kernel, weight decay too."""
        rng = np.random.default_rng(0)
        data = {"x": rng.normal(size=(24, 4)).astype(np.float32), "y": rng.normal(size=(24, 3)).astype(np.float32)}
        model = keras.Sequential([keras.Input((4,)), layers.SpectralNormalization(layers.Dense(3, name="dense"))])
        theirs = keras.optimizers.Adam() if optimizer == "adam" else keras.optimizers.AdamW(weight_decay=0.1)
        model.compile(theirs, "mse")
        ours = prepare(tmp_path, data, self.DATA + f"""
model: {{layers: [{{spectral_normalization: {{layer: {{dense: 3}}}}}}]}}
compile: {{loss: mean_squared_error, optimizer: {optimizer}}}
fit: {{epochs: 2, batch_size: 8}}
""")  # fmt: skip
        by_name = {weight.name: weight for weight in model.weights}
        for weight in ours.experiment.weights:
            weight.assign(by_name[weight.spec.name].value.detach().clone())
        history = model.fit(data["x"], data["y"], batch_size=8, epochs=2, shuffle=False, verbose=0).history  # type: ignore[arg-type]
        trained = ours.train()
        np.testing.assert_allclose(trained.history["loss"], history["loss"], rtol=1e-9)
        for name, value in trained.weights.items():
            wanted = by_name[name.rpartition("/")[2]].value.detach().numpy()
            np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-9, err_msg=name)


TRACED = """
seed: 2
data:
  source: {blobs: {rows: 24, features: 12, classes: 3, seed: 3}}
  inputs: {x: [{reshape: [3, 4]}]}
  targets: {y: []}
model:
  layers:
    - bidirectional: {lstm: {units: 5, return_sequences: true, dropout: 0.2}}
    - time_distributed: {dense: 4}
    - spectral_normalization: {dense: 4}
    - flatten
    - dense: {units: 3, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam}
fit: {epochs: 1, batch_size: 16}
"""


CELL = (
    "{inputs: frame, states: {h: {shape: [5]}}, layers: [{concatenate: {inputs: [frame, h], name: both}},"
    " {dense: {units: 5, activation: tanh, name: o}}], next: {h: o}}"
)
LSTM = "bidirectional: {lstm: {units: 5, return_sequences: true, dropout: 0.2}}"


@pytest.mark.parametrize(
    "layer",
    [
        LSTM,
        LSTM.replace("lstm", "gru"),
        LSTM.replace("lstm", "simple_rnn"),
        "rnn: {cell: [{lstm_cell: 4}, {gru_cell: 3}], return_sequences: true}",
    ],
)
def test_a_traced_step_is_the_module_s_step(layer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Equal but for the rounding of a softmax's sum, which a program replaces by 1."""
    monkeypatch.setattr(programs, "onednn_is_faster", lambda: False)
    path = tmp_path / "config.yaml"
    path.write_text(TRACED.replace(LSTM, layer), encoding="utf-8")
    request, plan = request_of(path, "compile.jit_compile=false")
    runner, choice = make_runner(request)
    assert (choice.value, type(runner)) == ("traced", GraphRunner)
    assert_steps_agree(request, plan, runner, 1e-6)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("bidirectional: {gru: {units: 5, recurrent_dropout: 0.2, return_sequences: true}}", "gru"),
        ("time_distributed: batch_normalization", "time_distributed"),
        ("rnn: {cell: [{lstm_cell: 4}, {gru_cell: {units: 4, reset_after: false}}], return_sequences: true}", "rnn"),
        (f"rnn: {{return_sequences: true, cell: {CELL}}}", "rnn"),
    ],
)
def test_a_loop_over_steps_is_traced_on_the_cpu_where_enough_steps_follow(tmp_path: Path, layer: str, name: str):
    path = tmp_path / "config.yaml"
    path.write_text(TRACED.replace(LSTM, layer))
    request, plan = request_of(path, "compile.jit_compile=false")
    _, choice = make_runner(request)
    assert choice.value == "eager"
    assert choice.reason.startswith(f"'{name}' loops over time steps: tracing")
    runner, choice = make_runner(replace(request, steps=100))
    assert (choice.value, type(runner)) == ("traced", GraphRunner)
    assert_steps_agree(request, plan, runner, 1e-6)
