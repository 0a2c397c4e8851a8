"""Training step: runs each forward pass, then its parameter updates, without synchronizing with the device.

A Progress (counters, callback states), the weights and the optimizer's state are all that resumes a run exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.errors import Fault, FileRefused, TrainingStopped
from kerascli.foundation.spans import span
from kerascli.model.runtime.weights import Weight, held, lasting
from kerascli.optimizers.guard import are_finite
from kerascli.optimizers.several import Optimizers
from kerascli.training.checkpoint_files import Range
from kerascli.training.forward_pass import ForwardPass, Runner
from kerascli.training.objectives.outcome import StepOutcome
from kerascli.training.objectives.train_step import TrainStepModule
from kerascli.training.tensor_file import LateTensor, tensor_pieces

_HINT = "lower the learning rate, set clipnorm on the optimizer, or look for extreme values in the data"

_Count = Annotated[int, Field(ge=0, strict=True)]


@dataclass(slots=True)
class Counters:
    """Counters and callback states of a training run: what a checkpoint has besides tensors, as JSON."""

    epoch: _Count = 0
    """Number of finished epochs of the training run."""
    batch: _Count = 0
    """Number of finished batches of the current epoch."""
    step: _Count = 0
    """Number of finished training steps, over all epochs."""
    seconds: float = 0.0
    """Duration of the current epoch so far, in seconds, for a run that is resumed within the epoch."""
    stopped: str | None = None
    """Reason why a callback stopped training; None if none did."""
    phase: _Count = 0
    """Index (from 0) of the current training phase."""
    first: _Count = 0
    """Number of epochs that were finished when the current training phase began."""
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    """States of the run's callbacks, in the order of the config's list."""
    row: dict[str, Any] = field(default_factory=dict)
    """Row of history.csv for the last finished epoch, as a mapping from column to value."""
    pending_messages: Annotated[list[str], Field(alias="said")] = field(default_factory=list)
    """Messages from callbacks since the start of the current epoch, to print at its end; the key in the file is that of
    its first version."""


@dataclass(slots=True)
class Progress(Counters):
    """State of a training run, changed only by the training loop; consistent at every event."""

    states: list[Tensor] | None = None
    """States (sums) of the metrics in the current epoch, over its batches so far."""
    slots: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """Copies of the model's weights that callbacks made, by name (such as `best`); in Keras's layout, on the CPU."""

    @property
    def where(self) -> str:
        """Position in the training as text: the last step (`epoch 2, step 3`) or, after an epoch's last, `epoch 2`."""
        return f"epoch {self.epoch + 1}, step {self.batch}" if self.batch else f"epoch {self.epoch}"


@dataclass(eq=False)
class Trainer:
    """Trainer of a model: in each training step, it runs the forward passes and applies optimizers to the gradients."""

    module: TrainStepModule
    optimizers: Optimizers
    weights: Sequence[Weight]
    passes: Sequence[tuple[ForwardPass, Runner]]
    seed: int

    @cached_property
    def _by_name(self) -> dict[str, Weight]:
        return {weight.name: weight for weight in self.weights}

    def step(self, batch: Batch, number: int) -> list[Tensor]:
        """Run training step `number` (from 0) on a batch; return states of losses and metrics, to sum over batches."""
        states: list[Tensor] = []
        for forward_pass, run in self.passes:
            own: list[Tensor] = []
            for time in (*range(1, forward_pass.repeat), None):
                stream = forward_pass.stream if time is None else f"{forward_pass.stream}/{time}"
                outcome = run(batch, draws.Draws(self.seed, stream, number))
                with span("optimizer"):
                    self._apply(forward_pass, outcome)
                own = outcome.states
            states += own  # of the last repeat
        return states

    def _apply(self, forward_pass: ForwardPass, outcome: StepOutcome) -> None:
        """Apply the parameter updates of a forward pass; all gradients were computed before the first update."""
        updates = dict(outcome.updates)
        start = 0
        for update, total in zip(forward_pass.updates, outcome.totals, strict=True):
            gradients = outcome.gradients[start : start + len(update.weights)]
            start += len(update.weights)
            own = [weight for weight in update.weights if weight.name in updates] if updates else ()
            assigned = [(held(weight.tensor), weight.own(updates.pop(weight.name))) for weight in own]
            self.optimizers.by_name[update.name].apply(gradients, loss=total, assigned=assigned)
        if updates:  # of non-trainable weights (moving statistics), kept if loss and gradients are finite
            with torch.no_grad():
                for name, value in updates.items():
                    weight = self._by_name[name].tensor
                    weight.copy_(self.optimizers.keep_if_good(value, weight))

    def weights_file(self) -> Pieces:
        """Return the contents of a safetensors file with the model's weights, in Keras's layout.

        If FSDP divides the weights, every process must iterate over the contents, which gathers one weight at a time.
        """
        return tensor_pieces({weight.name: _to_write(weight) for weight in lasting(self.weights)})

    def snapshot(self) -> dict[str, Tensor]:
        """Return a mapping from weight name to a copy of the weight, on the CPU, in Keras's layout.

        If FSDP divides a weight, the copy has only the part that this process holds.
        """
        return {w.name: w.keras().to("cpu", copy=True).contiguous() for w in self.weights}

    def ranges(self) -> dict[str, Range]:
        """Return the part of each weight, by name, that this process holds if FSDP divides it, along one axis."""
        return {
            weight.name: Range(weight.spec.axes[0] if weight.spec.axes else 0, part.start, part.stop, part.size)
            for weight in self.weights
            if (part := weight.part) is not None
        }

    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Set the model's weights to `values`, a mapping from weight name to tensor as `snapshot` returns it."""
        assign_weights(self.weights, values)

    def refuse_bad_step(self, steps: int, epoch: int) -> None:
        """Raise TrainingStopped if the loss or a gradient was not finite in a training step so far.

        Such a step, and those after it, change no weights. `steps` is the number of training steps per epoch, `epoch`
        the number (from 1) of the current epoch; the error message names the epoch and the step in it.
        """
        bad = self.optimizers.bad_step()
        if bad is not None:
            where = f"epoch {epoch}, step {(bad - 1) % steps + 1}"
            raise TrainingStopped(Fault(f"the loss became nan or infinite at {where}", hint=_HINT))

    def refuse_bad_weights(self, progress: Progress) -> None:
        """Raise TrainingStopped if a weight or a value in the optimizer's state is NaN or infinite.

        A parameter update can overflow although its loss and gradients are finite. `progress` is for the error message.
        """
        state = {name: value for name, value in self.optimizers.state().items() if value.dim()}
        name = nonfinite(self._held()) or nonfinite(state)
        if name is not None:
            text = f"'{name}' became nan or infinite by {progress.where}: an update overflowed"
            raise TrainingStopped(Fault(text, hint=_HINT))

    def has_finite_weights(self) -> bool:
        """Return True if no weight of the model is NaN or infinite; synchronizes with the device."""
        return nonfinite(self._held()) is None

    def _held(self) -> dict[str, Tensor]:
        return {weight.name: held(weight.tensor) for weight in self.weights}


def nonfinite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor with a NaN or infinite value, else None; synchronizes with the device."""
    numbers = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()}
    if are_finite(list(numbers.values())):
        return None
    return next(name for name, tensor in numbers.items() if not are_finite([tensor]))


def _to_write(weight: Weight) -> Tensor | LateTensor:
    if weight.part is None:
        return weight.keras()
    return LateTensor(weight.tensor.dtype, tuple(weight.spec.shape), weight.whole)


def assign_weights(weights: Sequence[Weight], values: Mapping[str, Tensor]) -> None:
    """Set `weights` to the values in the mapping `values` from weight name to tensor in Keras's layout.

    Factors of LoRA keep their values if the mapping lacks them, as that of an earlier phase does. Raises FileRefused
    if names or shapes differ.
    """
    weights = [weight for weight in weights if weight.name in values or not weight.spec.is_of_lora]
    _refuse_other_weights(weights, values)
    for weight in weights:
        weight.assign(values[weight.name])


def _refuse_other_weights(weights: Sequence[Weight], values: Mapping[str, Tensor]) -> None:
    """Raise FileRefused if `values`, tensors by weight name, have other names or shapes than `weights`."""
    saved = {name: tuple(value.shape) for name, value in values.items()}
    shapes = {weight.name: tuple(weight.spec.shape) for weight in weights}
    parts = {weight.name: tuple(weight.keras().shape) for weight in weights if weight.part is not None}
    differing = [n for n in {*saved, *shapes} if saved.get(n) not in (shapes.get(n), parts.get(n, shapes.get(n)))]
    if (name := min(differing, default=None)) is not None:
        text = f"the weights are of another model: '{name}' has shape {saved.get(name)} there, {shapes.get(name)} here"
        raise FileRefused(text, hint="start a new run, or restore the model in the config")
