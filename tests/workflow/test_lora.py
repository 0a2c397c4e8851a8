"""LoRA: trained as in Keras, in phases for a part of a model, on several processes, and merged at export."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import torch
from keras import layers, optimizers, regularizers
from keras.src.backend.common import dtypes
from safetensors.numpy import load_file

from kerascli.config.data import config_facts
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.events import BatchEnd, Saved
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.summary import summarize
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.training.build import with_merged_lora
from kerascli.training.strategies import checks
from kerascli.workflow.fitting import saver
from kerascli.workflow.interchange.exporting import SUFFIXES, export_run
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.train import Options, start
from tests.support.fit_harness import compare, prepare
from tests.support.processes import run_on
from tests.support.runs_harness import go_on, outcome, train, write
from tests.training.distributed.ended_runs import bits, run_of, succeeded

# Keras's predict hands torch's tensors to numpy, which finds them old-fashioned.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make Keras compute in float64: on torch it casts to 32 bits, and the factors of LoRA are always of 32 bits."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    add_weight = layers.Layer.add_weight
    monkeypatch.setattr(
        layers.Layer, "add_weight", lambda *args, **own: add_weight(*args, **{**own, "dtype": "float64"})
    )
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    torch.set_default_dtype(torch.float32)


OF_EVERY_KIND = """
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - embedding: {input_dim: 11, output_dim: 6, lora_rank: 2, lora_alpha: 3, name: embedding}
    - reshape: {target_shape: [4, 2, 6], name: reshape}
    - conv_2d: {filters: 6, kernel_size: [2, 1], groups: 2, activation: tanh, lora_rank: 3, lora_alpha: 2,
        name: conv_2d}
    - reshape: {target_shape: [6, 6], name: steps}
    - conv_1d: {filters: 4, kernel_size: 3, padding: causal, lora_rank: 2, name: conv_1d}
    - einsum_dense: {equation: "abc,cde->abde", output_shape: [6, 2, 3], bias_axes: de, lora_rank: 2, lora_alpha: 1,
        kernel_regularizer: {l2: 0.01}, name: einsum_dense}
    - flatten: {name: flatten}
    - dense: {units: 3, activation: softmax, lora_rank: 2, kernel_regularizer: {l2: 0.02}, name: out}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam_w: {learning_rate: 0.02, weight_decay: 0.1}}}
fit: {batch_size: 16, epochs: 1}
"""


def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"x": rng.integers(0, 11, (48, 8)), "y": rng.integers(0, 3, 48)}


def of_every_kind() -> keras.Model:
    """Return Keras's model for OF_EVERY_KIND, with random weights: initial zeros would hide mistakes."""
    model = keras.Sequential(
        [
            keras.Input((8,), dtype="int64"),
            layers.Embedding(11, 6, name="embedding"),
            layers.Reshape((4, 2, 6), name="reshape"),
            layers.Conv2D(6, (2, 1), groups=2, activation="tanh", lora_rank=3, lora_alpha=2, name="conv_2d"),
            layers.Reshape((6, 6), name="steps"),
            layers.Conv1D(4, 3, padding="causal", lora_rank=2, name="conv_1d"),
            layers.EinsumDense(
                "abc,cde->abde", (6, 2, 3), bias_axes="de", lora_rank=2, lora_alpha=1,
                kernel_regularizer=regularizers.L2(0.01), name="einsum_dense",
            ),
            layers.Flatten(name="flatten"),
            layers.Dense(3, "softmax", lora_rank=2, kernel_regularizer=regularizers.L2(0.02), name="out"),
        ]
    )  # fmt: skip
    model.get_layer("embedding").enable_lora(2, lora_alpha=3)  # its constructor drops lora_alpha, as that of Dense
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    model.compile(optimizers.AdamW(0.02, weight_decay=0.1), "sparse_categorical_crossentropy")
    return model


@pytest.mark.usefixtures("in_float64")
def test_three_steps_of_every_kind_of_layer_equal_those_of_keras_and_so_does_merging(tmp_path: Path) -> None:
    rows, model = data(), of_every_kind()
    kernels = {weight.path: weight.numpy().copy() for weight in model.non_trainable_weights}
    assert len(kernels) == 5
    compare(tmp_path, rows, OF_EVERY_KIND, model, rows["x"], rows["y"], batch_size=16, epochs=1)
    for weight in model.non_trainable_weights:
        np.testing.assert_array_equal(weight.numpy(), kernels[weight.path])


def saved_by_keras(model: keras.Model, path: Path) -> dict[str, np.ndarray]:
    """Return the weights that Keras writes to a file, with LoRA merged, by layer and number in the layer."""
    model.save_weights(path)
    with h5py.File(path) as file:
        folder: Any = file["layers"]
        return {f"{name}/{key}": each[()] for name, layer in folder.items() for key, each in layer["vars"].items()}


@pytest.mark.usefixtures("in_float64")
def test_kernels_merged_at_export_are_those_that_keras_saves(tmp_path: Path) -> None:
    model, ours = of_every_kind(), prepare(tmp_path, data(), OF_EVERY_KIND)
    ours.take_weights(model)
    merged = with_merged_lora(ours.experiment).weights
    saved = saved_by_keras(model, tmp_path / "model.weights.h5")
    numbers = {"kernel": 0, "embeddings": 0, "bias": 1}
    keras_names = {"conv_1d": "conv1d", "conv_2d": "conv2d", "out": "dense"}
    layer_names = {weight: weight.name.split("/")[0] for weight in merged}
    names = {w: f"{keras_names.get(own, own)}/{numbers[w.spec.name]}" for w, own in layer_names.items()}
    assert set(names.values()) == saved.keys()
    for weight, name in names.items():  # sums of at most four products
        np.testing.assert_allclose(weight.keras().numpy(), saved[name], rtol=1e-12, atol=1e-12)
    assert all(weight.trainable for weight in merged)


PHASED = """
seed: 5
data: {source: {blobs: {rows: 90, features: 4, classes: 3}}, inputs: {x: []}, targets: {y: []}}
model:
  shared:
    base:
      layers:
        - dense: {units: 6, activation: tanh, name: one}
        - batch_normalization: {name: norm}
        - dense: {units: 5, activation: tanh, name: two}
  layers:
    - base
    - dense: {units: 3, activation: softmax, name: top}
  views:
    features: {layers: [{base: {inputs: x}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.02}}
fit:
  batch_size: 30
  epochs: 1
  phases:
    - trainable: {base: false}
    - {epochs: 2, trainable: {base: {lora: {rank: 2, alpha: 4}}}}
    - {epochs: 1, trainable: {base: {lora: {rank: 2, alpha: 4}, trainable: false}}}
"""


LORA = "{epochs: 2, trainable: {base: {lora: {rank: 2, alpha: 4}}}}"
FROZEN = "{trainable: {base: false}}"
FROZEN_LORA = "{trainable: {base: {lora: {rank: 2, alpha: 4}, trainable: false}}}"


def weights(record: RunRecord, checkpoint: str | None = None) -> dict[str, torch.Tensor]:
    run = open_run(record, device="cpu", checkpoint=checkpoint)
    return {weight.name: weight.keras().clone() for weight in run.experiment.weights}


def changed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in one.keys() & other.keys() if not torch.equal(one[name], other[name])}


def test_a_phase_trains_the_updates_of_a_part_and_a_later_one_may_freeze_them(tmp_path: Path) -> None:
    path = write(tmp_path, PHASED)
    first, second, third = (
        weights(train(path, tmp_path, [f"fit.phases=[{', '.join(phases)}]"])[0])
        for phases in ([FROZEN], [FROZEN, LORA], [FROZEN, LORA, FROZEN_LORA])
    )
    factors = {f"base/{layer}/lora_kernel_{factor}" for layer in ("one", "two") for factor in "ab"}
    assert second.keys() - first.keys() == factors
    assert all(second[name].abs().sum() > 0 for name in factors)
    top = {"top/kernel", "top/bias"}
    assert changed(first, second) == {*top, "base/one/bias", "base/two/bias"}  # not the normalization
    assert second.keys() == third.keys()
    assert changed(second, third) == top


def test_the_summary_counts_kernels_as_frozen(tmp_path: Path) -> None:
    counts = []
    for config in open_config(write(tmp_path, PHASED)).phases:
        summary = summarize(Graph(describe_config(config, config_facts(config)).built), "")
        counts.append((summary.trainable, summary.non_trainable))
    kernels, biases, norm, top = 4 * 6 + 6 * 5, 6 + 5, 4 * 6, 5 * 3 + 3
    factors = 2 * (4 + 6) + 2 * (6 + 5)
    base = kernels + biases + norm
    assert counts == [(top, base), (top + biases + factors, kernels + norm), (top, base + factors)]


@pytest.mark.parametrize("steps", [1, 5, 10])
def test_a_run_left_in_any_phase_goes_on_exactly(tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, PHASED)
    whole, _ = train(path, tmp_path / "whole")
    monkeypatch.setattr(saver, "BATCH_SECONDS", -1.0)
    events, seen = start(open_config(path), Options(runs_dir=tmp_path / "left")), 0
    for event in events:
        seen += isinstance(event, BatchEnd)
        if seen == steps and isinstance(event, Saved):
            break
    events.close()  # type: ignore[attr-defined]
    left = find_run("latest", tmp_path / "left")
    assert weights(left).keys() == weights(whole).keys()  # also those of a phase before LoRA can be looked at
    go_on(left)
    assert outcome(left) == outcome(whole)


def test_a_dumped_config_reads_back_equal(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, PHASED), tmp_path / "runs")
    again, _ = train(run.resolved_path, tmp_path / "again")
    assert again.resolved() == run.resolved()
    assert outcome(again) == outcome(run)


@pytest.mark.parametrize("kind", ["keras", "h5", "onnx", "torch_export", "safetensors"])
def test_exported_files_have_merged_kernels(tmp_path: Path, kind: str) -> None:
    run, _ = train(write(tmp_path, PHASED), tmp_path)
    path = tmp_path / f"model{SUFFIXES[kind]}"
    made = export_run(run, kind, path)  # which compares its outputs with the run's
    assert kind == "safetensors" or (made.difference is not None and made.difference < 1e-6)
    assert export_run(run, kind, tmp_path / f"view{SUFFIXES[kind]}", view="features").data
    if kind == "safetensors":
        assert not any("lora" in name for name in load_file(path))
    if kind == "keras":
        imported = open_run(import_model(path, runs_dir=tmp_path / "imported").record, device="cpu")
        x = torch.linspace(-1, 1, 20).reshape(5, 4)
        ours, theirs = (next(iter(each.experiment.module.eval().run({"x": x}).outputs.values())) for each in
                        (open_run(run, device="cpu"), imported))  # fmt: skip
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
        assert not any("lora" in weight.name for weight in imported.experiment.weights)


def test_a_model_with_lora_begins_from_weights_without_but_not_the_other_way_round(tmp_path: Path) -> None:
    plain, _ = train(write(tmp_path, PHASED), tmp_path / "plain", [f"fit.phases=[{FROZEN}]"])
    begin = [f"model.init_from={{run: {plain.path}}}"]
    path = write(tmp_path, PHASED)
    adapted, _ = train(path, tmp_path / "adapted", [*begin, f"fit.phases=[{LORA}]"])
    assert torch.equal(weights(plain)["base/one/kernel"], weights(adapted)["base/one/kernel"])
    with pytest.raises(ConfigError, match=r"LoRA that this model lacks: 'base/.*/lora_kernel_") as caught:
        train(path, tmp_path / "c", [f"model.init_from={{run: {adapted.path}}}", f"fit.phases=[{FROZEN}]"])
    assert "export the run" in str(caught.value.faults[0].hint)


def test_a_layer_of_another_name_does_not_lose_the_lora_of_its_source(tmp_path: Path) -> None:
    adapted, _ = train(write(tmp_path, PHASED), tmp_path / "adapted", [f"fit.phases=[{FROZEN}, {LORA}]"])
    layer = next(name for name in weights(adapted) if "lora_kernel_a" in name).rpartition("/")[0]
    begin = f"model.init_from={{run: {adapted.path}, map: {{other: {layer}}}}}"
    text = """
data: {source: {blobs: {rows: 20, features: 4, classes: 3}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 8, name: other}}, {dense: 3}]}
compile: {loss: {sparse_categorical_crossentropy: {from_logits: true}}}
"""
    with pytest.raises(ConfigError, match=f"LoRA that this model lacks: '{layer}/lora_kernel_"):
        train(write(tmp_path, text, "b.yaml"), tmp_path / "b", [begin])


def test_several_processes_train_as_one_does(tmp_path: Path) -> None:
    write(tmp_path, PHASED)
    options = ("config.yaml", "--threads", "1", "--device", "cpu", "--quiet")
    sharded = ("train", *options, "--set", "fit.shards=2", "--name")
    succeeded(run_on(1, tmp_path, (*sharded, "one")))
    succeeded(run_on(2, tmp_path, (*sharded, "two")))
    assert bits(run_of(tmp_path, "two")) == bits(run_of(tmp_path, "one"))


def test_fsdp_trains_as_ddp_does(tmp_path: Path) -> None:
    if checks.torch_version() < checks.FIRST_TORCH:
        pytest.skip("this torch divides no weights on CPUs")
    write(tmp_path, PHASED)
    command = ("train", "config.yaml", "--threads", "1", "--device", "cpu", "--quiet", "--name")
    fsdp = (*command, "fsdp", "--set", "fit.distribute=fsdp")
    succeeded(run_on(2, tmp_path, (*command, "ddp"), fsdp))
    ddp, divided = (load_file(run_of(tmp_path, name) / "model.safetensors") for name in ("ddp", "fsdp"))
    assert ddp.keys() == divided.keys()
    for name, value in ddp.items():  # sums of float32 in another order
        np.testing.assert_allclose(divided[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
