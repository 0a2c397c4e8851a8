"""Map the variables of a Keras optimizer, in the order of Keras's files, to the state of kerascli's optimizer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.places import Owner
from kerascli.model.runtime.weights import Weight, finite_as
from kerascli.optimizers.adafactor import Adafactor
from kerascli.optimizers.adam import Nadam
from kerascli.optimizers.base import BaseOptimizer, Optimizer
from kerascli.optimizers.loss_scale_optimizer import LossScale, LossScaleOptimizer
from kerascli.optimizers.muon import Muon
from kerascli.optimizers.schedule_free import ScheduleFreeAdamW
from kerascli.schedules.base import Schedule

_SLOTS_APART = frozenset({"velocity_hat"})
"""Names of optimizer slots (state tensors per weight) that Keras's files list last, for all weights; other slots are
listed weight by weight."""
_OPTIMIZERS_APART = frozenset({"rmsprop"})
"""Names of optimizers whose state tensors Keras's files list slot by slot (all momenta, then all velocities) instead of
weight by weight."""
_UNKNOWN_TO_KERAS = frozenset({"loss_scale_optimizer/skipped_steps"})
"""Names of states of kerascli's optimizers that Keras's optimizers do not have."""
_PRODUCT = "product of momenta"
"""Name of nadam's variable that kerascli computes; it is the last one in Keras's files."""
_PRODUCT_TOLERANCE = 1e-4
"""Largest accepted error of nadam's product of momenta: far above float32's rounding, far below the effect of one
factor."""


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
        yield Variable(_PRODUCT, (), is_state=False, value=rule.momentum_product)


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
    """Return kerascli's optimizer state, read from a Keras file, and notes on what differs; (None, ()) if none fits.

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
    """Return kerascli's optimizer state, computed from the arrays of the `variables` of the optimizer `saved`, and
    notes on what differs."""
    scale = LossScale(settings, torch.device("cpu")) if isinstance(settings, LossScaleOptimizer) else None
    state = {} if scale is None else scale.state()
    for variable, array in zip(variables, arrays, strict=True):
        if variable.is_state:
            values, what = torch.from_numpy(array), f"the optimizer's '{variable.name}'"
            state[variable.name] = finite_as(values, own[variable.name].dtype, what)
    if int(state["iterations"]) < 0:
        raise FileRefused("the optimizer's number of steps is negative")
    updates = _updates(settings.rule, state)
    notes = [*_notes(saved, updates)]
    if scale is not None:
        scale.load(state)  # raises for an invalid scale
        if saved is not settings:
            notes.append(f"the file has no loss scale: training continues with {float(scale.factor):g}")
    if variables[-1].name == _PRODUCT:
        product, expected = float(arrays[-1]), variables[-1].value(updates)
        if not abs(product - expected) <= _PRODUCT_TOLERANCE:
            text = f"nadam: the file's product of momenta is {product:.4g}, after {updates} updates it is"
            notes.append(f"{text} {expected:.4g}, which training continues with")
    return state, tuple(notes)


def arrays_from(
    state: Mapping[str, Tensor], settings: BaseOptimizer, trained: Sequence[Weight]
) -> tuple[dict[str, list[np.ndarray]] | None, tuple[str, ...]]:
    """Return Keras's optimizer variables, by HDF5 group, computed from kerascli's state, and notes on what differs.

    Returns None for the variables if the state does not belong to these weights.
    """
    variables = keras_variables(settings, trained)
    if {variable.name for variable in variables if variable.is_state} != state.keys() - _UNKNOWN_TO_KERAS:
        return None, ()
    updates = _updates(settings.rule, state)
    arrays = [
        np.array(state[v.name].to("cpu").numpy() if v.is_state else np.full(v.shape, v.value(updates)), v.dtype)
        for v in variables
    ]
    groups = {"optimizer": arrays}
    if isinstance(settings, LossScaleOptimizer):  # its own variables come first; Keras reads the others from here, too
        groups["optimizer/inner_optimizer"] = arrays[len(_OF_LOSS_SCALE) :]
    return groups, tuple(_notes(settings, updates))


def _updates(rule: Optimizer, state: Mapping[str, Tensor]) -> int:
    """Return the number of times that an optimizer has updated weights: with gradient accumulation, fewer than the
    training steps."""
    return int(state["iterations"]) // (rule.gradient_accumulation_steps or 1)


def _notes(settings: BaseOptimizer, updates: int) -> Iterator[str]:
    """Yield notes on how training continued from an exported state differs between Keras and kerascli."""
    if isinstance(settings.rule, ScheduleFreeAdamW):
        text = "schedule_free_adam_w: Keras's updates on torch differ from those on JAX and TensorFlow"
        yield f"{text}, which kerascli's are (on torch the old momentum is overwritten before it is used)"
    if updates and isinstance(settings, LossScaleOptimizer) and isinstance(settings.rule, Nadam):
        text = "nadam in a loss_scale_optimizer: Keras's files lack its product of momenta"
        yield f"{text}, which Keras resets on loading and kerascli continues"


def notes_on_names(
    rule: Optimizer, trained: Sequence[Weight], owners: Sequence[Owner], model: Mapping[str, Any]
) -> Iterator[str]:
    """Yield a note on each weight that Keras's muon may update differently, because its name in Keras differs.

    `owners` are the layers of Keras's serialized model `model`.
    """
    if not isinstance(rule, Muon):
        return
    above = (str(model["config"].get("name")),) if model["class_name"] == "Sequential" else ()
    for weight in trained:
        owner = next(owner for owner in owners if weight.name.startswith(f"{owner.prefix}/"))
        leaf = weight.name[len(owner.prefix) + 1 :]
        names = ["/".join((*path, leaf)) for path in (owner.path[-1:], owner.path, (*above, *owner.path))]
        shape = tuple(weight.spec.shape)
        is_adam_s = rule.slot_shape("velocity", weight.name, shape) is not None
        if other := [name for name in names if (rule.slot_shape("velocity", name, shape) is not None) != is_adam_s]:
            change = "Muon's update" if is_adam_s else "Adam's update"
            text = f"muon: '{safe_text(weight.name)}' may be '{safe_text(other[0])}' to Keras"
            yield f"{text}, which exclude_layers and exclude_embeddings would give {change} there, but not here"
