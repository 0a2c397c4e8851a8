"""Checks that stop training if weights, gradients or losses are NaN or infinite, before a checkpoint is saved."""

from collections.abc import Mapping

from torch import Tensor

from kerascli.foundation.errors import Fault, TrainingStopped
from kerascli.model.runtime.weights import held
from kerascli.optimizers.guard import are_finite
from kerascli.training.progress import Progress
from kerascli.training.step import Trainer

_HINT = "lower the learning rate, set clipnorm on the optimizer, or look for extreme values in the data"


def refuse_bad_step(trainer: Trainer, steps: int, epoch: int) -> None:
    """Raise TrainingStopped if the loss or a gradient of a training step is not finite; such a step changes no weights.

    `steps` is the number of steps in an epoch.
    """
    bad = trainer.optimizers.bad_step()
    if bad is not None:
        where = f"epoch {epoch}, step {(bad - 1) % steps + 1}"
        raise TrainingStopped(Fault(f"the loss became nan or infinite at {where}", hint=_HINT))


def refuse_bad_weights(trainer: Trainer, progress: Progress) -> None:
    """Raise TrainingStopped if a weight or a value in the optimizer's state is NaN or infinite.

    An update can overflow although the loss and the gradient that it is made from are finite.
    """
    state = {name: value for name, value in trainer.optimizers.state().items() if value.dim()}
    name = nonfinite(_weights(trainer)) or nonfinite(state)
    if name is not None:
        where = f"epoch {progress.epoch + 1}, step {progress.batch}" if progress.batch else f"epoch {progress.epoch}"
        raise TrainingStopped(Fault(f"'{name}' became nan or infinite by {where}: an update overflowed", hint=_HINT))


def has_finite_weights(trainer: Trainer) -> bool:
    """Return True if no weight of the model is NaN or infinite; synchronizes with the device."""
    return nonfinite(_weights(trainer)) is None


def nonfinite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor with a NaN or infinite value, else None; synchronizes with the device."""
    numbers = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()}
    if are_finite(list(numbers.values())):
        return None
    return next(name for name, tensor in numbers.items() if not are_finite([tensor]))


def _weights(trainer: Trainer) -> dict[str, Tensor]:
    return {weight.name: held(weight.tensor) for weight in trainer.weights}
