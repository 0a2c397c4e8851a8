"""The losses of kerascli and of a plain PyTorch loop from the same weights over the same batches."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.digits import load_digits
from benchmarks.peers import load
from benchmarks.peers.torch_models import build
from benchmarks.peers.with_kerascli import config_of
from benchmarks.workloads import BATCH, Job
from kerascli.config.data import load_config_data
from kerascli.foundation.device import choose_device
from kerascli.workflow.fitting.phases import build_phase, make_phase

WIDTHS = (256, 128)
SETS = ("fit.shuffle=false", "fit.validation_split=null", "fit.steps_per_epoch=1")
"""With WIDTHS: configs/mnist_mlp.yaml with nothing random after its initial weights, and with a loss for every step."""


def compare(job: Job) -> dict[str, list[float]]:
    """The loss of every step, as kerascli and as the loop found it; the job's epochs are steps."""
    job = replace(job, widths=WIDTHS, sets=SETS)
    losses: list[float] = []
    load(job.peer)(job, losses.append)
    return {"kerascli": losses, "pytorch": _plain(job, _initial_weights(job))}


def _initial_weights(job: Job) -> list[Tensor]:
    """Kernels (inputs, units) and biases in turn; they depend on the seed and their names alone."""
    config = config_of(job)
    experiment = build_phase(make_phase(config, load_config_data(config)), choose_device("cpu"))
    return [weight.keras().clone() for weight in experiment.weights]


def _plain(job: Job, weights: Sequence[Tensor]) -> list[float]:
    """The same model in a loop; the rows come in their order."""
    digits = load_digits(job)
    x, y = torch.from_numpy(digits.x), torch.from_numpy(digits.y)
    model = build(job)
    parameters = list(model.parameters())
    with torch.no_grad():
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.copy_(weight.T if weight.ndim == 2 else weight)
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    losses = []
    for step in range(job.epochs):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        _rmsprop(parameters, squares, torch.autograd.grad(loss, parameters))
        losses.append(float(loss.detach()))
    return losses


@torch.no_grad()
def _rmsprop(parameters: Sequence[Tensor], squares: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Keras's rule, written out: torch.optim.RMSprop adds its epsilon outside of the root."""
    for parameter, square, gradient in zip(parameters, squares, gradients, strict=True):
        square.mul_(0.9).addcmul_(gradient, gradient, value=0.1)
        parameter.addcdiv_(gradient, (square + 1e-7).sqrt(), value=-1e-3)
