"""Application of an optimizer to weights as in Keras: gradient clipping, decay, step, averaging, constraints.

Weights are updated as flat vectors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.optimizers.base import BaseOptimizer, UpdateContext
from kerascli.optimizers.clipping import clip_divided, clip_each_norm, clip_global_norm, scale
from kerascli.optimizers.flat import FlatGroup, NamedWeight, grouped
from kerascli.optimizers.guard import Guard, are_finite
from kerascli.optimizers.loss_scale_optimizer import LossScale, LossScaleOptimizer
from kerascli.optimizers.rule import Compiler, Written, compiled_rule, write
from kerascli.schedules.base import Schedule

_ACCUMULATOR = "gradient_accumulator"
_AVERAGE = "average"
_COPIED_ELEMENTS = 2**20
"""Maximum number of weights on the CPU whose gradients are copied to one vector for one update; copying the
gradients of larger models takes longer than launching some more operations.
"""


class FlatOptimizer:
    """Optimizer bound to a model's trainable weights, whose torch parameters become views of flat vectors.

    All weights are on one device; raises ConfigError without any. `iterations` is the number of steps done; with
    gradient accumulation, every batch is a step.
    """

    def __init__(
        self,
        settings: BaseOptimizer,
        weights: Sequence[NamedWeight],
        linked: "FlatOptimizer | None" = None,
        across: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """Bind an optimizer to `weights`. A non-finite loss or gradient, here or in the other, `linked`, stops both.

        With `across`, which returns the sum of a tensor over all parts, the weights are this process's parts of
        weights, each in memory of its own, and norms are those of whole gradients.
        """
        if not weights:
            raise ConfigError("there is nothing to train: the model has no trainable weight")
        self.optimizer = optimizer = settings.rule
        device = weights[0][1].device
        scaled = isinstance(settings, LossScaleOptimizer)
        self.loss_scale = LossScale(settings, device) if scaled else None
        """State of dynamic loss scaling; None if the optimizer has none."""
        self._iterations = 0
        self._rate: float | Schedule = optimizer.learning_rate
        self._across = across

        own_gradient = self._needs_own_gradient(weights, divided=across is not None) or scaled
        self._positions = grouped(weights) if across is None else [[i] for i in range(len(weights))]
        self._groups: list[FlatGroup] = []
        for positions in self._positions:
            vector = None if across is None else weights[positions[0]][1].data.view(-1)
            group = FlatGroup([weights[i] for i in positions], own_gradient=own_gradient, vector=vector)
            self._add_slots(group)
            self._groups.append(group)
        self.guard = Guard(device, None if linked is None else linked.guard, waits=scaled)
        """Guard against a loss or gradient that is not finite."""

    def _needs_own_gradient(self, weights: Sequence[NamedWeight], *, divided: bool) -> bool:
        """Return True if gradients are copied to one vector, since that is faster or they are changed before a step."""
        elements = sum(parameter.numel() for _, parameter, _ in weights)
        on_cpu = all(parameter.is_cpu for _, parameter, _ in weights)
        copied = not divided and (elements <= _COPIED_ELEMENTS or not on_cpu)
        return copied or not self.optimizer.elementwise or self.optimizer.changes_gradients

    def _add_slots(self, group: FlatGroup) -> None:
        for slot in self.optimizer.slots():
            group.add_slot(slot, self.optimizer.slot_start(slot), partial(self.optimizer.slot_shape, slot))
        if self.optimizer.gradient_accumulation_steps:
            group.add_slot(_ACCUMULATOR)
        if self.optimizer.use_ema:
            group.add_slot(_AVERAGE)

    @property
    def iterations(self) -> int:
        """Number of steps done, except skipped steps and those with a non-finite loss or gradient. Syncs the device."""
        bad = None if self.guard.waits else self.guard.bad_step()
        return self._iterations if bad is None else bad - 1

    @property
    def state_bytes(self) -> int:
        """Size of the optimizer's states (moments, accumulated gradients, averages ...) in bytes."""
        return sum(vector.nbytes for group in self._groups for vector in group.slots.values())

    @property
    def learning_rate(self) -> float:
        """Learning rate of the optimizer's next step."""
        return self._rate(self._iterations) if isinstance(self._rate, Schedule) else self._rate

    def set_learning_rate(self, value: float) -> None:
        """Set the learning rate from the next step on. Raises ValueError if it follows a schedule."""
        if isinstance(self._rate, Schedule):
            name = self._rate.component_name
            raise ValueError(f"the learning rate follows the schedule '{name}' and cannot be set to {value}")
        self._rate = value

    @torch.no_grad()
    def apply(
        self, gradients: Sequence[Tensor | None], *, loss: Tensor, assigned: Sequence[tuple[Tensor, Tensor]] = ()
    ) -> None:
        """Update the weights by one step from their gradients; a weight with gradient None is not updated.

        Gradients are in the order of the weights. With a `loss_scale_factor` or `loss_scale`, they must be those of the
        scaled loss. `assigned` are weights with the values that the forward pass gave them, from which the step starts.
        If loss or gradients are not finite, this step and all later ones change nothing. If only scaled gradients
        overflowed, the loss scale is lowered instead, and only the weights in `assigned` are set.
        """
        for group, positions in zip(self._groups, self._positions, strict=True):
            group.take([gradients[i] for i in positions])
        live = [vector for group in self._groups for vector in (group.weights, *group.slots.values())]

        def assign() -> None:
            for weight, value in assigned:
                weight.copy_(value)

        def step() -> None:
            assign()
            self._step()

        gradients_of_groups = [gradient for group in self._groups for gradient in group.gradients]
        if self.loss_scale is None:
            self.guard.run(step, loss, gradients_of_groups, live)
        else:
            sound, finite = are_finite([loss.detach()]), are_finite(gradients_of_groups)
            if sound and not finite and self.guard.bad_step() is None and self.loss_scale.overflow():
                self.guard.run_checked(assign, good=True)  # a skipped step counts as a good one
            else:
                self.guard.run_checked(step, good=sound and finite)
                if self.guard.bad_step() is None:
                    self.loss_scale.good()
        for group in self._groups:
            group.gradients = []  # the next step's gradients take their memory

    @torch.no_grad()
    def rules(self) -> list[Written]:
        """Return the update rules that `compile` would compile: one for each group of weights with equal dtype."""
        return [write(self.optimizer, group.weights, self._slots_of(group)) for group in self._compilable()]

    @torch.no_grad()
    def compile(self, compiler: Compiler) -> None:
        """Compile the update rule, if it is several torch operations, to a single pass over memory on the CPU.

        Raises what `compiled_rule` raises.
        """
        for group in self._compilable():
            group.rule = compiled_rule(self.optimizer, group.weights, self._slots_of(group), compiler)

    def _compilable(self) -> list[FlatGroup]:
        if self.optimizer.one_pass or not self.optimizer.elementwise:
            return []
        return [group for group in self._groups if group.gradient is not None and group.weights.is_cpu]

    def _slots_of(self, group: FlatGroup) -> dict[str, Tensor]:
        return {slot: group.slots[slot] for slot in self.optimizer.slots()}

    @torch.no_grad()
    def finish(self) -> None:
        """Replace the weights by their moving averages at the end of training, if the optimizer has `use_ema`."""
        if self.optimizer.use_ema:
            for group in self._groups:
                group.weights.copy_(group.slots[_AVERAGE])

    @torch.no_grad()
    def swap_averages(self) -> None:
        """Swap the weights with their moving averages, which an optimizer with `use_ema` has."""
        for group in self._groups:
            weights = group.weights.clone()
            group.weights.copy_(group.slots[_AVERAGE])
            group.slots[_AVERAGE].copy_(weights)

    def state(self) -> dict[str, Tensor]:
        """Return a mapping from names (`adam/dense/kernel/velocity`, `iterations` ...) to state tensors, not copied.

        Tensors have Keras's layout.
        """
        state = self._named_state()
        state |= {} if self.loss_scale is None else self.loss_scale.state()
        state["iterations"] = torch.tensor(self.iterations)
        if not isinstance(self._rate, Schedule):
            state["learning_rate"] = torch.tensor(self._rate, dtype=torch.float64)
        return state

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state()` returned. Raises FileRefused for the state of another optimizer or model."""
        own = self.state()
        if odd := sorted(own.keys() ^ state.keys()):
            where = "is missing" if odd[0] in own else "belongs to something else"
            raise FileRefused(f"optimizer state does not match: '{odd[0]}' {where} ({len(odd)} such in all)")
        for name, value in own.items():
            got = state[name]
            if got.shape != value.shape or got.dtype != value.dtype:
                difference = f"{got.dtype} {tuple(got.shape)}, expected {value.dtype} {tuple(value.shape)}"
                raise FileRefused(f"optimizer state '{name}' is {difference}")
        for name, view in self._named_state().items():
            view.copy_(state[name])
        self._iterations = int(state["iterations"])
        if self.loss_scale is not None:
            self.loss_scale.load(state)
        self.guard.start_at(self._iterations + (0 if self.loss_scale is None else self.loss_scale.skipped))
        if not isinstance(self._rate, Schedule):
            self._rate = float(state["learning_rate"])

    def _named_state(self) -> dict[str, Tensor]:
        return {
            f"{self.optimizer.component_name}/{name}/{slot}": view
            for group in self._groups
            for name, state in group.state.items()
            for slot, view in state.items()
        }

    def _step(self) -> None:
        every = self.optimizer.gradient_accumulation_steps
        factor = self.optimizer.loss_scale_factor if self.loss_scale is None else self.loss_scale.value
        if factor is not None:
            for _, gradient in self._own_gradients():
                gradient.div_(factor)
        if every is None or (self._iterations + 1) % every == 0:
            self._update()
        else:
            for group, gradient in self._own_gradients():
                group.slots[_ACCUMULATOR].add_(gradient)
        self._average()
        for s in (s for group in self._groups for s in group.present):
            if s.layout.constraint is not None:  # after the averaging, as in Keras
                weight = s.layout.to_keras(s.parameter.data)
                weight.copy_(s.layout.constraint(weight))
        self._iterations += 1

    def _own_gradients(self) -> Iterator[tuple[FlatGroup, Tensor]]:
        for group in self._groups:
            assert group.gradient is not None
            yield group, group.gradient

    def _update(self) -> None:
        if every := self.optimizer.gradient_accumulation_steps:
            for group, gradient in self._own_gradients():
                gradient.add_(group.slots[_ACCUMULATOR]).div_(every)
                group.slots[_ACCUMULATOR].zero_()
        if self.optimizer.gradient_scale is not None:
            for group, gradient in self._own_gradients():
                scale([s.of(gradient) for s in group.present], self.optimizer.gradient_scale)
        self._clip()
        context = UpdateContext(self._updates + 1, self.learning_rate)
        for group in self._groups:
            rule = group.rule if group.rule is not None and group.is_complete else self.optimizer.update
            for part in group.ranges() if self.optimizer.elementwise else group.one_by_one():
                decay = self.optimizer.decay(part.slots)
                if decay is not None:
                    part.weights.mul_(1 - decay * context.learning_rate)
                rule(part.weights, part.gradient, part.slots, context)

    def _clip(self) -> None:
        optimizer = self.optimizer
        limit = optimizer.clipnorm or optimizer.global_clipnorm
        if limit is not None and self._across is not None:
            parts = [gradient for _, gradient in self._own_gradients()]  # each part of a weight is a group of its own
            clip_divided(parts, self._across, limit, together=optimizer.clipnorm is None)
            return
        if optimizer.clipnorm is not None:
            for group, gradient in self._own_gradients():
                clip_each_norm([s.of(gradient) for s in group.present], optimizer.clipnorm)
        if optimizer.clipvalue is not None:
            for _, gradient in self._own_gradients():
                gradient.clamp_(-optimizer.clipvalue, optimizer.clipvalue)
        if optimizer.global_clipnorm is not None:
            clip_global_norm([gradient for _, gradient in self._own_gradients()], optimizer.global_clipnorm)

    def _average(self) -> None:
        """Update the moving averages of the weights; as in Keras, also in steps that only accumulate gradients."""
        optimizer, updates = self.optimizer, self._updates
        if not optimizer.use_ema:
            return
        momentum = optimizer.ema_momentum if updates else 0.0
        overwrite = optimizer.ema_overwrite_frequency
        for group in self._groups:
            group.slots[_AVERAGE].mul_(momentum).add_(group.weights, alpha=1 - momentum)
            if overwrite and (updates + 1) % overwrite == 0:
                group.weights.copy_(group.slots[_AVERAGE])

    @property
    def _updates(self) -> int:
        """Number of parameter updates before the current step, which is Keras's `optimizer.iterations`."""
        return self._iterations // (self.optimizer.gradient_accumulation_steps or 1)
