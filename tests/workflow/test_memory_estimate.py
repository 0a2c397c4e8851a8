"""Estimates of the memory of a training, compared with closed forms and real tensors; the measured peak beside them."""

import copy
import sys
from dataclasses import replace
from functools import wraps
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kerascli.config.data import config_facts
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.config.run import RunSpec
from kerascli.data.base import Field
from kerascli.data.pipeline.prepare import no_stages
from kerascli.foundation import draws
from kerascli.foundation.world import PROCESS_BYTES
from kerascli.training.build import build_experiment
from kerascli.training.strategies import fsdp
from kerascli.workflow.check import check
from kerascli.workflow.fitting import memory_estimate as module
from kerascli.workflow.fitting.memory_estimate import NotEstimated, example_batch, memory_estimate, peak_bytes
from tests.support.runs_harness import go_on, train
from tests.training.distributed.configs import ALL

DENSE = """
data:
  source: {blobs: {rows: 640, features: 64, classes: 16}}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - dense: {units: 256, use_bias: false, activation: tanh}
    - dense: {units: 16, use_bias: false}
    - softmax
compile: {loss: sparse_categorical_crossentropy, optimizer: OPTIMIZER}
fit: {batch_size: 32FIT}
"""
WEIGHTS = 4 * (64 * 256 + 256 * 16)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in (torch.cuda, torch.backends.mps):
        absent = wraps(backend.is_available)(lambda: False)  # torch's compiler asks for what it wraps
        monkeypatch.setattr(backend, "is_available", absent)


def spec_of(folder: Path, text: str) -> RunSpec:
    path = folder / "config.yaml"
    path.write_text(text)
    config = open_config(path)
    return describe_config(config, config_facts(config))


def dense(folder: Path, optimizer: str = "adam", fit: str = "") -> RunSpec:
    return spec_of(folder, DENSE.replace("OPTIMIZER", optimizer).replace("FIT", fit))


@pytest.mark.parametrize(
    ("optimizer", "states"), [("sgd", 0), ("adam", 2), ("{adam: {use_ema: true, gradient_accumulation_steps: 2}}", 4)]
)
def test_weights_gradients_and_states_are_counted_once(tmp_path: Path, optimizer: str, states: int) -> None:
    found = memory_estimate(dense(tmp_path, optimizer), None, 1)
    assert (found.weights, found.gradients) == (WEIGHTS, WEIGHTS)
    assert found.optimizer == states * WEIGHTS


def test_activations_of_dense_layers_are_their_inputs_and_outputs(tmp_path: Path) -> None:
    """Saved are each layer's input, what tanh returns, and a few tensors of the classes' size for the loss."""
    alone, parted = (memory_estimate(dense(tmp_path), None, processes).activations for processes in (1, 4))
    assert 4 * 32 * (64 + 256) < alone < 4 * 32 * (64 + 256 + 5 * 16)
    assert alone == 4 * parted


@pytest.mark.parametrize("name", ALL)
def test_activations_are_those_that_autograd_saves_of_real_tensors(tmp_path: Path, name: str) -> None:
    spec = spec_of(tmp_path, ALL[name])
    found = memory_estimate(spec, None, 2).activations
    experiment = build_experiment(copy.deepcopy(spec), no_stages(), device=torch.device("cpu"))
    batch = example_batch(spec, 4, torch.device("cpu"))  # 16 rows in 4 shards
    for values in (*batch.inputs.values(), *batch.targets.values()):
        values.fill_(1)
    own = {weight.tensor.untyped_storage().data_ptr() for weight in experiment.weights}
    sizes = []
    for each in experiment.forward_passes:
        saved: dict[int, int] = {}

        def keep(tensor: Tensor, saved: dict[int, int] = saved) -> Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with draws.using(draws.Tape()), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            outcome = each.module.train()(batch)
        sizes.append(sum(size for key, size in saved.items() if key not in own))
        del outcome
    assert found == pytest.approx(max(sizes), rel=0.3 if name == "lstm" else 0)


def test_mixed_precision_saves_half(tmp_path: Path) -> None:
    text = DENSE.replace("OPTIMIZER", "adam, precision: mixed_bfloat16").replace("FIT", "")
    assert (
        memory_estimate(spec_of(tmp_path, text), None, 1).activations
        == memory_estimate(dense(tmp_path), None, 1).activations // 2
    )


def test_class_weights_are_no_obstacle(tmp_path: Path) -> None:
    found = memory_estimate(dense(tmp_path, fit=", class_weight: {0: 2.0}"), None, 1)
    assert found == memory_estimate(dense(tmp_path), None, 1)


def test_fsdp_divides_weights_and_states_and_gathers_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest group of layers is counted whole, with its gradients; without resharding all weights are counted."""
    whole = memory_estimate(dense(tmp_path), None, 4)
    small = memory_estimate(dense(tmp_path, fit=", distribute: fsdp"), None, 4)
    monkeypatch.setattr(fsdp, "_GROUP_ELEMENTS", 2000)
    freed, kept = (
        memory_estimate(dense(tmp_path, fit=f", distribute: {{fsdp: {{reshard_after_forward: {value}}}}}"), None, 4)
        for value in ("true", "false")
    )
    largest = 4 * 64 * 256
    assert freed.weights == WEIGHTS // 4 + 2 * largest
    assert kept.weights == WEIGHTS // 4 + largest + WEIGHTS
    assert small.weights == WEIGHTS // 4 + 2 * WEIGHTS  # one group
    assert freed.gradients == WEIGHTS // 4
    assert freed.optimizer == whole.optimizer // 4
    assert freed.activations == whole.activations


def test_activation_checkpointing_needs_less(tmp_path: Path) -> None:
    deep = DENSE.replace("    - softmax\n", "    - softmax\n    - dense: {units: 64, activation: gelu}\n" * 8)
    deep = deep.replace("OPTIMIZER", "sgd").replace(
        "32FIT", "4096, distribute: {fsdp: {activation_checkpointing: CHECK}}"
    )
    kept, again = (
        memory_estimate(spec_of(tmp_path, deep.replace("CHECK", value)), None, 2) for value in ("false", "true")
    )
    assert again.activations < 0.8 * kept.activations


def checked(folder: Path, text: str, processes: int | None) -> tuple[str, str]:
    path = folder / "config.yaml"
    path.write_text(text)
    found = check(path, sets=(), flags=(), processes=processes)
    return "\n".join(found.lines), "\n".join(str(fault.text) for fault in found.warnings)


def test_validate_prints_the_memory_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = DENSE.replace("OPTIMIZER", "adam").replace("FIT", "")
    assert "memory" not in checked(tmp_path, text, None)[0]
    line, warning = checked(tmp_path, text, 2)
    assert "memory: about 352 kB per process beside 330 MB for Python and torch (weights 82 kB, gradients 82 kB" in line
    assert "need" not in warning
    monkeypatch.setattr(module, "memory_limit", lambda: 300 * 10**6)
    _, warning = checked(tmp_path, text, 2)
    assert "each of 2 processes needs about 330 MB of memory, but this machine has 300 MB for each of 2" in warning
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")  # the other one runs on another machine
    assert "need" not in checked(tmp_path, text, 2)[1]


def test_a_model_of_unsizes_along_is_not_estimated(tmp_path: Path) -> None:
    spec = dense(tmp_path)
    unknown = replace(spec, targets={"y": Field((None,), "float32")})
    with pytest.raises(NotEstimated, match="the shape of 'y' is not known"):
        memory_estimate(unknown, None, 1)


def test_run_json_has_the_estimate_and_the_peak_of_the_process_that_trains(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(DENSE.replace("OPTIMIZER", "adam").replace("FIT", ", epochs: 1").replace("256", "4000"))
    run, _ = train(path, tmp_path / "runs")
    memory, parts = run.facts()["memory"], 4 * 4 * (64 * 4000 + 4000 * 16)
    assert parts < memory["estimated_bytes"] - PROCESS_BYTES < 1.5 * parts
    assert parts < memory["peak_bytes"] <= (peak_bytes(torch.device("cpu")) or 0)
    run.note(memory=None)
    go_on(run, ["fit.epochs=2"])
    assert run.facts()["memory"].keys() == memory.keys()


def test_without_a_measurement_the_peak_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_bytes(torch.device("mps")) is None
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert peak_bytes(torch.device("cpu")) is None
