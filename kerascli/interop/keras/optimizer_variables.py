"""Map the variables of a Keras optimizer, in the order of Keras's files, to the state of kerascli's optimizer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kerascli.foundation.errors import FileRefused
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.model.runtime.weights import Weight, finite_as
from kerascli.optimizers.adafactor import Adafactor
from kerascli.optimizers.adam import Nadam
from kerascli.optimizers.base import BaseOptimizer, Optimizer
from kerascli.optimizers.loss_scale_optimizer import LossScale, LossScaleOptimizer
from kerascli.schedules.base import Schedule

_SLOTS_APART = frozenset({"velocity_hat"})
"""Names of optimizer slots (state tensors per weight) that Keras's files list last, for all weights; other slots are
listed weight by weight."""
_OPTIMIZERS_APART = frozenset({"rmsprop"})
"""Names of optimizers whose state tensors Keras's files list slot by slot (all momenta, then all velocities) instead of
weight by weight."""
_UNKNOWN_TO_KERAS = frozenset({"loss_scale_optimizer/skipped_steps"})
"""Names of states of kerascli's optimizers that Keras's optimizers do not have."""


class Variable(NamedTuple):
    """A variable of Keras's optimizer: either a state of kerascli's optimizer, or one that kerascli does not need."""

    name: str
    """Name of kerascli's optimizer state (`adam/dense/kernel/velocity`), or a description if there is none."""
    shape: tuple[int, ...]
    dtype: str = "float32"
    is_state: bool = True
    value: Callable[[int], float] = lambda _: 0.0
    """Function that computes, from the number of updates, a variable that is not in kerascli's state."""


_OF_LOSS_SCALE = (
    Variable("iterations of the loss scale", (), "int32", is_state=False),
    Variable("learning rate of the loss scale", (), is_state=False),
    Variable("loss_scale_optimizer/step_counter", (), "int32"), Variable("loss_scale_optimizer/dynamic_scale", ()),
)  # fmt: skip
"""Variables of Keras's LossScaleOptimizer itself; its iterations and learning rate are unused."""


def keras_variables(settings: BaseOptimizer, trained: Sequence[Weight]) -> list[Variable]:
    """Return the variables of a Keras optimizer in its file's order; `trained` are the weights in Keras's order."""
    scaled = isinstance(settings, LossScaleOptimizer)
    return [*(_OF_LOSS_SCALE if scaled else ()), *_of_rule(settings.rule, trained, tracked=not scaled)]


def _of_rule(rule: Optimizer, trained: Sequence[Weight], *, tracked: bool) -> Iterator[Variable]:
    """Yield the variables that Keras's optimizer has for an update rule, such as Adam.

    With `tracked` False (inside Keras's LossScaleOptimizer), variables assigned as attributes are not tracked: nadam's
    product of momenta, and adafactor's variables of weights with fewer than two axes.
    """
    yield Variable("iterations", (), "int32")
    if not isinstance(rule.learning_rate, Schedule):
        yield Variable("learning_rate", ())
    name = rule.component_name
    for slot, used in (("average", rule.use_ema), ("gradient_accumulator", rule.gradient_accumulation_steps)):
        for weight in trained if used else ():
            yield Variable(f"{name}/{weight.name}/{slot}", tuple(weight.spec.shape))
    apart = [slot for slot in rule.slots() if slot in _SLOTS_APART or name in _OPTIMIZERS_APART]
    for together in ([slot for slot in rule.slots() if slot not in apart], *([slot] for slot in apart)):
        for weight in trained:
            for slot in together:
                yield from _of_slot(rule, weight, slot, tracked=tracked)
    if isinstance(rule, Nadam) and tracked:
        yield Variable("product of momenta", (), is_state=False, value=rule.momentum_product)


def _of_slot(rule: Optimizer, weight: Weight, slot: str, *, tracked: bool) -> Iterator[Variable]:
    """Yield Keras's variable for one slot (such as `velocity`) of a weight, if Keras's optimizer has one."""
    whole = tuple(weight.spec.shape)
    if (shape := rule.slot_shape(slot, weight.name, whole)) is not None:
        yield Variable(f"{rule.component_name}/{weight.name}/{slot}", shape)
    elif isinstance(rule, Adafactor) and slot == "velocity":  # Keras assigns it in each update, before it is read
        yield Variable(f"{slot} of {weight.name}", whole, is_state=False)
    elif isinstance(rule, Adafactor) and tracked:
        yield Variable(f"{slot} of {weight.name}", (), "int32", is_state=False)


def read_state(
    file: Hdf5, settings: BaseOptimizer, trained: Sequence[Weight], own: Mapping[str, Tensor], *, legacy: bool
) -> tuple[dict[str, Tensor] | None, tuple[str, ...]]:
    """Return kerascli's optimizer state, read from a Keras file, and notes on it; (None, ()) if none fits.

    `trained` are the trainable weights in Keras's order, `own` is a new state of `settings`. The file may have only the
    state of the optimizer inside the loss scaling: Keras scales the loss of a model with mixed_float16 layers only if
    that is the policy of the model itself. Raises FileRefused for values that no optimizer has.
    """
    paths = [f"optimizer/vars/{number}" for number in range(len(file.datasets))]
    if legacy:
        paths = [f"optimizer_weights/{name}" for name in file.texts("optimizer_weights", "weight_names")]
    paths = [path for path in paths if path in file.datasets]
    shapes = [file.datasets[path].shape for path in paths]
    for saved in (settings, settings.rule):
        variables = keras_variables(saved, trained)
        has_states = all(variable.name in own for variable in variables if variable.is_state)
        if has_states and shapes == [variable.shape for variable in variables]:
            return _state_from([*file.arrays(paths)], variables, saved, settings, own)
    return None, ()


def _state_from(
    arrays: Sequence[np.ndarray], variables: Sequence[Variable], saved: BaseOptimizer, settings: BaseOptimizer,
    own: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], tuple[str, ...]]:  # fmt: skip
    """Return kerascli's optimizer state, computed from the arrays of the `variables` of the optimizer `saved`, and a
    note if the file has no loss scale."""
    scale = LossScale(settings, torch.device("cpu")) if isinstance(settings, LossScaleOptimizer) else None
    state = {} if scale is None else scale.state()
    for variable, array in zip(variables, arrays, strict=True):
        if variable.is_state:
            values, what = torch.from_numpy(array), f"the optimizer's '{variable.name}'"
            state[variable.name] = finite_as(values, own[variable.name].dtype, what)
    if int(state["iterations"]) < 0:
        raise FileRefused("the optimizer's number of steps is negative")
    if scale is None:
        return state, ()
    scale.load(state)  # raises for an invalid scale
    if saved is settings:
        return state, ()
    return state, (f"the file has no loss scale: training continues with {float(scale.factor):g}",)


def arrays_from(
    state: Mapping[str, Tensor], settings: BaseOptimizer, trained: Sequence[Weight]
) -> dict[str, list[np.ndarray]] | None:
    """Return Keras's optimizer variables, by HDF5 group, computed from kerascli's state; None if it does not belong to
    these weights."""
    variables = keras_variables(settings, trained)
    if {variable.name for variable in variables if variable.is_state} != state.keys() - _UNKNOWN_TO_KERAS:
        return None
    rule = settings.rule
    updates = int(state["iterations"]) // (rule.gradient_accumulation_steps or 1)  # fewer than the training steps
    arrays = [
        np.array(state[v.name].to("cpu").numpy() if v.is_state else np.full(v.shape, v.value(updates)), v.dtype)
        for v in variables
    ]
    groups = {"optimizer": arrays}
    if isinstance(settings, LossScaleOptimizer):  # its own variables come first; Keras reads the others from here, too
        groups["optimizer/inner_optimizer"] = arrays[len(_OF_LOSS_SCALE) :]
    return groups
