"""Dynamic loss scale: steps with overflows are skipped, broken gradients stop, and resuming is exact."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kerascli.config.load import open_config
from kerascli.foundation.errors import FileRefused
from kerascli.language.component import Invalid
from kerascli.optimizers.base import OPTIMIZERS
from kerascli.optimizers.several import Optimizers
from kerascli.runs.index import find_run
from kerascli.workflow.fitting import saver
from kerascli.workflow.train import Options, start
from tests.support.optimizer_harness import Ours, gradients_of
from tests.support.runs_harness import HARD, go_on, outcome, train, write
from tests.workflow.test_resume import leave

SCALED = {"loss_scale_optimizer": {"inner_optimizer": {"adam": 0.05}, "initial_scale": 8.0, "dynamic_growth_steps": 3}}


def scaled_step(ours: Ours, step: int, spoil: float | None = None) -> None:
    assert ours.optimizer.loss_scale is not None
    gradients = [np.asarray(g * float(ours.optimizer.loss_scale.factor)) for g in gradients_of(ours.weights(), step)]
    if spoil is not None:
        gradients[0].flat[0] = spoil
    ours.step(gradients)


def test_an_overflow_changes_nothing_but_the_scale() -> None:
    ours = Ours(SCALED)
    scaled_step(ours, 0)
    before = deepcopy(ours.optimizer.state())
    weights = ours.weights()
    scaled_step(ours, 1, spoil=np.inf)
    after = deepcopy(ours.optimizer.state())
    assert all(np.array_equal(a, b) for a, b in zip(weights, ours.weights(), strict=True))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {f"loss_scale_optimizer/{n}" for n in ("dynamic_scale", "step_counter", "skipped_steps")}
    assert after["loss_scale_optimizer/dynamic_scale"].item() == 4
    assert ours.optimizer.guard.bad_step() is None
    assert ours.optimizer.iterations == 1


def test_a_loss_that_is_not_finite_stops_as_without_a_scale() -> None:
    ours = Ours(SCALED)
    scaled_step(ours, 0, spoil=np.inf)
    ours.step(gradients_of(ours.weights(), 1), loss=torch.tensor(np.nan))
    assert ours.optimizer.guard.bad_step() == 2
    assert ours.optimizer.iterations == 0
    weights = ours.weights()
    scaled_step(ours, 2)
    assert all(np.array_equal(a, b) for a, b in zip(weights, ours.weights(), strict=True))


def test_gradients_that_no_scale_makes_finite_stop() -> None:
    """Keras would continue without learning."""
    ours = Ours(SCALED)
    for step in range(30):
        scaled_step(ours, step, spoil=np.nan)
    assert ours.optimizer.guard.bad_step() == 19 + 1  # 8 is halved nineteen times, to 2 ** -16


def test_state_that_is_taken_over_goes_on_exactly() -> None:
    whole, first = Ours(SCALED), Ours(SCALED)
    for step in range(12):
        scaled_step(whole, step, spoil=np.inf if step in {2, 7} else None)
    for step in range(5):
        scaled_step(first, step, spoil=np.inf if step == 2 else None)
    second = Ours(SCALED)
    for mine, theirs in zip(second.parameters, first.parameters, strict=True):
        mine.data.copy_(theirs.data)
    second.optimizer.load_state_dict(deepcopy(first.optimizer.state()))
    for step in range(5, 12):
        scaled_step(second, step, spoil=np.inf if step == 7 else None)
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights(), second.weights(), strict=True))
    ends = deepcopy(whole.optimizer.state()), deepcopy(second.optimizer.state())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


@pytest.mark.parametrize(("name", "value"), [("dynamic_scale", np.nan), ("dynamic_scale", -1.0), ("step_counter", -1)])
def test_a_scale_that_cannot_be_is_refused(name: str, value: float) -> None:
    ours = Ours(SCALED)
    state = deepcopy(ours.optimizer.state())
    key = f"loss_scale_optimizer/{name}"
    with pytest.raises(FileRefused, match="loss scale"):
        ours.optimizer.load_state_dict({**state, key: torch.tensor(value, dtype=state[key].dtype)})


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ({"loss_scale_optimizer": "adam"}, "an optimizer that does not scale the loss itself"),
        ({"adam": {"loss_scale_factor": 8.0}}, "would scale the loss twice"),
        ({"adam": {"learning_rat": 0.1}}, "unknown"),
    ],
)
def test_inner_optimizers_that_make_no_sense_are_refused(inner: Any, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        OPTIMIZERS.parse({"loss_scale_optimizer": {"inner_optimizer": inner}})


def test_the_inner_optimizer_may_stand_there_alone() -> None:
    short, name, long = (
        OPTIMIZERS.parse({"loss_scale_optimizer": written})
        for written in ({"adam": 0.001}, "adam", {"inner_optimizer": {"adam": {"learning_rate": 0.001}}})
    )
    assert short == name == long
    assert OPTIMIZERS.parse(long.dump()) == long


PLAIN = HARD.replace("use_ema: true, clipnorm: 1.0", "epsilon: 1e-3")
GROWING = """compile:
  optimizer:
    loss_scale_optimizer:
      inner_optimizer: {adam: {learning_rate: 0.01, epsilon: 1e-3}}
      initial_scale: 2
      dynamic_growth_steps: 20
"""


def growing(text: str) -> str:
    head, tail = text.split("compile:\n")
    return head + GROWING + "\n".join(line for line in tail.split("\n") if "optimizer:" not in line)


def test_a_step_s_program_reads_the_scale_as_it_is(tmp_path: Path) -> None:
    """Powers of two are exact: the training equals one without a scale, which doubles six times."""
    plain, _ = train(write(tmp_path, PLAIN, "a.yaml"), tmp_path / "a", ["fit.epochs=4"])
    scaled, _ = train(write(tmp_path, growing(PLAIN), "b.yaml"), tmp_path / "b", ["fit.epochs=4"])
    for mine, theirs in zip(scaled.history(), plain.history(), strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert mine["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-4)


@pytest.mark.parametrize("stop_at", [17, 33])
def test_a_run_with_a_scale_goes_on_exactly(tmp_path: Path, stop_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path, growing(PLAIN))
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=3"])
    monkeypatch.setattr(saver, "BATCH_SECONDS", -1.0)
    events = start(open_config(config, sets=["fit.epochs=3"]), Options(runs_dir=tmp_path / "left"))
    seen = 0
    for event in events:
        seen += type(event).__name__ == "BatchEnd"
        if seen == stop_at and type(event).__name__ == "Saved":
            break
    events.close()  # type: ignore[attr-defined]
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(whole)


def test_mixed_float16_scales_by_itself_unless_a_factor_is_given(tmp_path: Path) -> None:
    config = write(tmp_path, PLAIN.replace("metrics: [accuracy]", "metrics: [accuracy]\n  precision: mixed_float16"))
    run, _ = train(config, tmp_path / "runs", ["fit.epochs=3"])
    optimizer = open_config(run.resolved_path).document.at(("compile", "optimizer"))
    assert list(optimizer) == ["loss_scale_optimizer"]
    assert optimizer["loss_scale_optimizer"]["initial_scale"] == 2.0**15
    assert run.history()[-1]["accuracy"] > 0.4
    factor = ["compile.optimizer.adam.loss_scale_factor=2", "fit.epochs=1"]
    run, _ = train(config, tmp_path / "given", factor)
    assert list(open_config(run.resolved_path).document.at(("compile", "optimizer"))) == ["adam"]


STEPS = """
seed: 3
data:
  source: {blobs: {rows: 96, features: 4, classes: 3, seed: 3}}
  inputs: {x: []}
model:
  shared:
    generator: {inputs: {z: [5]}, layers: [{dense: {units: 8, activation: relu}}, batch_normalization, {dense: 4}]}
    critic: {layers: [{dense: {units: 8, activation: relu}}, {dropout: 0.3}, {dense: 1}]}
  outputs: generator
fit:
  epochs: 4
  batch_size: 16
  train_step:
    - name: judge
      train: critic
      optimizer: {adam: {learning_rate: 0.01, epsilon: 1e-3}}
      repeat: 2
      layers:
        - expr: {value: "random_normal([batch_size, 5])", name: z}
        - generator: {inputs: z, name: fake}
        - critic: {inputs: x, name: on_real}
        - critic: {inputs: fake, name: on_fake}
      loss:
        real: {loss: mse, y_true: 1, y_pred: on_real}
        fake: {loss: mse, y_true: 0, y_pred: on_fake}
    - name: forger
      train: generator
      optimizer: {adam: {learning_rate: 0.005, epsilon: 1e-3}}
      layers:
        - expr: {value: "random_normal([batch_size, 5])", name: z}
        - generator: {inputs: z, name: fake}
        - critic: {inputs: fake, name: on_fake}
      loss:
        fooled: {loss: mse, y_true: 1, y_pred: on_fake}
"""
_LAST = STEPS[STEPS.index("      layers:", STEPS.index("name: forger")) : STEPS.rindex("      loss:")]
TOGETHER = STEPS.replace("      repeat: 2\n", "").replace(_LAST, "")
"""Both updates use one forward pass, in one program with both scales."""


def scaled_each(text: str) -> str:
    """Wrap each optimizer in one that scales, with its own initial scale."""
    for scale, (rate, growth) in {2: ("0.01", 5), 64: ("0.005", 3)}.items():
        inner = f"{{adam: {{learning_rate: {rate}, epsilon: 1e-3}}}}"
        own = f"{{inner_optimizer: {inner}, initial_scale: {scale}, dynamic_growth_steps: {growth}}}"
        text = text.replace(f"optimizer: {inner}", f"optimizer: {{loss_scale_optimizer: {own}}}")
    return text


@pytest.mark.parametrize("text", [STEPS, TOGETHER], ids=["in turn", "together"])
def test_each_update_s_program_reads_a_scale_of_its_own(tmp_path: Path, text: str) -> None:
    plain, _ = train(write(tmp_path, text, "a.yaml"), tmp_path / "a")
    scaled, _ = train(write(tmp_path, scaled_each(text), "b.yaml"), tmp_path / "b")
    assert json.loads((scaled.path / "run.json").read_text(encoding="utf-8"))["execution_mode"] == "traced"
    names = [name for name in plain.history()[0] if name != "epoch_seconds"]
    for mine, theirs in zip(scaled.history(), plain.history(), strict=True):
        assert [mine[name] for name in names] == pytest.approx([theirs[name] for name in names], rel=1e-4)


def test_updates_with_scales_go_on_exactly(tmp_path: Path) -> None:
    config = write(tmp_path, scaled_each(STEPS))
    whole, _ = train(config, tmp_path / "whole")
    leave(config, tmp_path / "left", 9)
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(whole)


def test_an_overflow_of_one_update_is_no_matter_of_the_other() -> None:
    first = Ours(SCALED)
    second = Ours(SCALED, linked=first)
    before = second.weights()
    scaled_step(first, 0, spoil=np.inf)
    scaled_step(second, 0)
    both = Optimizers({"first": first.optimizer, "second": second.optimizer})
    assert both.bad_step() is None
    assert [each.iterations for each in both.by_name.values()] == [0, 1]
    assert not any(np.array_equal(a, b) for a, b in zip(before, second.weights(), strict=True))
    scaled_step(first, 1)
    second.step(gradients_of(second.weights(), 1), loss=torch.tensor(np.nan))
    assert both.bad_step() == 2
    weights = first.weights()
    scaled_step(first, 2)
    assert all(np.array_equal(a, b) for a, b in zip(weights, first.weights(), strict=True))


def test_in_mixed_float16_every_update_is_scaled_unless_a_factor_is_given(tmp_path: Path) -> None:
    config = write(tmp_path, STEPS)
    sets = ["compile={precision: mixed_float16}", "fit.train_step[1].optimizer.adam.loss_scale_factor=2"]
    run, _ = train(config, tmp_path / "runs", sets)
    steps = open_config(run.resolved_path).document.at(("fit", "train_step"))
    assert [list(each["optimizer"]) for each in steps] == [["loss_scale_optimizer"], ["adam"]]
    assert all(np.isfinite(value) for value in run.history()[-1].values())
