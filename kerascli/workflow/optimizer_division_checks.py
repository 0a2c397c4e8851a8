"""Check that an optimizer's state can be divided among processes: some rules, and some settings, need whole weights."""

from collections.abc import Iterator

from kerascli.config.run import RunSpec
from kerascli.errors import Fault
from kerascli.layers.base import WeightedModule
from kerascli.optimizers.base import BaseOptimizer
from kerascli.optimizers.loss_scale_optimizer import LossScaleOptimizer
from kerascli.parts.distributions import DDP

_KEY = "shard_optimizer_state"


def optimizer_division_faults(spec: RunSpec, processes: int) -> Iterator[Fault]:
    """Yield the faults of a run whose optimizer states would be divided among processes; none on one process."""
    distribute = spec.fit.distribute
    if processes == 1 or not isinstance(distribute, DDP) or not distribute.shard_optimizer_state:
        return
    yield from optimizer_faults(spec, _KEY)
    yield from axis_faults(spec, _KEY, hint=f"remove {_KEY}")
    if spec.fit.shards is None:
        return
    for optimizer, path in _optimizers(spec):
        for name in ("clipnorm", "global_clipnorm"):
            if getattr(optimizer.rule, name) is not None:
                text = f"{name} with shards and {_KEY}: parts of a norm are added, and the bits depend on the parts"
                yield Fault(text, path, hint=f"use clipvalue, or remove {_KEY} or shards")
        if not optimizer.rule.has_same_bits_in_parts:
            text = f"this '{optimizer.rule.component_name}' takes powers, whose bits depend on the parts of {_KEY}"
            yield Fault(text, path, hint=f"remove {_KEY} or shards")


def optimizer_faults(spec: RunSpec, divider: str) -> Iterator[Fault]:
    """Yield faults of optimizers that need whole weights or gradients, which the setting `divider` divides."""
    for optimizer, path in _optimizers(spec):
        if isinstance(optimizer, LossScaleOptimizer):
            text = f"dynamic loss scaling (mixed_float16) needs whole gradients, which {divider} divides"
            yield Fault(text, path, hint="use dtype policy mixed_bfloat16, which needs no loss scaling")
        if not optimizer.rule.elementwise:
            text = f"the optimizer '{optimizer.rule.component_name}' needs whole weights, which {divider} divides"
            yield Fault(text, path, hint="use adam_w, or distribute: ddp alone")


def axis_faults(spec: RunSpec, divider: str, *, hint: str) -> Iterator[Fault]:
    """Yield faults of trainable weights that have no rows to divide."""
    nodes = {node.name: (node, built.modules[node.name]) for built in spec.graphs for node in built.model.nodes}
    for node, module in nodes.values():
        for part in module.modules():
            for weight in part.weight_specs.values() if isinstance(part, WeightedModule) else ():
                if not weight.shape and weight.trainable:
                    text = f"'{node.name}' has a trainable weight '{weight.name}' without axes"
                    yield Fault(f"{text}, which {divider} cannot divide", node.path, "key", hint=hint)


def _optimizers(spec: RunSpec) -> Iterator[tuple[BaseOptimizer, tuple[str | int, ...]]]:
    """Yield the optimizers of a training, with their places in the config."""
    if spec.train_step is not None:
        for number, update in enumerate(spec.train_step.updates):
            yield update.optimizer, ("fit", "train_step", number, "optimizer")
    elif spec.compile is not None:
        yield spec.compile.optimizer, ("compile", "optimizer")
