"""Training without a config: an nn.Linear, a list of batches and an update rule."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from kerascli.data.batches.loader import Batch
from kerascli.foundation.events import EpochEnd
from kerascli.layers.base import WeightSpec
from kerascli.model.runtime.weights import Weight
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.optimizers.several import Optimizers
from kerascli.optimizers.sgd import SGD
from kerascli.parts.initializers import Zeros
from kerascli.training.evaluate import EvaluatedBatches, evaluate
from kerascli.training.execution_mode import make_runner
from kerascli.training.forward_pass import Eager, ForwardPass, ParameterUpdate, Request, Runner
from kerascli.training.loop import Plan, train
from kerascli.training.objectives.objective import BaseObjective, logged_state
from kerascli.training.objectives.outcome import StepOutcome
from kerascli.training.objectives.train_step import TrainStepModule
from kerascli.training.step import Progress, Trainer
from tests.support.runs_harness import outcome_of

RATE, EPOCHS = 0.1, 3


class LinearStep(TrainStepModule):
    """Training step with the mean squared error of an nn.Linear."""

    def __init__(self) -> None:
        super().__init__(BaseObjective(["loss"], ["mean"], []))
        self.linear = nn.Linear(3, 1)

    def forward(self, batch: Batch) -> StepOutcome:
        loss = nn.functional.mse_loss(self.linear(batch.inputs["x"]), batch.targets["y"])
        return StepOutcome([loss], [logged_state(loss, batch.rows)])

    def weights(self) -> list[Weight]:
        specs = [
            WeightSpec(name, tuple(value.shape), Zeros(), None, None, trainable=True, axes=None, dtype=None)
            for name, value in self.linear.named_parameters()
        ]
        return [Weight(f"linear/{spec.name}", spec, self.linear, trainable=True) for spec in specs]


def made_batches() -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(12, size, generator=generator) for size in (3, 1))
    return [Batch({"x": x[i : i + 4]}, {"y": y[i : i + 4]}, {}, rows=4) for i in (0, 4, 8)]


def by_torch(linear: nn.Linear, batches: Sequence[Batch]) -> list[float]:
    """Train with torch's optimizer; return the mean loss of each epoch."""
    optimizer, means = torch.optim.SGD(linear.parameters(), lr=RATE), []
    for _ in range(EPOCHS):
        losses = []
        for batch in batches:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(linear(batch.inputs["x"]), batch.targets["y"])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        means.append(sum(losses) / len(losses))
    return means


@pytest.mark.parametrize("mode", ["eager", "traced"])
def test_the_loop_trains_an_nn_linear_as_torch_does(mode: str) -> None:
    step, batches, settings = LinearStep(), made_batches(), SGD(learning_rate=RATE)
    same = nn.Linear(3, 1)
    same.load_state_dict(step.linear.state_dict())
    weights = step.weights()
    named = [(weight.name, weight.tensor, weight.spec) for weight in weights if isinstance(weight.tensor, nn.Parameter)]
    optimizers = Optimizers({"": FlatOptimizer(settings, named)})
    forward_pass = ForwardPass(step, (ParameterUpdate("", settings, tuple(weights)),))
    run: Runner = Eager(forward_pass)
    if mode == "traced":
        run, choice = make_runner(Request(forward_pass, batches, steps=9, jit_compile=False))
        assert choice.value == "traced"
    trainer = Trainer(step, optimizers, weights, [(forward_pass, run)], seed=0)
    plan = Plan(
        epochs=EPOCHS, steps=3, batches=lambda epoch, first: batches[first:], validation=None,
        validates=lambda epoch: False, callbacks=(), directions={"loss": "min"},
    )  # fmt: skip
    losses = [event.logs["loss"] for event in train(trainer, plan, Progress()) if isinstance(event, EpochEnd)]
    assert losses == pytest.approx(by_torch(same, batches), rel=1e-5)
    for ours, theirs in zip(step.linear.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert outcome_of(evaluate(step, EvaluatedBatches(batches), seed=0))["loss"] == pytest.approx(
        _loss(same, batches), rel=1e-5
    )


def _loss(linear: nn.Linear, batches: Sequence[Batch]) -> float:
    errors: list[Tensor] = [linear(batch.inputs["x"]) - batch.targets["y"] for batch in batches]
    return torch.cat(errors).square().mean().item()


def test_such_a_training_imports_no_config() -> None:
    modules = "compiler.program training.execution_mode training.loop training.evaluate training.checks"
    code = "".join(f"import kerascli.{module}\n" for module in modules.split())
    code += "import sys; print([name for name in sys.modules if name.startswith('kerascli.config')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
